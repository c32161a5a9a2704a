#include "monitors/consecutive_failures.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

constexpr Instant kNow = Instant::FromNanosSinceBoot(1'000'000'000);

std::unique_ptr<Rule> RuleOf(uint32_t threshold) {
  config::ConsecutiveFailures config;
  config.set_threshold(threshold);
  EXPECT_TRUE(CheckConsecutiveFailures(config).ok());
  return NewConsecutiveFailures(config);
}

void Fail(Rule& rule, int times) {
  for (int i = 0; i < times; ++i) rule.Observe(kNow, Failed("refused"));
}

TEST(ConsecutiveFailuresTest, HoldsAtTheThresholdAndNotBefore) {
  const auto rule = RuleOf(4);
  EXPECT_FALSE(rule->Holds());
  Fail(*rule, 3);
  EXPECT_FALSE(rule->Holds());
  Fail(*rule, 1);
  EXPECT_TRUE(rule->Holds());
  Fail(*rule, 1);
  EXPECT_TRUE(rule->Holds());
}

TEST(ConsecutiveFailuresTest, ThresholdIsThreeByDefault) {
  const auto rule = RuleOf(0);
  Fail(*rule, 2);
  EXPECT_FALSE(rule->Holds());
  Fail(*rule, 1);
  EXPECT_TRUE(rule->Holds());
}

TEST(ConsecutiveFailuresTest, OneSuccessBreaksTheRun) {
  const auto rule = RuleOf(2);
  Fail(*rule, 1);
  rule->Observe(kNow, Observation{});
  Fail(*rule, 1);
  EXPECT_FALSE(rule->Holds());
  Fail(*rule, 1);
  EXPECT_TRUE(rule->Holds());
  rule->Observe(kNow, Observation{});
  EXPECT_FALSE(rule->Holds());
}

TEST(ConsecutiveFailuresTest, ATimedOutLookIsAFailedOne) {
  const auto rule = RuleOf(1);
  EXPECT_EQ(rule->Judge(TimedOut("3s")), Sign::kBad);
  EXPECT_EQ(rule->Judge(Failed("refused")), Sign::kBad);
  EXPECT_EQ(rule->Judge(Observation{}), Sign::kGood);
  rule->Observe(kNow, TimedOut("3s"));
  EXPECT_TRUE(rule->Holds());
}

TEST(ConsecutiveFailuresTest, ForgetStartsAnew) {
  const auto rule = RuleOf(2);
  Fail(*rule, 2);
  rule->Forget();
  EXPECT_FALSE(rule->Holds());
  EXPECT_EQ(rule->BadLooks(), 0u);
  Fail(*rule, 1);
  EXPECT_FALSE(rule->Holds());
}

TEST(ConsecutiveFailuresTest, SaysWhatItCounted) {
  const auto rule = RuleOf(3);
  Fail(*rule, 1);
  EXPECT_EQ(rule->Evidence(), "1 failure in a row (threshold 3)");
  Fail(*rule, 1);
  EXPECT_EQ(rule->Evidence(), "2 failures in a row (threshold 3)");
  EXPECT_EQ(rule->BadLooks(), 2u);
}

TEST(ConsecutiveFailuresTest, ThresholdIsAtMostAThousand) {
  config::ConsecutiveFailures config;
  config.set_threshold(1000);
  EXPECT_TRUE(CheckConsecutiveFailures(config).ok());
  config.set_threshold(1001);
  const absl::Status status = CheckConsecutiveFailures(config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "consecutive_failures.threshold: 1001 is not in [1, 1000]");
}

}  // namespace
}  // namespace salve
