// Holds when at least `threshold` of the looks within the window failed.
#ifndef SALVE_MONITORS_FAILURE_COUNT_H_
#define SALVE_MONITORS_FAILURE_COUNT_H_

#include <memory>

#include "absl/status/status.h"
#include "monitors/rule.h"

namespace salve {

// Errors: kInvalidArgument, the path of the field first.
absl::Status CheckFailureCount(const config::FailureCount& config);
// Requires: CheckFailureCount is OK.
std::unique_ptr<Rule> NewFailureCount(const config::FailureCount& config);

}  // namespace salve

#endif  // SALVE_MONITORS_FAILURE_COUNT_H_
