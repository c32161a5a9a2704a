// KillProcess: ends processes by name, by pid file, or the main one of a unit: TERM, then KILL,
// through pidfds. Never process 1, the agent, what it descends from, or a thread of the kernel; and
// none at all when more match than expected. What an agent that dies halfway has not signalled by
// then stays as it is.
#ifndef SALVE_RESPONDERS_ACTIONS_KILL_PROCESS_H_
#define SALVE_RESPONDERS_ACTIONS_KILL_PROCESS_H_

#include <memory>

#include "absl/status/status.h"
#include "responders/action.h"

namespace salve {

// Errors: kInvalidArgument, the path of the field first.
absl::Status CheckKillProcess(const config::KillProcess& config);
// Requires: CheckKillProcess is OK.
std::unique_ptr<Action> NewKillProcess(const config::KillProcess& config,
                                       const ActionEnvironment& environment);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_KILL_PROCESS_H_
