#include "throttling/attempt.h"

namespace salve {

absl::string_view AttemptStateName(AttemptState state) {
  return state == AttemptState::kInProgress ? "InProgress" : "Finished";
}

absl::string_view AttemptResultName(AttemptResult result) {
  switch (result) {
    case AttemptResult::kSucceeded:
      return "Succeeded";
    case AttemptResult::kFailed:
      return "Failed";
    case AttemptResult::kTimedOut:
      return "TimedOut";
    case AttemptResult::kCrashed:
      return "Crashed";
  }
  return "";
}

}  // namespace salve
