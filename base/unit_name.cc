#include "base/unit_name.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace salve {
namespace {

constexpr size_t kUnitNameBytesMax = 255;
constexpr absl::string_view kTypes[] = {".service",   ".socket", ".device", ".mount",
                                        ".automount", ".swap",   ".target", ".path",
                                        ".timer",     ".slice",  ".scope"};

bool MayStand(char c) {
  return absl::ascii_isalnum(c) || absl::StrContains(":-_.\\@", absl::string_view(&c, 1));
}

}  // namespace

std::string UnitName(absl::string_view name) {
  const bool complete = std::any_of(std::begin(kTypes), std::end(kTypes),
                                    [&](auto type) { return absl::EndsWith(name, type); });
  return absl::StrCat(name, complete ? "" : ".service");
}

bool IsUnitName(absl::string_view name) {
  const std::string unit = UnitName(name);
  return unit.front() != '.' && unit.size() <= kUnitNameBytesMax &&
         std::all_of(unit.begin(), unit.end(), MayStand);
}

}  // namespace salve
