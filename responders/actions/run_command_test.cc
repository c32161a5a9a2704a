#include "responders/actions/run_command.h"

#include <optional>

#include "base/fake_host.h"
#include "base/fake_service_manager.h"
#include "base/simulated_loop.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using Kind = ActionResult::Kind;

constexpr absl::Duration kTick = absl::Nanoseconds(1);

class RunCommandTest : public ::testing::Test {
 protected:
  void Make(const std::string& resource = "") {
    config::RunCommand config;
    config.add_command("/opt/heal");
    config.add_command("--now");
    config.add_environment("WHY=salve");
    config.set_resource(resource);
    ASSERT_TRUE(CheckRunCommand(config).ok());
    action_ = NewRunCommand(config, {loop_, host_, services_});
  }
  // Begins a run; whether it is on disk is answered by Recorded.
  void Run() {
    result_.reset();
    action_->Run(
        loop_.Now() + absl::Seconds(30),
        [this](std::string effect, absl::AnyInvocable<void(absl::Status)> then) {
          effect_ = std::move(effect);
          recorded_ = std::move(then);
        },
        [this](ActionResult result) {
          EXPECT_FALSE(result_.has_value()) << "done twice";
          result_ = std::move(result);
        });
  }
  void Recorded(absl::Status status = absl::OkStatus()) {
    recorded_(status);
    loop_.RunPending();
  }
  // The result of a run whose program ends so.
  ActionResult ResultOf(const FakeProgram& program) {
    host_.SetProgram("/opt/heal", program);
    Make();
    Run();
    Recorded();
    loop_.RunFor(absl::Seconds(1));
    EXPECT_TRUE(result_.has_value());
    return result_.value_or(ActionResult{});
  }

  SimulatedLoop loop_;
  FakeHost host_{loop_};
  FakeServiceManager services_{loop_};
  std::unique_ptr<Action> action_;
  std::string effect_;
  absl::AnyInvocable<void(absl::Status)> recorded_;
  std::optional<ActionResult> result_;
};

TEST_F(RunCommandTest, RunsTheCommandAndSucceeds) {
  host_.SetProgram("/opt/heal", {.takes = absl::Seconds(1)});
  Make();
  EXPECT_EQ(action_->id(), "RunCommand");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
  Run();
  ASSERT_EQ(host_.started().size(), 1u);
  const Command& command = host_.started()[0].command;
  EXPECT_EQ(command.argv, (std::vector<std::string>{"/opt/heal", "--now"}));
  EXPECT_EQ(command.environment, std::vector<std::string>{"WHY=salve"});
  EXPECT_FALSE(command.kill_leftovers);
  EXPECT_EQ(host_.started()[0].deadline, loop_.Now() + absl::Seconds(30));
  Recorded();
  loop_.RunFor(absl::Seconds(1) - kTick);
  EXPECT_FALSE(result_.has_value());
  loop_.RunFor(kTick);
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kSucceeded);
  EXPECT_EQ(result_->exception_name, "");
  EXPECT_EQ(result_->context, effect_);
}

TEST_F(RunCommandTest, TheResourceIsTheProgramUnlessNamed) {
  Make();
  EXPECT_EQ(action_->resource(), "/opt/heal");
  Make("orders-db");
  EXPECT_EQ(action_->resource(), "orders-db");
}

TEST_F(RunCommandTest, IsHeldUntilItsPidIsOnDisk) {
  host_.SetProgram("/opt/heal", {});
  Make();
  Run();
  EXPECT_TRUE(host_.started()[0].command.held);
  EXPECT_EQ(effect_, "pid=10001 start=1");
  loop_.RunFor(absl::Seconds(29));
  EXPECT_FALSE(host_.started()[0].released);
  EXPECT_FALSE(result_.has_value());
  Recorded();
  EXPECT_TRUE(host_.started()[0].released);
  EXPECT_EQ(result_.value().kind, Kind::kSucceeded);
}

TEST_F(RunCommandTest, WhatCannotBeRecordedNeverBegins) {
  host_.SetProgram("/opt/heal", {});
  Make();
  Run();
  Recorded(absl::ResourceExhaustedError("the disk is full"));
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kFailed);
  EXPECT_EQ(result_->exception_name, "LedgerUnavailable");
  EXPECT_EQ(result_->exception_message, "the disk is full");
  EXPECT_EQ(result_->context, "not begun");
  EXPECT_EQ(host_.running_count(), 0u);
  loop_.RunFor(absl::Minutes(1));
  EXPECT_FALSE(host_.started()[0].released);
}

TEST_F(RunCommandTest, TheEndOfOneThatWasGivenUpDoesNotEndTheNext) {
  host_.SetProgram("/opt/heal", {.takes = absl::Seconds(1)});
  Make();
  Run();
  recorded_(absl::UnavailableError("locked"));  // Killed; its end comes with the next turn.
  ASSERT_TRUE(result_.has_value());
  Run();
  Recorded();
  EXPECT_FALSE(result_.has_value());
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(result_.value().kind, Kind::kSucceeded);
}

TEST_F(RunCommandTest, ARecordThatComesAfterTheDeadlineReleasesNothing) {
  host_.SetProgram("/opt/heal", {});
  Make();
  Run();
  loop_.RunFor(absl::Seconds(30));
  EXPECT_EQ(result_.value().kind, Kind::kTimedOut);
  Recorded();
  EXPECT_FALSE(host_.started()[0].released);
}

TEST_F(RunCommandTest, ARecordOfTheLastRunThatComesLateDoesNotEndTheNext) {
  host_.SetProgram("/opt/heal", {.takes = absl::Seconds(1)});
  Make();
  Run();
  loop_.RunFor(absl::Seconds(30));
  EXPECT_EQ(result_.value().kind, Kind::kTimedOut);
  absl::AnyInvocable<void(absl::Status)> late = std::move(recorded_);
  Run();
  late(absl::ResourceExhaustedError("the disk is full"));
  EXPECT_FALSE(result_.has_value());
  Recorded();
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(result_.value().kind, Kind::kSucceeded);
}

TEST_F(RunCommandTest, ExitStatusZeroIsSuccessAndAllOthersAreNot) {
  EXPECT_EQ(ResultOf({.result = {.exit_code = 0}}).kind, Kind::kSucceeded);
  for (const int code : {1, 2, 127, 255}) {
    const ActionResult result = ResultOf({.result = {.exit_code = code}});
    EXPECT_EQ(result.kind, Kind::kFailed);
    EXPECT_EQ(result.exception_name, "ExitStatus");
    EXPECT_EQ(result.exception_message, "exit status " + std::to_string(code));
  }
}

TEST_F(RunCommandTest, ASignalIsAFailure) {
  const ActionResult result = ResultOf({.result = {.exit_code = -1, .signal = 11}});
  EXPECT_EQ(result.kind, Kind::kFailed);
  EXPECT_EQ(result.exception_name, "Signal");
  EXPECT_EQ(result.exception_message, "ended by signal 11");
}

TEST_F(RunCommandTest, IsKilledExactlyAtItsDeadline) {
  host_.SetProgram("/opt/heal", {.takes = absl::InfiniteDuration()});
  Make();
  Run();
  Recorded();
  loop_.RunFor(absl::Seconds(30) - kTick);
  EXPECT_FALSE(result_.has_value());
  loop_.RunFor(kTick);
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kTimedOut);
  EXPECT_EQ(result_->exception_name, "TimedOut");
  EXPECT_EQ(host_.running_count(), 0u);
}

TEST_F(RunCommandTest, AProgramThatIsNotThereCannotStart) {
  Make();
  Run();
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kFailed);
  EXPECT_EQ(result_->exception_name, "CannotStart");
  EXPECT_EQ(result_->exception_message, "cannot run '/opt/heal': no such program");
  EXPECT_EQ(effect_, "");  // Nothing to record.
}

TEST_F(RunCommandTest, WhatTheHostCannotWaitForHasFailed) {
  host_.SetProgram("/opt/heal", {.takes = absl::InfiniteDuration()});
  Make();
  Run();
  Recorded();
  host_.EndCommand(host_.started()[0].id, absl::InternalError("waitid"));
  loop_.RunPending();
  EXPECT_EQ(result_.value().kind, Kind::kFailed);
  EXPECT_EQ(result_->exception_name, "CannotRun");
  EXPECT_EQ(result_->context, effect_);
}

TEST_F(RunCommandTest, TheOutputIsToldWithoutItsLastNewline) {
  const ActionResult result =
      ResultOf({.result = {.exit_code = 1, .output = "looked\n", .error_output = "no luck\n"}});
  EXPECT_EQ(result.context, effect_ + " output: looked\nno luck");
}

TEST_F(RunCommandTest, TheOutputIsCutTo4KiB) {
  const std::string whole(4096, 'x');
  const ActionResult all = ResultOf({.result = {.exit_code = 0, .output = whole}});
  EXPECT_TRUE(all.context == effect_ + " output: " + whole);
  const ActionResult cut =
      ResultOf({.result = {.exit_code = 0, .output = whole, .error_output = "y"}});
  EXPECT_TRUE(cut.context == effect_ + " output: " + whole);
  EXPECT_EQ(host_.started()[0].command.output_bytes_max, 4096u);
}

TEST_F(RunCommandTest, DestructionKillsWhatRunsAndIsSilent) {
  host_.SetProgram("/opt/heal", {.takes = absl::InfiniteDuration()});
  Make();
  Run();
  Recorded();
  EXPECT_EQ(host_.running_count(), 1u);
  action_.reset();
  EXPECT_EQ(host_.running_count(), 0u);
  loop_.RunFor(absl::Minutes(1));
  EXPECT_FALSE(result_.has_value());
}

TEST_F(RunCommandTest, DestructionBeforeTheRecordNeverBeginsIt) {
  host_.SetProgram("/opt/heal", {});
  Make();
  Run();
  action_.reset();
  Recorded();
  EXPECT_FALSE(host_.started()[0].released);
  EXPECT_FALSE(result_.has_value());
}

TEST_F(RunCommandTest, DestructionAfterItsEndKillsNothing) {
  host_.SetProgram("/opt/heal", {});
  Make();
  Run();
  Recorded();
  ASSERT_TRUE(result_.has_value());
  action_.reset();
  loop_.RunPending();
  EXPECT_EQ(result_->kind, Kind::kSucceeded);
}

TEST_F(RunCommandTest, LeavesEverythingWhileTheSystemStops) {
  Make();
  services_.SetStopping(true);
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kLeave);
  EXPECT_EQ(action_->Check().reason, "the system is stopping");
}

TEST(CheckRunCommandTest, NeedsACommand) {
  config::RunCommand config;
  EXPECT_EQ(CheckRunCommand(config).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CheckRunCommand(config).message(), "run_command.command: the argv is empty");
  config.add_command("");
  EXPECT_EQ(CheckRunCommand(config).message(), "run_command.command: the argv is empty");
}

}  // namespace
}  // namespace salve
