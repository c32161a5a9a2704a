// Which health sets depend on which, and whether the monitors of one keep its dependents from
// acting: a dead name server must never reboot a fleet. Pure.
#ifndef SALVE_AGENT_DEPENDENCIES_H_
#define SALVE_AGENT_DEPENDENCIES_H_

#include <map>
#include <string>
#include <vector>

#include "config/definition.h"
#include "monitors/monitor.h"

namespace salve {

class Dependencies {
 public:
  Dependencies() = default;
  // Disabled sets are nobody's dependency. Requires: there are no circles.
  explicit Dependencies(const std::vector<HealthSetDefinition>& sets);

  // What the set depends on, and what these depend on; the nearest first, each once.
  const std::vector<std::string>& Of(const std::string& health_set) const;
  // The sets that have this one among theirs, in the order of the configuration.
  const std::vector<std::string>& DependentsOf(const std::string& health_set) const;

 private:
  std::map<std::string, std::vector<std::string>> of_;
  std::map<std::string, std::vector<std::string>> dependents_;
};

// What one monitor of a dependency says to the set's dependents.
enum class DependencyVerdict {
  kWell,       // No reason to wait. That it is at most DEGRADED is none: it still serves.
  kUndecided,  // It had a bad look and is not in alert: no action until it is either.
  // Unhealthy, or in an alert that leads there, or repaired by a person, or it can't be looked at:
  // nothing acts on what is not known. No action, and the dependents' timeline starts anew.
  kHolds,
};
DependencyVerdict JudgeDependency(const MonitorStatus& status, const MonitorDefinition& definition);

}  // namespace salve

#endif  // SALVE_AGENT_DEPENDENCIES_H_
