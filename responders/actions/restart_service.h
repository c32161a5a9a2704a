// RestartService: restarts a systemd unit over D-Bus, in job mode `fail`, awaits the job and
// then looks at the unit; with `command`, runs that argv instead. A job that still runs when the
// action is destroyed is left to systemd: cancelled halfway, it would leave the unit stopped.
#ifndef SALVE_RESPONDERS_ACTIONS_RESTART_SERVICE_H_
#define SALVE_RESPONDERS_ACTIONS_RESTART_SERVICE_H_

#include <memory>

#include "absl/status/status.h"
#include "responders/action.h"

namespace salve {

// Errors: kInvalidArgument, the path of the field first.
absl::Status CheckRestartService(const config::RestartService& config);
// Requires: CheckRestartService is OK.
std::unique_ptr<Action> NewRestartService(const config::RestartService& config,
                                          const ActionEnvironment& environment);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_RESTART_SERVICE_H_
