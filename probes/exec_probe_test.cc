#include "probes/exec_probe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fake_host.h"
#include "base/real_host.h"
#include "base/simulated_loop.h"
#include "base/uv_loop.h"

namespace salve {
namespace {

using Attributes = std::vector<std::pair<std::string, std::string>>;

class ExecProbeTest : public ::testing::Test {
 protected:
  void Make() {
    config_.add_command("check_disk");
    auto probe = NewExecProbe(config_, host_);
    ASSERT_TRUE(probe.ok()) << probe.status();
    probe_ = *std::move(probe);
  }
  // What a look sees that begins now and has a second.
  Observation Look() {
    std::optional<Observation> seen;
    probe_->Start(loop_.Now() + absl::Seconds(1), [&](Observation o) { seen = std::move(o); });
    loop_.RunFor(absl::Seconds(1));
    EXPECT_TRUE(seen.has_value());
    return seen.value_or(Observation{});
  }
  Observation LookAt(int exit_code, std::string output) {
    host_.SetProgram("check_disk",
                     {.result = {.exit_code = exit_code, .output = std::move(output)}});
    return Look();
  }

  SimulatedLoop loop_;
  FakeHost host_{loop_};
  config::ExecProbe config_;
  std::unique_ptr<Probe> probe_;
};

TEST_F(ExecProbeTest, PassesOnExitCodeZeroWithItsValues) {
  Make();
  const Observation seen = LookAt(0, "DISK OK | free=5%");
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded);
  EXPECT_EQ(seen.error, "");
  ASSERT_EQ(seen.values.size(), 1u);
  EXPECT_EQ(seen.values[0].name, "free");
  EXPECT_EQ(seen.attributes, (Attributes{{"exit_code", "0"}}));
}

TEST_F(ExecProbeTest, PassesOnAWarningAndRecordsIt) {
  Make();
  const Observation seen = LookAt(1, "DISK WARNING - 9% free");
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded);
  EXPECT_EQ(seen.attributes,
            (Attributes{{"exit_code", "1"}, {"warning", "DISK WARNING - 9% free"}}));
}

TEST_F(ExecProbeTest, FailsOnAWarningWhenToldTo) {
  config_.set_warning_fails(true);
  Make();
  const Observation seen = LookAt(1, "DISK WARNING - 9% free");
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "exit code 1: DISK WARNING - 9% free");
}

TEST_F(ExecProbeTest, FailsOnExitCodeTwoAndKeepsTheValues) {
  Make();
  const Observation seen = LookAt(2, "DISK CRITICAL | free=1%");
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "exit code 2: DISK CRITICAL");
  EXPECT_EQ(seen.values.size(), 1u);
}

TEST_F(ExecProbeTest, AnyOtherExitCodeIsRejected) {
  Make();
  EXPECT_EQ(LookAt(3, "DISK UNKNOWN").error, "exit code 3: DISK UNKNOWN");
  EXPECT_EQ(LookAt(3, "").outcome, Outcome::kRejected);
  EXPECT_EQ(LookAt(126, "").outcome, Outcome::kRejected);
}

TEST_F(ExecProbeTest, ACommandThatASignalEndedIsRejected) {
  Make();
  host_.SetProgram("check_disk", {.result = {.exit_code = -1, .signal = 11}});
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "ended by signal 11");
}

TEST_F(ExecProbeTest, ACommandThatIsNotThereIsRejected) {
  Make();
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_NE(seen.error.find("check_disk"), std::string::npos);
}

TEST_F(ExecProbeTest, NoRoomForAProcessIsRejected) {
  Make();
  host_.SetRunError(absl::ResourceExhaustedError("64 programs run already"));
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "64 programs run already");
}

TEST_F(ExecProbeTest, IsKilledAtItsDeadline) {
  Make();
  host_.SetProgram("check_disk", {.takes = absl::InfiniteDuration()});
  EXPECT_EQ(Look().outcome, Outcome::kTimedOut);
  EXPECT_EQ(host_.running_count(), 0u);
  EXPECT_TRUE(host_.started()[0].command.kill_leftovers);
}

TEST_F(ExecProbeTest, SaysTheErrorOutputWhenThereIsNoOther) {
  Make();
  host_.SetProgram("check_disk", {.result = {.exit_code = 2, .error_output = "no such disk\n"}});
  EXPECT_EQ(Look().error, "exit code 2: no such disk");
}

TEST_F(ExecProbeTest, BoundsWhatIsKeptOfTheOutput) {
  Make();
  Look();
  LookAt(0, "");
  EXPECT_EQ(host_.started()[0].command.output_bytes_max, 8u * 1024);
}

TEST_F(ExecProbeTest, RunsAsItsUser) {
  config_.set_user("nagios");
  Make();
  LookAt(0, "");
  EXPECT_EQ(host_.started()[0].command.user, "nagios");
}

TEST_F(ExecProbeTest, AUserWhoIsNotThereIsRejected) {
  config_.set_user("nagios");
  Make();
  host_.SetRunError(absl::NotFoundError("there is no user 'nagios' on this server"));
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "there is no user 'nagios' on this server");
}

TEST_F(ExecProbeTest, KillsTheCommandSilentlyWhenItIsDestroyed) {
  Make();
  host_.SetProgram("check_disk", {.takes = absl::InfiniteDuration()});
  probe_->Start(loop_.Now() + absl::Seconds(1), [](Observation) { FAIL(); });
  probe_.reset();
  loop_.RunFor(absl::Seconds(2));
  EXPECT_EQ(host_.running_count(), 0u);
}

// Plugins that misbehave, for real.
class RealExecProbeTest : public ::testing::Test {
 protected:
  Observation Look(const std::string& script, absl::Duration timeout) {
    config::ExecProbe config;
    config.add_command("sh");
    config.add_command("-c");
    config.add_command(script);
    auto probe = NewExecProbe(config, host_);
    EXPECT_TRUE(probe.ok()) << probe.status();
    Observation seen;
    (*probe)->Start(loop_.Now() + timeout, [&](Observation o) {
      seen = std::move(o);
      loop_.Stop();
    });
    loop_.Run();
    return seen;
  }

  UvLoop loop_;
  RealHost host_{loop_};
};

TEST_F(RealExecProbeTest, APluginThatPrintsForEverEndsAtItsDeadlineAndFillsNothing) {
  const Observation seen = Look("yes 'OK | a=1'", absl::Milliseconds(100));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_LE(seen.values.size(), kValuesMax);
  EXPECT_LE(seen.error.size(), kErrorBytesMax);
}

TEST_F(RealExecProbeTest, APluginThatLeavesADaemonBehindIsNotWaitedForAndTheDaemonIsKilled) {
  const std::string pid_file = ::testing::TempDir() + "/daemon.pid";
  const Instant start = loop_.Now();
  const Observation seen =
      Look("sleep 600 & echo $! > " + pid_file + "; echo OK", absl::Seconds(60));
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded) << seen.error;
  EXPECT_LT(loop_.Now() - start, absl::Seconds(30));
  pid_t daemon = 0;
  std::ifstream(pid_file) >> daemon;
  ASSERT_GT(daemon, 0);
  const absl::StatusOr<int> pidfd = host_.OpenProcess(daemon);
  if (!pidfd.ok()) return;  // Reaped already.
  loop_.WatchFd(*pidfd, kReadable, [&](int) { loop_.Stop(); });
  loop_.Run();  // Ends when the daemon does.
  close(*pidfd);
}

TEST(CheckExecProbeTest, NamesTheFieldThatCannotWork) {
  config::ExecProbe config;
  EXPECT_EQ(CheckExecProbe(config).message(), "exec.command: missing");
  config.add_command("true");
  EXPECT_TRUE(CheckExecProbe(config).ok());
  config.add_environment("NO");
  EXPECT_EQ(CheckExecProbe(config).message(), "exec.environment: 'NO' is not NAME=value");
}

TEST(CheckExecProbeTest, TheUserIsAName) {
  config::ExecProbe config;
  config.add_command("true");
  config.set_user("nobody-has-this-name");  // Only the server can know.
  EXPECT_TRUE(CheckExecProbe(config).ok());
  config.set_user("a:b");
  EXPECT_EQ(CheckExecProbe(config).message(), "exec.user: 'a:b' is no name of a user");
}

TEST(CheckExecProbeTest, KeepsTheBoundsOfTheOutput) {
  config::ExecProbe config;
  config.add_command("true");
  for (uint32_t good : {0u, 256u, 1u << 20}) {
    config.set_output_bytes_max(good);
    EXPECT_TRUE(CheckExecProbe(config).ok()) << good;
  }
  for (uint32_t bad : {255u, (1u << 20) + 1}) {
    config.set_output_bytes_max(bad);
    EXPECT_FALSE(CheckExecProbe(config).ok()) << bad;
  }
}

}  // namespace
}  // namespace salve
