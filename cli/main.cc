// salvectl: hands the real surroundings to RunSalvectl.
#include <poll.h>
#include <pwd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "agent/configuration.h"
#include "agent/policy_test.h"
#include "base/clock.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "cli/program.h"
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

void Wait(absl::Duration duration) {
  poll(nullptr, 0, static_cast<int>(absl::ToInt64Milliseconds(duration)));
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

absl::StatusOr<salve::Configuration> Configured(const std::string& dir) {
  ASSIGN_OR_RETURN(salve::CheckedConfiguration checked, salve::ReadConfiguration(dir));
  return std::move(checked.configuration);
}

// The agent of the same build, where it lies beside salvectl.
std::string SalvedBeside() {
  std::error_code error;
  const auto own = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string beside = (own.parent_path() / "salved").string();
  return !error && access(beside.c_str(), X_OK) == 0 ? beside : "/usr/sbin/salved";
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
  world.wait = Wait;
  world.salved = SalvedBeside();
  world.is_root = geteuid() == 0;
  world.run_program = salve::RunProgram;
  world.read_configuration = Configured;
  world.check_configuration = salve::CheckConfigurationFolder;
  world.check_configuration_with = salve::CheckConfigurationFolderWith;
  world.run_policy_test = salve::RunPolicyTest;
  return salve::RunSalvectl({argv + 1, argv + argc}, std::cout, std::cerr, world);
}
