#include "throttling/coordinator.h"

#include "absl/strings/str_cat.h"
#include "config/xml_text.h"
#include "throttling/local_throttle.h"

namespace salve {

std::string GroupResultXml(const Limits& limits, const GroupVerdict& verdict, absl::Time wall_now,
                           bool real_attempt) {
  const Limits in_force = limits.InForce();
  const auto boolean = [](bool value) { return value ? "true" : "false"; };
  std::string xml = absl::StrCat(
      "<GroupThrottlingResult IsPassed=\"", boolean(verdict.passed), "\" MinimumMinutes=\"",
      in_force.group_minimum_minutes, "\" TotalInOneDay=\"", verdict.total_in_day,
      "\" MaxAllowedInOneDay=\"", in_force.group_max_in_day, "\" IsThrottlingInProgress=\"",
      boolean(real_attempt), "\" IsRecoveryInProgress=\"", boolean(verdict.recovery_in_progress),
      "\" ChecksFailed=\"", JoinChecks(verdict.failed), "\"");
  if (!verdict.passed) {
    absl::StrAppend(&xml, " TimeToRetryAfter=\"", ResultTime(wall_now + verdict.retry_in), "\"");
  }
  if (!verdict.most_recent.has_value()) return xml + " />";
  return absl::StrCat(xml, ">", MostRecentEntryXml(*verdict.most_recent, /*with_server=*/true),
                      "</GroupThrottlingResult>");
}

void JudgeGroupLimits(const Limits& limits, const KeyHistory& history, absl::Duration now,
                      GroupVerdict& verdict) {
  const Limits as_local = {
      limits.enabled, limits.group_minimum_minutes, -1, limits.group_max_in_day, -1, -1};
  const LocalVerdict local = CheckLocal(as_local, history, now);
  verdict.passed = local.passed;
  verdict.failed.clear();
  verdict.explained = ExplainFailed(local, history, now);
  const auto group_check = [](Check check) {
    return check == Check::kLocalMinimumMinutes ? Check::kGroupMinimumMinutes
                                                : Check::kGroupMaxInDay;
  };
  for (const Check check : local.failed) verdict.failed.push_back(group_check(check));
  for (FailedCheck& failed : verdict.explained) failed.check = group_check(failed.check);
  verdict.total_in_day = local.total_in_day;
  verdict.retry_in = local.passed ? absl::ZeroDuration() : local.retry_at - now;
  if (local.most_recent != nullptr) verdict.most_recent = *local.most_recent;
}

}  // namespace salve
