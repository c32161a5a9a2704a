// Collect: keeps evidence before something disruptive destroys it: journal, processes, descriptors,
// pressure and sockets, in a folder of its own below the state folder. No recovery action: it
// passes no throttle. Programs run through Host, files and /proc on a worker: never on the loop.
#ifndef SALVE_RESPONDERS_ACTIONS_COLLECT_H_
#define SALVE_RESPONDERS_ACTIONS_COLLECT_H_

#include <memory>

#include "absl/status/status.h"
#include "responders/action.h"

namespace salve {

// Errors: kInvalidArgument, the path of the field first.
absl::Status CheckCollect(const config::Collect& config);
// Its result's context is the folder; what is missing in it stands in exception_message.
// Requires: CheckCollect is OK.
std::unique_ptr<Action> NewCollect(const config::Collect& config,
                                   const ActionEnvironment& environment);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_COLLECT_H_
