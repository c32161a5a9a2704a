// Reads a configuration folder into a Configuration, or refuses it whole. The meaning of each
// kind stays with the kind: the stages above hand in their checks.
#ifndef SALVE_CONFIG_LOADER_H_
#define SALVE_CONFIG_LOADER_H_

#include <string>

#include "absl/status/statusor.h"
#include "config/definition.h"
#include "config/found_paths.h"
#include "config/kind_checks.h"

namespace salve {

struct LoadOptions {
  std::string host_name;  // The default of `server`.
  KindChecks checks;
  FoundPaths
      found;  // Of the paths that conditions name; of one that is not in it nothing is there.
};

// Reads DIR/salve.textproto (may be missing), DIR/conf.d/*.textproto in the order of their
// names, and looks whether DIR/throttle.xml is there (throttling/ parses it). Hidden files and
// what editors leave behind are passed over. An empty folder is an empty configuration.
// Errors: kInvalidArgument: one line for each fault, `file:line:column: message`, with the
//   nearest names where a name does not resolve; at most 20 lines; kNotFound, kPermissionDenied:
//   the folder or a file can't be read; kResourceExhausted: a file of more than 4 MiB, more than
//   10,000 files or 64 MiB of them.
absl::StatusOr<Configuration> LoadConfiguration(const std::string& dir, const LoadOptions& options);

// The same of files that were read already; without a throttle policy.
// Errors: kInvalidArgument, as above.
absl::StatusOr<Configuration> ParseConfiguration(ConfigurationSource source,
                                                 const LoadOptions& options);

}  // namespace salve

#endif  // SALVE_CONFIG_LOADER_H_
