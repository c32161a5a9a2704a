// Configuration: what the loader hands on. for_each is expanded, durations are durations,
// defaults that belong to no kind are filled in, names are resolved. Plain values.
#ifndef SALVE_CONFIG_DEFINITION_H_
#define SALVE_CONFIG_DEFINITION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "config/config.pb.h"

namespace salve {

struct ProbeDefinition {
  std::string health_set;
  std::string name;    // "Ping", or "Ping/target" in a for_each.
  std::string target;  // The for_each value, or empty.
  absl::Duration interval;
  absl::Duration timeout;
  int max_retry_attempts = 0;
  bool enabled = true;
  config::Probe config;  // With {target} replaced.
};

struct StateTransition {
  config::HealthState to;
  absl::Duration after;
};

struct MonitorDefinition {
  std::string health_set;
  std::string name;
  std::string target;
  std::vector<std::string> probes;           // Names within the set, as in ProbeDefinition::name.
  std::vector<StateTransition> transitions;  // At least one; `after` strictly rises.
  absl::Duration reopen_within;
  absl::Duration clear_after = absl::ZeroDuration();
  bool enabled = true;
  config::Monitor config;
};

struct ResponderDefinition {
  std::string health_set;
  std::string name;  // Unique on the server.
  std::string target;
  std::string monitor;  // Name within the set, as in MonitorDefinition::name.
  config::HealthState on;
  absl::Duration after;
  bool observe = false;
  absl::Duration timeout;
  absl::Duration settle;
  absl::Duration retry_after;
  int ineffective_after = 3;
  bool enabled = true;
  config::Responder config;
};

struct HealthSetDefinition {
  std::string name;
  config::HealthGroup group;
  bool enabled = true;
  bool applicable = true;               // What it watches is on this server.
  std::vector<std::string> depends_on;  // Health sets of this server.
  std::vector<ProbeDefinition> probes;
  std::vector<MonitorDefinition> monitors;
  std::vector<ResponderDefinition> responders;  // In the order written.
  // Of a for_each with a glob: what it found here and could not make a target of.
  std::vector<std::string> skipped_paths;

  // Whether its items look and act.
  bool active() const { return enabled && applicable; }
};

struct AgentDefinition {
  std::string server;
  std::string group;
  std::string version;
  absl::Duration boot_grace = absl::Seconds(60);
  absl::Duration stop_timeout = absl::Seconds(60);
  int max_children = 64;
  config::Agent config;
};

// A file as it was read. An empty text is as good as no file.
struct SourceFile {
  std::string name;  // "web.textproto": as errors name it.
  std::string text;
};

struct ConfigurationSource {
  SourceFile agent;                     // salve.textproto
  std::vector<SourceFile> health_sets;  // conf.d, in the order of their names.
  bool no_file = false;  // The folder has neither salve.textproto nor a file in conf.d.
};

struct Configuration {
  AgentDefinition agent;
  std::vector<HealthSetDefinition> health_sets;
  std::string throttle_policy_file;  // Path of throttle.xml; empty when there is none.
  ConfigurationSource source;        // What it was made of; effective.h shows it.
};

// "SET/NAME", as people write it.
template <typename Definition>
std::string FullName(const Definition& definition) {
  return definition.health_set + "/" + definition.name;
}

}  // namespace salve

#endif  // SALVE_CONFIG_DEFINITION_H_
