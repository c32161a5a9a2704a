#include "throttling/limit_overrides.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "config/override_property.h"

namespace salve {

void AddLimitOverride(const ScopedOverride& override, LimitOverrides& to) {
  const LimitSource source = override.scope == OverrideScope::kLocal ? LimitSource::kLocalOverride
                                                                     : LimitSource::kGlobalOverride;
  const std::string& value = override.override.value;
  absl::string_view attribute = override.override.property;
  if (!absl::ConsumePrefix(&attribute, kThrottleAttributes)) return;
  if (attribute == "Enabled") {
    if (const auto enabled = ParseTrueOrFalse(value); enabled.ok()) to.enabled = {*enabled, source};
    return;
  }
  for (int i = 0; i < kLimitAttributeCount; ++i) {
    int number = 0;
    if (attribute != kLimitAttributes[i].name || !absl::SimpleAtoi(value, &number)) continue;
    to.limits[i] = {number, source};
  }
}

LimitOverrideTable::LimitOverrideTable(const AppliedOverrides& applied,
                                       absl::Span<const ScopedOverride> overrides) {
  for (const auto& [name, those] : applied.limits) {
    LimitOverrides& limits = by_name_[absl::AsciiStrToLower(name)];
    for (const OverrideIndex i : those) AddLimitOverride(overrides[i], limits);
  }
}

const LimitOverrides* LimitOverrideTable::Find(absl::string_view responder_name) const {
  if (by_name_.empty()) return nullptr;
  const auto found = by_name_.find(absl::AsciiStrToLower(responder_name));
  return found == by_name_.end() ? nullptr : &found->second;
}

int LimitOverrideTable::LargestMinimum() const {
  int largest = 0;
  for (const auto& [name, overrides] : by_name_) {
    for (int i = 0; i < kLimitAttributeCount; ++i) {
      if (!kLimitAttributes[i].is_minutes || !overrides.limits[i].has_value()) continue;
      largest = std::max(largest, overrides.limits[i]->value);
    }
  }
  return largest;
}

}  // namespace salve
