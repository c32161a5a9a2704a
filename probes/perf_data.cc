#include "probes/perf_data.h"

#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace salve {
namespace {

constexpr size_t kOutputBytesMax = 64 * 1024;
constexpr size_t kLabelBytesMax = 128;
constexpr size_t kNumberBytesMax = 64;

struct Unit {
  absl::string_view suffix;
  const char* name;
  double factor;
};
constexpr double kKibi = 1024;
constexpr Unit kUnits[] = {
    {"", "", 1},
    {"s", "s", 1},
    {"ms", "ms", 1},
    {"us", "us", 1},
    {"ns", "ns", 1},
    {"%", "percent", 1},
    {"c", "", 1},
    {"B", "bytes", 1},
    {"KB", "bytes", kKibi},
    {"MB", "bytes", kKibi* kKibi},
    {"GB", "bytes", kKibi* kKibi* kKibi},
    {"TB", "bytes", kKibi* kKibi* kKibi* kKibi},
};

const Unit* FindUnit(absl::string_view suffix) {
  for (const Unit& unit : kUnits) {
    if (unit.suffix == suffix) return &unit;
  }
  return nullptr;
}

// Takes the label and its '=' off `rest`. False when there is none: then `rest` is one word
// shorter, so that what follows is still read.
bool TakeLabel(absl::string_view& rest, std::string& label) {
  label.clear();
  size_t at = 0;
  if (rest[0] == '\'') {
    for (at = 1; at < rest.size(); ++at) {
      if (rest[at] == '\'') {
        if (at + 1 == rest.size() || rest[at + 1] != '\'') break;
        ++at;
      }
      label += rest[at];
    }
    if (at < rest.size()) ++at;  // The closing quote.
  } else {
    while (at < rest.size() && rest[at] != '=' && !absl::ascii_isspace(rest[at])) {
      label += rest[at++];
    }
  }
  if (at < rest.size() && rest[at] == '=' && !label.empty()) {
    rest.remove_prefix(at + 1);
    return true;
  }
  while (at < rest.size() && !absl::ascii_isspace(rest[at])) ++at;
  rest.remove_prefix(at);
  return false;
}

// The word up to the next blank, without its thresholds.
absl::string_view TakeMeasurement(absl::string_view& rest) {
  size_t end = 0;
  while (end < rest.size() && !absl::ascii_isspace(rest[end])) ++end;
  const absl::string_view word = rest.substr(0, end);
  rest.remove_prefix(end);
  return word.substr(0, word.find(';'));
}

bool ParseMeasurement(absl::string_view text, ProbeValue& value) {
  size_t digits = 0;
  while (digits < text.size() && (absl::ascii_isdigit(text[digits]) || text[digits] == '.' ||
                                  text[digits] == '-' || text[digits] == '+')) {
    ++digits;
  }
  // An exponent, unless the 'e' begins a unit (none does).
  if (digits < text.size() && (text[digits] == 'e' || text[digits] == 'E')) {
    ++digits;
    while (digits < text.size() &&
           (absl::ascii_isdigit(text[digits]) || text[digits] == '-' || text[digits] == '+')) {
      ++digits;
    }
  }
  const Unit* unit = FindUnit(text.substr(digits));
  if (unit == nullptr || digits == 0 || digits > kNumberBytesMax) return false;
  if (!absl::SimpleAtod(text.substr(0, digits), &value.number)) return false;
  value.number *= unit->factor;
  value.unit = unit->name;
  return std::isfinite(value.number);
}

void ParsePerfData(absl::string_view data, std::vector<ProbeValue>& values) {
  while (values.size() < kValuesMax) {
    data = absl::StripLeadingAsciiWhitespace(data);
    if (data.empty()) return;
    ProbeValue value;
    if (!TakeLabel(data, value.name)) continue;
    if (!ParseMeasurement(TakeMeasurement(data), value)) continue;
    if (value.name.size() <= kLabelBytesMax) values.push_back(std::move(value));
  }
}

}  // namespace

PluginOutput ParsePluginOutput(absl::string_view output) {
  output = output.substr(0, kOutputBytesMax);
  const size_t first_end = output.find('\n');
  const absl::string_view first = output.substr(0, first_end);
  const size_t bar = first.find('|');

  PluginOutput parsed;
  parsed.text = std::string(absl::StripAsciiWhitespace(first.substr(0, bar)));
  if (bar != absl::string_view::npos) ParsePerfData(first.substr(bar + 1), parsed.values);
  if (first_end == absl::string_view::npos) return parsed;
  const absl::string_view more = output.substr(first_end + 1);
  const size_t second_bar = more.find('|');
  if (second_bar != absl::string_view::npos) {
    ParsePerfData(more.substr(second_bar + 1), parsed.values);
  }
  return parsed;
}

}  // namespace salve
