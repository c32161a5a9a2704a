// Everything of the outside that salvectl uses, so that a test can hand in its own.
#ifndef SALVE_CLI_SURROUNDINGS_H_
#define SALVE_CLI_SURROUNDINGS_H_

#include <functional>
#include <istream>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "config/definition.h"
#include "config/policy_test.pb.h"

namespace salve {

struct ProgramEnd {
  int exit_code = 0;         // -N: ended by signal N.
  std::string error_output;  // Its first 64 KiB.
};

struct Surroundings {
  const Clock& clock;
  std::istream& in;
  absl::TimeZone time_zone = absl::UTCTimeZone();
  std::map<std::string, std::string> environment;  // SALVE_* and NO_COLOR are looked at.
  bool out_is_terminal = false;
  std::string user;                          // Who says so, in the agent's records.
  std::string version;                       // salvectl's own.
  std::string run_dir = "/run/salve";        // Where the agent's sockets are.
  std::string config_dir = "/etc/salve";     // What `config check` looks at by default.
  std::string state_dir = "/var/lib/salve";  // Of the agent.
  std::string salved = "/usr/sbin/salved";   // The agent's program.
  bool is_root = false;

  // Begins to watch for the person's Ctrl-C: returns a descriptor that is readable from then on.
  // Called at most once, before any thread is started. Owned by the callee.
  std::function<int()> watch_interrupt;
  // Waits for so long.
  std::function<void(absl::Duration)> wait;
  // Checks a configuration folder as the agent would. Errors: kInvalidArgument: one line for each
  // fault, `file:line:column: message`; kNotFound, kPermissionDenied: it cannot be read.
  std::function<absl::Status(const std::string& dir)> check_configuration;
  // The same, as if `file` stood in DIR/conf.d, in place of one of its name.
  std::function<absl::Status(const std::string& dir, SourceFile file)> check_configuration_with;
  // Reads a configuration folder. Errors: as check_configuration.
  std::function<absl::StatusOr<Configuration>(const std::string& dir)> read_configuration;
  // Runs a program and waits for it (program.h).
  std::function<absl::StatusOr<ProgramEnd>(const std::vector<std::string>& argv)> run_program;
  // Runs the policy tests of a file. Errors: kInvalidArgument: one line for each fault of it,
  // `file:line:column: message`; kNotFound, kPermissionDenied: it cannot be read.
  std::function<absl::StatusOr<policytest::Report>(const std::string& file)> run_policy_test;
};

}  // namespace salve

#endif  // SALVE_CLI_SURROUNDINGS_H_
