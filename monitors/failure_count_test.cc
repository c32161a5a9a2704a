#include "monitors/failure_count.h"

#include "gtest/gtest.h"

namespace salve {
namespace {

constexpr absl::Duration kTick = absl::Nanoseconds(1);

config::FailureCount Config(uint32_t threshold, const char* window) {
  config::FailureCount config;
  config.set_threshold(threshold);
  config.set_window(window);
  return config;
}

// A rule, and the looks that it was given at ages since the test began.
struct Looks {
  explicit Looks(const config::FailureCount& config) : rule(NewFailureCount(config)) {}
  Looks& Fail(absl::Duration at) {
    rule->Observe(Instant() + absl::Hours(1) + at, Failed("refused"));
    return *this;
  }
  Looks& Succeed(absl::Duration at) {
    rule->Observe(Instant() + absl::Hours(1) + at, Observation{});
    return *this;
  }
  std::unique_ptr<Rule> rule;
};

TEST(FailureCountTest, HoldsAtTheThresholdAndNotBefore) {
  Looks looks(Config(2, "10s"));
  EXPECT_FALSE(looks.Fail(absl::Seconds(0)).rule->Holds());
  EXPECT_TRUE(looks.Fail(absl::Seconds(1)).rule->Holds());
}

TEST(FailureCountTest, SuccessesBetweenDoNotMatter) {
  Looks looks(Config(2, "10s"));
  looks.Fail(absl::Seconds(0)).Succeed(absl::Seconds(1)).Fail(absl::Seconds(2));
  EXPECT_TRUE(looks.rule->Holds());
  EXPECT_TRUE(looks.Succeed(absl::Seconds(3)).rule->Holds());
}

TEST(FailureCountTest, AFailureLeavesTheWindowExactlyAtItsEnd) {
  Looks inside(Config(2, "10s"));
  inside.Fail(absl::Seconds(0)).Fail(absl::Seconds(10) - kTick);
  EXPECT_TRUE(inside.rule->Holds());
  Looks outside(Config(2, "10s"));
  outside.Fail(absl::Seconds(0)).Fail(absl::Seconds(10));
  EXPECT_FALSE(outside.rule->Holds());
}

TEST(FailureCountTest, ASuccessAtTheEndOfTheWindowLetsItGo) {
  Looks looks(Config(1, "10s"));
  looks.Fail(absl::Seconds(0)).Succeed(absl::Seconds(10) - kTick);
  EXPECT_TRUE(looks.rule->Holds());
  EXPECT_FALSE(looks.Succeed(absl::Seconds(10)).rule->Holds());
}

TEST(FailureCountTest, MoreFailuresThanTheThresholdStillEndWithTheirWindow) {
  Looks looks(Config(2, "10s"));
  for (int i = 0; i <= 8; ++i) looks.Fail(absl::Seconds(i));
  EXPECT_TRUE(looks.Succeed(absl::Seconds(17) - kTick).rule->Holds());
  EXPECT_FALSE(looks.Succeed(absl::Seconds(17)).rule->Holds());
}

TEST(FailureCountTest, DefaultsAreThreeInTenMinutes) {
  Looks looks(config::FailureCount{});
  looks.Fail(absl::Minutes(0)).Fail(absl::Minutes(1));
  EXPECT_FALSE(looks.rule->Holds());
  EXPECT_TRUE(looks.Fail(absl::Minutes(10) - kTick).rule->Holds());
  EXPECT_FALSE(looks.Succeed(absl::Minutes(10)).rule->Holds());
}

TEST(FailureCountTest, ForgetStartsAnew) {
  Looks looks(Config(2, "10s"));
  looks.Fail(absl::Seconds(0)).Fail(absl::Seconds(1));
  looks.rule->Forget();
  EXPECT_FALSE(looks.rule->Holds());
  EXPECT_FALSE(looks.Fail(absl::Seconds(2)).rule->Holds());
}

TEST(FailureCountTest, SaysWhatItCounted) {
  Looks looks(Config(3, "10s"));
  looks.Fail(absl::Seconds(0)).Fail(absl::Seconds(1));
  EXPECT_EQ(looks.rule->Evidence(), "2 failures within 10s (threshold 3)");
  EXPECT_EQ(looks.rule->BadLooks(), 2u);
}

TEST(FailureCountTest, ThresholdIsAtMostTenThousand) {
  EXPECT_TRUE(CheckFailureCount(Config(10'000, "")).ok());
  const absl::Status status = CheckFailureCount(Config(10'001, ""));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "failure_count.threshold: 10001 is not in [1, 10000]");
}

TEST(FailureCountTest, WindowIsASecondToADay) {
  EXPECT_TRUE(CheckFailureCount(Config(1, "1s")).ok());
  EXPECT_TRUE(CheckFailureCount(Config(1, "24h")).ok());
  for (const char* wrong : {"999ms", "24h1ms", "soon", "inf", "-5s", "10", "1.5h"}) {
    const absl::Status status = CheckFailureCount(Config(1, wrong));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << wrong;
    EXPECT_EQ(status.message().substr(0, 22), "failure_count.window: ") << status;
  }
}

}  // namespace
}  // namespace salve
