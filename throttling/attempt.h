// Attempt: one recovery action that was started, as the ledger keeps it. Every one counts,
// however it ended. Plain values.
#ifndef SALVE_THROTTLING_ATTEMPT_H_
#define SALVE_THROTTLING_ATTEMPT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "throttling/limits.h"

namespace salve {

enum class AttemptState { kInProgress, kFinished };
enum class AttemptResult { kSucceeded, kFailed, kTimedOut, kCrashed };

absl::string_view AttemptStateName(AttemptState state);     // "InProgress", "Finished"
absl::string_view AttemptResultName(AttemptResult result);  // "Succeeded", …

struct Attempt {
  std::string id;  // 32 hex digits, time-ordered (base/ids.h).
  RecoveryAction action = RecoveryAction::kRestartService;
  std::string resource;   // As given; compared without regard to ASCII case.
  std::string requester;  // The responder's name, or "operator:<who>".
  std::string server;
  std::string incident_id;  // May be empty.
  std::string health_set;   // May be empty.

  absl::Time start_wall;    // For people.
  absl::Time end_wall;      // Finished only.
  std::string boot_id;      // The boot on which it started …
  Instant start;            // … and where on that boot's line.
  std::string end_boot_id;  // Finished only: the same of its end. `end` may lie before 0 when it
  Instant end;              // ended while the server was off.
  absl::Duration timeout;   // Its deadline is start + timeout.

  AttemptState state = AttemptState::kInProgress;
  AttemptResult result = AttemptResult::kCrashed;  // Finished only.
  // What runs, as the action wrote it before the effect: "pid=123 start=456",
  // "job=77 unit=nginx.service". Empty: no effect was begun.
  std::string effect;

  absl::Time deadline_wall() const { return start_wall + timeout; }
};

}  // namespace salve

#endif  // SALVE_THROTTLING_ATTEMPT_H_
