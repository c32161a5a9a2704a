#include "probes/field_checks.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "probes/numeric_address.h"

namespace salve {

absl::Status BadField(absl::string_view path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

absl::Status CheckRange(absl::string_view path, uint64_t value, uint64_t min, uint64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return BadField(path, absl::StrCat(value, " is not in [", min, ", ", max, "]"));
}

absl::Status CheckLength(absl::string_view path, absl::string_view value, size_t max) {
  if (value.size() <= max) return absl::OkStatus();
  return BadField(path, absl::StrCat(value.size(), " bytes are more than ", max));
}

absl::Status CheckEnvironment(absl::string_view path, absl::string_view entry) {
  const size_t equals = entry.find('=');
  if (equals != absl::string_view::npos && equals > 0 &&
      entry.find('\0') == absl::string_view::npos) {
    return absl::OkStatus();
  }
  return BadField(path, absl::StrCat("'", entry, "' is not NAME=value"));
}

absl::StatusOr<absl::Duration> ParseDurationField(absl::string_view path, const std::string& text,
                                                  absl::Duration min, absl::Duration max,
                                                  absl::Duration fallback) {
  if (text.empty()) return fallback;
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration)) {
    return BadField(path, absl::StrCat("'", text, "' is not a duration like \"10s\""));
  }
  if (duration < min || duration > max) {
    return BadField(path, absl::StrCat(text, " is not in [", absl::FormatDuration(min), ", ",
                                       absl::FormatDuration(max), "]"));
  }
  return duration;
}

absl::StatusOr<std::unique_ptr<RE2>> CompilePattern(absl::string_view path,
                                                    const std::string& pattern) {
  if (pattern.empty()) return std::unique_ptr<RE2>();
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(2 << 20);
  auto compiled = std::make_unique<RE2>(pattern, options);
  if (!compiled->ok()) return BadField(path, compiled->error());
  return compiled;
}

absl::Status CheckTls(absl::string_view path, const config::Tls& tls) {
  if (IsNumericAddress(tls.server_name())) {
    return BadField(absl::StrCat(path, ".server_name"),
                    absl::StrCat("'", tls.server_name(), "' is an address, not a name"));
  }
  RETURN_IF_ERROR(CheckLength(absl::StrCat(path, ".server_name"), tls.server_name(), 253));
  return CheckRange(absl::StrCat(path, ".min_days_left"), tls.min_days_left(), 0, 3650);
}

}  // namespace salve
