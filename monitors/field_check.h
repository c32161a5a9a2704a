// Checks that the kinds of monitors share. Messages begin with the path of the field.
#ifndef SALVE_MONITORS_FIELD_CHECK_H_
#define SALVE_MONITORS_FIELD_CHECK_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace salve {

// kInvalidArgument unless `value` is in [1, most]; 0 stands for the default and passes.
absl::Status CheckCount(absl::string_view field, uint64_t value, uint64_t most);

// The window, or 10 min when `text` is empty.
// Errors: kInvalidArgument: no duration, or not in [1 s, 24 h].
absl::StatusOr<absl::Duration> ParseWindow(absl::string_view field, const std::string& text);

}  // namespace salve

#endif  // SALVE_MONITORS_FIELD_CHECK_H_
