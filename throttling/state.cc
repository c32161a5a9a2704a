#include "throttling/state.h"

#include "absl/strings/match.h"

namespace salve {
namespace {

constexpr size_t kAttemptsMax = 1'000;

// A Timestamp ends with the year 9999, and so does never.
google::protobuf::Timestamp TimestampOf(absl::Time time) {
  static constexpr int64_t kLastSecond = 253402300799;
  google::protobuf::Timestamp timestamp;
  if (time > absl::FromUnixSeconds(kLastSecond)) {
    timestamp.set_seconds(kLastSecond);
    timestamp.set_nanos(999'999'900);
    return timestamp;
  }
  const int64_t seconds = absl::ToUnixSeconds(time);
  timestamp.set_seconds(seconds);
  timestamp.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return timestamp;
}

absl::Time NextAllowed(const GateAnswer& answer, const Ledger& ledger) {
  const absl::Time now = ledger.WallOfOrigin() + ledger.Now();
  if (answer.failed.empty()) return now;
  return answer.retry_in.has_value() ? now + *answer.retry_in : absl::InfiniteFuture();
}

}  // namespace

v1::Limits LimitsProto(const Limits& limits) {
  v1::Limits proto;
  proto.set_enabled(limits.enabled);
  proto.set_local_minimum_minutes_between_attempts(limits.local_minimum_minutes);
  proto.set_local_maximum_allowed_attempts_in_one_hour(limits.local_max_in_hour);
  proto.set_local_maximum_allowed_attempts_in_a_day(limits.local_max_in_day);
  proto.set_group_minimum_minutes_between_attempts(limits.group_minimum_minutes);
  proto.set_group_maximum_allowed_attempts_in_a_day(limits.group_max_in_day);
  return proto;
}

v1::Attempt AttemptProto(const Attempt& attempt) {
  v1::Attempt proto;
  proto.set_instance_id(attempt.id);
  proto.set_action_id(std::string(ActionName(attempt.action)));
  proto.set_resource_name(attempt.resource);
  proto.set_requester(attempt.requester);
  proto.set_server(attempt.server);
  *proto.mutable_start_time() = TimestampOf(attempt.start_wall);
  proto.set_state(std::string(AttemptStateName(attempt.state)));
  if (attempt.state == AttemptState::kFinished) {
    *proto.mutable_end_time() = TimestampOf(attempt.end_wall);
    proto.set_result(std::string(AttemptResultName(attempt.result)));
  }
  return proto;
}

v1::ThrottlingResult LocalResultProto(const GateAnswer& answer, const Ledger& ledger) {
  v1::ThrottlingResult proto;
  const LocalVerdict& local = answer.local;
  proto.set_is_passed(local.passed);
  proto.set_minimum_minutes(local.limits.local_minimum_minutes);
  proto.set_total_in_one_hour(local.total_in_hour);
  proto.set_max_allowed_in_one_hour(local.limits.local_max_in_hour);
  proto.set_total_in_one_day(local.total_in_day);
  proto.set_max_allowed_in_one_day(local.limits.local_max_in_day);
  proto.set_is_recovery_in_progress(local.recovery_in_progress);
  for (const Check check : local.failed) proto.add_checks_failed(std::string(CheckName(check)));
  if (!local.passed) {
    *proto.mutable_time_to_retry_after() = TimestampOf(ledger.WallOfOrigin() + local.retry_at);
  }
  if (answer.most_recent.has_value()) {
    *proto.mutable_most_recent_entry() = AttemptProto(*answer.most_recent);
  }
  proto.set_xml(answer.local_xml);
  return proto;
}

namespace {

v1::ThrottlingResult GroupResultProto(const GateAnswer& answer, const Ledger& ledger) {
  v1::ThrottlingResult proto;
  const GroupVerdict& group = answer.group;
  const Limits limits = answer.effective->limits.InForce();
  proto.set_is_passed(group.passed);
  proto.set_minimum_minutes(limits.group_minimum_minutes);
  proto.set_total_in_one_day(group.total_in_day);
  proto.set_max_allowed_in_one_day(limits.group_max_in_day);
  proto.set_is_recovery_in_progress(group.recovery_in_progress);
  for (const Check check : group.failed) proto.add_checks_failed(std::string(CheckName(check)));
  if (!group.passed) {
    *proto.mutable_time_to_retry_after() =
        TimestampOf(ledger.WallOfOrigin() + ledger.Now() + group.retry_in);
  }
  if (group.most_recent.has_value()) {
    *proto.mutable_most_recent_entry() = AttemptProto(*group.most_recent);
  }
  proto.set_xml(group.xml);
  return proto;
}

v1::FailedCheck FailedCheckProto(const FailedCheck& failed, const Ledger& ledger) {
  v1::FailedCheck proto;
  proto.set_check(std::string(CheckName(failed.check)));
  proto.set_limit(failed.limit);
  proto.set_total(failed.total);
  for (const Attempt& attempt : failed.attempts) *proto.add_attempts() = AttemptProto(attempt);
  *proto.mutable_passes_at() = TimestampOf(ledger.WallOfOrigin() + ledger.Now() + failed.passes_in);
  return proto;
}

}  // namespace

v1::ThrottleEntry ThrottleEntryProto(const ActionRequest& request, const GateAnswer& answer,
                                     const Ledger& ledger, bool with_attempts) {
  v1::ThrottleEntry proto;
  proto.set_action_id(std::string(ActionName(request.action)));
  proto.set_resource_name(request.resource);
  proto.set_requester(request.limits_of.empty() ? request.requester
                                                : request.limits_of.front().responder_name);
  if (answer.effective.has_value()) {
    proto.set_identity(answer.effective->identity);
    *proto.mutable_limits() = LimitsProto(answer.effective->limits);
    *proto.mutable_local() = LocalResultProto(answer, ledger);
  }
  proto.set_group(answer.group.xml);
  proto.set_total_servers_in_group(answer.group.servers_in_group);
  proto.set_total_servers_in_compatible_version(answer.group.servers_in_compatible_version);
  if (answer.effective.has_value() &&
      absl::StartsWith(answer.group.xml, "<GroupThrottlingResult")) {
    *proto.mutable_group_result() = GroupResultProto(answer, ledger);
  }
  for (const FailedCheck& failed : answer.explained) {
    *proto.add_failed_checks() = FailedCheckProto(failed, ledger);
  }
  *proto.mutable_next_allowed() = TimestampOf(NextAllowed(answer, ledger));
  if (with_attempts) {
    for (const Attempt* attempt :
         ledger.List(&request.action, request.resource, absl::InfinitePast(), kAttemptsMax)) {
      *proto.add_attempts() = AttemptProto(*attempt);
    }
    for (const Attempt& attempt : answer.group.attempts) {
      *proto.add_group_attempts() = AttemptProto(attempt);
    }
  }
  return proto;
}

v1::CheckThrottleResponse CheckThrottleProto(const ActionRequest& request, const GateAnswer& answer,
                                             const Ledger& ledger) {
  v1::CheckThrottleResponse proto;
  proto.set_passed(answer.failed.empty());
  *proto.mutable_entry() = ThrottleEntryProto(request, answer, ledger, /*with_attempts=*/false);
  for (const Check check : answer.failed) proto.add_checks_failed(std::string(CheckName(check)));
  proto.set_message(answer.message);
  return proto;
}

v1::ThrottleConfigEntry ConfigEntryProto(const PolicyEntry& entry, LimitSource source) {
  v1::ThrottleConfigEntry proto;
  proto.set_identity(entry.Identity());
  *proto.mutable_limits() = LimitsProto(entry.limits);
  proto.set_source(std::string(LimitSourceName(source)));
  return proto;
}

}  // namespace salve
