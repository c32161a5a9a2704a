// ResetPool: renews the workers of a service that keeps its listening socket, so that no request
// fails that was not itself hung. It succeeds only when new workers are seen. What an agent that
// dies halfway has not done by then is not done.
#ifndef SALVE_RESPONDERS_ACTIONS_RESET_POOL_H_
#define SALVE_RESPONDERS_ACTIONS_RESET_POOL_H_

#include <memory>

#include "absl/status/status.h"
#include "responders/action.h"

namespace salve {

// Errors: kInvalidArgument, the path of the field first.
absl::Status CheckResetPool(const config::ResetPool& config);
// Requires: CheckResetPool is OK.
std::unique_ptr<Action> NewResetPool(const config::ResetPool& config,
                                     const ActionEnvironment& environment);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_RESET_POOL_H_
