// FakeProcesses: a /proc of the test's, with processes that end as their signals say.
#ifndef SALVE_RESPONDERS_ACTIONS_PROCESSES_FIXTURE_H_
#define SALVE_RESPONDERS_ACTIONS_PROCESSES_FIXTURE_H_

#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fake_host.h"
#include "base/simulated_loop.h"
#include "gtest/gtest.h"

namespace salve {

struct FakeProcess {
  std::string comm;
  pid_t parent = 1;
  std::string title = "";    // What it shows; its name when empty.
  std::string unit = "";     // Of its control group.
  uint64_t start_ticks = 0;  // 0: 1000 + pid.
  bool ends_on_term = true;  // On TERM, QUIT and INT; on KILL it always does.
  uint64_t flags = 0;
  bool is_zombie = false;
};

class FakeProcesses {
 public:
  explicit FakeProcesses(SimulatedLoop& loop)
      : root_(absl::StrCat(::testing::TempDir(), "/proc_",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name())),
        host(loop, root_) {
    std::filesystem::remove_all(root_);
    // The agent, of which the test is one, and what it descends from.
    Add(1, {.comm = "systemd", .parent = 0});
    Add(kAgentParent, {.comm = "agent-starter"});
    Add(getpid(), {.comm = "salved", .parent = kAgentParent});
    host.SetOnSignal([this](pid_t pid, int signal) {
      if (on_signal) on_signal(pid, signal);
      if (!processes_.contains(pid)) return;
      const bool ends = signal == SIGTERM || signal == SIGQUIT || signal == SIGINT;
      if (signal == SIGKILL || (ends && processes_.at(pid).ends_on_term)) End(pid);
    });
  }
  ~FakeProcesses() { std::filesystem::remove_all(root_); }

  void Add(pid_t pid, const FakeProcess& process) {
    const std::string folder = absl::StrCat(root_, "/", pid);
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/comm") << process.comm << "\n";
    std::ofstream(folder + "/cmdline")
        << (process.title.empty() ? process.comm : process.title) << '\0';
    std::ofstream(folder + "/cgroup") << "0::/system.slice/" << process.unit << "\n";
    std::ofstream(folder + "/stat")
        << pid << " (" << process.comm << (process.is_zombie ? ") Z " : ") S ") << process.parent
        << " 1 1 0 -1 " << process.flags << " 1 0 0 0 0 0 0 0 20 0 1 0 "
        << (process.start_ticks == 0 ? 1000 + pid : process.start_ticks) << " 1000000 10 0 0\n";
    processes_[pid] = process;
    host.AddProcess(pid);
  }
  void End(pid_t pid) {
    std::filesystem::remove_all(absl::StrCat(root_, "/", pid));
    processes_.erase(pid);
    host.EndProcess(pid);
  }
  bool IsThere(pid_t pid) const { return processes_.contains(pid); }

  static constexpr pid_t kAgentParent = 50;

 private:
  const std::string root_;
  std::map<pid_t, FakeProcess> processes_;

 public:
  FakeHost host;
  // Called with each signal before it takes effect.
  std::function<void(pid_t pid, int signal)> on_signal;
};

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_PROCESSES_FIXTURE_H_
