// Escalate: tells people, by the destinations of salve.textproto and the journal. No recovery
// action: it passes no throttle, and it has done its part when the notice is handed over.
#ifndef SALVE_RESPONDERS_ACTIONS_ESCALATE_H_
#define SALVE_RESPONDERS_ACTIONS_ESCALATE_H_

#include <memory>

#include "absl/status/status.h"
#include "responders/action.h"

namespace salve {

// Errors: kInvalidArgument, the path of the field first.
absl::Status CheckEscalate(const config::Escalate& config);
// Requires: CheckEscalate is OK.
std::unique_ptr<Action> NewEscalate(const config::Escalate& config,
                                    const ActionEnvironment& environment);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_ESCALATE_H_
