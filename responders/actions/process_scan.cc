#include "responders/actions/process_scan.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/numbers.h"

namespace salve {
namespace {

constexpr int kProcessesPerTurn = 256;

}  // namespace

void ProcessScan::Start(std::function<bool(const ProcessStat&)> wanted, Done done) {
  Cancel();
  wanted_ = std::move(wanted);
  done_ = std::move(done);
  found_.clear();
  next_ = loop_.CallAt(loop_.Now(), [this] {
    folder_.reset(opendir(host_.proc().c_str()));
    if (folder_ == nullptr) return Finish(ErrnoStatus(errno, host_.proc()));
    Slice();
  });
}

void ProcessScan::Cancel() {
  loop_.CancelTimer(next_);
  folder_.reset();
  done_ = nullptr;
}

void ProcessScan::Slice() {
  for (int i = 0; i < kProcessesPerTurn; ++i) {
    const dirent* entry = readdir(folder_.get());
    if (entry == nullptr) {
      std::sort(found_.begin(), found_.end(), [](const ProcessStat& a, const ProcessStat& b) {
        return a.identity.pid < b.identity.pid;
      });
      return Finish(std::move(found_));
    }
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry->d_name, &pid)) continue;
    const absl::StatusOr<ProcessStat> stat = ReadProcessStat(host_.proc(), pid);
    if (!stat.ok() || stat->is_zombie || stat->is_kernel_thread) continue;
    if (wanted_(*stat)) found_.push_back(*stat);
  }
  next_ = loop_.CallAt(loop_.Now(), [this] { Slice(); });
}

void ProcessScan::Finish(absl::StatusOr<Found> found) {
  folder_.reset();
  Done done = std::exchange(done_, nullptr);
  done(std::move(found));
}

}  // namespace salve
