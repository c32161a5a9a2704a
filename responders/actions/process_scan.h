// ProcessScan: finds processes in /proc, some in each turn of the loop. Threads of the kernel and
// zombies are never found. Lives on the loop's thread.
#ifndef SALVE_RESPONDERS_ACTIONS_PROCESS_SCAN_H_
#define SALVE_RESPONDERS_ACTIONS_PROCESS_SCAN_H_

#include <dirent.h>

#include <functional>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/host.h"
#include "probes/process_stat.h"

namespace salve {

class ProcessScan {
 public:
  using Found = std::vector<ProcessStat>;
  using Done = absl::AnyInvocable<void(absl::StatusOr<Found>)>;

  // Requires: both outlive it.
  ProcessScan(EventLoop& loop, const Host& host) : loop_(loop), host_(host) {}
  ~ProcessScan() { Cancel(); }
  ProcessScan(const ProcessScan&) = delete;
  ProcessScan& operator=(const ProcessScan&) = delete;

  // Looks at every process and calls `done` with those that are `wanted`, in the order of their
  // pids; never inside this call. A scan that runs is cancelled.
  // Errors in `done`: /proc can't be read.
  void Start(std::function<bool(const ProcessStat&)> wanted, Done done);
  // `done` is not called any more.
  void Cancel();

 private:
  struct CloseFolder {
    void operator()(DIR* folder) const { closedir(folder); }
  };

  void Slice();
  void Finish(absl::StatusOr<Found> found);

  EventLoop& loop_;
  const Host& host_;
  std::function<bool(const ProcessStat&)> wanted_;
  Done done_;
  std::unique_ptr<DIR, CloseFolder> folder_;
  Found found_;
  TimerId next_ = TimerId::kNone;
};

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_PROCESS_SCAN_H_
