#include "probes/measures.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace salve {
namespace {

constexpr size_t kPathBytesMax = 4096;

absl::Status Bad(absl::string_view path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

}  // namespace

absl::Status CheckNumber(absl::string_view path, double value, double min, double max) {
  if (value >= min && value <= max) return absl::OkStatus();  // False for NaN.
  return Bad(path, absl::StrCat(value, " is not in [", min, ", ", max, "]"));
}

absl::Status CheckFullPath(absl::string_view path, absl::string_view value) {
  if (value.empty()) return Bad(path, "missing");
  if (value[0] != '/') return Bad(path, absl::StrCat("'", value, "' is no full path"));
  if (value.size() > kPathBytesMax) {
    return Bad(path, absl::StrCat(value.size(), " bytes are more than ", kPathBytesMax));
  }
  if (value.find('\0') != absl::string_view::npos) return Bad(path, "has a NUL in it");
  return absl::OkStatus();
}

std::string BytesText(uint64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " bytes");
  static constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double number = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (number >= 1024 && unit + 1 < std::size(kUnits)) {
    number /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.*f %s", number < 10 ? 1 : 0, number, kUnits[unit]);
}

std::string PercentText(double percent) {
  if (percent == std::floor(percent)) return absl::StrFormat("%.0f %%", percent);
  return absl::StrFormat("%.*f %%", percent < 0.1 ? 2 : 1, percent);
}

std::string AgeText(absl::Duration age) {
  if (age < absl::Seconds(1)) return "0s";
  return absl::FormatDuration(
      absl::Trunc(age, age >= absl::Hours(1) ? absl::Minutes(1) : absl::Seconds(1)));
}

Observation FileError(const absl::Status& error) {
  std::string text(error.message());
  switch (error.code()) {
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAlreadyExists:
      return TimedOut(std::move(text));
    case absl::StatusCode::kUnavailable:
      return Failed(std::move(text));
    default:
      return Rejected(std::move(text));
  }
}

Observation JoinFindings(std::vector<Finding> findings) {
  // The outcomes stand in this order in their enum.
  static_assert(Outcome::kFailed < Outcome::kTimedOut && Outcome::kTimedOut < Outcome::kRejected);
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding& a, const Finding& b) { return a.outcome < b.outcome; });
  Observation observation;
  for (const Finding& finding : findings) {
    if (observation.error.empty()) {
      observation.outcome = finding.outcome;
    } else {
      observation.error += "; ";
    }
    observation.error += finding.text;
  }
  if (observation.error.size() > kErrorBytesMax) observation.error.resize(kErrorBytesMax);
  return observation;
}

}  // namespace salve
