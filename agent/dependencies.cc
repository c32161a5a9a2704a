#include "agent/dependencies.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"

namespace salve {

Dependencies::Dependencies(const std::vector<HealthSetDefinition>& sets) {
  absl::flat_hash_map<std::string, const HealthSetDefinition*> by_name;
  for (const HealthSetDefinition& set : sets) by_name[set.name] = &set;
  for (const HealthSetDefinition& set : sets) {
    if (set.depends_on.empty() || !set.active()) continue;
    std::vector<std::string>& all = of_[set.name];
    absl::flat_hash_set<std::string> seen;
    const auto add = [&](const HealthSetDefinition& from) {
      for (const std::string& name : from.depends_on) {
        const auto found = by_name.find(name);
        if (found == by_name.end() || !found->second->active()) continue;
        if (seen.insert(name).second) all.push_back(name);
      }
    };
    add(set);
    for (size_t i = 0; i < all.size(); ++i) add(*by_name[all[i]]);
    for (const std::string& name : all) dependents_[name].push_back(set.name);
  }
}

const std::vector<std::string>& Dependencies::Of(const std::string& health_set) const {
  static const auto& none = *new std::vector<std::string>;
  const auto found = of_.find(health_set);
  return found == of_.end() ? none : found->second;
}

const std::vector<std::string>& Dependencies::DependentsOf(const std::string& health_set) const {
  static const auto& none = *new std::vector<std::string>;
  const auto found = dependents_.find(health_set);
  return found == dependents_.end() ? none : found->second;
}

DependencyVerdict JudgeDependency(const MonitorStatus& status,
                                  const MonitorDefinition& definition) {
  const auto is_unhealthy = [](config::HealthState state) {
    return state == config::UNHEALTHY || state == config::UNRECOVERABLE;
  };
  if (is_unhealthy(status.state) || status.state == config::REPAIRING ||
      status.state == config::UNAVAILABLE) {
    return DependencyVerdict::kHolds;
  }
  const bool leads_there =
      std::any_of(definition.transitions.begin(), definition.transitions.end(),
                  [&](const StateTransition& next) { return is_unhealthy(next.to); });
  if (!definition.enabled || !leads_there) return DependencyVerdict::kWell;
  if (status.alert) return DependencyVerdict::kHolds;
  return status.doubtful ? DependencyVerdict::kUndecided : DependencyVerdict::kWell;
}

}  // namespace salve
