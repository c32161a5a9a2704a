#include "agent/guards.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kWall = absl::FromUnixSeconds(1'800'000'000);

class GuardsTest : public testing::Test {
 protected:
  Guard For(absl::Duration length, const std::string& reason = "disks") {
    return NewGuard("ada", reason, length, now_, wall_);
  }
  void Pass(absl::Duration d) {
    now_ = now_ + d;
    wall_ += d;
  }
  // The agent dies and begins again; after a reboot the uptime begins anew.
  void Restart(const std::string& boot, absl::Duration down = absl::ZeroDuration()) {
    const guards::GuardRecord record = guards_.Save(boot_);
    Pass(down);
    if (boot != boot_) now_ = Instant() + absl::Seconds(20);
    boot_ = boot;
    guards_ = Guards();
    guards_.Restore(record, now_, wall_, boot_);
  }
  std::string Holds(const std::string& set) const { return JoinHolds(guards_.HoldsOn(set)); }

  Instant now_ = Instant() + absl::Hours(1);
  absl::Time wall_ = kWall;
  std::string boot_ = "boot-1";
  Guards guards_;
};

TEST_F(GuardsTest, AHoldIsForWhatItSaysAndNothingElse) {
  const ActionTraits restart = {.is_disruptive = true, .is_notification = false};
  const ActionTraits collect = {.is_disruptive = false, .is_notification = false};
  const ActionTraits escalate = {.is_disruptive = false, .is_notification = true};
  for (HoldKind kind : {HoldKind::kBootGrace, HoldKind::kPause}) {
    EXPECT_TRUE(KeepsFrom(kind, restart));
    EXPECT_TRUE(KeepsFrom(kind, collect));
    EXPECT_FALSE(KeepsFrom(kind, escalate));
  }
  EXPECT_TRUE(KeepsFrom(HoldKind::kMaintenance, escalate));
  EXPECT_TRUE(KeepsFrom(HoldKind::kDependency, restart));
  EXPECT_FALSE(KeepsFrom(HoldKind::kDependency, collect));
  EXPECT_FALSE(KeepsFrom(HoldKind::kDependency, escalate));
}

TEST_F(GuardsTest, AMaintenanceOfOneSetIsNoneOfAnother) {
  guards_.StartMaintenance("Db", For(absl::Hours(2)));
  EXPECT_THAT(Holds("Db"), HasSubstr("maintenance of Db by ada until "));
  EXPECT_THAT(Holds("Db"), HasSubstr(": disks"));
  EXPECT_EQ(Holds("Web"), "");
  EXPECT_TRUE(guards_.IsInMaintenance("Db"));
  EXPECT_FALSE(guards_.IsInMaintenance("Web"));
  guards_.StartMaintenance("", For(absl::Hours(1)));
  EXPECT_TRUE(guards_.IsInMaintenance("Web"));
  EXPECT_THAT(guards_.HoldsOn("Db"), SizeIs(2));
  EXPECT_THAT(guards_.HoldsOn("Web"), SizeIs(1));
}

TEST_F(GuardsTest, EndsByItselfAtItsTimeAndNotBefore) {
  guards_.StartMaintenance("Db", For(absl::Hours(2)));
  EXPECT_EQ(guards_.NextEnd(), now_ + absl::Hours(2));
  Pass(absl::Hours(2) - absl::Nanoseconds(1));
  EXPECT_THAT(guards_.TakeEnded(now_), IsEmpty());
  Pass(absl::Nanoseconds(1));
  const auto ended = guards_.TakeEnded(now_);
  ASSERT_THAT(ended, SizeIs(1));
  EXPECT_EQ(ended[0].what, "maintenance of Db");
  EXPECT_EQ(Holds("Db"), "");
  EXPECT_EQ(guards_.NextEnd(), Instant::InfiniteFuture());
}

TEST_F(GuardsTest, ASteppedClockNeitherEndsNorProlongs) {
  guards_.StartMaintenance("", For(absl::Hours(2)));
  wall_ += absl::Hours(24 * 365);
  EXPECT_THAT(guards_.TakeEnded(now_), IsEmpty());
  Restart("boot-1");
  EXPECT_THAT(guards_.TakeEnded(now_), IsEmpty());
  wall_ -= absl::Hours(24 * 3650);
  Restart("boot-1");
  Pass(absl::Hours(2));
  EXPECT_THAT(guards_.TakeEnded(now_), SizeIs(1));
}

TEST_F(GuardsTest, SurvivesARebootForTheRestOfItsTime) {
  guards_.StartMaintenance("Db", For(absl::Hours(2), "new disks"));
  guards_.Pause(For(absl::InfiniteDuration(), "storm"));
  Pass(absl::Minutes(30));
  Restart("boot-2", absl::Minutes(10));
  EXPECT_THAT(Holds("Db"), HasSubstr("new disks"));
  EXPECT_EQ(guards_.PausedBecause(), "actions are paused by ada: storm");
  EXPECT_EQ(guards_.NextEnd(), now_ + absl::Minutes(80));
}

TEST_F(GuardsTest, WhatEndedWhileTheServerWasOffIsOver) {
  guards_.StartMaintenance("Db", For(absl::Hours(2)));
  Restart("boot-2", absl::Hours(3));
  EXPECT_THAT(guards_.TakeEnded(now_), SizeIs(1));
  EXPECT_EQ(Holds("Db"), "");
}

// A clock that lost its battery shows 1970 after the boot.
TEST_F(GuardsTest, ARebootWithAClockFarBackProlongsByNoMoreThanTheWholeTime) {
  guards_.StartMaintenance("Db", For(absl::Hours(2)));
  wall_ = absl::UnixEpoch();
  Restart("boot-2");
  EXPECT_EQ(guards_.NextEnd(), now_ + absl::Hours(2));
}

TEST_F(GuardsTest, EndTellsWhatItWasAndIsForTheSameSetOnly) {
  guards_.StartMaintenance("Db", For(absl::Hours(2), "new disks"));
  EXPECT_FALSE(guards_.EndMaintenance("").has_value());
  EXPECT_EQ(guards_.EndMaintenance("Db")->reason, "new disks");
  EXPECT_FALSE(guards_.EndMaintenance("Db").has_value());
}

TEST_F(GuardsTest, EachPauseHoldsByItself) {
  guards_.Pause(For(absl::Minutes(5)));
  guards_.SetFiles({{"/etc/salve/actions.paused", For(absl::InfiniteDuration(), "by hand")}});
  guards_.SetGroupText("by bob", now_, wall_);
  EXPECT_THAT(guards_.HoldsOn("Web"), SizeIs(1));
  EXPECT_THAT(guards_.PausedBecause(),
              HasSubstr("; actions are paused by the file /etc/salve/actions.paused: by hand; "
                        "actions of the group are paused by a text in the group's key: by bob"));
  EXPECT_TRUE(guards_.Resume().has_value());
  EXPECT_FALSE(guards_.Resume().has_value());
  guards_.SetFiles({});
  EXPECT_NE(guards_.PausedBecause(), "");
  EXPECT_TRUE(guards_.SetGroupText("", now_, wall_));
  EXPECT_EQ(guards_.PausedBecause(), "");
}

TEST_F(GuardsTest, TheGroupsPauseIsReadAsItWasWritten) {
  EXPECT_TRUE(guards_.SetGroupText(GroupPauseText(For(absl::Hours(1), "storm")), now_, wall_));
  EXPECT_EQ(guards_.group_pause()->who, "ada");
  EXPECT_EQ(guards_.group_pause()->reason, "storm");
  EXPECT_EQ(guards_.NextEnd(), now_ + absl::Hours(1));
  Pass(absl::Hours(1));
  EXPECT_EQ(guards_.TakeEnded(now_)[0].what, "pause of the group");
  EXPECT_EQ(guards_.PausedBecause(), "");
}

TEST_F(GuardsTest, TheLastPauseOfTheGroupHoldsAcrossARestartAndTheSameTextIsNoNews) {
  const std::string text = GroupPauseText(For(absl::Hours(1)));
  guards_.SetGroupText(text, now_, wall_);
  Pass(absl::Minutes(10));
  Restart("boot-1");
  EXPECT_NE(guards_.PausedBecause(), "");
  EXPECT_FALSE(guards_.SetGroupText(text, now_, wall_));
  EXPECT_EQ(guards_.NextEnd(), now_ + absl::Minutes(50));
  Pass(absl::Minutes(50));
  guards_.TakeEnded(now_);
  Restart("boot-1");
  EXPECT_FALSE(guards_.SetGroupText(text, now_, wall_));  // It has ended, and stays so.
  EXPECT_EQ(guards_.PausedBecause(), "");
}

TEST_F(GuardsTest, APauseOfTheGroupThatIsOverPausesNothing) {
  const std::string text = GroupPauseText(For(absl::Hours(1)));
  Pass(absl::Hours(2));
  EXPECT_FALSE(guards_.SetGroupText(text, now_, wall_));
  EXPECT_EQ(guards_.PausedBecause(), "");
}

// Whoever writes the key by hand means it.
TEST_F(GuardsTest, ATextOfTheGroupThatNobodyUnderstandsPauses) {
  for (const std::string text : {"stop!\nall of it", "{", "[1]", "{\"Until\": 7}", "\xff\xfe"}) {
    guards_ = Guards();
    EXPECT_TRUE(guards_.SetGroupText(text, now_, wall_)) << text;
    EXPECT_NE(guards_.PausedBecause(), "") << text;
    EXPECT_EQ(guards_.NextEnd(), Instant::InfiniteFuture()) << text;
  }
  guards_.SetGroupText("stop!\nall of it", now_, wall_);
  EXPECT_EQ(guards_.group_pause()->reason, "stop!");
  guards_.SetGroupText("{\"Newer\": 1}", now_, wall_);
  EXPECT_NE(guards_.PausedBecause(), "");
}

TEST_F(GuardsTest, TextsAreCutAndHoldNoControlCharacters) {
  const Guard guard =
      NewGuard("a\nb", std::string(5000, 'x'), absl::InfiniteDuration(), now_, wall_);
  EXPECT_EQ(guard.who, "a b");
  EXPECT_EQ(guard.reason.size(), kGuardTextMax);
}

}  // namespace
}  // namespace salve
