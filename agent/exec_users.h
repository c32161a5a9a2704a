// As whom exec probes run: Agent.exec_user takes its place in the definitions, and what keeps a
// user from being one is said before the first look is Rejected for it.
#ifndef SALVE_AGENT_EXEC_USERS_H_
#define SALVE_AGENT_EXEC_USERS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/user_table.h"
#include "config/definition.h"

namespace salve {

// Gives the exec probes that name no user the agent's exec_user. For an agent of root alone:
// another one runs all of them as itself.
void UseExecUser(Configuration& configuration);

// The users whom enabled exec probes name, each once, in the order of their names.
std::vector<std::string> ExecUsers(const Configuration& configuration);

// A line for each user who cannot be one: not found, or another than an agent without root's
// rights is. `own` is the agent's user id.
std::vector<std::string> ExecUserWarnings(
    const std::vector<std::string>& users, uid_t own,
    const std::function<absl::StatusOr<UserIdentity>(const std::string&)>& find);

}  // namespace salve

#endif  // SALVE_AGENT_EXEC_USERS_H_
