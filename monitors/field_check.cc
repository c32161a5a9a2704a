#include "monitors/field_check.h"

#include "absl/strings/str_cat.h"
#include "config/duration.h"

namespace salve {

absl::Status CheckCount(absl::string_view field, uint64_t value, uint64_t most) {
  if (value > most) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": ", value, " is not in [1, ", most, "]"));
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Duration> ParseWindow(absl::string_view field, const std::string& text) {
  if (text.empty()) return absl::Minutes(10);
  const absl::StatusOr<absl::Duration> window = ParseDuration(text);
  if (!window.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": ", window.status().message()));
  }
  if (*window < absl::Seconds(1) || *window > absl::Hours(24)) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": ", text, " is not in [1s, 24h]"));
  }
  return window;
}

}  // namespace salve
