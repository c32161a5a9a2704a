// The engine's values as messages of the API.
#ifndef SALVE_AGENT_ENGINE_PROTOS_H_
#define SALVE_AGENT_ENGINE_PROTOS_H_

#include "absl/time/time.h"
#include "api/salve.pb.h"
#include "config/definition.h"
#include "probes/scheduler.h"
#include "responders/action.h"
#include "throttling/gate.h"

namespace salve {

void SetTime(absl::Time time, google::protobuf::Timestamp* out);

int EventIdOf(Outcome outcome);
v1::Level LevelOf(config::HealthState state);
v1::ProbeResultEvent ResultProto(const ProbeDefinition& definition, const Look& look);

AttemptEnd EndOf(const ActionResult& result);
v1::RecoveryActionResultEvent EndProto(const Attempt& attempt, const ActionResult& result,
                                       absl::Time end);
v1::ThrottlingConfigEvent ConfigEventProto(const v1::ThrottleConfigEntry& entry);

}  // namespace salve

#endif  // SALVE_AGENT_ENGINE_PROTOS_H_
