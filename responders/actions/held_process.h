// A process that is held by its pidfd: what is done to it can never hit another one that has got
// its number since.
#ifndef SALVE_RESPONDERS_ACTIONS_HELD_PROCESS_H_
#define SALVE_RESPONDERS_ACTIONS_HELD_PROCESS_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/host.h"
#include "base/unique_fd.h"

namespace salve {

struct HeldProcess {
  ProcessIdentity identity;
  UniqueFd pidfd;
};

// Opens the process and then looks whether it is still the one that is meant.
// Errors: kNotFound: it has ended; kResourceExhausted, kPermissionDenied: it can't be opened.
absl::StatusOr<HeldProcess> HoldProcess(Host& host, const ProcessIdentity& identity);

// Whether it has ended, the last of its threads too.
bool HasEnded(const HeldProcess& process);

// Whether no action may ever signal it, and what it is then: "is the agent itself"; empty when one
// may. Process 1, the agent and those that it descends from.
std::string WhyProtected(const std::string& proc, pid_t pid);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_HELD_PROCESS_H_
