#include "base/real_host.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "base/uv_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

// A path in a folder of this run's own.
std::string TestFile(const std::string& name) {
  static const std::string& folder = *new std::string([] {
    std::string path = testing::TempDir() + "/host.XXXXXX";
    return std::string(mkdtemp(path.data()));
  }());
  return folder + "/" + name;
}

bool IsAlive(pid_t pid) {
  const auto stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  return stat.ok() && !absl::StrContains(*stat, ") Z ") && !absl::StrContains(*stat, ") X ");
}

Command Shell(const std::string& script) { return {.argv = {"/bin/sh", "-c", script}}; }

class RealHostTest : public testing::Test {
 protected:
  void RunFor(absl::Duration d) {
    loop_.CallAfter(d, [this] { loop_.Stop(); });
    loop_.Run();
  }
  // Lets the loop turn until `condition` holds, for 20 s at most.
  template <typename Condition>
  bool RunUntil(Condition condition) {
    for (int i = 0; i < 10'000 && !condition(); ++i) RunFor(absl::Milliseconds(2));
    return condition();
  }
  absl::StatusOr<StartedCommand> Start(const Command& command,
                                       absl::Duration timeout = absl::Seconds(30)) {
    return host_->RunCommand(
        command, loop_.Now() + timeout,
        [this](absl::StatusOr<CommandResult> result) { ended_ = std::move(result); });
  }
  CommandResult Run(const Command& command, absl::Duration timeout = absl::Seconds(30)) {
    ended_.reset();
    const auto started = Start(command, timeout);
    EXPECT_TRUE(started.ok()) << started.status();
    EXPECT_TRUE(RunUntil([&] { return ended_.has_value(); }));
    return ended_->value();
  }
  // The output of a command that was held first, or not.
  std::string RunReleased(std::vector<std::string> argv, bool held) {
    ended_.reset();
    const auto started = Start({.argv = std::move(argv), .held = held});
    EXPECT_TRUE(started.ok()) << started.status();
    host_->ReleaseCommand(started->id);
    EXPECT_TRUE(RunUntil([&] { return ended_.has_value(); }));
    return ended_->value().output;
  }
  // Waits until a process that is none of our children has ended.
  void ExpectItEnds(pid_t pid) {
    ASSERT_GT(pid, 1);
    EXPECT_TRUE(RunUntil([&] { return !IsAlive(pid); }));
  }

  UvLoop loop_;
  std::unique_ptr<RealHost> host_ = std::make_unique<RealHost>(loop_);
  std::optional<absl::StatusOr<CommandResult>> ended_;
};

pid_t PidIn(absl::string_view text) {
  pid_t pid = 0;
  EXPECT_TRUE(absl::SimpleAtoi(text.substr(0, text.find('\n')), &pid)) << text;
  return pid;
}

TEST_F(RealHostTest, KeepsOutputAndErrorOutputApart) {
  const CommandResult result = Run(Shell("echo out; echo err >&2; exit 7"));
  EXPECT_EQ(result.output, "out\n");
  EXPECT_EQ(result.error_output, "err\n");
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_FALSE(result.truncated);
}

TEST_F(RealHostTest, TellsTheSignalThatEndedAProgram) {
  const CommandResult result = Run(Shell("kill -TERM $$"));
  EXPECT_EQ(result.signal, SIGTERM);
  EXPECT_EQ(result.exit_code, -1);
}

TEST_F(RealHostTest, KeepsExactlyAsMuchOutputAsIsAllowed) {
  Command command = Shell("printf 12345");
  command.output_bytes_max = 5;
  EXPECT_FALSE(Run(command).truncated);
  command = Shell("printf 123456");
  command.output_bytes_max = 5;
  const CommandResult result = Run(command);
  EXPECT_EQ(result.output, "12345");
  EXPECT_TRUE(result.truncated);
}

TEST_F(RealHostTest, ReadsMoreThanAPipeHolds) {
  Command command = Shell("head -c 300000 /dev/zero");
  command.output_bytes_max = 1 << 20;
  EXPECT_EQ(Run(command).output.size(), 300'000);
}

TEST_F(RealHostTest, FindsAProgramInPathAndGivesItTheEnvironment) {
  Command command = {.argv = {"env"}, .environment = {"SALVE_TEST=yes", "HOME=/changed"}};
  const CommandResult result = Run(command);
  EXPECT_THAT(result.output, HasSubstr("SALVE_TEST=yes\n"));
  EXPECT_THAT(result.output, HasSubstr("HOME=/changed\n"));
  EXPECT_THAT(result.output, HasSubstr("PATH="));
}

TEST_F(RealHostTest, KeepsTheSocketOfTheServiceManagerForItself) {
  setenv("NOTIFY_SOCKET", "/run/test", 1);
  setenv("WATCHDOG_USEC", "1", 1);
  host_ = std::make_unique<RealHost>(loop_);
  unsetenv("NOTIFY_SOCKET");
  unsetenv("WATCHDOG_USEC");
  EXPECT_THAT(Run({.argv = {"env"}}).output, Not(HasSubstr("/run/test")));
}

TEST_F(RealHostTest, GivesAProgramNoneOfItsSignalsState) {
  signal(SIGUSR1, SIG_IGN);
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  for (const bool held : {false, true}) {
    // Signals 32 and 33 belong to libc, which leaves them as the agent got them.
    EXPECT_THAT(RunReleased({"grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"}, held),
                MatchesRegex("SigBlk:\t0000000000000000\n"
                             "SigIgn:\t0000000[01][08]0000000\n"));
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  signal(SIGUSR1, SIG_DFL);
}

TEST_F(RealHostTest, GivesAProgramNoneOfItsDescriptors) {
  const UniqueFd leaked(open("/dev/null", O_RDONLY));  // Not closed on exec.
  for (const bool held : {false, true}) {
    // 3 is the folder that is listed.
    EXPECT_EQ(RunReleased({"ls", "/proc/self/fd"}, held), "0\n1\n2\n3\n");
  }
}

TEST_F(RealHostTest, StartsAProgramAsTheLeaderOfASessionOfItsOwn) {
  for (const bool held : {false, true}) {
    const std::vector<std::string> ids =  // Its number, group and session.
        absl::StrSplit(RunReleased({"cut", "-d", " ", "-f", "1,5,6", "/proc/self/stat"}, held),
                       absl::ByAnyChar(" \n"), absl::SkipEmpty());
    EXPECT_THAT(ids, ElementsAre(ids.at(0), ids.at(0), ids.at(0)));
  }
}

TEST_F(RealHostTest, TellsWhichProcessItStarted) {
  const auto started = Start({.argv = {"/bin/sleep", "1000"}});
  EXPECT_EQ(started->process, IdentifyProcess("/proc", started->process.pid).value());
  EXPECT_GT(started->process.start_ticks, 0);
}

TEST_F(RealHostTest, MayNotRunAFolderNorAFileThatIsNoProgram) {
  const std::string path = TestFile("no-program");
  ASSERT_TRUE(WriteFileAtomically(path, "#!/bin/sh\n", 0644).ok());
  for (const bool held : {false, true}) {
    EXPECT_EQ(Start({.argv = {path}, .held = held}).status().code(),
              absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(Start({.argv = {"/tmp"}, .held = held}).status().code(),
              absl::StatusCode::kPermissionDenied);
  }
  chmod(path.c_str(), 0755);
  EXPECT_EQ(Run({.argv = {path}}).exit_code, 0);
}

TEST_F(RealHostTest, DoesNotFindTheInterpreterOfAScript) {
  const std::string path = TestFile("script");
  ASSERT_TRUE(WriteFileAtomically(path, "#!/no/interpreter\n", 0755).ok());
  EXPECT_EQ(Start({.argv = {path}}).status().code(), absl::StatusCode::kNotFound);
  const auto held = Start({.argv = {path}, .held = true});
  host_->ReleaseCommand(held->id);
  ASSERT_TRUE(RunUntil([&] { return ended_.has_value(); }));
  EXPECT_EQ((*ended_)->exit_code, 126);
  EXPECT_THAT((*ended_)->error_output, HasSubstr("No such file"));
}

TEST_F(RealHostTest, RunsNoMoreCommandsThanAllowed) {
  host_ = std::make_unique<RealHost>(loop_, /*commands_max=*/1);
  ASSERT_TRUE(Start(Shell("exit 0")).ok());
  EXPECT_EQ(Start(Shell("exit 0")).status().code(), absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(RunUntil([&] { return ended_.has_value(); }));
  EXPECT_TRUE(Start(Shell("exit 0")).ok());
}

TEST_F(RealHostTest, TakesUpAnotherNumberOfCommandsWhileSomeRun) {
  host_->SetCommandsMax(2);
  const auto first = Start(Shell("sleep 1000"));
  const auto second = Start(Shell("sleep 1000"));
  ASSERT_TRUE(second.ok());
  host_->SetCommandsMax(1);
  EXPECT_TRUE(absl::IsResourceExhausted(Start(Shell("exit 0")).status()));
  EXPECT_TRUE(IsAlive(first->process.pid));
  host_->SetCommandsMax(3);
  EXPECT_TRUE(Start(Shell("exit 0")).ok());
}

TEST_F(RealHostTest, RunsNothingWithoutDescriptors) {
  std::vector<UniqueFd> all;
  while (all.empty() || all.back().is_open()) all.emplace_back(open("/dev/null", O_CLOEXEC));
  // One pipe more fits each time; the last round has enough of all.
  absl::StatusOr<StartedCommand> started = absl::UnknownError("not tried");
  for (int freed = 0; !started.ok(); ++freed) {
    ASSERT_LT(freed, 20);
    EXPECT_TRUE(freed == 0 || started.status().code() == absl::StatusCode::kResourceExhausted)
        << started.status();
    started = Start({.argv = {"/bin/true"}});
    all.pop_back();
  }
}

TEST_F(RealHostTest, LivesWithAProgramThatPrintsForEver) {
  loop_.ResetLongestTurn();
  bool others_ran = false;
  loop_.CallAfter(absl::Milliseconds(50), [&] { others_ran = true; });
  const CommandResult result =
      Run({.argv = {"/bin/sh", "-c", "exec cat /dev/zero"}, .output_bytes_max = 1000},
          absl::Milliseconds(150));
  EXPECT_TRUE(others_ran);
  EXPECT_TRUE(result.timed_out);
  EXPECT_TRUE(result.truncated);
  EXPECT_EQ(result.output.size(), 1000);
}

TEST_F(RealHostTest, KillsAProgramThatIgnoresTermWithItsGroupAtTheDeadline) {
  const CommandResult result =
      Run(Shell("trap '' TERM; sleep 1000 & echo $!; while :; do sleep 1000; done"),
          absl::Milliseconds(100));
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.signal, SIGKILL);
  ExpectItEnds(PidIn(result.output));
}

// A loop that never tells the end of a process, as if it hung in the kernel.
class LoopWithHungProcesses final : public EventLoop {
 public:
  explicit LoopWithHungProcesses(EventLoop& loop) : loop_(loop) {}
  const Clock& clock() const override { return loop_.clock(); }
  TimerId CallAt(Instant when, Task task) override { return loop_.CallAt(when, std::move(task)); }
  void CancelTimer(TimerId id) override { loop_.CancelTimer(id); }
  WatchId WatchFd(int fd, int events, FdCallback ready) override {
    const auto link = std::filesystem::read_symlink(absl::StrCat("/proc/self/fd/", fd));
    if (link == "anon_inode:[pidfd]") return WatchId{~0u};
    return loop_.WatchFd(fd, events, std::move(ready));
  }
  void UnwatchFd(WatchId id) override { loop_.UnwatchFd(id); }
  void Post(Task task) override { loop_.Post(std::move(task)); }

 private:
  EventLoop& loop_;
};

TEST_F(RealHostTest, GivesUpAProgramThatDoesNotDieButGoesOnCountingIt) {
  LoopWithHungProcesses hung(loop_);
  host_ = std::make_unique<RealHost>(hung, /*commands_max=*/1);
  const Instant deadline = loop_.Now() + absl::Milliseconds(100);
  const CommandResult result = Run(Shell("echo text; exec sleep 1000"), absl::Milliseconds(100));
  EXPECT_GE(loop_.Now(), deadline + RealHost::kKillGrace);
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.signal, SIGKILL);
  EXPECT_EQ(result.output, "text\n");
  EXPECT_EQ(Start(Shell("exit 0")).status().code(), absl::StatusCode::kResourceExhausted);
  host_.reset();  // Before its loop.
}

TEST_F(RealHostTest, KillsTheGroupOfAnActionTooAtTheDeadline) {
  Command command = Shell("sleep 1000 & echo $!; wait");
  command.kill_leftovers = false;
  ExpectItEnds(PidIn(Run(command, absl::Milliseconds(100)).output));
}

TEST_F(RealHostTest, KillsWhatALookLeavesBehindInItsGroup) {
  const CommandResult result = Run(Shell("sleep 1000 & echo $!"));
  EXPECT_EQ(result.exit_code, 0);
  ExpectItEnds(PidIn(result.output));
}

TEST_F(RealHostTest, LeavesTheDaemonOfAnActionAlone) {
  Command command = Shell("sleep 1000 & echo $!");
  command.kill_leftovers = false;
  const pid_t daemon = PidIn(Run(command).output);
  RunFor(absl::Milliseconds(20));
  EXPECT_TRUE(IsAlive(daemon));
  kill(daemon, SIGKILL);
}

TEST_F(RealHostTest, DoesNotWaitForADaemonThatHoldsThePipeInASessionOfItsOwn) {
  const std::string up = TestFile("up");  // Holds the program back until the daemon is up.
  ASSERT_EQ(mkfifo(up.c_str(), 0600), 0);
  const CommandResult result =
      Run(Shell(absl::StrCat("setsid sh -c 'echo $$; echo > ", up,
                             "; while :; do echo more; done' & read line < ", up, "; exit 3")));
  EXPECT_EQ(result.exit_code, 3);
  ExpectItEnds(PidIn(result.output));  // By SIGPIPE: nobody reads any more.
}

TEST_F(RealHostTest, GoesOnWhenAProgramClosesItsOutputAndRunsOn) {
  const CommandResult result = Run(Shell("exec >&- 2>&-; sleep 0.05; exit 4"));
  EXPECT_EQ(result.exit_code, 4);
}

TEST_F(RealHostTest, NeverRunsWhatIsStillHeldWhenTheHostEnds) {
  const std::string path = TestFile("ran");
  Command command = {.argv = {"/bin/touch", path}, .kill_leftovers = false, .held = true};
  const auto started = Start(command);
  host_.reset();
  ExpectItEnds(started->process.pid);
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(ended_.has_value());
}

// The agent dies with kill -9: nobody calls a destructor.
TEST_F(RealHostTest, NeverRunsWhatIsStillHeldWhenTheAgentDies) {
  const std::string path = TestFile("ran-after-death");
  int report[2];
  ASSERT_EQ(pipe2(report, O_CLOEXEC), 0);
  const pid_t agent = fork();
  if (agent == 0) {
    UvLoop loop;
    RealHost host(loop);
    const auto started = host.RunCommand({.argv = {"/bin/touch", path}, .held = true},
                                         Instant::InfiniteFuture(), [](auto) {});
    (void)!write(report[1], &started->process.pid, sizeof(pid_t));
    kill(getpid(), SIGKILL);
  }
  pid_t held = 0;
  ASSERT_EQ(read(report[0], &held, sizeof(held)), static_cast<ssize_t>(sizeof(held)));
  waitpid(agent, nullptr, 0);
  ExpectItEnds(held);
  EXPECT_FALSE(std::filesystem::exists(path));
  close(report[0]);
  close(report[1]);
}

TEST_F(RealHostTest, KillsTheLooksAndLeavesTheActionsWhenItEnds) {
  Command action = {.argv = {"/bin/sleep", "1000"}, .kill_leftovers = false};
  const auto look = Start({.argv = {"/bin/sleep", "1000"}});
  const auto running = Start(action);
  host_.reset();
  ExpectItEnds(look->process.pid);
  EXPECT_TRUE(IsAlive(running->process.pid));
  kill(running->process.pid, SIGKILL);
  EXPECT_FALSE(ended_.has_value());
}

TEST_F(RealHostTest, StandsThatAHeldProgramIsKilledBySomebodyElseBeforeItsRelease) {
  const auto started = Start({.argv = {"/bin/true"}, .held = true});
  kill(started->process.pid, SIGKILL);
  siginfo_t info;
  waitid(P_PID, started->process.pid, &info, WEXITED | WNOWAIT);
  host_->ReleaseCommand(started->id);  // Would be SIGPIPE.
  ASSERT_TRUE(RunUntil([&] { return ended_.has_value(); }));
  EXPECT_EQ((*ended_)->signal, SIGKILL);
}

TEST_F(RealHostTest, MayBeCalledFromDone) {
  std::optional<int> second;
  const auto first = host_->RunCommand(Shell("exit 1"), loop_.Now() + absl::Seconds(30), [&](auto) {
    ASSERT_TRUE(host_
                    ->RunCommand(Shell("exit 2"), loop_.Now() + absl::Seconds(30),
                                 [&](auto result) { second = result->exit_code; })
                    .ok());
  });
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(RunUntil([&] { return second.has_value(); }));
  EXPECT_EQ(second, 2);
}

}  // namespace
}  // namespace salve
