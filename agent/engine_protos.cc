#include "agent/engine_protos.h"

#include <string>
#include <vector>

#include "absl/strings/str_split.h"

namespace salve {
namespace {

AttemptResult ResultOf(ActionResult::Kind kind) {
  switch (kind) {
    case ActionResult::Kind::kSucceeded:
      return AttemptResult::kSucceeded;
    case ActionResult::Kind::kFailed:
      return AttemptResult::kFailed;
    case ActionResult::Kind::kTimedOut:
      return AttemptResult::kTimedOut;
  }
  return AttemptResult::kFailed;
}

Limits LimitsOfProto(const v1::Limits& proto) {
  return {.enabled = proto.enabled(),
          .local_minimum_minutes = proto.local_minimum_minutes_between_attempts(),
          .local_max_in_hour = proto.local_maximum_allowed_attempts_in_one_hour(),
          .local_max_in_day = proto.local_maximum_allowed_attempts_in_a_day(),
          .group_minimum_minutes = proto.group_minimum_minutes_between_attempts(),
          .group_max_in_day = proto.group_maximum_allowed_attempts_in_a_day()};
}

}  // namespace

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  const timespec ts = absl::ToTimespec(time);
  out->set_seconds(ts.tv_sec);
  out->set_nanos(static_cast<int32_t>(ts.tv_nsec));
}

int EventIdOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kSucceeded:
      return 1;
    case Outcome::kFailed:
      return 2;
    case Outcome::kTimedOut:
      return 3;
    case Outcome::kRejected:
      return 4;
  }
  return 4;
}

v1::Level LevelOf(config::HealthState state) {
  switch (state) {
    case config::UNHEALTHY:
    case config::UNRECOVERABLE:
      return v1::Error;
    case config::DEGRADED:
    case config::UNAVAILABLE:
      return v1::Warning;
    default:
      return v1::Information;
  }
}

v1::ProbeResultEvent ResultProto(const ProbeDefinition& definition, const Look& look) {
  v1::ProbeResultEvent result;
  result.set_result_name(definition.name);
  result.set_result_type(OutcomeName(look.observation.outcome));
  SetTime(look.wall_start, result.mutable_execution_start_time());
  result.set_duration_ms(absl::ToDoubleMilliseconds(look.duration));
  result.set_error(look.observation.error);
  for (const ProbeValue& value : look.observation.values) {
    v1::Value* out = result.add_values();
    out->set_name(value.name);
    out->set_number(value.number);
    out->set_unit(value.unit);
  }
  for (const auto& [name, text] : look.observation.attributes) {
    v1::Attribute* out = result.add_attributes();
    out->set_name(name);
    out->set_text(text);
  }
  return result;
}

AttemptEnd EndOf(const ActionResult& result) {
  return {ResultOf(result.kind), result.exception_name, result.exception_message, result.context};
}

v1::RecoveryActionResultEvent EndProto(const Attempt& attempt, const ActionResult& result,
                                       absl::Time end) {
  v1::RecoveryActionResultEvent out;
  out.set_id(std::string(ActionName(attempt.action)));
  out.set_instance_id(attempt.id);
  out.set_resource_name(attempt.resource);
  out.set_requestor_name(attempt.requester);
  SetTime(attempt.start_wall, out.mutable_start_time());
  SetTime(end, out.mutable_end_time());
  out.set_state("Finished");
  out.set_result(std::string(AttemptResultName(ResultOf(result.kind))));
  out.set_exception_name(result.exception_name);
  out.set_exception_message(result.exception_message);
  out.set_context(result.context);
  return out;
}

v1::ThrottlingConfigEvent ConfigEventProto(const v1::ThrottleConfigEntry& entry) {
  v1::ThrottlingConfigEvent out;
  out.set_identity(entry.identity());
  const std::vector<std::string> fields = absl::StrSplit(entry.identity(), absl::MaxSplits('/', 4));
  if (fields.size() == 5) {
    out.set_recovery_action_id(fields[0]);
    out.set_responder_category(fields[1]);
    out.set_responder_type_name(fields[2]);
    out.set_responder_name(fields[3]);
    out.set_resource_name(fields[4]);
  }
  out.set_properties_xml(LimitsXml(LimitsOfProto(entry.limits())));
  out.set_source(entry.source());
  return out;
}

}  // namespace salve
