#include "queue/rate_window.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

TEST(RateWindowTest, HasRoomUntilSoManyWentAndAgainWhenTheWindowHasPassed) {
  RateWindow window;
  SimulatedClock clock;
  const Instant start = clock.Now();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(window.RoomAt(clock.Now(), 2, absl::Minutes(5)), clock.Now());
    window.Add(clock.Now());
    clock.Advance(absl::Minutes(1));
  }
  EXPECT_EQ(window.RoomAt(clock.Now(), 2, absl::Minutes(5)), start + absl::Minutes(5));
  clock.Advance(absl::Minutes(3) - absl::Nanoseconds(1));
  EXPECT_GT(window.RoomAt(clock.Now(), 2, absl::Minutes(5)), clock.Now());
  clock.Advance(absl::Nanoseconds(1));
  EXPECT_EQ(window.RoomAt(clock.Now(), 2, absl::Minutes(5)), clock.Now());
}

}  // namespace
}  // namespace salve
