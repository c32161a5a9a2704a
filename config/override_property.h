// The properties that an override may change, and what values each takes: the same that the
// configuration would. The limits of responders are only checked here; throttling/ lays them over
// the policy.
#ifndef SALVE_CONFIG_OVERRIDE_PROPERTY_H_
#define SALVE_CONFIG_OVERRIDE_PROPERTY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "config/config.pb.h"
#include "config/definition.h"
#include "config/override.h"

namespace salve {

// Begins what changes a responder's limits: "ThrottleAttributes.Enabled".
inline constexpr absl::string_view kThrottleAttributes = "ThrottleAttributes.";

// All properties of items of this type, of whatever kind: `Enabled`; a probe's `interval` and
// `timeout`; a monitor's numbers and durations, as its kind has them; a responder's
// `ThrottleAttributes.…`.
std::vector<std::string> OverrideProperties(ItemType type);

// The one that is meant: in any case, with or without '_' ("MinSamples" is min_samples).
// Errors: kInvalidArgument: none of them, with the nearest ones or all.
absl::StatusOr<std::string> CanonicalProperty(ItemType type, absl::string_view name);

// "True" or "False", in any case. Errors: kInvalidArgument.
absl::StatusOr<bool> ParseTrueOrFalse(absl::string_view text);

// What any item of this type may refuse about a value, whatever its kind.
// Errors: kInvalidArgument. Requires: `property` is canonical.
absl::Status CheckOverrideValue(ItemType type, absl::string_view property, absl::string_view value);

// Sets `enabled`, `interval`, `timeout` or a field of the monitor's kind, each checked by itself.
// Errors: kInvalidArgument: the kind has no such field, or not such a value.
absl::Status SetProperty(config::Probe& probe, absl::string_view property, absl::string_view value);
absl::Status SetProperty(config::Monitor& monitor, absl::string_view property,
                         absl::string_view value);

// What the property is now, for a person: "True", "30s", "5"; "default" where the kind's own
// default holds; "" of a property that only limits have.
std::string PropertyText(const ProbeDefinition& probe, absl::string_view property);
std::string PropertyText(const MonitorDefinition& monitor, absl::string_view property);
std::string PropertyText(const ResponderDefinition& responder, absl::string_view property);

}  // namespace salve

#endif  // SALVE_CONFIG_OVERRIDE_PROPERTY_H_
