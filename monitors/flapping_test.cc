#include "monitors/flapping.h"

#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace salve {
namespace {

constexpr absl::Duration kTick = absl::Nanoseconds(1);
constexpr Instant kStart = Instant::FromNanosSinceBoot(3'600'000'000'000);

config::Flapping Config(uint32_t changes, const char* window) {
  config::Flapping config;
  config.set_changes(changes);
  config.set_window(window);
  return config;
}

// A rule, and the looks that it was given at ages since the test began.
struct Looks {
  explicit Looks(const config::Flapping& config) : rule(NewFlapping(config)) {}
  Looks& Fail(absl::Duration at) {
    rule->Observe(kStart + at, Failed("refused"));
    return *this;
  }
  Looks& Succeed(absl::Duration at) {
    rule->Observe(kStart + at, Observation{});
    return *this;
  }
  std::unique_ptr<Rule> rule;
};

TEST(FlappingTest, HoldsAtTheThresholdAndNotBefore) {
  Looks looks(Config(2, "10s"));
  EXPECT_FALSE(looks.Succeed(absl::Seconds(0)).Fail(absl::Seconds(1)).rule->Holds());
  EXPECT_TRUE(looks.Succeed(absl::Seconds(2)).rule->Holds());
}

TEST(FlappingTest, StayingOnASideIsNoChange) {
  Looks looks(Config(2, "1m"));
  for (int i = 0; i < 5; ++i) looks.Fail(absl::Seconds(i));
  for (int i = 5; i < 9; ++i) looks.Succeed(absl::Seconds(i));
  EXPECT_FALSE(looks.rule->Holds());
  EXPECT_EQ(looks.rule->Evidence(), "1 change between good and bad within 1m (threshold 2)");
}

TEST(FlappingTest, AChangeLeavesTheWindowExactlyAtItsEnd) {
  Looks inside(Config(2, "10s"));
  inside.Succeed(-kTick).Fail(absl::Seconds(0)).Succeed(absl::Seconds(10) - kTick);
  EXPECT_TRUE(inside.rule->Holds());
  Looks outside(Config(2, "10s"));
  outside.Succeed(-kTick).Fail(absl::Seconds(0)).Succeed(absl::Seconds(10));
  EXPECT_FALSE(outside.rule->Holds());
}

TEST(FlappingTest, ATimeoutIsOnTheBadSide) {
  Looks looks(Config(2, "10s"));
  looks.Fail(absl::Seconds(0));
  looks.rule->Observe(kStart + absl::Seconds(1), TimedOut("3s"));
  EXPECT_FALSE(looks.Succeed(absl::Seconds(2)).rule->Holds());
}

TEST(FlappingTest, ForgettingStartsWithoutASide) {
  Looks looks(Config(2, "10s"));
  looks.Succeed(absl::Seconds(0)).Fail(absl::Seconds(1)).Succeed(absl::Seconds(2));
  looks.rule->Forget();
  EXPECT_FALSE(looks.rule->Holds());
  EXPECT_EQ(looks.rule->BadLooks(), 0u);
  EXPECT_FALSE(looks.Fail(absl::Seconds(3)).Succeed(absl::Seconds(4)).rule->Holds());
  EXPECT_TRUE(looks.Fail(absl::Seconds(5)).rule->Holds());
}

TEST(FlappingTest, ItsEvidenceAreTheBadLooksSinceTheFirstChange) {
  Looks looks(Config(3, "1m"));
  looks.Fail(absl::Seconds(0)).Succeed(absl::Seconds(1));  // A change back.
  looks.Fail(absl::Seconds(2)).Fail(absl::Seconds(3)).Succeed(absl::Seconds(4));
  EXPECT_EQ(looks.rule->BadLooks(), 2u);
  EXPECT_EQ(looks.rule->Evidence(), "3 changes between good and bad within 1m (threshold 3)");
}

TEST(FlappingTest, DefaultsAreSixWithinTenMinutes) {
  Looks looks((config::Flapping()));
  EXPECT_EQ(looks.rule->Evidence(), "0 changes between good and bad within 10m (threshold 6)");
}

TEST(FlappingTest, RefusesWhatIsOutOfRange) {
  EXPECT_TRUE(CheckFlapping(Config(2, "1s")).ok());
  EXPECT_TRUE(CheckFlapping(Config(10'000, "24h")).ok());
  EXPECT_EQ(CheckFlapping(Config(1, "1s")).message(), "flapping.changes: 1 is not in [2, 10000]");
  EXPECT_EQ(CheckFlapping(Config(10'001, "1s")).message(),
            "flapping.changes: 10001 is not in [2, 10000]");
  EXPECT_EQ(CheckFlapping(Config(2, "999ms")).message(),
            "flapping.window: 999ms is not in [1s, 24h]");
  EXPECT_FALSE(CheckFlapping(Config(2, "24h1s")).ok());
  EXPECT_FALSE(CheckFlapping(Config(2, "soon")).ok());
}

// Against a plain version: all looks are kept, and counted anew each time.
TEST(FlappingTest, AgreesWithAPlainCountOnRandomLooks) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 rng(seed);
  for (int run = 0; run < 200; ++run) {
    const uint32_t threshold = 2 + rng() % 6;
    const std::unique_ptr<Rule> rule = NewFlapping(Config(threshold, "30s"));
    std::vector<std::pair<Instant, bool>> looks;
    Instant now = kStart;
    for (int i = 0; i < 200; ++i) {
      now = now + absl::Seconds(rng() % 8);
      if (rng() % 50 == 0) {
        rule->Forget();
        looks.clear();
      }
      const bool good = rng() % 2 == 0;
      rule->Observe(now, good ? Observation{} : Failed("refused"));
      looks.emplace_back(now, good);
      uint32_t changes = 0;
      for (size_t k = 1; k < looks.size(); ++k) {
        const bool counts = now - looks[k].first < absl::Seconds(30);
        if (counts && looks[k].second != looks[k - 1].second) ++changes;
      }
      ASSERT_EQ(rule->Holds(), changes >= threshold) << "run " << run << ", look " << i;
    }
  }
}

}  // namespace
}  // namespace salve
