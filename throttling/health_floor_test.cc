#include "throttling/health_floor.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::HasSubstr;

bool Allows(int percent, int servers, int healthy_others) {
  return !BelowHealthFloor(percent, {.servers = servers, .healthy_others = healthy_others})
              .has_value();
}

// The only server could never be healed: nobody else is there to be asked too much of.
TEST(HealthFloorTest, AGroupOfOneMayAlwaysHealItself) {
  for (int percent : {0, 1, 50, 100}) EXPECT_EQ(HealthyOthersNeeded(percent, 1), 0) << percent;
  EXPECT_TRUE(Allows(100, 1, 0));
}

TEST(HealthFloorTest, OfTwoTheOtherMustBeHealthyWhateverThePercentage) {
  EXPECT_EQ(HealthyOthersNeeded(0, 2), 0);
  for (int percent : {1, 50, 51, 100}) EXPECT_EQ(HealthyOthersNeeded(percent, 2), 1) << percent;
  EXPECT_TRUE(Allows(50, 2, 1));
  EXPECT_FALSE(Allows(50, 2, 0));
  EXPECT_TRUE(Allows(0, 2, 0));
}

TEST(HealthFloorTest, OfThreeAThirdIsOneAndJustMoreIsTwo) {
  EXPECT_EQ(HealthyOthersNeeded(1, 3), 1);
  EXPECT_EQ(HealthyOthersNeeded(33, 3), 1);  // 0.99 of a server is one.
  EXPECT_EQ(HealthyOthersNeeded(34, 3), 2);  // 1.02 are two.
  EXPECT_EQ(HealthyOthersNeeded(66, 3), 2);
  EXPECT_EQ(HealthyOthersNeeded(67, 3), 2);  // Three would need the one that asks.
  EXPECT_EQ(HealthyOthersNeeded(100, 3), 2);
  EXPECT_TRUE(Allows(34, 3, 2));
  EXPECT_FALSE(Allows(34, 3, 1));
}

TEST(HealthFloorTest, WholeNumbersAreNotRoundedUp) {
  EXPECT_EQ(HealthyOthersNeeded(50, 10), 5);
  EXPECT_EQ(HealthyOthersNeeded(51, 10), 6);
  EXPECT_EQ(HealthyOthersNeeded(100, 2'000'000'000), 1'999'999'999);
}

TEST(HealthFloorTest, AnEmptyGroupIsNeverNoLimit) {
  EXPECT_THAT(*BelowHealthFloor(1, {.servers = 0, .healthy_others = 0}), HasSubstr("not known"));
  EXPECT_FALSE(Allows(100, -1, 0));
  EXPECT_TRUE(Allows(0, 0, 0));  // No floor was asked for.
}

TEST(HealthFloorTest, SaysWhatIsThereAndWhatIsNeeded) {
  EXPECT_EQ(*BelowHealthFloor(50, {.servers = 3, .healthy_others = 1}),
            "health floor: 1 of the 2 other servers of the group are healthy, and "
            "min_healthy_percent 50 needs 2");
}

}  // namespace
}  // namespace salve
