// ProcessEnd: ends processes, kindly first: a signal to one after the other, and KILL to those that
// are still there some time after theirs. Lives on the loop's thread.
#ifndef SALVE_RESPONDERS_ACTIONS_PROCESS_END_H_
#define SALVE_RESPONDERS_ACTIONS_PROCESS_END_H_

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/event_loop.h"
#include "base/host.h"
#include "responders/actions/held_process.h"

namespace salve {

class ProcessEnd {
 public:
  struct Options {
    int signal = 0;                               // The kind one.
    absl::Duration pause = absl::ZeroDuration();  // From one process's signal to the next one's.
    absl::Duration grace = absl::ZeroDuration();  // From a process's signal to its KILL.
    Instant deadline;  // When all must have ended. KILL comes a second before it at the latest.
  };
  // Which ended how.
  struct Report {
    std::vector<pid_t> by_signal, by_kill;
    std::vector<pid_t> by_itself;  // Before its signal.
    std::vector<pid_t> left;       // Still there at the deadline, or not ours to signal.
    std::string error;             // Of the last that could not be signalled.
  };
  using Done = absl::AnyInvocable<void(Report)>;

  // Requires: both outlive it.
  ProcessEnd(EventLoop& loop, Host& host) : loop_(loop), host_(host) {}
  // Those that have not ended are left as they are.
  ~ProcessEnd() { loop_.CancelTimer(next_); }
  ProcessEnd(const ProcessEnd&) = delete;
  ProcessEnd& operator=(const ProcessEnd&) = delete;

  // Begins at once; `done` is called when all have ended, or at the deadline; it may be called
  // inside this call. Requires: none runs.
  void Start(std::vector<HeldProcess> processes, const Options& options, Done done);

 private:
  struct Ending {
    HeldProcess process;
    Instant kill_at;
    bool is_signalled = false;
    bool is_killed = false;
    bool is_over = false;
  };

  void Turn();
  void Step(Ending& one);
  void Signal(Ending& one, int signal);

  EventLoop& loop_;
  Host& host_;
  Options options_;
  std::vector<Ending> endings_;
  Instant next_signal_;
  Report report_;
  Done done_;
  TimerId next_ = TimerId::kNone;
};

// "ended by TERM: 12, 13; ended by KILL: 14"; at most 20 pids of each.
std::string ToText(const ProcessEnd::Report& report, const std::string& signal_name);
// "12, 13, 14 and 980 more"
std::string PidsText(const std::vector<pid_t>& pids);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_PROCESS_END_H_
