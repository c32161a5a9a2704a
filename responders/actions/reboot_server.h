// RebootServer: reboots this server through logind, whose inhibitors are respected, or where there
// is none through systemd. When it succeeds nobody is left to say so: the attempt stays in progress
// and the next boot closes it (agent/engine_reconcile.cc).
#ifndef SALVE_RESPONDERS_ACTIONS_REBOOT_SERVER_H_
#define SALVE_RESPONDERS_ACTIONS_REBOOT_SERVER_H_

#include <memory>

#include "absl/status/status.h"
#include "responders/action.h"

namespace salve {

// Errors: none; any configuration of it can work.
absl::Status CheckRebootServer(const config::RebootServer& config);
std::unique_ptr<Action> NewRebootServer(const config::RebootServer& config,
                                        const ActionEnvironment& environment);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_REBOOT_SERVER_H_
