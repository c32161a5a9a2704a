// The gRPC messages of throttling, filled from the same values that decide.
#ifndef SALVE_THROTTLING_STATE_H_
#define SALVE_THROTTLING_STATE_H_

#include <optional>

#include "api/salve.pb.h"
#include "throttling/attempt.h"
#include "throttling/gate.h"
#include "throttling/ledger.h"
#include "throttling/limits.h"

namespace salve {

v1::Limits LimitsProto(const Limits& limits);
v1::Attempt AttemptProto(const Attempt& attempt);
// The local part of an answer. `ledger` gives the times their place on the wall.
v1::ThrottlingResult LocalResultProto(const GateAnswer& answer, const Ledger& ledger);
// One line of `throttle status`: `answer` is of Gate::DryCheck or DryCheckLocal of `request`.
// With `with_attempts` all that the ledger has of the key, oldest first, at most 1,000.
v1::ThrottleEntry ThrottleEntryProto(const ActionRequest& request, const GateAnswer& answer,
                                     const Ledger& ledger, bool with_attempts);
v1::CheckThrottleResponse CheckThrottleProto(const ActionRequest& request, const GateAnswer& answer,
                                             const Ledger& ledger);
// One line of `throttle config` for an entry of a policy.
v1::ThrottleConfigEntry ConfigEntryProto(const PolicyEntry& entry, LimitSource source);

}  // namespace salve

#endif  // SALVE_THROTTLING_STATE_H_
