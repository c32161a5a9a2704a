#include "config/names.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace salve {
namespace {

constexpr size_t kNameLengthMax = 100;
// Nothing longer is compared: the cost grows with the product of the lengths.
constexpr size_t kComparedLengthMax = 200;
constexpr size_t kPartLengthMin = 3;

// Edit distance where swapping two neighbours is one step (optimal string alignment).
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

bool IsPart(absl::string_view a, absl::string_view b) {
  const absl::string_view shorter = a.size() < b.size() ? a : b;
  const absl::string_view longer = a.size() < b.size() ? b : a;
  return shorter.size() >= kPartLengthMin && absl::StrContains(longer, shorter);
}

}  // namespace

bool IsValidName(absl::string_view name) {
  return !name.empty() && name.size() <= kNameLengthMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

bool IsValidUserName(absl::string_view name) {
  constexpr size_t kLengthMax = 256;
  return !name.empty() && name.size() <= kLengthMax && name.front() != '-' &&
         std::none_of(name.begin(), name.end(), [](unsigned char c) {
           return c <= ' ' || c == ':' || c == '/' || c == 0x7f;
         });
}

std::vector<std::string> NearestNames(absl::string_view name, const std::vector<std::string>& known,
                                      size_t count) {
  if (name.empty() || name.size() > kComparedLengthMax) return {};
  const std::string typed = absl::AsciiStrToLower(name);
  const size_t distance_max = std::max<size_t>(1, typed.size() / 3);
  std::vector<std::pair<size_t, const std::string*>> near;
  for (const std::string& candidate : known) {
    if (candidate.empty() || candidate.size() > kComparedLengthMax) continue;
    const std::string lower = absl::AsciiStrToLower(candidate);
    const size_t length_difference =
        std::max(typed.size(), lower.size()) - std::min(typed.size(), lower.size());
    size_t distance = distance_max + 1;
    if (length_difference <= distance_max) distance = Distance(typed, lower);
    // A name that holds the other is near, but no nearer than one with a slip of the keys.
    if (distance > distance_max && !IsPart(typed, lower)) continue;
    near.emplace_back(std::min(distance, distance_max + 1), &candidate);
  }
  std::stable_sort(near.begin(), near.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> nearest;
  for (const auto& [distance, candidate] : near) {
    if (nearest.size() == count) break;
    nearest.push_back(*candidate);
  }
  return nearest;
}

std::string DidYouMean(absl::string_view name, const std::vector<std::string>& known) {
  const std::vector<std::string> nearest = NearestNames(name, known);
  if (nearest.empty()) return "";
  return absl::StrCat(" (did you mean '", absl::StrJoin(nearest, "', '"), "'?)");
}

}  // namespace salve
