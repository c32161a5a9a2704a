#include "probes/benchmark_nginx.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/clock.h"

extern char** environ;

namespace salve {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  CHECK(bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  close(fd);
  return ntohs(address.sin_port);
}

void RunOn(int processor) {
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  sched_setaffinity(0, sizeof set, &set);
}

bool Connects(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = Loopback(port);
  const bool ok = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return ok;
}

double Median(std::vector<double> numbers) {
  std::sort(numbers.begin(), numbers.end());
  return numbers[numbers.size() / 2];
}

double CpuMicros() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

}  // namespace

BenchmarkNginx::BenchmarkNginx() : port_(FreePort()) {
  char folder[] = "/tmp/salve_nginx_XXXXXX";
  CHECK(mkdtemp(folder) != nullptr);
  folder_ = folder;
  const std::string config = folder_ + "/nginx.conf";
  std::ofstream(config) << absl::StrFormat(
      "daemon off; worker_processes 1; pid %1$s/pid; error_log %1$s/error.log;\n"
      "events { worker_connections 1024; }\n"
      "http { access_log off; client_body_temp_path %1$s/a; proxy_temp_path %1$s/b;\n"
      "  fastcgi_temp_path %1$s/c; uwsgi_temp_path %1$s/d; scgi_temp_path %1$s/e;\n"
      "  server { listen 127.0.0.1:%2$d backlog=4096; location / { return 200; } } }\n",
      folder_, port_);
  RunOn(0);
  std::string program = "nginx", flag = "-c", path = config;
  char* argv[] = {program.data(), flag.data(), path.data(), nullptr};
  CHECK(posix_spawnp(&pid_, "nginx", nullptr, nullptr, argv, environ) == 0);
  while (!Connects(port_)) {
    CHECK(waitpid(pid_, nullptr, WNOHANG) == 0);  // There is no nginx, or it does not start.
    usleep(10'000);
  }
  RunOn(1);
}

BenchmarkNginx::~BenchmarkNginx() {
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
  for (const char* file : {"nginx.conf", "pid", "error.log"}) {
    unlink(absl::StrCat(folder_, "/", file).c_str());
  }
  for (const char* part : {"a", "b", "c", "d", "e"}) {
    rmdir(absl::StrCat(folder_, "/", part).c_str());
  }
  rmdir(folder_.c_str());
}

void BlockingLook(int port, const std::string& request) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = Loopback(port);
  CHECK(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  if (!request.empty()) {
    char answer[1024];
    CHECK(send(fd, request.data(), request.size(), 0) > 0);
    CHECK(recv(fd, answer, sizeof answer, 0) > 0);
  }
  close(fd);
}

Cost Measure(int looks, const std::function<void()>& batch) {
  const SystemClock clock;
  const Instant start = clock.Now();
  const double cpu_before = CpuMicros();
  batch();
  return {(CpuMicros() - cpu_before) / looks,
          absl::ToDoubleMicroseconds(clock.Now() - start) / looks};
}

Comparison Compare(int rounds, int looks, const std::function<void(int)>& probe_batch,
                   const std::function<void(int)>& blocking_batch) {
  probe_batch(looks);
  blocking_batch(looks);
  std::vector<double> cpu_ratios, rate_ratios, probe_cpu, probe_wall, blocking_cpu, blocking_wall;
  for (int round = 0; round < rounds; ++round) {
    const Cost before = Measure(looks / 2, [&] { blocking_batch(looks / 2); });
    const Cost probe = Measure(looks, [&] { probe_batch(looks); });
    const Cost after = Measure(looks / 2, [&] { blocking_batch(looks / 2); });
    const Cost blocking = {(before.cpu_us + after.cpu_us) / 2,
                           (before.wall_us + after.wall_us) / 2};
    cpu_ratios.push_back(probe.cpu_us / blocking.cpu_us);
    rate_ratios.push_back(blocking.wall_us / probe.wall_us);
    probe_cpu.push_back(probe.cpu_us);
    probe_wall.push_back(probe.wall_us);
    blocking_cpu.push_back(blocking.cpu_us);
    blocking_wall.push_back(blocking.wall_us);
  }
  return {Median(cpu_ratios),
          Median(rate_ratios),
          {Median(probe_cpu), Median(probe_wall)},
          {Median(blocking_cpu), Median(blocking_wall)}};
}

}  // namespace salve
