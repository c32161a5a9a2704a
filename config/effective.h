// What holds, and where it comes from: for `salvectl config show`.
#ifndef SALVE_CONFIG_EFFECTIVE_H_
#define SALVE_CONFIG_EFFECTIVE_H_

#include <string>

#include "config/definition.h"

namespace salve {

// The configuration as Protobuf text that would load as the same again, file by file: defaults
// that belong to no kind are filled in, and behind each value that was written stands its source:
// `interval: "10s"  # web.textproto:7`. for_each stays one definition.
// Requires: `configuration` was loaded.
std::string EffectiveConfigText(const Configuration& configuration);

}  // namespace salve

#endif  // SALVE_CONFIG_EFFECTIVE_H_
