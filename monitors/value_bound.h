// Holds when `samples` looks in a row had a value beyond the threshold; then until one is beyond
// `clear` on the good side (hysteresis). A look without that value says nothing; a failed
// look that has the value counts like any other. One class serves value_above and value_below.
#ifndef SALVE_MONITORS_VALUE_BOUND_H_
#define SALVE_MONITORS_VALUE_BOUND_H_

#include <memory>

#include "absl/status/status.h"
#include "monitors/rule.h"

namespace salve {

enum class BoundSide { kAbove, kBelow };

// Errors: kInvalidArgument, the path of the field first.
absl::Status CheckValueBound(const config::ValueBound& config, BoundSide side);
// Requires: CheckValueBound is OK.
std::unique_ptr<Rule> NewValueBound(const config::ValueBound& config, BoundSide side);

}  // namespace salve

#endif  // SALVE_MONITORS_VALUE_BOUND_H_
