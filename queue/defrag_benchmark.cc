// Defragmentation against a plain copy of the same file, both synced, in one run:
//   [SALVE_BENCHMARK_DIR=/var/tmp] [SALVE_BENCHMARK_MESSAGES=200000] defrag_benchmark
// Half of the messages have ended before, so that the file has holes. Both read from the disk, not
// from memory. Says both speeds in MiB of the old file a second, how the first relates to the
// second (to be at least 0.5), and what it took of the processors, which counts on a busy machine.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "queue/database.h"
#include "queue/defrag.h"
#include "queue/message_store.h"

namespace salve {
namespace {

constexpr int kBatch = 1000;
constexpr int kRounds = 5;

queue::Message NewMessage(MessageStore& store, absl::Time now, int64_t number) {
  queue::Message message;
  message.set_mid(store.NewMid(now));
  message.set_origin_server("web1");
  message.set_origin_mid(message.mid());
  message.set_type(queue::AF);
  message.set_destination("ops");
  message.set_expires_ns(absl::ToUnixNanos(now + absl::Hours(48)));
  // Of 200 to 1,800 bytes.
  message.mutable_letter()->set_message(std::string(200 + number * 7919 % 1600, 'x'));
  return message;
}

void MakeFragmented(const std::string& file, int64_t messages, absl::Time now) {
  auto store = MessageStore::Open({.path = file, .server = "web1", .group = "web", .now = now});
  CHECK(store.ok());
  for (int64_t done = 0; done < messages; done += kBatch) {
    Changes put;
    put.now = now;
    for (int i = 0; i < kBatch; ++i) {
      put.puts.push_back({NewMessage(**store, now, done + i), "remote/ops", false, now});
    }
    const auto sequences = (*store)->Apply(put);
    CHECK(sequences.ok());
    Changes end;
    end.now = now;
    for (size_t i = 0; i < sequences->size(); i += 2) {
      end.ends.push_back({(*sequences)[i], Final::kDone, "", now + absl::Hours(48)});
    }
    CHECK((*store)->Apply(end).ok());
  }
  CHECK((*store)->Close().ok());
}

void CopyPlainly(const std::string& from, const std::string& to) {
  const int in = open(from.c_str(), O_RDONLY | O_CLOEXEC);
  const int out = open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  CHECK(in >= 0 && out >= 0);
  std::vector<char> piece(1 << 20);
  for (ssize_t n = 0; (n = read(in, piece.data(), piece.size())) > 0;) {
    CHECK(write(out, piece.data(), n) == n);
  }
  CHECK(fsync(out) == 0);
  close(in);
  close(out);
}

// So that it is read from the disk.
void Forget(const std::string& file) {
  const int opened = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  CHECK(opened >= 0 && fsync(opened) == 0);
  CHECK(posix_fadvise(opened, 0, 0, POSIX_FADV_DONTNEED) == 0);
  close(opened);
}

void Run(const std::string& folder, int64_t messages) {
  const SystemClock clock;
  const std::string file = folder + "/queue.db";
  MakeFragmented(file, messages, clock.WallNow());
  for (const char* suffix : {"", ".mark"}) CopyPlainly(file + suffix, file + suffix + "-kept");
  const double mib = static_cast<double>(std::filesystem::file_size(file)) / (1 << 20);
  std::vector<double> ratios;
  for (int round = 0; round < kRounds; ++round) {
    CopyPlainly(file + "-kept", file);
    std::filesystem::remove(file + "-copy");
    Forget(file);
    Instant begun = clock.Now();
    CopyPlainly(file, file + "-copy");
    const double copy = mib / absl::ToDoubleSeconds(clock.Now() - begun);
    Forget(file);
    begun = clock.Now();
    const std::clock_t cpu_begun = std::clock();
    const auto report = Defragment(file);
    const double defrag = mib / absl::ToDoubleSeconds(clock.Now() - begun);
    const double cpu = static_cast<double>(std::clock() - cpu_begun) / CLOCKS_PER_SEC;
    ratios.push_back(defrag / copy);
    CHECK(report.ok());
    std::cout << "round " << round + 1 << ": " << mib << " MiB to "
              << static_cast<double>(report->bytes_after()) / (1 << 20) << " MiB; copy " << copy
              << " MiB/s, defrag " << defrag << " MiB/s, ratio " << ratios.back() << "; "
              << cpu * 1000 << " ms of CPU" << std::endl;
  }
  std::sort(ratios.begin(), ratios.end());
  std::cout << "median ratio " << ratios[kRounds / 2] << std::endl;
}

}  // namespace
}  // namespace salve

// The options of the other benchmarks mean nothing here.
int main() {
  const char* named = getenv("SALVE_BENCHMARK_DIR");
  std::string folder = std::string(named ? named : "/var/tmp") + "/salve-defrag-XXXXXX";
  CHECK(mkdtemp(folder.data()) != nullptr);
  const char* messages = getenv("SALVE_BENCHMARK_MESSAGES");
  salve::Run(folder, messages ? atoll(messages) : 200'000);
  std::filesystem::remove_all(folder);
}
