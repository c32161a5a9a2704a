// Everything that a configuration folder holds, read and checked as the agent does at start:
// the definitions with the checks of all kinds, and the throttle policy. Blocks on files.
#ifndef SALVE_AGENT_CONFIGURATION_H_
#define SALVE_AGENT_CONFIGURATION_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "config/definition.h"
#include "config/found_paths.h"
#include "config/kind_checks.h"
#include "throttling/policy.h"

namespace salve {

inline constexpr char kDefaultConfigDir[] = "/etc/salve";

struct CheckedConfiguration {
  Configuration configuration;
  Policy policy;  // Of throttle.xml; empty when there is none.
  // What the conditions of the health sets name, and what of it is on this server.
  PathPatterns patterns;
  FoundPaths found;
  // The folder says nothing at all, or is kDefaultConfigDir and not there: the health sets are
  // those that ship, and only observe.
  bool is_default = false;
};

// Errors: kInvalidArgument: one line a fault, `file:line:column: message`; kNotFound,
//   kPermissionDenied: the folder or a file can't be read; kResourceExhausted, kUnavailable: the
//   paths of the conditions can't be looked for.
absl::StatusOr<CheckedConfiguration> ReadConfiguration(const std::string& dir);

// What was read once, with what is on this server now. Errors: kInvalidArgument: with the new
// targets of a for_each it has a fault.
absl::StatusOr<Configuration> ReadAgain(ConfigurationSource source, const FoundPaths& found);

// What `salved --check` and `salvectl config check` say: the same, and DIR/global-overrides.xml as
// far as it can be checked without the server: the running agent refuses a faulty one, but nothing
// else with it. Errors: as ReadConfiguration.
absl::Status CheckConfigurationFolder(const std::string& dir);

// The same, as if `file` stood in DIR/conf.d, in place of one of its name.
absl::Status CheckConfigurationFolderWith(const std::string& dir, SourceFile file);

// The checks of all kinds.
KindChecks ChecksOfAllKinds();

}  // namespace salve

#endif  // SALVE_AGENT_CONFIGURATION_H_
