#include "throttling/uptime_line.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

constexpr absl::Time kWall = absl::FromUnixSeconds(1'000'000'000);

Instant At(absl::Duration since_boot) {
  return Instant::FromNanosSinceBoot(absl::ToInt64Nanoseconds(since_boot));
}
SeenBoot Boot(absl::Duration lasted, absl::Time last_wall, bool synchronised) {
  return {"b", Instant(), At(lasted), last_wall, synchronised};
}
// The age, at the running boot's `now`, of a moment of boot `boot`.
absl::Duration AgeOf(const UptimeLine& line, absl::Duration now, size_t boot,
                     absl::Duration moment) {
  return now - line.At(boot, At(moment));
}

TEST(UptimeLineTest, WithinABootAgesAreUptime) {
  UptimeLine line({Boot(absl::Hours(1), kWall, true)});
  line.Look(At(absl::Hours(2)), kWall - absl::Hours(900), true);
  EXPECT_EQ(AgeOf(line, absl::Hours(2), 0, absl::Hours(1)), absl::Hours(1));
}

TEST(UptimeLineTest, AcrossBootsUptimeThatWasSeenCounts) {
  UptimeLine line({Boot(absl::Hours(5), kWall, false), Boot(absl::Hours(3), kWall, false),
                   Boot(absl::ZeroDuration(), kWall, false)});
  line.Look(At(absl::Hours(1)), kWall + absl::Hours(10'000), false);
  // Two hours of the rest of the first boot, three of the second, one of this.
  EXPECT_EQ(AgeOf(line, absl::Hours(1), 0, absl::Hours(3)), absl::Hours(6));
  EXPECT_EQ(AgeOf(line, absl::Hours(1), 1, absl::Hours(3)), absl::Hours(1));
}

TEST(UptimeLineTest, TimeSwitchedOffCountsWhenBothEndsAreSynchronised) {
  UptimeLine line({Boot(absl::Hours(5), kWall, true), Boot(absl::ZeroDuration(), kWall, false)});
  line.Look(At(absl::Hours(1)), kWall + absl::Hours(11), true);
  EXPECT_EQ(AgeOf(line, absl::Hours(1), 0, absl::Hours(5)), absl::Hours(11));
}

TEST(UptimeLineTest, TimeSwitchedOffDoesNotCountWhenTheFirstEndWasNotSynchronised) {
  UptimeLine line({Boot(absl::Hours(5), kWall, false), Boot(absl::ZeroDuration(), kWall, false)});
  line.Look(At(absl::Hours(1)), kWall + absl::Hours(11), true);
  EXPECT_EQ(AgeOf(line, absl::Hours(1), 0, absl::Hours(5)), absl::Hours(1));
}

TEST(UptimeLineTest, TimeSwitchedOffDoesNotCountWhileThisEndIsNotSynchronised) {
  UptimeLine line({Boot(absl::Hours(5), kWall, true), Boot(absl::ZeroDuration(), kWall, false)});
  line.Look(At(absl::Hours(1)), kWall + absl::Hours(11), false);
  EXPECT_EQ(AgeOf(line, absl::Hours(1), 0, absl::Hours(5)), absl::Hours(1));
  // It does as soon as the kernel says so, and no longer when it says no more.
  EXPECT_TRUE(line.Look(At(absl::Hours(2)), kWall + absl::Hours(12), true));
  EXPECT_EQ(AgeOf(line, absl::Hours(2), 0, absl::Hours(5)), absl::Hours(12));
  EXPECT_TRUE(line.Look(At(absl::Hours(3)), kWall + absl::Hours(13), false));
  EXPECT_EQ(AgeOf(line, absl::Hours(3), 0, absl::Hours(5)), absl::Hours(3));
}

TEST(UptimeLineTest, AClockThatWentBackCannotMakeAnAgeLessThanItsUptime) {
  UptimeLine line({Boot(absl::Hours(5), kWall, true), Boot(absl::ZeroDuration(), kWall, false)});
  line.Look(At(absl::Hours(1)), kWall - absl::Hours(1'000), true);
  EXPECT_EQ(AgeOf(line, absl::Hours(1), 0, absl::Hours(5)), absl::Hours(1));
}

TEST(UptimeLineTest, AnUnsynchronisedBootBetweenAddsItsUptime) {
  UptimeLine line({Boot(absl::Hours(5), kWall, true), Boot(absl::Hours(3), kWall, false),
                   Boot(absl::ZeroDuration(), kWall, false)});
  line.Look(At(absl::Hours(1)), kWall + absl::Hours(2), true);
  // The wall says two hours, but four of uptime were seen.
  EXPECT_EQ(AgeOf(line, absl::Hours(1), 0, absl::Hours(5)), absl::Hours(4));
}

TEST(UptimeLineTest, ARestoredSnapshotDoesNotCountItsEarlierLifeTwice) {
  SeenBoot restored = Boot(absl::Hours(4), kWall, false);
  restored.first = At(absl::Hours(4));
  UptimeLine line({Boot(absl::Hours(5), kWall, false), restored});
  line.Look(At(absl::Hours(6)), kWall, false);
  EXPECT_EQ(AgeOf(line, absl::Hours(6), 0, absl::Hours(5)), absl::Hours(2));
}

TEST(UptimeLineTest, NothingMovesWhileTheKernelSaysTheSame) {
  UptimeLine line({Boot(absl::Hours(5), kWall, true), Boot(absl::ZeroDuration(), kWall, false)});
  EXPECT_TRUE(line.Look(At(absl::Hours(1)), kWall + absl::Hours(11), true));
  EXPECT_FALSE(line.Look(At(absl::Hours(2)), kWall + absl::Hours(99), true));
  EXPECT_EQ(AgeOf(line, absl::Hours(2), 0, absl::Hours(5)), absl::Hours(12));
}

}  // namespace
}  // namespace salve
