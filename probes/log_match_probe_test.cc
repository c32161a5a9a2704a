#include "probes/log_match_probe.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/simulated_loop.h"

namespace salve {
namespace {

class LogMatchProbeTest : public ::testing::Test {
 protected:
  LogMatchProbeTest() {
    std::filesystem::remove_all(path_);
    config_.set_file(path_);
    config_.set_pattern("ERROR");
  }
  void Append(const std::string& text) {
    std::ofstream(path_, std::ios::app | std::ios::binary) << text;
  }
  void Make() {
    auto probe = NewLogMatchProbe(config_, loop_);
    ASSERT_TRUE(probe.ok()) << probe.status();
    probe_ = *std::move(probe);
  }
  Observation Look(absl::Duration timeout = absl::Seconds(1)) {
    std::optional<Observation> seen;
    probe_->Start(loop_.Now() + timeout, [&](Observation o) { seen = std::move(o); });
    loop_.RunPending();
    EXPECT_TRUE(seen.has_value());
    return seen.value_or(Observation{});
  }

  const std::string path_ =
      absl::StrCat(::testing::TempDir(), "/",
                   ::testing::UnitTest::GetInstance()->current_test_info()->name(), ".log");
  SimulatedLoop loop_;
  config::LogMatchProbe config_;
  std::unique_ptr<Probe> probe_;
};

TEST_F(LogMatchProbeTest, FailsWhenALineMatchesAndPassesAgainAfterwards) {
  Append("ERROR of old\n");
  Make();
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  Append("fine\nan ERROR here\n");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, absl::StrCat("1 line of ", path_, " matched: an ERROR here"));
  ASSERT_EQ(seen.values.size(), 2u);
  EXPECT_EQ(seen.values[0].number, 1);
  EXPECT_EQ(seen.values[1].number, 2);
  EXPECT_EQ(seen.attributes[0], std::pair(std::string("last_match"), std::string("an ERROR here")));
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

TEST_F(LogMatchProbeTest, CountsUpToTheThreshold) {
  config_.set_threshold(3);
  Append("");
  Make();
  Append("ERROR\nERROR\n");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  Append("ERROR\nERROR\nERROR\n");
  EXPECT_EQ(Look().outcome, Outcome::kFailed);
}

TEST_F(LogMatchProbeTest, LeavesOutIgnoredLines) {
  config_.set_ignore("harmless|known");
  Append("");
  Make();
  Append("ERROR: harmless\nERROR: known\n");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

TEST_F(LogMatchProbeTest, AMissingFileIsRejectedUnlessItMayBeMissing) {
  Make();
  EXPECT_EQ(Look().outcome, Outcome::kRejected);
  config_.set_missing_ok(true);
  Make();
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

TEST_F(LogMatchProbeTest, YieldsToTheLoopWhileItReadsALot) {
  Append("");
  Make();
  Append(std::string(1 << 20, 'x') + "\nERROR\n");
  bool ended = false;
  probe_->Start(loop_.Now() + absl::Seconds(1), [&](Observation) { ended = true; });
  EXPECT_FALSE(ended);
  loop_.RunPending();
  EXPECT_TRUE(ended);
}

TEST_F(LogMatchProbeTest, WhatItCouldNotReadInTimeIsJudgedByTheNextLook) {
  config_.set_threshold(2);
  Append("");
  Make();
  Append("ERROR\n" + std::string(1 << 20, 'x') + "\nERROR\n");
  const Observation first = Look(absl::ZeroDuration());
  EXPECT_EQ(first.outcome, Outcome::kTimedOut);
  EXPECT_EQ(Look().outcome, Outcome::kFailed);
}

TEST_F(LogMatchProbeTest, APatternThatTriesToExplodeIsLinear) {
  config_.set_pattern("(a+)+$");
  Append("");
  Make();
  Append(std::string(32 * 1024, 'a') + "!\n");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

TEST(CheckLogMatchProbeTest, NamesTheFieldThatCannotWork) {
  config::LogMatchProbe config;
  EXPECT_EQ(CheckLogMatchProbe(config).message(), "log_match.file: missing");
  config.set_file("relative.log");
  EXPECT_EQ(CheckLogMatchProbe(config).message(), "log_match.file: 'relative.log' is no full path");
  config.set_file("/var/log/x");
  EXPECT_EQ(CheckLogMatchProbe(config).message(), "log_match.pattern: missing");
  config.set_pattern("(");
  EXPECT_EQ(CheckLogMatchProbe(config).message(), "log_match.pattern: missing ): (");
  config.set_pattern("x");
  EXPECT_TRUE(CheckLogMatchProbe(config).ok());
}

TEST(CheckLogMatchProbeTest, KeepsTheBounds) {
  config::LogMatchProbe config;
  config.set_file("/x");
  config.set_pattern("x");
  for (uint32_t good : {0u, 256u, 1u << 20}) {
    config.set_line_bytes_max(good);
    EXPECT_TRUE(CheckLogMatchProbe(config).ok()) << good;
  }
  for (uint32_t bad : {255u, (1u << 20) + 1}) {
    config.set_line_bytes_max(bad);
    EXPECT_FALSE(CheckLogMatchProbe(config).ok()) << bad;
  }
  config.set_line_bytes_max(0);
  config.set_threshold(1'000'000);
  EXPECT_TRUE(CheckLogMatchProbe(config).ok());
  config.set_threshold(1'000'001);
  EXPECT_FALSE(CheckLogMatchProbe(config).ok());
}

}  // namespace
}  // namespace salve
