#include "monitors/value_bound.h"

#include <limits>

#include "gtest/gtest.h"

namespace salve {
namespace {

constexpr Instant kNow = Instant::FromNanosSinceBoot(1'000'000'000);
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Observation Saw(double number, const char* name = "latency_ms") {
  Observation observation;
  observation.values.push_back({.name = name, .number = number, .unit = "ms"});
  return observation;
}

config::ValueBound Config(double threshold, uint32_t samples = 1) {
  config::ValueBound config;
  config.set_threshold(threshold);
  config.set_samples(samples);
  return config;
}

bool HoldsAfter(Rule& rule, double number) {
  rule.Observe(kNow, Saw(number));
  return rule.Holds();
}

TEST(ValueBoundTest, AboveHoldsBeyondTheThresholdAndNotAtIt) {
  const auto rule = NewValueBound(Config(100), BoundSide::kAbove);
  EXPECT_FALSE(HoldsAfter(*rule, 100));
  EXPECT_TRUE(HoldsAfter(*rule, 100.5));
  EXPECT_FALSE(HoldsAfter(*rule, 100));
}

TEST(ValueBoundTest, BelowHoldsBeyondTheThresholdAndNotAtIt) {
  const auto rule = NewValueBound(Config(14), BoundSide::kBelow);
  EXPECT_FALSE(HoldsAfter(*rule, 14));
  EXPECT_TRUE(HoldsAfter(*rule, 13.9));
  EXPECT_FALSE(HoldsAfter(*rule, 14));
}

TEST(ValueBoundTest, NeedsAllSamplesInARow) {
  const auto rule = NewValueBound(Config(100, 3), BoundSide::kAbove);
  EXPECT_FALSE(HoldsAfter(*rule, 101));
  EXPECT_FALSE(HoldsAfter(*rule, 101));
  EXPECT_FALSE(HoldsAfter(*rule, 100));
  EXPECT_FALSE(HoldsAfter(*rule, 101));
  EXPECT_FALSE(HoldsAfter(*rule, 101));
  EXPECT_TRUE(HoldsAfter(*rule, 101));
}

TEST(ValueBoundTest, OneSampleIsEnoughByDefault) {
  const auto rule = NewValueBound(Config(100, 0), BoundSide::kAbove);
  EXPECT_TRUE(HoldsAfter(*rule, 101));
}

TEST(ValueBoundTest, AboveClearsOnlyAtTheClearMark) {
  config::ValueBound config = Config(100);
  config.set_clear(80);
  const auto rule = NewValueBound(config, BoundSide::kAbove);
  EXPECT_FALSE(HoldsAfter(*rule, 90));  // Between the marks nothing begins …
  EXPECT_TRUE(HoldsAfter(*rule, 101));
  EXPECT_TRUE(HoldsAfter(*rule, 80.1));  // … and nothing ends.
  EXPECT_FALSE(HoldsAfter(*rule, 80));
}

TEST(ValueBoundTest, BelowClearsOnlyAtTheClearMark) {
  config::ValueBound config = Config(14);
  config.set_clear(30);
  const auto rule = NewValueBound(config, BoundSide::kBelow);
  EXPECT_TRUE(HoldsAfter(*rule, 13));
  EXPECT_TRUE(HoldsAfter(*rule, 29.9));
  EXPECT_FALSE(HoldsAfter(*rule, 30));
}

TEST(ValueBoundTest, ALookBetweenTheMarksIsNeitherGoodNorBad) {
  config::ValueBound config = Config(100);
  config.set_clear(80);
  const auto rule = NewValueBound(config, BoundSide::kAbove);
  EXPECT_EQ(rule->Judge(Saw(100.1)), Sign::kBad);
  EXPECT_EQ(rule->Judge(Saw(100)), Sign::kNothing);
  EXPECT_EQ(rule->Judge(Saw(80.1)), Sign::kNothing);
  EXPECT_EQ(rule->Judge(Saw(80)), Sign::kGood);
}

TEST(ValueBoundTest, ALookWithoutTheValueSaysNothing) {
  config::ValueBound config = Config(100, 2);
  config.set_value_name("latency_ms");
  const auto rule = NewValueBound(config, BoundSide::kAbove);
  rule->Observe(kNow, Saw(101));
  for (const Observation& blind : {Failed("refused"), Observation{}, Saw(1, "body"), Saw(kNan)}) {
    EXPECT_EQ(rule->Judge(blind), Sign::kNothing);
    rule->Observe(kNow, blind);
  }
  EXPECT_FALSE(rule->Holds());
  EXPECT_TRUE(HoldsAfter(*rule, 101));  // The run was not broken.
}

TEST(ValueBoundTest, AFailedLookWithTheValueCounts) {
  const auto rule = NewValueBound(Config(100), BoundSide::kAbove);
  Observation slow_and_failed = Failed("status 500");
  slow_and_failed.values = Saw(101).values;
  rule->Observe(kNow, slow_and_failed);
  EXPECT_TRUE(rule->Holds());
}

TEST(ValueBoundTest, TakesTheNamedValueElseTheFirst) {
  Observation two = Saw(1, "connect_ms");
  two.values.push_back({.name = "latency_ms", .number = 200, .unit = "ms"});
  const auto first = NewValueBound(Config(100), BoundSide::kAbove);
  EXPECT_EQ(first->Judge(two), Sign::kGood);
  config::ValueBound named = Config(100);
  named.set_value_name("latency_ms");
  EXPECT_EQ(NewValueBound(named, BoundSide::kAbove)->Judge(two), Sign::kBad);
}

TEST(ValueBoundTest, ForgetStartsAnew) {
  const auto rule = NewValueBound(Config(100, 2), BoundSide::kAbove);
  HoldsAfter(*rule, 101);
  EXPECT_TRUE(HoldsAfter(*rule, 101));
  rule->Forget();
  EXPECT_FALSE(rule->Holds());
  EXPECT_FALSE(HoldsAfter(*rule, 101));
  EXPECT_TRUE(HoldsAfter(*rule, 101));
}

TEST(ValueBoundTest, SaysWhatItCounted) {
  config::ValueBound config = Config(100, 3);
  config.set_value_name("latency_ms");
  const auto above = NewValueBound(config, BoundSide::kAbove);
  above->Observe(kNow, Saw(120.5));
  EXPECT_EQ(above->Evidence(), "latency_ms is 120.5; above 100 in 1 looks in a row (needs 3)");
  EXPECT_EQ(above->BadLooks(), 1u);
  const auto below = NewValueBound(Config(14), BoundSide::kBelow);
  below->Observe(kNow, Saw(13));
  EXPECT_EQ(below->Evidence(), "value is 13; below 14 in 1 looks in a row (needs 1)");
}

TEST(ValueBoundTest, ThresholdMustBeANumber) {
  for (const double wrong : {kNan, kInfinity, -kInfinity}) {
    const absl::Status status = CheckValueBound(Config(wrong), BoundSide::kAbove);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message(), "value_above.threshold: must be a number");
  }
}

TEST(ValueBoundTest, ClearMustBeOnTheGoodSideOrAtTheThreshold) {
  config::ValueBound config = Config(100);
  config.set_clear(100);
  EXPECT_TRUE(CheckValueBound(config, BoundSide::kAbove).ok());
  EXPECT_TRUE(CheckValueBound(config, BoundSide::kBelow).ok());
  config.set_clear(100.5);
  EXPECT_TRUE(CheckValueBound(config, BoundSide::kBelow).ok());
  EXPECT_EQ(CheckValueBound(config, BoundSide::kAbove).message(),
            "value_above.clear: 100.5 must not be above the threshold 100");
  config.set_clear(99.5);
  EXPECT_TRUE(CheckValueBound(config, BoundSide::kAbove).ok());
  EXPECT_EQ(CheckValueBound(config, BoundSide::kBelow).message(),
            "value_below.clear: 99.5 must not be below the threshold 100");
}

TEST(ValueBoundTest, ClearMustBeANumberThatCanBeReached) {
  for (const double wrong : {kNan, kInfinity, -kInfinity}) {
    config::ValueBound config = Config(100);
    config.set_clear(wrong);
    EXPECT_EQ(CheckValueBound(config, BoundSide::kBelow).message(),
              "value_below.clear: must be a number");
  }
}

TEST(ValueBoundTest, SamplesAreAtMostAThousand) {
  EXPECT_TRUE(CheckValueBound(Config(1, 1000), BoundSide::kBelow).ok());
  const absl::Status status = CheckValueBound(Config(1, 1001), BoundSide::kBelow);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "value_below.samples: 1001 is not in [1, 1000]");
}

}  // namespace
}  // namespace salve
