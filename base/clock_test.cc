#include "base/clock.h"

#include <limits>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

constexpr Instant kStart = Instant::FromNanosSinceBoot(1000);

TEST(InstantTest, MovesByADurationBothWays) {
  EXPECT_EQ((kStart + absl::Nanoseconds(5)).nanos_since_boot(), 1005);
  EXPECT_EQ((kStart - absl::Nanoseconds(5)).nanos_since_boot(), 995);
  EXPECT_EQ((kStart + absl::Seconds(2)) - kStart, absl::Seconds(2));
  EXPECT_EQ(kStart - (kStart + absl::Seconds(2)), -absl::Seconds(2));
}

TEST(InstantTest, IsOrdered) {
  EXPECT_LT(kStart, kStart + absl::Nanoseconds(1));
  EXPECT_LT(kStart, Instant::InfiniteFuture());
  EXPECT_EQ(kStart, kStart + absl::ZeroDuration());
}

TEST(InstantTest, EndsInTheInfiniteFuture) {
  EXPECT_EQ(kStart + absl::InfiniteDuration(), Instant::InfiniteFuture());
  EXPECT_EQ(Instant::InfiniteFuture() + absl::Seconds(1), Instant::InfiniteFuture());
  EXPECT_EQ(Instant::InfiniteFuture() - kStart, absl::InfiniteDuration());
  EXPECT_EQ(
      Instant::FromNanosSinceBoot(std::numeric_limits<int64_t>::max() - 1) + absl::Nanoseconds(1),
      Instant::InfiniteFuture());
}

TEST(InstantTest, StaysInTheInfiniteFutureWhenTimeIsTaken) {
  EXPECT_EQ(Instant::InfiniteFuture() - absl::Seconds(1), Instant::InfiniteFuture());
}

TEST(InstantTest, GoesNoFurtherBackThanItsFirstPoint) {
  const Instant first = Instant() - absl::InfiniteDuration();
  EXPECT_LT(first, Instant());
  EXPECT_EQ(first - absl::Seconds(1), first);
  EXPECT_GT(Instant() - first, absl::Hours(24 * 365 * 200));
}

TEST(SimulatedClockTest, MovesBothLinesOnlyWhenTold) {
  SimulatedClock clock(absl::FromUnixSeconds(100), kStart);
  EXPECT_EQ(clock.Now(), kStart);
  clock.Advance(absl::Seconds(3));
  EXPECT_EQ(clock.Now(), kStart + absl::Seconds(3));
  EXPECT_EQ(clock.WallNow(), absl::FromUnixSeconds(103));
}

TEST(SimulatedClockTest, StepsTheWallAlone) {
  SimulatedClock clock(absl::FromUnixSeconds(100), kStart);
  clock.StepWall(-absl::Seconds(30));
  EXPECT_EQ(clock.Now(), kStart);
  EXPECT_EQ(clock.WallNow(), absl::FromUnixSeconds(70));
}

TEST(SystemClockTest, NeverGoesBack) {
  const SystemClock clock;
  const Instant first = clock.Now();
  EXPECT_GT(first, Instant());
  EXPECT_LE(first, clock.Now());
}

TEST(SystemClockTest, KnowsTheTimeOfPeople) {
  EXPECT_GT(SystemClock().WallNow(), absl::FromUnixSeconds(1'600'000'000));
}

}  // namespace
}  // namespace salve
