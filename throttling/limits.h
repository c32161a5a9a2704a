// The vocabulary of throttling: the recovery actions, the five limits, the names of the checks.
// One name of each thing for code, policy, events and tools. Plain values; any thread.
#ifndef SALVE_THROTTLING_LIMITS_H_
#define SALVE_THROTTLING_LIMITS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace salve {

// Everything that may ever be throttled, whatever is built. `escalate`, `collect` and
// `bring_online` are no recovery actions.
enum class RecoveryAction {
  kRestartService,
  kResetPool,
  kRebootServer,
  kKillProcess,
  kRunCommand,
  kTakeOffline,
};
inline constexpr RecoveryAction kRecoveryActions[] = {
    RecoveryAction::kRestartService, RecoveryAction::kResetPool,  RecoveryAction::kRebootServer,
    RecoveryAction::kKillProcess,    RecoveryAction::kRunCommand, RecoveryAction::kTakeOffline,
};

// "RestartService".
absl::string_view ActionName(RecoveryAction action);
// The action of a name as people type it, in any case.
// Errors: kInvalidArgument: "unknown action 'X' (did you mean 'Y'?)", with all names when none
//   is near.
absl::StatusOr<RecoveryAction> ParseAction(absl::string_view name);
// "RestartServiceResponder": the type name of a responder of this kind.
std::string ResponderTypeName(RecoveryAction action);

// Minutes are minimum distances, maxima count attempts. -1: this check is off; 0 as a maximum:
// never allowed; 0 minutes: no waiting. Never below -1.
struct Limits {
  bool enabled = true;  // false: all five count as -1; the in-progress check still holds.
  int local_minimum_minutes = -1;
  int local_max_in_hour = -1;
  int local_max_in_day = -1;
  int group_minimum_minutes = -1;
  int group_max_in_day = -1;

  // These limits, or all -1 when not enabled.
  Limits InForce() const;
  bool HasGroupLimit() const {
    return enabled && (group_minimum_minutes >= 0 || group_max_in_day >= 0);
  }
  friend bool operator==(const Limits&, const Limits&) = default;
};

// The five numbers by name, for whatever walks over all of them.
struct LimitAttribute {
  const char* name;  // "LocalMinimumMinutesBetweenAttempts"
  int Limits::*field;
  bool is_minutes;  // More is stricter; else fewer is.
};
inline constexpr LimitAttribute kLimitAttributes[] = {
    {"LocalMinimumMinutesBetweenAttempts", &Limits::local_minimum_minutes, true},
    {"LocalMaximumAllowedAttemptsInOneHour", &Limits::local_max_in_hour, false},
    {"LocalMaximumAllowedAttemptsInADay", &Limits::local_max_in_day, false},
    {"GroupMinimumMinutesBetweenAttempts", &Limits::group_minimum_minutes, true},
    {"GroupMaximumAllowedAttemptsInADay", &Limits::group_max_in_day, false},
};
inline constexpr int kLimitAttributeCount = 5;

// The stricter of two values of one attribute: more minutes, fewer attempts; -1 is the least.
int StricterLimit(const LimitAttribute& attribute, int a, int b);

// `<ThrottleConfig Enabled="True" LocalMinimumMinutesBetweenAttempts="60" ... />`: one line, all
// six attributes.
std::string LimitsXml(const Limits& limits);

// Why a request was refused. The names are those of events, results and metrics.
enum class Check {
  kLocalMinimumMinutes,
  kLocalMaxInHour,
  kLocalMaxInDay,
  kLocalRecoveryInProgress,
  kGroupMinimumMinutes,
  kGroupMaxInDay,
  kGroupRecoveryInProgress,
  kGroupUnavailable,
  kNoThrottlePolicy,
  kLedgerUnavailable,
};
// "LocalMinimumMinutes".
absl::string_view CheckName(Check check);
// "LocalMinimumMinutes, LocalMaxInDay"; "" of none.
std::string JoinChecks(absl::Span<const Check> checks);
bool IsGroupCheck(Check check);

// "Active Monitoring Recovery action failed. An operation was rejected during local throttling.
// (ActionId=…, ResourceName=…, Requester=…, FailedChecks=…)"; "group throttling" when all that
// failed are group checks.
std::string RefusalMessage(RecoveryAction action, absl::string_view resource,
                           absl::string_view requester, absl::Span<const Check> failed);

}  // namespace salve

#endif  // SALVE_THROTTLING_LIMITS_H_
