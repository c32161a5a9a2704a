// What salvectl's exit status says. Scripts depend on the numbers: never change one.
#ifndef SALVE_CLI_EXIT_STATUS_H_
#define SALVE_CLI_EXIT_STATUS_H_

#include "absl/status/status.h"

namespace salve {

enum class ExitStatus : int {
  kDone = 0,          // Done, or healthy.
  kUnhealthy = 1,     // Unhealthy, or the thing that was run failed.
  kUsage = 2,         // Usage or bad input.
  kPrecondition = 3,  // A precondition is not met.
  kNotFound = 4,
  kPermission = 5,
  kRefused = 6,      // By the throttle.
  kUnreachable = 7,  // The agent cannot be reached or does not answer in time.
  kDuplicate = 8,    // It is there already, has arrived, or was executed.
  kDamaged = 9,      // The queue's database is dirty or damaged.
  kMismatch = 10,    // Of version, role or group.
  kTimedOut = 11,    // What was waited for did not come in time.
  kInexact = 12,     // Destructive, and the exact count was not given.
  kInternal = 70,
};

// The exit status of a call, or of salvectl's own check, that ended with `status`.
inline ExitStatus ExitStatusOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitStatus::kDone;
    case absl::StatusCode::kInvalidArgument:
      return ExitStatus::kUsage;
    case absl::StatusCode::kFailedPrecondition:
      return ExitStatus::kPrecondition;
    case absl::StatusCode::kNotFound:
      return ExitStatus::kNotFound;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return ExitStatus::kPermission;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return ExitStatus::kUnreachable;
    case absl::StatusCode::kAlreadyExists:
      return ExitStatus::kDuplicate;
    case absl::StatusCode::kDataLoss:
      return ExitStatus::kDamaged;
    default:
      return ExitStatus::kInternal;
  }
}

}  // namespace salve

#endif  // SALVE_CLI_EXIT_STATUS_H_
