// Starting a child process, for RealHost alone: what happens between fork and exec.
#ifndef SALVE_BASE_SPAWN_H_
#define SALVE_BASE_SPAWN_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "base/user_table.h"

namespace salve {

// Closed on exec, and none of them is 0 to 3. Errors: kResourceExhausted.
struct Pipe {
  UniqueFd read_end, write_end;
};
absl::StatusOr<Pipe> OpenPipe();
// For SpawnRequest::gate; a socket in truth, which can be written without SIGPIPE.
absl::StatusOr<Pipe> OpenGate();
void PassGate(int write_end);

// What a child gets. Both views must outlive the call.
struct SpawnRequest {
  const std::vector<std::string>& argv;
  const std::vector<std::string>& environment;
  int input = -1, output = -1, error_output = -1;  // Become 0, 1 and 2.
  int gate = -1;  // Unless -1: exec only after one byte came out of it, exit at its end.
  // Unless null: whose rights it has, see Command::user. Must outlive the call.
  const UserIdentity* user = nullptr;
};

// Starts argv[0] as the leader of a new session, with default signal handling and no other
// descriptors. Without a gate the program runs when this returns.
// Errors: kNotFound, kPermissionDenied, kResourceExhausted as Host::RunCommand.
absl::StatusOr<pid_t> Spawn(const SpawnRequest& request);

}  // namespace salve

#endif  // SALVE_BASE_SPAWN_H_
