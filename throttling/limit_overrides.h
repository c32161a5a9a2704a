// Overrides of limits, by responder: what the gate lays over policy and definitions.
#ifndef SALVE_THROTTLING_LIMIT_OVERRIDES_H_
#define SALVE_THROTTLING_LIMIT_OVERRIDES_H_

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "config/override.h"
#include "config/override_apply.h"
#include "throttling/policy.h"

namespace salve {

class LimitOverrideTable {
 public:
  LimitOverrideTable() = default;  // No overrides.
  // Of what is in force. `overrides` are those that `applied` was made of.
  LimitOverrideTable(const AppliedOverrides& applied, absl::Span<const ScopedOverride> overrides);

  // Of the responder of this name, in any case; null without any. Lives as long as the table.
  const LimitOverrides* Find(absl::string_view responder_name) const;

  // Of all numbers of minutes in it; 0 without any.
  int LargestMinimum() const;

 private:
  absl::flat_hash_map<std::string, LimitOverrides> by_name_;  // In lower case.
};

// Takes up an override of a `ThrottleAttributes.…`. Others, and what no responder would accept, are
// passed over.
void AddLimitOverride(const ScopedOverride& override, LimitOverrides& to);

}  // namespace salve

#endif  // SALVE_THROTTLING_LIMIT_OVERRIDES_H_
