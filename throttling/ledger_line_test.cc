#include "throttling/ledger_line.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

Instant At(int64_t seconds) { return Instant::FromNanosSinceBoot(seconds * 1'000'000'000); }

BootRow Boot(int64_t number, const std::string& id, int64_t last) {
  return {number, {id, Instant(), At(last), absl::UnixEpoch(), false}};
}
AttemptRow StartedIn(int64_t boot, int64_t start) {
  AttemptRow row;
  row.boot = boot;
  row.attempt.start = At(start);
  return row;
}

TEST(LedgerLineTest, TheFirstBootHasTheFirstNumber) {
  const LedgerLine line({}, {}, "a", At(10));
  EXPECT_EQ(line.RunningBoot().number, 1);
  EXPECT_EQ(line.RunningBoot().boot.boot_id, "a");
}

TEST(LedgerLineTest, ARestartWithinABootGoesOnWithItsRow) {
  const LedgerLine line({Boot(3, "a", 9)}, {}, "a", At(10));
  EXPECT_EQ(line.RunningBoot().number, 3);
  EXPECT_EQ(line.RunningBoot().boot.first, Instant());
}

TEST(LedgerLineTest, ABootThatIsBackAtAnEarlierMomentIsARowOfItsOwn) {
  const LedgerLine line({Boot(3, "a", 11)}, {}, "a", At(10));
  EXPECT_EQ(line.RunningBoot().number, 4);
  EXPECT_EQ(line.RunningBoot().boot.first, At(10));
}

TEST(LedgerLineTest, AnAttemptAfterTheLastHeartbeatShowsThatTheBootLastedLonger) {
  const AttemptRow attempt = StartedIn(1, 90);
  LedgerLine line({Boot(1, "a", 60)}, {attempt}, "b", At(10));
  line.Look(At(10), absl::UnixEpoch(), false);
  EXPECT_EQ(line.StartOf(attempt), absl::ZeroDuration());
  EXPECT_EQ(line.StartOf(StartedIn(1, 60)), -absl::Seconds(30));
}

TEST(LedgerLineTest, WhatHappenedInAForgottenBootIsNotOlderThanTheOldestThatIsKnown) {
  const AttemptRow attempt = StartedIn(1, 50);
  LedgerLine line({Boot(5, "a", 100)}, {attempt}, "b", At(10));
  line.Look(At(10), absl::UnixEpoch(), false);
  EXPECT_EQ(line.StartOf(attempt), -absl::Seconds(100));
}

TEST(LedgerLineTest, FillsInTheBootIdsThatAreKnown) {
  LedgerLine line({Boot(5, "a", 100)}, {}, "b", At(10));
  AttemptRow row = StartedIn(5, 1);
  row.end_boot = 6;
  line.SetBootIds(row);
  EXPECT_EQ(row.attempt.boot_id, "a");
  EXPECT_EQ(row.attempt.end_boot_id, "b");
  row.boot = 1;
  line.SetBootIds(row);
  EXPECT_EQ(row.attempt.boot_id, "");
}

}  // namespace
}  // namespace salve
