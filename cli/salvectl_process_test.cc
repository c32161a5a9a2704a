// The program itself: what only main.cc does.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/check.h"
#include "cli/fake_agent.h"
#include "gtest/gtest.h"

extern char** environ;

namespace salve {
namespace {

// A running salvectl whose standard output and error go to one pipe.
class Process {
 public:
  explicit Process(std::vector<std::string> args) {
    args.insert(args.begin(), "cli/salvectl");
    int fds[2];
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDERR_FILENO);
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    CHECK(posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    out_ = fds[0];
  }
  ~Process() { close(out_); }

  // Reads up to the end of the next line, or of the output.
  std::string ReadLine() {
    std::string line;
    char c;
    while (read(out_, &c, 1) == 1) {
      line += c;
      if (c == '\n') break;
    }
    return line;
  }

  void Send(int signal) { kill(pid_, signal); }

  // The exit status; -1 when a signal ended it.
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_;
  int out_;
};

TEST(SalvectlProcessTest, PrintsItsVersion) {
  Process salvectl({"--version"});

  EXPECT_EQ(salvectl.ReadLine().find("salvectl "), 0);
  EXPECT_EQ(salvectl.Wait(), 0);
}

// An escalation is logged by the engine: nothing of that may stand between the lines.
TEST(SalvectlProcessTest, RunsPolicyTestsWithTheEngineInIt) {
  const std::string path = testing::TempDir() + "/policy.textproto";
  std::ofstream(path) << R"(name: "all" ready_made: "nginx"
      found: "/etc/systemd/system/multi-user.target.wants/nginx.service"
      case { name: "unmended" step { see { probe: "Nginx/Ping" outcome: FAILED } }
             step { run: "1h" } allow: "*" })";
  Process salvectl({"test", path});

  EXPECT_EQ(salvectl.ReadLine(), path + ": all\n");
  EXPECT_EQ(salvectl.ReadLine(), "  ok    unmended (1h)\n");
  EXPECT_EQ(salvectl.ReadLine(), "1 passed, 0 failed\n");
  EXPECT_EQ(salvectl.Wait(), 0);
}

TEST(SalvectlProcessTest, AFaultyPolicyTestIsExitStatusTwo) {
  Process salvectl({"test", "/nonexistent.textproto"});

  EXPECT_EQ(salvectl.ReadLine().find("salvectl: test: /nonexistent.textproto: "), 0);
  EXPECT_EQ(salvectl.Wait(), 2);
}

TEST(SalvectlProcessTest, AMissingAgentIsOneLineAndExitStatusSeven) {
  Process salvectl({"--socket", "/nonexistent/salve.sock", "health"});

  EXPECT_EQ(salvectl.ReadLine(),
            "salvectl: agent: cannot connect to /nonexistent/salve.sock: no such file; is salved "
            "running? (systemctl status salved)\n");
  EXPECT_EQ(salvectl.ReadLine(), "");
  EXPECT_EQ(salvectl.Wait(), 7);
}

TEST(SalvectlProcessTest, ChecksAConfigurationWithoutAnAgent) {
  FakeAgent agent;  // For its folder.
  const std::string conf_d = agent.dir() + "/conf.d";
  std::filesystem::create_directory(conf_d);
  Process good({"config", "check", agent.dir()});
  EXPECT_EQ(good.ReadLine(), agent.dir() + ": no faults\n");
  EXPECT_EQ(good.Wait(), 0);

  std::ofstream(conf_d + "/a.textproto") << "health_set {\n  nmae: \"Web\"\n}\n";
  Process bad({"config", "check", agent.dir()});
  EXPECT_EQ(bad.ReadLine().find("salvectl: config check: a.textproto:2:"), 0);
  EXPECT_EQ(bad.Wait(), 2);
}

TEST(SalvectlProcessTest, FollowFlushesEachLineAndEndsWithZeroOnASignal) {
  FakeAgent agent;
  FakeTail tail;
  tail.events.emplace_back().set_event_id(42);
  agent.tail_events.Say(tail);
  for (int signal : {SIGINT, SIGTERM}) {
    Process salvectl({"--socket", agent.socket(), "events", "--follow", "-o", "jsonl"});
    EXPECT_NE(salvectl.ReadLine().find("\"EventId\":42"), std::string::npos);

    salvectl.Send(signal);

    EXPECT_EQ(salvectl.ReadLine(), "");
    EXPECT_EQ(salvectl.Wait(), 0) << signal;
  }
}

}  // namespace
}  // namespace salve
