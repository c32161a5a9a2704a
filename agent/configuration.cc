#include "agent/configuration.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/host.h"
#include "base/status_macros.h"
#include "config/loader.h"
#include "config/override_xml.h"
#include "config/ready_made_sets.h"
#include "config/source.h"
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

LoadOptions OptionsWith(FoundPaths found) {
  return {.host_name = HostName(), .checks = ChecksOfAllKinds(), .found = std::move(found)};
}

// A server on which nothing was configured yet may lack the folder; any other that is not there was
// misspelt.
absl::StatusOr<ConfigurationSource> ReadFolder(const std::string& dir) {
  absl::StatusOr<ConfigurationSource> source = ReadConfigurationSource(dir);
  if (!absl::IsNotFound(source.status()) || dir != kDefaultConfigDir) return source;
  return ConfigurationSource{.agent = {"salve.textproto", ""}, .no_file = true};
}

absl::StatusOr<CheckedConfiguration> ReadSource(const std::string& dir,
                                                ConfigurationSource source) {
  CheckedConfiguration checked;
  checked.is_default = source.no_file;
  if (source.no_file) source.health_sets = ObservingSets();
  checked.patterns = PathPatternsOf(source);
  ASSIGN_OR_RETURN(checked.found, FindPaths(checked.patterns));
  ASSIGN_OR_RETURN(checked.configuration,
                   ParseConfiguration(std::move(source), OptionsWith(checked.found)));
  checked.configuration.throttle_policy_file = ThrottlePolicyFileIn(dir);
  if (!checked.configuration.throttle_policy_file.empty()) {
    ASSIGN_OR_RETURN(checked.policy, ReadPolicyFile(checked.configuration.throttle_policy_file));
  }
  return checked;
}

absl::Status CheckOverridesIn(const std::string& dir) {
  const std::string path = dir + "/global-overrides.xml";
  const absl::StatusOr<std::string> text = ReadFile(path, kOverridesBytesMax + 1);
  if (!text.ok()) return absl::IsNotFound(text.status()) ? absl::OkStatus() : text.status();
  return ParseOverrides(*text, path).status();
}

}  // namespace

KindChecks ChecksOfAllKinds() {
  return {.probe = CheckProbe, .monitor = CheckMonitor, .responder = CheckResponder};
}

absl::StatusOr<CheckedConfiguration> ReadConfiguration(const std::string& dir) {
  ASSIGN_OR_RETURN(ConfigurationSource source, ReadFolder(dir));
  return ReadSource(dir, std::move(source));
}

absl::StatusOr<Configuration> ReadAgain(ConfigurationSource source, const FoundPaths& found) {
  return ParseConfiguration(std::move(source), OptionsWith(found));
}

absl::Status CheckConfigurationFolder(const std::string& dir) {
  RETURN_IF_ERROR(ReadConfiguration(dir).status());
  return CheckOverridesIn(dir);
}

absl::Status CheckConfigurationFolderWith(const std::string& dir, SourceFile file) {
  ASSIGN_OR_RETURN(ConfigurationSource source, ReadFolder(dir));
  source.no_file = false;
  std::vector<SourceFile>& files = source.health_sets;
  const auto at =
      std::lower_bound(files.begin(), files.end(), file,
                       [](const SourceFile& a, const SourceFile& b) { return a.name < b.name; });
  if (at != files.end() && at->name == file.name) {
    *at = std::move(file);
  } else {
    files.insert(at, std::move(file));
  }
  RETURN_IF_ERROR(ReadSource(dir, std::move(source)).status());
  return CheckOverridesIn(dir);
}

}  // namespace salve
