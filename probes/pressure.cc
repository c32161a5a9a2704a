#include "probes/pressure.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/host.h"

namespace salve {
namespace {

constexpr size_t kFileBytesMax = 4096;

}  // namespace

Pressure ParsePressure(absl::string_view text) {
  Pressure pressure;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    std::optional<double>* into = nullptr;
    if (absl::ConsumePrefix(&line, "some ")) into = &pressure.some;
    if (absl::ConsumePrefix(&line, "full ")) into = &pressure.full;
    if (into == nullptr || !absl::ConsumePrefix(&line, "avg10=")) continue;
    double percent = 0;
    if (!absl::SimpleAtod(line.substr(0, line.find(' ')), &percent)) continue;
    if (percent >= 0 && percent <= 100) *into = percent;  // Neither for NaN.
  }
  return pressure;
}

Pressure ReadPressure(const std::string& proc, absl::string_view resource) {
  const auto text = ReadFile(absl::StrCat(proc, "/pressure/", resource), kFileBytesMax);
  return text.ok() ? ParsePressure(*text) : Pressure();
}

}  // namespace salve
