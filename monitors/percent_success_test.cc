#include "monitors/percent_success.h"

#include <limits>

#include "gtest/gtest.h"

namespace salve {
namespace {

constexpr absl::Duration kTick = absl::Nanoseconds(1);

config::PercentSuccess Config(double minimum, uint32_t min_samples, const char* window = "10s") {
  config::PercentSuccess config;
  config.set_minimum(minimum);
  config.set_min_samples(min_samples);
  config.set_window(window);
  return config;
}

struct Looks {
  explicit Looks(const config::PercentSuccess& config) : rule(NewPercentSuccess(config)) {}
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

TEST(PercentSuccessTest, HoldsBelowTheMinimumAndNotAtIt) {
  Looks looks(Config(50, 2));
  looks.Succeed(absl::Seconds(0)).Fail(absl::Seconds(1));
  EXPECT_FALSE(looks.rule->Holds());
  EXPECT_TRUE(looks.Fail(absl::Seconds(2)).rule->Holds());
  EXPECT_FALSE(looks.Succeed(absl::Seconds(3)).rule->Holds());
}

TEST(PercentSuccessTest, AHundredPercentAllowsNoFailure) {
  Looks looks(Config(100, 1));
  EXPECT_FALSE(looks.Succeed(absl::Seconds(0)).rule->Holds());
  EXPECT_TRUE(looks.Fail(absl::Seconds(1)).rule->Holds());
}

TEST(PercentSuccessTest, SaysNothingBeforeMinSamples) {
  Looks looks(Config(90, 3));
  looks.Fail(absl::Seconds(0)).Fail(absl::Seconds(1));
  EXPECT_FALSE(looks.rule->Holds());
  EXPECT_TRUE(looks.Fail(absl::Seconds(2)).rule->Holds());
}

TEST(PercentSuccessTest, ALookLeavesTheWindowExactlyAtItsEnd) {
  Looks inside(Config(60, 2));
  inside.Fail(absl::Seconds(0)).Succeed(absl::Seconds(10) - kTick);
  EXPECT_TRUE(inside.rule->Holds());
  Looks outside(Config(60, 2));
  outside.Fail(absl::Seconds(0)).Fail(absl::Seconds(10));
  EXPECT_FALSE(outside.rule->Holds());  // One sample is left.
}

TEST(PercentSuccessTest, SuccessesThatLeaveTheWindowCountNoMore) {
  Looks looks(Config(50, 2));
  looks.Succeed(absl::Seconds(0)).Fail(absl::Seconds(5));
  EXPECT_FALSE(looks.rule->Holds());
  EXPECT_TRUE(looks.Fail(absl::Seconds(10)).rule->Holds());
}

TEST(PercentSuccessTest, DefaultsAreNinetyPercentOfFiveInTenMinutes) {
  Looks looks(config::PercentSuccess{});
  for (int i = 0; i < 4; ++i) looks.Fail(absl::Minutes(i));
  EXPECT_FALSE(looks.rule->Holds());
  EXPECT_TRUE(looks.Succeed(absl::Minutes(10) - kTick).rule->Holds());
  Looks at_ninety(config::PercentSuccess{});
  at_ninety.Fail(absl::Seconds(0));
  for (int i = 1; i <= 8; ++i) at_ninety.Succeed(absl::Seconds(i));
  EXPECT_TRUE(at_ninety.rule->Holds());
  EXPECT_FALSE(at_ninety.Succeed(absl::Seconds(9)).rule->Holds());
}

TEST(PercentSuccessTest, ForgetStartsAnew) {
  Looks looks(Config(50, 2));
  looks.Succeed(absl::Seconds(0)).Fail(absl::Seconds(1)).Fail(absl::Seconds(2));
  looks.rule->Forget();
  EXPECT_FALSE(looks.rule->Holds());
  looks.Succeed(absl::Seconds(3)).Fail(absl::Seconds(4));
  EXPECT_FALSE(looks.rule->Holds());
  EXPECT_EQ(looks.rule->BadLooks(), 1u);
}

TEST(PercentSuccessTest, SaysWhatItCounted) {
  Looks looks(Config(90, 2));
  looks.Succeed(absl::Seconds(0)).Fail(absl::Seconds(1)).Fail(absl::Seconds(2));
  EXPECT_EQ(looks.rule->Evidence(), "33.3 % of 3 looks within 10s succeeded (minimum 90 %)");
  EXPECT_EQ(looks.rule->BadLooks(), 2u);
}

TEST(PercentSuccessTest, KeepsABoundedNumberOfLooks) {
  Looks looks(Config(50, 1, "24h"));
  for (int i = 0; i < 100'000; ++i) looks.Fail(absl::Milliseconds(i));
  EXPECT_EQ(looks.rule->BadLooks(), 100'000u);
  looks.Fail(absl::Milliseconds(100'000));
  EXPECT_EQ(looks.rule->BadLooks(), 100'000u);
}

TEST(PercentSuccessTest, MinimumIsAPercentage) {
  EXPECT_TRUE(CheckPercentSuccess(Config(0, 5)).ok());  // The default.
  EXPECT_TRUE(CheckPercentSuccess(Config(100, 5)).ok());
  for (const double wrong : {-0.1, 100.1, std::numeric_limits<double>::quiet_NaN()}) {
    const absl::Status status = CheckPercentSuccess(Config(wrong, 5));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << wrong;
    EXPECT_EQ(status.message().substr(0, 25), "percent_success.minimum: ") << status;
  }
}

TEST(PercentSuccessTest, MinSamplesIsAtMostTenThousand) {
  EXPECT_TRUE(CheckPercentSuccess(Config(90, 10'000)).ok());
  const absl::Status status = CheckPercentSuccess(Config(90, 10'001));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "percent_success.min_samples: 10001 is not in [1, 10000]");
}

TEST(PercentSuccessTest, WindowIsASecondToADay) {
  EXPECT_TRUE(CheckPercentSuccess(Config(90, 5, "1s")).ok());
  EXPECT_TRUE(CheckPercentSuccess(Config(90, 5, "24h")).ok());
  for (const char* wrong : {"999ms", "24h1ms", "soon"}) {
    const absl::Status status = CheckPercentSuccess(Config(90, 5, wrong));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << wrong;
    EXPECT_EQ(status.message().substr(0, 24), "percent_success.window: ") << status;
  }
}

}  // namespace
}  // namespace salve
