// RunCommand: runs a program, without a shell, in its own process group; exit status 0 is
// success. Its pid is on disk before it begins, so that a crash of the agent never doubles it.
#ifndef SALVE_RESPONDERS_ACTIONS_RUN_COMMAND_H_
#define SALVE_RESPONDERS_ACTIONS_RUN_COMMAND_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "responders/action.h"

namespace salve {

// Errors: kInvalidArgument, the path of the field first.
absl::Status CheckRunCommand(const config::RunCommand& config);
// Requires: CheckRunCommand is OK.
std::unique_ptr<Action> NewRunCommand(const config::RunCommand& config,
                                      const ActionEnvironment& environment);

// The same for any action that is done by a program: `id` and `resource` are its key.
std::unique_ptr<Action> NewCommandAction(std::string id, std::string resource,
                                         std::vector<std::string> argv,
                                         std::vector<std::string> environment_variables,
                                         const ActionEnvironment& environment);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_RUN_COMMAND_H_
