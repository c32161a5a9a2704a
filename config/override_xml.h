// Overrides as XML (docs/OVERRIDES.md): what people edit, and what servers share.
#ifndef SALVE_CONFIG_OVERRIDE_XML_H_
#define SALVE_CONFIG_OVERRIDE_XML_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "config/override.h"

namespace salve {

inline constexpr size_t kOverridesBytesMax = 1 << 20;  // Of a set of them.

// Reads <MonitoringOverrides>. An empty text is an empty set. `file` is only named in messages.
// Errors: kInvalidArgument: one line for each fault, `file:line:column: what is wrong`, at most
//   20: not XML, over 1 MiB, an unknown, missing or duplicate attribute, what is no type,
//   identity, property, value, version or time, neither a version nor an end, two with the same
//   key. Whether an item exists and takes the value depends on the configuration
//   (override_apply.h).
absl::StatusOr<std::vector<Override>> ParseOverrides(absl::string_view xml, absl::string_view file);

// The XML of a set, ordered by item, property and version. ParseOverrides reads the same again.
// Requires: no two have the same key.
std::string OverridesXml(absl::Span<const Override> overrides);

}  // namespace salve

#endif  // SALVE_CONFIG_OVERRIDE_XML_H_
