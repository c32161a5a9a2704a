#include "config/duration.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "config/errors.h"

namespace salve {
namespace {

struct Unit {
  absl::string_view name;
  int64_t milliseconds;
};
// "ms" stands before "m": the longer name is tried first.
constexpr Unit kUnits[] = {{"h", 3600000}, {"ms", 1}, {"m", 60000}, {"s", 1000}};
constexpr size_t kDigitsMax = 9;  // Of one number: no sum of the units can overflow.

absl::Status NoDuration(absl::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat(Quoted(text), " is no duration: write e.g. \"300ms\", \"10s\" or \"1h30m\""));
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  int64_t total = 0;
  int64_t last = INT64_MAX;
  absl::string_view rest = text;
  if (rest.empty()) return NoDuration(text);
  while (!rest.empty()) {
    const size_t digits =
        std::find_if_not(rest.begin(), rest.end(), absl::ascii_isdigit) - rest.begin();
    int64_t number = 0;
    if (digits > kDigitsMax || !absl::SimpleAtoi(rest.substr(0, digits), &number)) {
      return NoDuration(text);
    }
    rest.remove_prefix(digits);
    const Unit* unit = std::find_if(std::begin(kUnits), std::end(kUnits), [&](const Unit& u) {
      return rest.substr(0, u.name.size()) == u.name;
    });
    if (unit == std::end(kUnits) || unit->milliseconds >= last) return NoDuration(text);
    last = unit->milliseconds;
    total += number * unit->milliseconds;
    rest.remove_prefix(unit->name.size());
  }
  return absl::Milliseconds(total);
}

std::string DurationText(absl::Duration duration) {
  int64_t rest = absl::ToInt64Milliseconds(duration);
  std::string text;
  for (const Unit& unit : {kUnits[0], kUnits[2], kUnits[3], kUnits[1]}) {
    if (rest >= unit.milliseconds) absl::StrAppend(&text, rest / unit.milliseconds, unit.name);
    rest %= unit.milliseconds;
  }
  return text.empty() ? "0s" : text;
}

}  // namespace salve
