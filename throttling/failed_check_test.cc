#include "throttling/failed_check.h"

#include <deque>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr absl::Duration kNow = absl::Hours(1000);

class FailedCheckTest : public testing::Test {
 protected:
  const Attempt* NewAttempt() {
    Attempt& attempt = attempts_.emplace_back();
    attempt.id = absl::StrCat("a", attempts_.size());
    return &attempt;
  }
  void Finished(absl::Duration age) { history_.AddFinished(kNow - age, kNow - age, NewAttempt()); }
  std::vector<FailedCheck> Explain(const Limits& limits) {
    return ExplainFailed(CheckLocal(limits, history_, kNow), history_, kNow);
  }
  static std::vector<std::string> Ids(const FailedCheck& failed) {
    std::vector<std::string> ids;
    for (const Attempt& attempt : failed.attempts) ids.push_back(attempt.id);
    return ids;
  }

  KeyHistory history_;
  std::deque<Attempt> attempts_;
};

TEST_F(FailedCheckTest, WhatPassesHasNothingToExplain) {
  Finished(absl::Minutes(61));
  EXPECT_THAT(Explain({true, 60, 1, -1, -1, -1}), IsEmpty());
}

TEST_F(FailedCheckTest, TheMinimumIsBlockedByTheYoungest) {
  Finished(absl::Minutes(50));
  Finished(absl::Minutes(20));
  const std::vector<FailedCheck> all = Explain({true, 60, -1, -1, -1, -1});
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_THAT(Ids(all[0]), ElementsAre("a2"));
  EXPECT_EQ(all[0].limit, 60);
  EXPECT_EQ(all[0].passes_in, absl::Minutes(40));
}

TEST_F(FailedCheckTest, AMaximumIsBlockedByAllInItsWindowAndPassesWhenEnoughHaveLeft) {
  Finished(absl::Minutes(60));  // Outside.
  Finished(absl::Minutes(50));
  Finished(absl::Minutes(40));
  Finished(absl::Minutes(10));
  const std::vector<FailedCheck> all = Explain({true, -1, 2, -1, -1, -1});
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_THAT(Ids(all[0]), ElementsAre("a2", "a3", "a4"));
  EXPECT_EQ(all[0].total, 3);
  EXPECT_EQ(all[0].passes_in, absl::Minutes(20));  // When a3 leaves, one is left.
}

TEST_F(FailedCheckTest, AMaximumOfZeroNeverPasses) {
  const std::vector<FailedCheck> all = Explain({true, -1, -1, 0, -1, -1});
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_THAT(Ids(all[0]), IsEmpty());
  EXPECT_EQ(all[0].passes_in, absl::InfiniteDuration());
}

TEST_F(FailedCheckTest, AnAttemptInProgressBlocksUntilItsDeadline) {
  history_.AddRunning(kNow - absl::Minutes(1), kNow + absl::Seconds(30), NewAttempt());
  history_.AddRunning(kNow - absl::Minutes(9), kNow, NewAttempt());  // Over: it does not.
  const std::vector<FailedCheck> all = Explain({true, -1, -1, -1, -1, -1});
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_THAT(Ids(all[0]), ElementsAre("a1"));
  EXPECT_EQ(all[0].limit, -1);
  EXPECT_EQ(all[0].passes_in, absl::Seconds(30));
}

TEST_F(FailedCheckTest, OfManyTheYoungestTenAreNamed) {
  for (int i = 30; i > 0; --i) Finished(absl::Minutes(i));
  const std::vector<FailedCheck> all = Explain({true, -1, -1, 5, -1, -1});
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_EQ(all[0].total, 30);
  ASSERT_THAT(all[0].attempts, SizeIs(10));
  EXPECT_EQ(all[0].attempts.front().id, "a21");
  EXPECT_EQ(all[0].attempts.back().id, "a30");
}

}  // namespace
}  // namespace salve
