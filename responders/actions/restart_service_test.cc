#include "responders/actions/restart_service.h"

#include "responders/actions/restart_service_fixture.h"

namespace salve {
namespace {

using Kind = ActionResult::Kind;

TEST_F(RestartServiceTest, SucceedsWhenTheJobIsDoneAndTheUnitActive) {
  Make();
  Set("failed", "failed", "signal");
  Run();
  ASSERT_EQ(services_.restarts().size(), 1u);
  EXPECT_EQ(services_.restarts()[0].unit, kUnit);
  EXPECT_EQ(services_.restarts()[0].deadline, loop_.Now() + absl::Minutes(2));
  EXPECT_EQ(effects_, std::vector<std::string>{"job=1 unit=nginx.service"});
  EXPECT_FALSE(result_.has_value());
  UnitState state = services_.Unit(kUnit);
  state.active_state = "active";
  state.sub_state = "running";
  state.main_pid = 4711;
  Set(state);
  End("done");
  loop_.RunFor(absl::Milliseconds(50));
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kSucceeded);
  EXPECT_EQ(result_->exception_name, "");
  EXPECT_EQ(result_->context, "job=1 unit=nginx.service active/running main_pid=4711");
}

TEST_F(RestartServiceTest, AUnitThatDiesRightAfterItsJobHasNotSucceeded) {
  Make();
  Run();
  Set("active", "running", "success");
  End("done");
  loop_.RunFor(absl::Milliseconds(50) - kTick);
  EXPECT_FALSE(result_.has_value());  // The first look would be too early.
  Set("failed", "failed", "exit-code");
  loop_.RunFor(kTick);
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kFailed);
  EXPECT_EQ(result_->exception_name, "NotActive");
  EXPECT_EQ(result_->exception_message,
            "the job was done, but nginx.service is failed/failed, result exit-code");
}

TEST_F(RestartServiceTest, AUnitThatReloadsAfterItsJobHasSucceeded) {
  Make();
  Run();
  Set("reloading", "reload", "success");
  End("done");
  loop_.RunFor(absl::Milliseconds(50));
  EXPECT_EQ(result_.value().kind, Kind::kSucceeded);
}

TEST_F(RestartServiceTest, ABusThatIsLostAfterTheJobLeavesItUnknown) {
  Make();
  Run();
  End("done");
  services_.SetConnected(false);
  loop_.RunFor(absl::Milliseconds(50));
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kFailed);
  EXPECT_EQ(result_->exception_name, "UnitUnknown");
}

TEST_F(RestartServiceTest, AJobThatFailedSaysTheUnitsResult) {
  Make();
  Run();
  End("failed", "exit-code");
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kFailed);
  EXPECT_EQ(result_->exception_name, "JobFailed");
  EXPECT_EQ(result_->exception_message,
            "the restart job of nginx.service ended as failed, unit result exit-code");
  EXPECT_EQ(result_->context, "job=1 unit=nginx.service");
}

TEST_F(RestartServiceTest, TheStartLimitIsNamedWithItsWayOut) {
  Make();
  Run();
  End("failed", "start-limit-hit");
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->exception_message,
            "nginx.service: systemd's start limit was hit; `systemctl reset-failed "
            "nginx.service` clears it");
}

TEST_F(RestartServiceTest, AJobThatTimedOutInSystemdHasTimedOut) {
  Make();
  Run();
  End("timeout", "timeout");
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kTimedOut);
  EXPECT_EQ(result_->exception_name, "JobTimeout");
}

TEST_F(RestartServiceTest, AJobThatSomebodyCancelledHasFailed) {
  Make();
  Run();
  End("canceled", "");
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kFailed);
  EXPECT_EQ(result_->exception_name, "JobCanceled");
  EXPECT_EQ(result_->exception_message, "the restart job of nginx.service ended as canceled");
}

TEST_F(RestartServiceTest, AJobThatOutlastsTheDeadlineIsCancelledAndHasTimedOut) {
  Make();
  Run();
  loop_.RunFor(absl::Minutes(2) - kTick);
  EXPECT_FALSE(result_.has_value());
  loop_.RunFor(kTick);
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kTimedOut);
  EXPECT_EQ(result_->exception_name, "JobTimedOut");
  EXPECT_EQ(services_.cancelled_jobs(), std::vector<uint32_t>{1});
}

TEST_F(RestartServiceTest, SystemdsRefusalsHaveNames) {
  const struct {
    absl::Status status;
    const char* name;
  } kRefusals[] = {{absl::NotFoundError("gone"), "NoSuchUnit"},
                   {absl::FailedPreconditionError("TransactionIsDestructive"), "JobRefused"},
                   {absl::UnavailableError("no bus"), "SystemdUnavailable"},
                   {absl::PermissionDeniedError("not root"), "PermissionDenied"},
                   {absl::InternalError("?"), "JobError"}};
  Make();
  for (const auto& refusal : kRefusals) {
    services_.SetRestartError(refusal.status);
    Run();
    ASSERT_TRUE(result_.has_value());
    EXPECT_EQ(result_->kind, Kind::kFailed);
    EXPECT_EQ(result_->exception_name, refusal.name);
    EXPECT_EQ(result_->exception_message, refusal.status.message());
  }
  EXPECT_TRUE(effects_.empty());
}

TEST_F(RestartServiceTest, TheNextRunDoesNotTellTheJobOfTheLast) {
  Make();
  Run();
  End("failed");
  services_.SetRestartError(absl::UnavailableError("no bus"));
  Run();
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->context, "");
}

TEST_F(RestartServiceTest, IsSilentAfterItWasDestroyedInARun) {
  for (const bool after_the_job : {false, true}) {
    Make();
    changes_ = 0;
    Run();
    if (after_the_job) End("done");
    action_.reset();
    End("done");
    Set("failed", "failed", "signal");
    loop_.RunFor(absl::Minutes(5));
    EXPECT_FALSE(result_.has_value());
    EXPECT_EQ(changes_, 0);
  }
}

TEST_F(RestartServiceTest, MayBeDestroyedByItsOwnEnd) {
  Make();
  action_->Run(
      loop_.Now() + absl::Minutes(2), [](std::string, absl::AnyInvocable<void(absl::Status)>) {},
      [this](ActionResult) { action_.reset(); });
  loop_.RunPending();
  End("failed");
  EXPECT_EQ(action_, nullptr);
}

TEST_F(RestartServiceTest, WithACommandItRunsThatForTheSameResource) {
  config::RestartService config;
  config.set_service("nginx");
  config.add_command("/etc/init.d/nginx");
  config.add_command("restart");
  ASSERT_TRUE(CheckRestartService(config).ok());
  host_.SetProgram("/etc/init.d/nginx", {.takes = absl::Seconds(1)});
  action_ = NewRestartService(config, {loop_, host_, services_});
  EXPECT_EQ(action_->id(), "RestartService");
  EXPECT_EQ(action_->resource(), "nginx");
  Run();
  ASSERT_EQ(host_.started().size(), 1u);
  EXPECT_EQ(host_.started()[0].command.argv,
            (std::vector<std::string>{"/etc/init.d/nginx", "restart"}));
  EXPECT_TRUE(services_.restarts().empty());
  loop_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, Kind::kSucceeded);
}

TEST(CheckRestartServiceTest, NeedsAService) {
  EXPECT_EQ(CheckRestartService({}).message(), "restart_service.service: names no service");
  EXPECT_EQ(CheckRestartService({}).code(), absl::StatusCode::kInvalidArgument);
}

TEST(CheckRestartServiceTest, RefusesWhatCannotBeAUnit) {
  config::RestartService config;
  config.set_service("nginx*");
  EXPECT_EQ(CheckRestartService(config).message(),
            "restart_service.service: no unit can be named 'nginx*'");
  config.add_command("/bin/true");  // Then it is only a name.
  EXPECT_TRUE(CheckRestartService(config).ok());
}

TEST(CheckRestartServiceTest, RefusesACommandThatBeginsEmpty) {
  config::RestartService config;
  config.set_service("nginx");
  EXPECT_TRUE(CheckRestartService(config).ok());
  config.add_command("");
  EXPECT_EQ(CheckRestartService(config).message(),
            "restart_service.command: the argv begins empty");
}

}  // namespace
}  // namespace salve
