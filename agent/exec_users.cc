#include "agent/exec_users.h"

#include <set>

#include "absl/strings/str_cat.h"

namespace salve {

void UseExecUser(Configuration& configuration) {
  const std::string& user = configuration.agent.config.exec_user();
  if (user.empty()) return;
  for (HealthSetDefinition& set : configuration.health_sets) {
    for (ProbeDefinition& probe : set.probes) {
      if (!probe.config.has_exec() || !probe.config.exec().user().empty()) continue;
      probe.config.mutable_exec()->set_user(user);
    }
  }
}

std::vector<std::string> ExecUsers(const Configuration& configuration) {
  std::set<std::string> users;
  for (const HealthSetDefinition& set : configuration.health_sets) {
    for (const ProbeDefinition& probe : set.probes) {
      if (!set.active() || !probe.enabled || probe.config.exec().user().empty()) continue;
      users.insert(probe.config.exec().user());
    }
  }
  return {users.begin(), users.end()};
}

std::vector<std::string> ExecUserWarnings(
    const std::vector<std::string>& users, uid_t own,
    const std::function<absl::StatusOr<UserIdentity>(const std::string&)>& find) {
  std::vector<std::string> warnings;
  for (const std::string& user : users) {
    const absl::StatusOr<UserIdentity> found = find(user);
    if (!found.ok()) {
      warnings.push_back(
          absl::StrCat("exec probes of user '", user, "' cannot look: ", found.status().message()));
    } else if (own != 0 && found->uid != own) {
      warnings.push_back(absl::StrCat("exec probes of user '", user,
                                      "' cannot look unless the agent may become another user: it "
                                      "does not run as root"));
    }
  }
  return warnings;
}

}  // namespace salve
