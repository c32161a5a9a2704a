#include "throttling/coordinator.h"

#include "absl/strings/str_cat.h"
#include "throttling/local_throttle.h"
#include "throttling/xml_text.h"

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

}  // namespace salve
