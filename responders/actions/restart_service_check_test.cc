// Whether RestartService may act: what it leaves to systemd, and what to people.
#include "responders/actions/restart_service_fixture.h"

namespace salve {
namespace {

using Kind = ActionResult::Kind;
using RestartServiceCheckTest = RestartServiceTest;

TEST_F(RestartServiceCheckTest, IsReadyForAFailedUnit) {
  Make();
  EXPECT_EQ(action_->id(), "RestartService");
  Set("failed", "failed", "signal");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceCheckTest, IsReadyForAUnitThatIsActiveButSick) {
  Make();
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
  Set("reloading", "reload", "success");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
  Set("activating", "start", "success");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceCheckTest, WaitsUntilSystemdHasAnswered) {
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

TEST_F(RestartServiceCheckTest, TheResourceIsTheUnitsOwnName) {
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

TEST_F(RestartServiceCheckTest, KnowsTheResourceStillWhenTheBusIsAway) {
  UnitState state = services_.Unit(kUnit);
  state.id = "nginx-full.service";
  services_.SetUnit(kUnit, state);
  Make();
  services_.SetConnected(false);
  loop_.RunPending();
  EXPECT_EQ(action_->resource(), "nginx-full.service");
}

TEST_F(RestartServiceCheckTest, LeavesAnAutomaticRestartToSystemd) {
  Make();
  Set("activating", "auto-restart", "exit-code");
  const Readiness readiness = action_->Check();
  EXPECT_EQ(readiness.kind, Readiness::Kind::kWait);
  EXPECT_EQ(readiness.reason, "systemd itself acts on nginx.service (activating/auto-restart)");
}

TEST_F(RestartServiceCheckTest, WaitsForAPendingJob) {
  Make();
  // An admin's stop shows as a job for a moment, while the unit is still active.
  Set("active", "running", "success", /*job=*/77);
  const Readiness readiness = action_->Check();
  EXPECT_EQ(readiness.kind, Readiness::Kind::kWait);
  EXPECT_EQ(readiness.reason, "systemd itself acts on nginx.service (active/running, job 77)");
}

TEST_F(RestartServiceCheckTest, WaitsWhileItIsDeactivating) {
  Make();
  Set("deactivating", "stop-sigterm", "success");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kWait);
}

TEST_F(RestartServiceCheckTest, OfAUnitThatRestartsItselfFailedMustHold) {
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

TEST_F(RestartServiceCheckTest, FailedMustHoldAnewAfterEachAutomaticRestart) {
  SetRestart("always");
  Make();
  Set("failed", "failed", "signal");
  loop_.RunFor(absl::Milliseconds(2));
  Set("activating", "auto-restart", "signal");
  loop_.RunFor(absl::Seconds(1));
  Set("failed", "failed", "signal");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kWait);
}

TEST_F(RestartServiceCheckTest, FailedMustHoldAnewAlsoWhenTheRestartBetweenWentUnseen) {
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

TEST_F(RestartServiceCheckTest, OtherNewsDoesNotProlongTheWait) {
  SetRestart("always");
  Make();
  Set("failed", "failed", "signal");
  loop_.RunFor(absl::Milliseconds(100));
  Set("failed", "failed", "exit-code");
  loop_.RunFor(absl::Milliseconds(50));
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceCheckTest, WithoutRestartItIsReadyAtOnce) {
  SetRestart("no");
  Make();
  Set("failed", "failed", "signal");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceCheckTest, LeavesAUnitThatWasStoppedOnPurpose) {
  Make();
  Set("inactive", "dead", "success");
  const Readiness readiness = action_->Check();
  EXPECT_EQ(readiness.kind, Readiness::Kind::kLeave);
  EXPECT_EQ(readiness.reason, "nginx.service was stopped on purpose");
}

TEST_F(RestartServiceCheckTest, HealsACleanStopWhenTold) {
  Make(/*heal_clean_stop=*/true);
  Set("inactive", "dead", "success");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceCheckTest, AUnitThatOurOwnRestartLeftStoppedWasNotStoppedOnPurpose) {
  Make();
  Run();
  Set("active", "running", "success", /*job=*/1);
  Set("deactivating", "stop-sigterm", "success", /*job=*/1);
  loop_.RunFor(absl::Minutes(2));  // Its job is cancelled before the unit is started again.
  EXPECT_EQ(result_.value().kind, Kind::kTimedOut);
  Set("inactive", "dead", "success");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceCheckTest, AUnitThatEndedCleanlyRightAfterOurRestartWasNotStoppedOnPurpose) {
  Make();
  Run();
  End("done");
  Set("inactive", "dead", "success");
  loop_.RunFor(absl::Milliseconds(50));
  EXPECT_EQ(result_.value().exception_name, "NotActive");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceCheckTest, AUnitThatSomebodyStoppedDuringOurRestartWasStoppedOnPurpose) {
  Make();
  Run();
  Set("deactivating", "stop-sigterm", "success", /*job=*/99);
  Set("inactive", "dead", "success");
  loop_.RunFor(absl::Minutes(2));
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kLeave);
}

TEST_F(RestartServiceCheckTest, AUnitWhoseRestartSomebodyCancelledWasStoppedOnPurpose) {
  Make();
  Run();
  Set("deactivating", "stop-sigterm", "success", /*job=*/1);
  End("canceled");
  Set("inactive", "dead", "success");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kLeave);
}

TEST_F(RestartServiceCheckTest, AUnitThatWasActiveAfterOurRestartMayBeStoppedOnPurpose) {
  for (const bool active_at_once : {false, true}) {
    Make();
    Run();
    Set(active_at_once ? "active" : "activating", "any", "success");
    End("done");
    loop_.RunFor(absl::Milliseconds(50));
    ASSERT_TRUE(result_.has_value());
    if (!active_at_once) Set("active", "running", "success");
    Set("inactive", "dead", "success");
    EXPECT_EQ(action_->Check().kind, Readiness::Kind::kLeave);
  }
}

TEST_F(RestartServiceCheckTest, AnInactiveUnitWithABadResultWasNotStoppedOnPurpose) {
  Make();
  Set("inactive", "dead", "exit-code");
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
}

TEST_F(RestartServiceCheckTest, LeavesAMaskedUnit) {
  Make(/*heal_clean_stop=*/true);
  UnitState state = services_.Unit(kUnit);
  state.load_state = "masked";
  state.active_state = "failed";
  Set(state);
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kLeave);
  EXPECT_EQ(action_->Check().reason, "nginx.service is masked");
}

TEST_F(RestartServiceCheckTest, TriesAUnitThatIsNotThereSoThatTheResultSaysSo) {
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

TEST_F(RestartServiceCheckTest, WaitsForABusThatIsAway) {
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

TEST_F(RestartServiceCheckTest, LeavesEverythingWhileTheSystemStops) {
  Make();
  Set("failed", "failed", "signal");
  services_.SetStopping(true);
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kLeave);
  EXPECT_EQ(action_->Check().reason, "the system is stopping");
}

}  // namespace
}  // namespace salve
