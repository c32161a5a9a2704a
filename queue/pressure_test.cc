#include "queue/pressure.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

constexpr int64_t kMiB = 1 << 20;

class PressureOfTest : public ::testing::Test {
 protected:
  PressureOfTest() {
    rules_.messages_max = 100;
    rules_.bytes_max = 100 * kMiB;
  }
  Pressure Of(int64_t messages, int64_t mib, int64_t free_mib = 1000, int64_t total_mib = 10000) {
    return PressureOf({messages, mib * kMiB, {free_mib * kMiB, total_mib * kMiB}}, rules_);
  }
  QueueRules rules_;
};

TEST_F(PressureOfTest, BoundsOnBothSides) {
  EXPECT_EQ(Of(80, 0), Pressure::kNone);
  EXPECT_EQ(Of(81, 0), Pressure::kForeignWait);
  EXPECT_EQ(Of(100, 0), Pressure::kForeignWait);
  EXPECT_EQ(Of(101, 0), Pressure::kForeignRefused);
  EXPECT_EQ(Of(0, 80), Pressure::kNone);
  EXPECT_EQ(Of(0, 81), Pressure::kForeignWait);
  EXPECT_EQ(Of(0, 101), Pressure::kForeignRefused);
}

TEST_F(PressureOfTest, AShortDiskOnBothSides) {
  EXPECT_EQ(Of(0, 0, 64), Pressure::kNone);
  EXPECT_EQ(Of(0, 0, 63), Pressure::kForeignWait);
  EXPECT_EQ(Of(0, 0, 16), Pressure::kForeignWait);
  EXPECT_EQ(Of(0, 0, 15), Pressure::kForeignRefused);
}

TEST_F(PressureOfTest, ASmallDiskWantsATenthOfItself) {
  EXPECT_EQ(Of(0, 0, 10, 100), Pressure::kNone);
  EXPECT_EQ(Of(0, 0, 9, 100), Pressure::kForeignWait);
}

TEST_F(PressureOfTest, ADiskThatCannotBeReadIsNotShort) {
  EXPECT_EQ(Of(0, 0, 0, 0), Pressure::kNone);
}

TEST_F(PressureOfTest, WhatLastsEndsLater) {
  const PressureInput now{76, 0, {1000 * kMiB, 10000 * kMiB}};
  EXPECT_EQ(PressureOf(now, rules_), Pressure::kNone);
  EXPECT_EQ(PressureOf(now, rules_, 75), Pressure::kForeignWait);
}

}  // namespace
}  // namespace salve
