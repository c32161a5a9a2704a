// A real etcd for a test or a benchmark: a child process on loopback, with a folder of its own.
#ifndef SALVE_THROTTLING_TEST_ETCD_H_
#define SALVE_THROTTLING_TEST_ETCD_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/real_host.h"
#include "base/uv_loop.h"

namespace salve {

class RealEtcd {
 public:
  // `tls`: flags such as --cert-file; their URLs are https then.
  RealEtcd(UvLoop& loop, std::string folder, std::vector<std::string> tls = {})
      : loop_(loop), host_(loop), folder_(std::move(folder)), tls_(std::move(tls)) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    client_port_ = FreePort();
    peer_port_ = FreePort();
    Start();
  }
  ~RealEtcd() { Kill(); }

  std::string url() const {
    return absl::StrCat(tls_.empty() ? "http" : "https", "://localhost:", client_port_);
  }
  void Start() {
    const std::string peer = absl::StrCat("http://127.0.0.1:", peer_port_);
    const std::string client =
        absl::StrCat(tls_.empty() ? "http" : "https", "://127.0.0.1:", client_port_);
    Command command;
    command.argv = {"etcd",
                    "--name=test",
                    "--data-dir=" + folder_,
                    "--listen-client-urls=" + client,
                    "--advertise-client-urls=" + client,
                    "--listen-peer-urls=" + peer,
                    "--initial-advertise-peer-urls=" + peer,
                    "--initial-cluster=test=" + peer,
                    "--log-level=error",
                    "--logger=zap"};
    command.argv.insert(command.argv.end(), tls_.begin(), tls_.end());
    // Debian's etcd asks for this where it was not built for the machine.
    command.environment = {"ETCD_UNSUPPORTED_ARCH=arm64"};
    ended_ = false;
    auto started = host_.RunCommand(command, loop_.Now() + absl::Minutes(10),
                                    [this](absl::StatusOr<CommandResult>) { ended_ = true; });
    CHECK(started.ok());
    process_ = *started;
  }
  // As a power cut.
  void Kill() {
    if (ended_) return;
    host_.KillCommand(process_.id);
    RunUntil([this] { return ended_; });
  }
  // It hangs: answers nothing, and keeps its connections.
  void Hang(bool hang) { kill(process_.process.pid, hang ? SIGSTOP : SIGCONT); }

  // Runs the loop until `is_done`, at most `at_most`. Returns whether it is.
  bool RunUntil(const std::function<bool()>& is_done, absl::Duration at_most = absl::Seconds(20)) {
    const Instant end = loop_.Now() + at_most;
    std::function<void()> look = [&] {
      if (is_done() || loop_.Now() >= end) return loop_.Stop();
      loop_.CallAfter(absl::Milliseconds(2), look);
    };
    loop_.Post(look);
    loop_.Run();
    return is_done();
  }

 private:
  static int FreePort() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    CHECK(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    close(fd);
    return ntohs(address.sin_port);
  }

  UvLoop& loop_;
  RealHost host_;
  const std::string folder_;
  const std::vector<std::string> tls_;
  int client_port_ = 0;
  int peer_port_ = 0;
  bool ended_ = true;
  StartedCommand process_;
};

}  // namespace salve

#endif  // SALVE_THROTTLING_TEST_ETCD_H_
