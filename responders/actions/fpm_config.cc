#include "responders/actions/fpm_config.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace salve {
namespace {

// "10", "10s", "2m", "1h", "1d".
absl::Duration TimeOf(absl::string_view text) {
  absl::Duration unit = absl::Seconds(1);
  if (!text.empty()) {
    const char last = text.back();
    if (last == 'm') unit = absl::Minutes(1);
    if (last == 'h') unit = absl::Hours(1);
    if (last == 'd') unit = absl::Hours(24);
    if (absl::ascii_isalpha(static_cast<unsigned char>(last))) text.remove_suffix(1);
  }
  int32_t number = 0;
  if (!absl::SimpleAtoi(text, &number) || number < 0) return absl::ZeroDuration();
  return unit * number;
}

}  // namespace

std::string FpmWorkerTitle(absl::string_view pool) { return absl::StrCat("php-fpm: pool ", pool); }

std::string FpmConfigFile(absl::string_view master_title) {
  if (!absl::ConsumePrefix(&master_title, "php-fpm: master process (") ||
      !absl::ConsumeSuffix(&master_title, ")") || !absl::StartsWith(master_title, "/")) {
    return "";
  }
  return std::string(master_title);
}

absl::Duration FpmProcessControlTimeout(absl::string_view ini) {
  absl::Duration timeout = absl::ZeroDuration();
  for (absl::string_view line : absl::StrSplit(ini, '\n')) {
    line = absl::StripAsciiWhitespace(line.substr(0, line.find(';')));
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(line, absl::MaxSplits('=', 1));
    if (absl::StripAsciiWhitespace(field.first) != "process_control_timeout") continue;
    absl::string_view value = absl::StripAsciiWhitespace(field.second);
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') &&
        value.back() == value.front()) {
      value = value.substr(1, value.size() - 2);
    }
    timeout = TimeOf(value);  // The last one holds.
  }
  return timeout;
}

}  // namespace salve
