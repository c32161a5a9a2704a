#include "probes/systemd_unit_probe.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fake_service_manager.h"
#include "base/simulated_loop.h"

namespace salve {
namespace {

class SystemdUnitProbeTest : public ::testing::Test {
 protected:
  SystemdUnitProbeTest() { config_.set_unit("nginx.service"); }

  void Make() {
    auto probe = NewSystemdUnitProbe(config_, loop_, services_);
    ASSERT_TRUE(probe.ok()) << probe.status();
    probe_ = *std::move(probe);
    probe_->Watch([this] { ++hints_; });
  }
  void SetState(const std::string& active_state, const std::string& sub_state) {
    UnitState unit = services_.Unit("nginx.service");
    unit.active_state = active_state;
    unit.sub_state = sub_state;
    services_.SetUnit("nginx.service", unit);
    loop_.RunPending();
  }
  Observation Look() {
    std::optional<Observation> seen;
    probe_->Start(loop_.Now() + absl::Seconds(1), [&](Observation o) { seen = std::move(o); });
    loop_.RunPending();
    EXPECT_TRUE(seen.has_value());
    return seen.value_or(Observation{});
  }

  SimulatedLoop loop_;
  FakeServiceManager services_{loop_};
  config::SystemdUnitProbe config_;
  std::unique_ptr<Probe> probe_;
  int hints_ = 0;
};

TEST_F(SystemdUnitProbeTest, PassesWhileTheUnitIsActiveAndSaysItsState) {
  UnitState unit = services_.Unit("nginx.service");
  unit.n_restarts = 3;
  unit.main_pid = 42;
  services_.SetUnit("nginx.service", unit);
  Make();
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded);
  ASSERT_EQ(seen.values.size(), 1u);
  EXPECT_EQ(seen.values[0].name, "n_restarts");
  EXPECT_EQ(seen.values[0].number, 3);
  EXPECT_EQ(seen.attributes,
            (std::vector<std::pair<std::string, std::string>>{{"active_state", "active"},
                                                              {"sub_state", "running"},
                                                              {"result", "success"},
                                                              {"main_pid", "42"}}));
}

TEST_F(SystemdUnitProbeTest, AsksForALookAtEachChange) {
  SetState("active", "running");
  Make();
  loop_.RunPending();
  EXPECT_EQ(hints_, 1);
  SetState("failed", "failed");
  EXPECT_EQ(hints_, 2);
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error,
            "nginx.service is failed (failed, result success), expected active or reloading");
}

TEST_F(SystemdUnitProbeTest, ExpectsOtherStatesWhenToldTo) {
  config_.add_expected_state("inactive");
  SetState("active", "running");
  Make();
  EXPECT_EQ(Look().outcome, Outcome::kFailed);
  SetState("inactive", "dead");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

TEST_F(SystemdUnitProbeTest, ReloadingIsExpectedByDefaultAndActivatingIsNot) {
  SetState("reloading", "reload");
  Make();
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  SetState("activating", "start");
  EXPECT_EQ(Look().outcome, Outcome::kFailed);
}

TEST_F(SystemdUnitProbeTest, ABareNameIsAService) {
  config_.set_unit("nginx");
  SetState("active", "running");
  Make();
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

TEST_F(SystemdUnitProbeTest, AUnitThatDoesNotExistIsRejected) {
  Make();
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "there is no unit nginx.service");

  UnitState unit = services_.Unit("nginx.service");
  unit.load_state = "not-found";
  unit.active_state = "inactive";
  services_.SetUnit("nginx.service", unit);
  loop_.RunPending();
  EXPECT_EQ(Look().error, "there is no unit nginx.service");
}

TEST_F(SystemdUnitProbeTest, NoBusIsRejectedUntilItIsBack) {
  SetState("active", "running");
  Make();
  services_.SetConnected(false);
  loop_.RunPending();
  EXPECT_EQ(Look().outcome, Outcome::kRejected);
  services_.SetConnected(true);
  loop_.RunPending();
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

TEST_F(SystemdUnitProbeTest, IsRejectedAtItsDeadlineWhileSystemdHasSaidNothing) {
  Make();
  std::optional<Observation> seen;
  // The watch is told only when the loop runs: here time passes first.
  probe_->Start(loop_.Now() - absl::Nanoseconds(1), [&](Observation o) { seen = std::move(o); });
  EXPECT_FALSE(seen.has_value());
  loop_.RunPending();
  ASSERT_TRUE(seen.has_value());
  EXPECT_EQ(seen->outcome, Outcome::kRejected);
}

TEST_F(SystemdUnitProbeTest, IsSilentAfterItsEnd) {
  SetState("active", "running");
  Make();
  loop_.RunPending();
  probe_.reset();
  SetState("failed", "failed");
  EXPECT_EQ(hints_, 1);
}

TEST(CheckSystemdUnitProbeTest, NamesTheFieldThatCannotWork) {
  config::SystemdUnitProbe config;
  EXPECT_EQ(CheckSystemdUnitProbe(config).message(), "systemd_unit.unit: missing");
  config.set_unit("../etc");
  EXPECT_EQ(CheckSystemdUnitProbe(config).message(),
            "systemd_unit.unit: '../etc' is no name of a unit");
  config.set_unit("php8.2-fpm@a\\x2db.service");
  EXPECT_TRUE(CheckSystemdUnitProbe(config).ok());
  config.add_expected_state("running");
  EXPECT_EQ(CheckSystemdUnitProbe(config).message(),
            "systemd_unit.expected_state: 'running' is not one of active, reloading, inactive, "
            "failed, activating, deactivating");
}

}  // namespace
}  // namespace salve
