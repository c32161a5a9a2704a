// TakeOffline votes a component out of service; BringOnline takes back what responders have voted.
// What follows from the votes is agent/components.h.
#ifndef SALVE_RESPONDERS_ACTIONS_COMPONENT_STATE_H_
#define SALVE_RESPONDERS_ACTIONS_COMPONENT_STATE_H_

#include <memory>

#include "absl/status/status.h"
#include "responders/action.h"

namespace salve {

// Errors: kInvalidArgument, the path of the field first. Whether the component is there is for the
// loader (config/components.h).
absl::Status CheckTakeOffline(const config::TakeOffline& config);
absl::Status CheckBringOnline(const config::BringOnline& config);
// Requires: their check is OK.
std::unique_ptr<Action> NewTakeOffline(const config::TakeOffline& config,
                                       const ActionEnvironment& environment);
std::unique_ptr<Action> NewBringOnline(const config::BringOnline& config,
                                       const ActionEnvironment& environment);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_COMPONENT_STATE_H_
