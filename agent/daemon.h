// Daemon: builds the agent out of its parts, serves until it is told to stop. The only place
// that knows all of them, and owns the threads.
#ifndef SALVE_AGENT_DAEMON_H_
#define SALVE_AGENT_DAEMON_H_

#include <string>

#include "agent/configuration.h"

namespace salve {

struct DaemonOptions {
  std::string config_dir = kDefaultConfigDir;
  std::string state_dir = "/var/lib/salve";
  std::string socket;  // Empty: admin.sock and salve.sock in /run/salve.
  bool accept_ledger_loss = false;
};

// Runs the agent. Returns the process's exit status: 0 stopped when told to, 2 the
// configuration was refused, 3 the state or a socket can't be used; the log says why.
int RunDaemon(const DaemonOptions& options);

}  // namespace salve

#endif  // SALVE_AGENT_DAEMON_H_
