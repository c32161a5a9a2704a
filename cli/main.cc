// salvectl: hands the real surroundings to RunSalvectl.
#include <pwd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "agent/configuration.h"
#include "agent/policy_test.h"
#include "base/clock.h"
#include "base/version.h"
#include "cli/salvectl.h"

namespace {

// Ctrl-C and SIGTERM become readable instead of deadly; threads started later inherit that.
int WatchInterrupt() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signalfd(-1, &signals, SFD_CLOEXEC);
}

std::map<std::string, std::string> ReadEnvironment() {
  std::map<std::string, std::string> environment;
  for (const char* name :
       {"SALVE_SOCKET", "SALVE_SERVER", "SALVE_CA", "SALVE_CERT", "SALVE_KEY", "NO_COLOR"}) {
    if (const char* value = std::getenv(name)) environment[name] = value;
  }
  return environment;
}

// Behind sudo the person is meant, not root.
std::string UserName() {
  if (const char* user = std::getenv("SUDO_USER"); user != nullptr && getuid() == 0) return user;
  const passwd* entry = getpwuid(getuid());
  return entry != nullptr ? entry->pw_name : std::to_string(getuid());
}

}  // namespace

int main(int argc, char** argv) {
  // gRPC would write its own lines beside ours. Whoever looks for a fault sets it otherwise.
  setenv("GRPC_VERBOSITY", "NONE", /*replace=*/0);
  std::ios::sync_with_stdio(false);
  const salve::SystemClock clock;
  salve::Surroundings world{clock, std::cin};
  world.time_zone = absl::LocalTimeZone();
  world.environment = ReadEnvironment();
  world.out_is_terminal = isatty(STDOUT_FILENO) == 1;
  world.user = UserName();
  world.version = salve::kVersion;
  world.watch_interrupt = WatchInterrupt;
  world.check_configuration = salve::CheckConfigurationFolder;
  world.check_configuration_with = salve::CheckConfigurationFolderWith;
  world.run_policy_test = salve::RunPolicyTest;
  return salve::RunSalvectl({argv + 1, argv + argc}, std::cout, std::cerr, world);
}
