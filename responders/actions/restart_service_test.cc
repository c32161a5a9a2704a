#include "responders/actions/restart_service.h"

#include <optional>
#include <vector>

#include "base/fake_host.h"
#include "base/fake_service_manager.h"
#include "base/simulated_loop.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using Kind = ActionResult::Kind;

constexpr char kUnit[] = "nginx.service";
constexpr absl::Duration kTick = absl::Nanoseconds(1);

class RestartServiceTest : public ::testing::Test {
 protected:
  RestartServiceTest() { services_.SetUnit(kUnit, services_.Unit(kUnit)); }

  void Make(bool heal_clean_stop = false) {
    config::RestartService config;
    config.set_service("nginx");
    config.set_heal_clean_stop(heal_clean_stop);
    action_ = NewRestartService(config, {loop_, host_, services_});
    action_->Watch([this] { ++changes_; });
    loop_.RunPending();
  }
  // Changes the unit's state, and lets it be seen.
  void Set(const std::string& active, const std::string& sub, const std::string& result,
           uint32_t job = 0) {
    UnitState state = services_.Unit(kUnit);
    state.active_state = active;
    state.sub_state = sub;
    state.result = result;
    state.job_id = job;
    Set(state);
  }
  void Set(const UnitState& state) {
    services_.SetUnit(kUnit, state);
    loop_.RunPending();
  }
  void SetRestart(const std::string& restart) {
    UnitState state = services_.Unit(kUnit);
    state.restart = restart;
    Set(state);
  }
  void Run() {
    result_.reset();
    action_->Run(
        loop_.Now() + absl::Minutes(2),
        [this](std::string effect, absl::AnyInvocable<void(absl::Status)> then) {
          effects_.push_back(effect);
          then(absl::OkStatus());
        },
        [this](ActionResult result) {
          EXPECT_FALSE(result_.has_value()) << "done twice";
          result_ = std::move(result);
        });
    loop_.RunPending();
  }
  // Ends the newest job, and lets its end be seen.
  void End(const std::string& result, const std::string& unit_result = "success") {
    services_.EndJob(services_.restarts().back().job_id, result, unit_result);
    loop_.RunPending();
  }

  SimulatedLoop loop_;
  FakeHost host_{loop_};
  FakeServiceManager services_{loop_};
  int changes_ = 0;
  std::unique_ptr<Action> action_;
  std::vector<std::string> effects_;
  std::optional<ActionResult> result_;
};

// ---- Whether it may act ----

TEST_F(RestartServiceTest, IsReadyForAFailedUnit) {
  Make();
  EXPECT_EQ(action_->id(), "RestartService");
  Set("failed", "failed", "signal");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceTest, IsReadyForAUnitThatIsActiveButSick) {
  Make();
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
  Set("reloading", "reload", "success");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
  Set("activating", "start", "success");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceTest, WaitsUntilSystemdHasAnswered) {
  config::RestartService config;
  config.set_service("nginx");
  action_ = NewRestartService(config, {loop_, host_, services_});
  action_->Watch([this] { ++changes_; });
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kWait);
  EXPECT_EQ(changes_, 0);
  loop_.RunPending();
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
  EXPECT_EQ(changes_, 1);
}

TEST_F(RestartServiceTest, TheResourceIsTheUnitsOwnName) {
  UnitState state = services_.Unit(kUnit);
  state.id = "nginx-full.service";  // What "nginx" is an alias of.
  services_.SetUnit(kUnit, state);
  config::RestartService config;
  config.set_service("nginx");
  action_ = NewRestartService(config, {loop_, host_, services_});
  EXPECT_EQ(action_->resource(), kUnit);
  loop_.RunPending();
  EXPECT_EQ(action_->resource(), "nginx-full.service");
}

TEST_F(RestartServiceTest, KnowsTheResourceStillWhenTheBusIsAway) {
  UnitState state = services_.Unit(kUnit);
  state.id = "nginx-full.service";
  services_.SetUnit(kUnit, state);
  Make();
  services_.SetConnected(false);
  loop_.RunPending();
  EXPECT_EQ(action_->resource(), "nginx-full.service");
}

TEST_F(RestartServiceTest, LeavesAnAutomaticRestartToSystemd) {
  Make();
  Set("activating", "auto-restart", "exit-code");
  const Readiness readiness = action_->Check();
  EXPECT_EQ(readiness.kind, Readiness::Kind::kWait);
  EXPECT_EQ(readiness.reason, "systemd itself acts on nginx.service (activating/auto-restart)");
}

TEST_F(RestartServiceTest, WaitsForAPendingJob) {
  Make();
  // An admin's stop shows as a job for a moment, while the unit is still active.
  Set("active", "running", "success", /*job=*/77);
  const Readiness readiness = action_->Check();
  EXPECT_EQ(readiness.kind, Readiness::Kind::kWait);
  EXPECT_EQ(readiness.reason, "systemd itself acts on nginx.service (active/running, job 77)");
}

TEST_F(RestartServiceTest, WaitsWhileItIsDeactivating) {
  Make();
  Set("deactivating", "stop-sigterm", "success");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kWait);
}

TEST_F(RestartServiceTest, OfAUnitThatRestartsItselfFailedMustHold) {
  SetRestart("on-failure");
  Make();
  Set("failed", "failed", "signal");
  changes_ = 0;
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kWait);
  EXPECT_EQ(action_->Check().reason,
            "nginx.service has Restart=on-failure: systemd is given its turn");
  loop_.RunFor(absl::Milliseconds(150) - kTick);
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kWait);
  EXPECT_EQ(changes_, 0);
  loop_.RunFor(kTick);
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
  EXPECT_EQ(changes_, 1);  // It says so itself.
}

TEST_F(RestartServiceTest, FailedMustHoldAnewAfterEachAutomaticRestart) {
  SetRestart("always");
  Make();
  Set("failed", "failed", "signal");
  loop_.RunFor(absl::Milliseconds(2));
  Set("activating", "auto-restart", "signal");
  loop_.RunFor(absl::Seconds(1));
  Set("failed", "failed", "signal");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kWait);
}

TEST_F(RestartServiceTest, FailedMustHoldAnewAlsoWhenTheRestartBetweenWentUnseen) {
  SetRestart("always");
  Make();
  UnitState state = services_.Unit(kUnit);
  state.active_state = "failed";
  state.invocation_id = "aa";
  Set(state);
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
  state.invocation_id = "bb";
  Set(state);
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kWait);
}

TEST_F(RestartServiceTest, OtherNewsDoesNotProlongTheWait) {
  SetRestart("always");
  Make();
  Set("failed", "failed", "signal");
  loop_.RunFor(absl::Milliseconds(100));
  Set("failed", "failed", "exit-code");
  loop_.RunFor(absl::Milliseconds(50));
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceTest, WithoutRestartItIsReadyAtOnce) {
  SetRestart("no");
  Make();
  Set("failed", "failed", "signal");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceTest, LeavesAUnitThatWasStoppedOnPurpose) {
  Make();
  Set("inactive", "dead", "success");
  const Readiness readiness = action_->Check();
  EXPECT_EQ(readiness.kind, Readiness::Kind::kLeave);
  EXPECT_EQ(readiness.reason, "nginx.service was stopped on purpose");
}

TEST_F(RestartServiceTest, HealsACleanStopWhenTold) {
  Make(/*heal_clean_stop=*/true);
  Set("inactive", "dead", "success");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceTest, AnInactiveUnitWithABadResultWasNotStoppedOnPurpose) {
  Make();
  Set("inactive", "dead", "exit-code");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceTest, LeavesAMaskedUnit) {
  Make(/*heal_clean_stop=*/true);
  UnitState state = services_.Unit(kUnit);
  state.load_state = "masked";
  state.active_state = "failed";
  Set(state);
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kLeave);
  EXPECT_EQ(action_->Check().reason, "nginx.service is masked");
}

TEST_F(RestartServiceTest, TriesAUnitThatIsNotThereSoThatTheResultSaysSo) {
  services_.SetUnit(kUnit, absl::NotFoundError("nginx.service: no such unit"));
  Make();
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
  UnitState gone;
  gone.id = kUnit;
  gone.load_state = "not-found";
  gone.active_state = "inactive";
  gone.result = "success";
  Set(gone);
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceTest, WaitsForABusThatIsAway) {
  Make();
  Set("failed", "failed", "signal");
  services_.SetConnected(false);
  loop_.RunPending();
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kWait);
  EXPECT_EQ(action_->Check().reason, "systemd cannot be asked now");
  services_.SetConnected(true);
  loop_.RunPending();
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceTest, LeavesEverythingWhileTheSystemStops) {
  Make();
  Set("failed", "failed", "signal");
  services_.SetStopping(true);
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kLeave);
  EXPECT_EQ(action_->Check().reason, "the system is stopping");
}

// ---- What it does ----

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

// ---- The other way to do it ----

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

// ---- The configuration ----

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
