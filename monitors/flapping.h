// Holds when the looks changed sides, from good to bad or back, at least so often in the window.
#ifndef SALVE_MONITORS_FLAPPING_H_
#define SALVE_MONITORS_FLAPPING_H_

#include <memory>

#include "absl/status/status.h"
#include "monitors/rule.h"

namespace salve {

// Errors: kInvalidArgument, the path of the field first.
absl::Status CheckFlapping(const config::Flapping& config);
// Requires: CheckFlapping is OK.
std::unique_ptr<Rule> NewFlapping(const config::Flapping& config);

}  // namespace salve

#endif  // SALVE_MONITORS_FLAPPING_H_
