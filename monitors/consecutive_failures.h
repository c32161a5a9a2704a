// Holds when the last `threshold` looks all failed.
#ifndef SALVE_MONITORS_CONSECUTIVE_FAILURES_H_
#define SALVE_MONITORS_CONSECUTIVE_FAILURES_H_

#include <memory>

#include "absl/status/status.h"
#include "monitors/rule.h"

namespace salve {

// Errors: kInvalidArgument, the path of the field first.
absl::Status CheckConsecutiveFailures(const config::ConsecutiveFailures& config);
// Requires: CheckConsecutiveFailures is OK.
std::unique_ptr<Rule> NewConsecutiveFailures(const config::ConsecutiveFailures& config);

}  // namespace salve

#endif  // SALVE_MONITORS_CONSECUTIVE_FAILURES_H_
