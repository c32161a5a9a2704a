// Lays overrides over a configuration: which of them hold, what the definitions become by them,
// and why the others do not hold. Pure: the same question, the same answer.
#ifndef SALVE_CONFIG_OVERRIDE_APPLY_H_
#define SALVE_CONFIG_OVERRIDE_APPLY_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "config/definition.h"
#include "config/kind_checks.h"
#include "config/override.h"

namespace salve {

// One of the overrides that were given, as they were numbered.
using OverrideIndex = size_t;

struct AppliedOverrides {
  // As the configuration has them, with `Enabled`, intervals, timeouts and the monitors' numbers
  // changed.
  std::vector<HealthSetDefinition> health_sets;
  // What makes them differ from the configuration, item by item. Of two applications over the same
  // configuration with equal changes the definitions are equal; empty: they are as configured.
  std::vector<std::string> changes;
  // By the responder's name: what changes its limits. At most one a property.
  std::map<std::string, std::vector<OverrideIndex>> limits;
  // Of each that was given, why it does not hold; empty: it is in force. "expired", "version (it
  // is 1.2 here)", "shadowed by a local one", "shadowed by a newer one", "unknown item", or
  // "fault: " and what the configuration would say of it.
  std::vector<std::string> why_not;
};

struct OverrideContext {
  std::string version;  // Of the definitions here.
  // Which of the overrides have ended.
  std::vector<bool> ended;  // As numbered; may be shorter: the rest has not.
  KindChecks checks;
};

// Of those that are about one property of one item a local one wins over a global one, then one
// with a target over one without, then the newer one.
AppliedOverrides ApplyOverrides(const std::vector<HealthSetDefinition>& base,
                                absl::Span<const ScopedOverride> overrides,
                                const OverrideContext& context);

// Whether an item of that identity is there. Errors: kNotFound, with the nearest names.
absl::Status FindOverriddenItem(const std::vector<HealthSetDefinition>& base, ItemType type,
                                const ItemIdentity& identity);

// Whether `identity` means the item `name` of the set; an instance of a for_each is named
// "Item/target". Without regard to case.
bool MeansItem(const ItemIdentity& identity, absl::string_view health_set, absl::string_view name);

}  // namespace salve

#endif  // SALVE_CONFIG_OVERRIDE_APPLY_H_
