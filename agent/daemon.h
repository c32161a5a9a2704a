// Daemon: builds the agent out of its parts, serves until it is told to stop. The only place
// that knows all of them, and owns the threads.
#ifndef SALVE_AGENT_DAEMON_H_
#define SALVE_AGENT_DAEMON_H_

#include <optional>
#include <string>

#include "agent/configuration.h"
#include "agent/set_run.h"

namespace salve {

struct DaemonOptions {
  std::string config_dir = kDefaultConfigDir;
  std::string state_dir = "/var/lib/salve";
  std::string socket;  // Empty: admin.sock and salve.sock in /run/salve.
  bool accept_ledger_loss = false;
  // `salvectl recover -e|-r`: in place of serving, works on a crash set, and ends.
  std::optional<SetRunOptions> recover_set;
};

// Runs the agent. Returns the process's exit status: 0 stopped when told to, 2 the
// configuration was refused, 3 the state or a socket can't be used; the log says why. With
// `recover_set`: 0 all of it is done, 1 something failed or is left, 2 and 3 as before.
int RunDaemon(const DaemonOptions& options);

}  // namespace salve

#endif  // SALVE_AGENT_DAEMON_H_
