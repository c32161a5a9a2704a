#include "probes/systemd_failed_units_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/fake_service_manager.h"
#include "base/simulated_loop.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class SystemdFailedUnitsProbeTest : public ::testing::Test {
 protected:
  void Make() {
    auto probe = NewSystemdFailedUnitsProbe(config_, loop_, services_);
    ASSERT_TRUE(probe.ok()) << probe.status();
    probe_ = *std::move(probe);
  }
  Observation Look() {
    if (probe_ == nullptr) Make();
    std::optional<Observation> seen;
    probe_->Start(loop_.Now() + absl::Seconds(1), [&](Observation o) { seen = std::move(o); });
    loop_.RunPending();
    EXPECT_TRUE(seen.has_value());
    return seen.value_or(Observation{});
  }
  Observation LookAfter(FailedUnitsList failed) {
    services_.SetFailedUnits(std::move(failed));
    loop_.RunPending();
    return Look();
  }

  SimulatedLoop loop_;
  FakeServiceManager services_{loop_};
  config::SystemdFailedUnitsProbe config_;
  std::unique_ptr<Probe> probe_;
};

TEST_F(SystemdFailedUnitsProbeTest, PassesWithoutAFailedUnit) {
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded);
  EXPECT_EQ(seen.values.at(0).number, 0);
  EXPECT_THAT(seen.attributes, IsEmpty());
}

TEST_F(SystemdFailedUnitsProbeTest, FailsWithTheNames) {
  EXPECT_EQ(LookAfter({"a.service"}).error, "1 unit has failed: a.service");
  const Observation seen = LookAfter({"a.service", "b.mount"});
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "2 units have failed: a.service, b.mount");
  EXPECT_EQ(seen.values.at(0).number, 2);
  EXPECT_THAT(seen.attributes, ElementsAre(Pair("units", "a.service b.mount")));
}

TEST_F(SystemdFailedUnitsProbeTest, SoManyMayBe) {
  config_.set_max_failed(1);
  EXPECT_EQ(LookAfter({"a.service"}).outcome, Outcome::kSucceeded);
  EXPECT_EQ(LookAfter({"a.service", "b.mount"}).error,
            "2 units have failed: a.service, b.mount, expected at most 1");
}

TEST_F(SystemdFailedUnitsProbeTest, DoesNotCountTheIgnored) {
  config_.add_ignore("user@*.service");
  config_.add_ignore("b.mount");
  EXPECT_EQ(LookAfter({"b.mount", "user@1000.service"}).outcome, Outcome::kSucceeded);
  const Observation seen = LookAfter({"b.mount", "user@1000.service", "users@1.service"});
  EXPECT_EQ(seen.error, "1 unit has failed: users@1.service");
  EXPECT_EQ(seen.values.at(0).number, 1);
}

TEST_F(SystemdFailedUnitsProbeTest, CutsTheNamesOfVeryMany) {
  FailedUnitsList many;
  for (int i = 100; i < 300; ++i) many.push_back(absl::StrCat("unit", i, ".service"));
  const Observation seen = LookAfter(many);
  EXPECT_EQ(seen.attributes.at(0).second.size(), 512);
  EXPECT_THAT(seen.error, ::testing::EndsWith("unit109.service, …"));
}

TEST_F(SystemdFailedUnitsProbeTest, LooksAtOnceWhenAUnitFails) {
  Make();
  int hints = 0;
  probe_->Watch([&] { ++hints; });
  loop_.RunPending();
  EXPECT_EQ(hints, 1);  // The first word of systemd.
  services_.SetFailedUnits({"a.service"});
  loop_.RunPending();
  EXPECT_EQ(hints, 2);
}

TEST_F(SystemdFailedUnitsProbeTest, AFirstLookWaitsForSystemd) {
  Make();
  std::optional<Observation> seen;
  probe_->Start(loop_.Now() + absl::Seconds(1), [&](Observation o) { seen = std::move(o); });
  EXPECT_FALSE(seen.has_value());
  loop_.RunPending();
  ASSERT_TRUE(seen.has_value());
  EXPECT_EQ(seen->outcome, Outcome::kSucceeded);
  loop_.RunFor(absl::Seconds(2));  // Its deadline is forgotten.
}

TEST_F(SystemdFailedUnitsProbeTest, WithoutABusItIsRejected) {
  services_.SetConnected(false);
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "cannot ask for failed units: systemd cannot be asked now");
}

TEST_F(SystemdFailedUnitsProbeTest, IsRejectedAtTheDeadlineWhileSystemdIsSilent) {
  SimulatedLoop stands_still;
  FakeServiceManager silent(stands_still);
  probe_ = *NewSystemdFailedUnitsProbe(config_, loop_, silent);
  std::optional<Observation> seen;
  probe_->Start(loop_.Now() + absl::Seconds(1), [&](Observation o) { seen = std::move(o); });
  loop_.RunFor(absl::Milliseconds(999));
  EXPECT_FALSE(seen.has_value());
  loop_.RunFor(absl::Milliseconds(1));
  ASSERT_TRUE(seen.has_value());
  EXPECT_EQ(seen->error, "systemd has not told its failed units yet");
  EXPECT_EQ(seen->outcome, Outcome::kRejected);
  probe_.reset();
}

TEST_F(SystemdFailedUnitsProbeTest, IsSilentWhenItEndsDuringALook) {
  Make();
  probe_->Start(loop_.Now() + absl::Seconds(1), [](Observation) { ADD_FAILURE(); });
  probe_.reset();
  loop_.RunFor(absl::Seconds(2));
}

TEST_F(SystemdFailedUnitsProbeTest, ChecksItsFields) {
  config_.set_max_failed(10'000);
  for (int i = 0; i < 100; ++i) config_.add_ignore("x");
  EXPECT_TRUE(CheckSystemdFailedUnitsProbe(config_).ok());
  config_.add_ignore("x");
  EXPECT_EQ(CheckSystemdFailedUnitsProbe(config_).message(),
            "systemd_failed_units.ignore: 101 are more than 100");
  config_.clear_ignore();
  config_.add_ignore("");
  EXPECT_EQ(CheckSystemdFailedUnitsProbe(config_).message(),
            "systemd_failed_units.ignore[0]: '' is no pattern");
  config_.set_ignore(0, std::string(256, 'x'));
  EXPECT_FALSE(CheckSystemdFailedUnitsProbe(config_).ok());
  config_.clear_ignore();
  config_.set_max_failed(10'001);
  EXPECT_EQ(CheckSystemdFailedUnitsProbe(config_).message(),
            "systemd_failed_units.max_failed: 10001 is not in [0, 10000]");
}

}  // namespace
}  // namespace salve
