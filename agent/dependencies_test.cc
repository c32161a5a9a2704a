#include "agent/dependencies.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

HealthSetDefinition Set(const std::string& name, std::vector<std::string> on = {},
                        bool enabled = true) {
  HealthSetDefinition set;
  set.name = name;
  set.depends_on = std::move(on);
  set.enabled = enabled;
  return set;
}

TEST(DependenciesTest, HoldAlsoThroughOthersAndEachOnce) {
  const Dependencies all({Set("Web", {"App", "Cache"}), Set("App", {"Db"}), Set("Cache", {"Db"}),
                          Set("Db"), Set("X")});
  EXPECT_THAT(all.Of("Web"), ElementsAre("App", "Cache", "Db"));
  EXPECT_THAT(all.DependentsOf("Db"), ElementsAre("Web", "App", "Cache"));
  EXPECT_THAT(all.Of("X"), IsEmpty());
  EXPECT_THAT(all.DependentsOf("Web"), IsEmpty());
  EXPECT_THAT(all.Of("unknown"), IsEmpty());
}

TEST(DependenciesTest, ADisabledSetIsNobodysAndHasNone) {
  const Dependencies all({Set("Web", {"Db"}), Set("Db", {}, false), Set("Off", {"Web"}, false)});
  EXPECT_THAT(all.Of("Web"), IsEmpty());
  EXPECT_THAT(all.DependentsOf("Web"), IsEmpty());
}

TEST(DependenciesTest, ASetThatDoesNotApplyIsNobodysAndHasNone) {
  HealthSetDefinition db = Set("Db", {"Disk"});
  db.applicable = false;
  const Dependencies all({Set("Web", {"Db"}), db, Set("Disk")});
  EXPECT_THAT(all.Of("Web"), IsEmpty());
  EXPECT_THAT(all.Of("Db"), IsEmpty());
  EXPECT_THAT(all.DependentsOf("Disk"), IsEmpty());
}

class JudgeDependencyTest : public testing::Test {
 protected:
  JudgeDependencyTest() {
    definition_.transitions = {{config::DEGRADED, absl::ZeroDuration()},
                               {config::UNHEALTHY, absl::Seconds(60)}};
  }
  DependencyVerdict Judge(config::HealthState state, bool alert = false, bool doubtful = false) {
    MonitorStatus status;
    status.state = state;
    status.alert = alert;
    status.doubtful = doubtful;
    return JudgeDependency(status, definition_);
  }
  MonitorDefinition definition_;
};

TEST_F(JudgeDependencyTest, UnhealthyOrWorseHolds) {
  EXPECT_EQ(Judge(config::UNHEALTHY, true), DependencyVerdict::kHolds);
  EXPECT_EQ(Judge(config::UNRECOVERABLE, true), DependencyVerdict::kHolds);
  EXPECT_EQ(Judge(config::HEALTHY), DependencyVerdict::kWell);
}

TEST_F(JudgeDependencyTest, NothingActsOnTheUnknownOrOnWhatAPersonRepairs) {
  EXPECT_EQ(Judge(config::UNAVAILABLE), DependencyVerdict::kHolds);
  EXPECT_EQ(Judge(config::REPAIRING), DependencyVerdict::kHolds);
}

TEST_F(JudgeDependencyTest, AnAlertThatLeadsToUnhealthyHoldsBeforeItIsThere) {
  EXPECT_EQ(Judge(config::DEGRADED, true), DependencyVerdict::kHolds);
  EXPECT_EQ(Judge(config::HEALTHY, true), DependencyVerdict::kHolds);
  definition_.transitions.pop_back();  // Never more than DEGRADED.
  EXPECT_EQ(Judge(config::DEGRADED, true), DependencyVerdict::kWell);
  EXPECT_EQ(Judge(config::HEALTHY, false, true), DependencyVerdict::kWell);
}

TEST_F(JudgeDependencyTest, ABadLookWithoutAnAlertIsUndecided) {
  EXPECT_EQ(Judge(config::HEALTHY, false, true), DependencyVerdict::kUndecided);
  EXPECT_EQ(Judge(config::UNINITIALIZED, false, true), DependencyVerdict::kUndecided);
  definition_.enabled = false;
  EXPECT_EQ(Judge(config::DISABLED, false, true), DependencyVerdict::kWell);
}

}  // namespace
}  // namespace salve
