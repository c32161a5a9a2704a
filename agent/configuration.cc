#include "agent/configuration.h"

#include <unistd.h>

#include <utility>

#include "base/host.h"
#include "base/status_macros.h"
#include "config/loader.h"
#include "config/override_xml.h"
#include "monitors/rule.h"
#include "probes/registry.h"
#include "responders/action.h"

namespace salve {
namespace {

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) != 0) return "localhost";
  return name;
}

}  // namespace

KindChecks ChecksOfAllKinds() {
  return {.probe = CheckProbe, .monitor = CheckMonitor, .responder = CheckResponder};
}

absl::StatusOr<CheckedConfiguration> ReadConfiguration(const std::string& dir) {
  LoadOptions options;
  options.host_name = HostName();
  options.checks = ChecksOfAllKinds();
  CheckedConfiguration checked;
  ASSIGN_OR_RETURN(checked.configuration, LoadConfiguration(dir, options));
  if (!checked.configuration.throttle_policy_file.empty()) {
    ASSIGN_OR_RETURN(checked.policy, ReadPolicyFile(checked.configuration.throttle_policy_file));
  }
  return checked;
}

absl::Status CheckConfigurationFolder(const std::string& dir) {
  RETURN_IF_ERROR(ReadConfiguration(dir).status());
  const std::string path = dir + "/global-overrides.xml";
  const absl::StatusOr<std::string> text = ReadFile(path, kOverridesBytesMax + 1);
  if (!text.ok()) return absl::IsNotFound(text.status()) ? absl::OkStatus() : text.status();
  return ParseOverrides(*text, path).status();
}

}  // namespace salve
