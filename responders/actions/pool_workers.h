// PoolWorkers: the worker processes of a service, and the wait until there are new ones. Lives on
// the loop's thread.
#ifndef SALVE_RESPONDERS_ACTIONS_POOL_WORKERS_H_
#define SALVE_RESPONDERS_ACTIONS_POOL_WORKERS_H_

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/host.h"
#include "responders/actions/held_process.h"
#include "responders/actions/process_scan.h"

namespace salve {

// Which processes are the workers.
struct WorkersOf {
  pid_t main_pid = 0;      // Children of this one,
  bool all_below = false;  // or all that descend from it;
  std::string title = "";  // only those that show this title, if there is one.
};

class PoolWorkers {
 public:
  using Workers = std::vector<ProcessIdentity>;
  struct Renewed {
    size_t fresh = 0;  // Workers that were not there before.
    size_t old = 0;    // That were, and still are.
  };

  // Requires: both outlive it.
  PoolWorkers(EventLoop& loop, Host& host) : loop_(loop), host_(host), scan_(loop, host) {}
  ~PoolWorkers() { loop_.CancelTimer(again_); }
  PoolWorkers(const PoolWorkers&) = delete;
  PoolWorkers& operator=(const PoolWorkers&) = delete;

  // Calls `done` with the workers of now. Errors: /proc can't be read. Requires: nothing runs.
  void List(const WorkersOf& of, absl::AnyInvocable<void(absl::StatusOr<Workers>)> done);

  // Calls `done` when there are as many new workers as there were `old` ones, or some, and their
  // number has not changed for kStandsFor. Requires: nothing runs; `main` outlives it.
  // Errors: kDeadlineExceeded: no new worker by the deadline; kNotFound: `main` has ended.
  void AwaitNew(const WorkersOf& of, const HeldProcess& main, Workers old, Instant deadline,
                absl::AnyInvocable<void(absl::StatusOr<Renewed>)> done);

  static constexpr absl::Duration kStandsFor = absl::Seconds(1);

 private:
  void Look();
  void Judge(const Workers& now);
  void Finish(absl::StatusOr<Renewed> renewed);

  EventLoop& loop_;
  Host& host_;
  ProcessScan scan_;
  WorkersOf of_;
  const HeldProcess* main_ = nullptr;
  Workers old_;
  Instant deadline_;
  size_t fresh_ = 0;
  Instant fresh_since_;
  absl::AnyInvocable<void(absl::StatusOr<Renewed>)> done_;
  TimerId again_ = TimerId::kNone;
};

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_POOL_WORKERS_H_
