// Holds when fewer than `minimum` % of the looks within the window succeeded, once there are
// `min_samples` of them.
#ifndef SALVE_MONITORS_PERCENT_SUCCESS_H_
#define SALVE_MONITORS_PERCENT_SUCCESS_H_

#include <memory>

#include "absl/status/status.h"
#include "monitors/rule.h"

namespace salve {

// Errors: kInvalidArgument, the path of the field first.
absl::Status CheckPercentSuccess(const config::PercentSuccess& config);
// Requires: CheckPercentSuccess is OK.
std::unique_ptr<Rule> NewPercentSuccess(const config::PercentSuccess& config);

}  // namespace salve

#endif  // SALVE_MONITORS_PERCENT_SUCCESS_H_
