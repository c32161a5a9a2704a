// Everything that a configuration folder holds, read and checked as the agent does at start:
// the definitions with the checks of all kinds, and the throttle policy. Blocks on files.
#ifndef SALVE_AGENT_CONFIGURATION_H_
#define SALVE_AGENT_CONFIGURATION_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "config/definition.h"
#include "config/kind_checks.h"
#include "throttling/policy.h"

namespace salve {

struct CheckedConfiguration {
  Configuration configuration;
  Policy policy;  // Of throttle.xml; empty when there is none.
};

// Errors: kInvalidArgument: one line a fault, `file:line:column: message`; kNotFound,
//   kPermissionDenied: the folder or a file can't be read.
absl::StatusOr<CheckedConfiguration> ReadConfiguration(const std::string& dir);

// What `salved --check` and `salvectl config check` say: the same, and DIR/global-overrides.xml as
// far as it can be checked without the server: the running agent refuses a faulty one, but nothing
// else with it. Errors: as ReadConfiguration.
absl::Status CheckConfigurationFolder(const std::string& dir);

// The checks of all kinds.
KindChecks ChecksOfAllKinds();

}  // namespace salve

#endif  // SALVE_AGENT_CONFIGURATION_H_
