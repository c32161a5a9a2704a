#include "throttling/limits.h"

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "config/names.h"

namespace salve {

absl::string_view ActionName(RecoveryAction action) {
  switch (action) {
    case RecoveryAction::kRestartService:
      return "RestartService";
    case RecoveryAction::kResetPool:
      return "ResetPool";
    case RecoveryAction::kRebootServer:
      return "RebootServer";
    case RecoveryAction::kKillProcess:
      return "KillProcess";
    case RecoveryAction::kRunCommand:
      return "RunCommand";
    case RecoveryAction::kTakeOffline:
      return "TakeOffline";
  }
  return "";
}

absl::StatusOr<RecoveryAction> ParseAction(absl::string_view name) {
  std::vector<std::string> known;
  for (const RecoveryAction action : kRecoveryActions) {
    if (absl::EqualsIgnoreCase(name, ActionName(action))) return action;
    known.emplace_back(ActionName(action));
  }
  std::string hint = DidYouMean(name, known);
  if (hint.empty()) hint = absl::StrCat(" (known are ", absl::StrJoin(known, ", "), ")");
  return absl::InvalidArgumentError(
      absl::StrCat("unknown action '", name.substr(0, 100), "'", hint));
}

std::string ResponderTypeName(RecoveryAction action) {
  return absl::StrCat(ActionName(action), "Responder");
}

Limits Limits::InForce() const {
  if (enabled) return *this;
  Limits off;
  off.enabled = false;
  return off;
}

int StricterLimit(const LimitAttribute& attribute, int a, int b) {
  if (a < 0) return b;
  if (b < 0) return a;
  return attribute.is_minutes ? std::max(a, b) : std::min(a, b);
}

std::string LimitsXml(const Limits& limits) {
  std::string xml =
      absl::StrCat("<ThrottleConfig Enabled=\"", limits.enabled ? "True" : "False", "\"");
  for (const LimitAttribute& attribute : kLimitAttributes) {
    absl::StrAppend(&xml, " ", attribute.name, "=\"", limits.*attribute.field, "\"");
  }
  return xml + " />";
}

absl::string_view CheckName(Check check) {
  switch (check) {
    case Check::kLocalMinimumMinutes:
      return "LocalMinimumMinutes";
    case Check::kLocalMaxInHour:
      return "LocalMaxInHour";
    case Check::kLocalMaxInDay:
      return "LocalMaxInDay";
    case Check::kLocalRecoveryInProgress:
      return "LocalRecoveryInProgress";
    case Check::kGroupMinimumMinutes:
      return "GroupMinimumMinutes";
    case Check::kGroupMaxInDay:
      return "GroupMaxInDay";
    case Check::kGroupRecoveryInProgress:
      return "GroupRecoveryInProgress";
    case Check::kGroupUnavailable:
      return "GroupUnavailable";
    case Check::kNoThrottlePolicy:
      return "NoThrottlePolicy";
    case Check::kLedgerUnavailable:
      return "LedgerUnavailable";
  }
  return "";
}

std::string JoinChecks(absl::Span<const Check> checks) {
  return absl::StrJoin(
      checks, ", ", [](std::string* out, Check check) { absl::StrAppend(out, CheckName(check)); });
}

bool IsGroupCheck(Check check) {
  switch (check) {
    case Check::kGroupMinimumMinutes:
    case Check::kGroupMaxInDay:
    case Check::kGroupRecoveryInProgress:
    case Check::kGroupUnavailable:
      return true;
    default:
      return false;
  }
}

std::string RefusalMessage(RecoveryAction action, absl::string_view resource,
                           absl::string_view requester, absl::Span<const Check> failed) {
  const bool by_group = !failed.empty() && std::all_of(failed.begin(), failed.end(), IsGroupCheck);
  return absl::StrCat("Active Monitoring Recovery action failed. An operation was rejected during ",
                      by_group ? "group" : "local", " throttling. (ActionId=", ActionName(action),
                      ", ResourceName=", resource, ", Requester=", requester,
                      ", FailedChecks=", JoinChecks(failed), ")");
}

}  // namespace salve
