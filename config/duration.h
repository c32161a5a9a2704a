// Durations as people write them in a configuration: "300ms", "10s", "1h30m".
#ifndef SALVE_CONFIG_DURATION_H_
#define SALVE_CONFIG_DURATION_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace salve {

// Whole numbers with the units h, m, s and ms, each unit at most once, the larger first.
// Stricter than absl::ParseDuration: no sign, no fraction, no "inf", no bare number.
// Errors: kInvalidArgument, with an example.
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);

// The text that ParseDuration reads as `duration`, "0s" at least; parts of a millisecond are
// left out. Requires: not negative and not infinite.
std::string DurationText(absl::Duration duration);

}  // namespace salve

#endif  // SALVE_CONFIG_DURATION_H_
