#include "probes/cpu_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/fake_host.h"
#include "base/simulated_loop.h"

namespace salve {
namespace {

using ::testing::HasSubstr;

class CpuProbeTest : public ::testing::Test {
 protected:
  CpuProbeTest() {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_ + "/pressure");
    SetTicks(0, 0);
    SetLoad("3.00");
  }
  void SetTicks(uint64_t busy, uint64_t idle) {
    std::ofstream(root_ + "/stat")
        << "cpu  " << busy << " 0 0 " << idle / 2 << " " << idle - idle / 2 << " 0 0 0 0 0\n"
        << "cpu0 1 1\ncpu1 1 1\nintr 5 6\nctxt 7\n";
  }
  void SetLoad(const std::string& load) {
    std::ofstream(root_ + "/loadavg") << load << " 0.50 0.25 1/234 5678\n";
  }
  void SetPressure(const std::string& text) { std::ofstream(root_ + "/pressure/cpu") << text; }
  void Make() {
    auto probe = NewCpuProbe(config_, loop_, host_);
    ASSERT_TRUE(probe.ok()) << probe.status();
    probe_ = *std::move(probe);
  }
  Observation Look() {
    if (probe_ == nullptr) Make();
    std::optional<Observation> seen;
    probe_->Start(loop_.Now() + absl::Seconds(1), [&](Observation o) { seen = std::move(o); });
    EXPECT_TRUE(seen.has_value());
    return seen.value_or(Observation{});
  }
  static std::optional<double> Value(const Observation& seen, const std::string& name) {
    for (const ProbeValue& value : seen.values) {
      if (value.name == name) return value.number;
    }
    return std::nullopt;
  }

  const std::string root_ = absl::StrCat(
      ::testing::TempDir(), "/", ::testing::UnitTest::GetInstance()->current_test_info()->name());
  SimulatedLoop loop_;
  FakeHost host_{loop_, root_};
  config::CpuProbe config_;
  std::unique_ptr<Probe> probe_;
};

TEST_F(CpuProbeTest, PassesWithoutABoundAndTellsTheLoad) {
  SetLoad("500.00");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded);
  EXPECT_EQ(Value(seen, "load1_per_core"), 250);
  EXPECT_EQ(Value(seen, "busy_percent"), std::nullopt);
  EXPECT_EQ(Value(seen, "psi_some_avg10"), std::nullopt);
}

TEST_F(CpuProbeTest, FailsAboveTheLoadAndNotAtIt) {
  config_.set_max_load_per_core(1.5);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  SetLoad("3.02");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "the load of a minute is 1.51 a core (3.02 on 2), expected at most 1.5");
}

TEST_F(CpuProbeTest, FailsAboveTheShareOfBusyTimeSinceTheLookBefore) {
  config_.set_max_busy_percent(90);
  SetTicks(1000, 0);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded) << "the first look";
  loop_.RunFor(absl::Seconds(1));
  SetTicks(1090, 10);
  Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded) << seen.error;
  EXPECT_EQ(Value(seen, "busy_percent"), 90);
  loop_.RunFor(absl::Seconds(1));
  SetTicks(1185, 15);
  EXPECT_EQ(Look().error, "the processors are 95 % busy, expected at most 90 %");
}

TEST_F(CpuProbeTest, ALookRightAfterAnotherTellsTheSameShare) {
  Look();
  loop_.RunFor(absl::Seconds(1));
  SetTicks(50, 50);
  EXPECT_EQ(Value(Look(), "busy_percent"), 50);
  loop_.RunFor(absl::Milliseconds(999));
  SetTicks(51, 50);
  EXPECT_EQ(Value(Look(), "busy_percent"), 50);
  loop_.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(Value(Look(), "busy_percent"), 100);
}

TEST_F(CpuProbeTest, TicksThatGoBackSayNothing) {
  SetTicks(1000, 1000);
  Look();
  loop_.RunFor(absl::Seconds(1));
  SetTicks(900, 2000);
  EXPECT_EQ(Value(Look(), "busy_percent"), std::nullopt);
}

TEST_F(CpuProbeTest, FailsAboveThePressureAndNotAtIt) {
  config_.set_max_psi_some(40);
  EXPECT_EQ(Look().outcome, Outcome::kRejected);
  SetPressure("some avg10=40.00 avg60=0.00\n");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  SetPressure("some avg10=40.50 avg60=0.00\n");
  const Observation seen = Look();
  EXPECT_EQ(seen.error,
            "some task waited for a core 40.5 % of the last 10 s, expected at most 40 %");
  EXPECT_EQ(Value(seen, "psi_some_avg10"), 40.5);
}

TEST_F(CpuProbeTest, WithoutItsFilesItIsRejected) {
  SetLoad("x");
  EXPECT_THAT(Look().error, HasSubstr("/loadavg: no load in it"));
  std::ofstream(root_ + "/stat") << "cpu 1 2\n";
  EXPECT_THAT(Look().error, HasSubstr("/stat: too few numbers in 'cpu'"));
  std::filesystem::remove(root_ + "/stat");
  EXPECT_EQ(Look().outcome, Outcome::kRejected);
}

TEST_F(CpuProbeTest, ChecksItsFields) {
  config_.set_max_load_per_core(1000);
  EXPECT_TRUE(CheckCpuProbe(config_).ok());
  config_.set_max_load_per_core(1001);
  EXPECT_EQ(CheckCpuProbe(config_).message(), "cpu.max_load_per_core: 1001 is not in [0, 1000]");
  config_.set_max_load_per_core(0);
  config_.set_max_busy_percent(-1);
  EXPECT_EQ(CheckCpuProbe(config_).message(), "cpu.max_busy_percent: -1 is not in [0, 100]");
  config_.set_max_busy_percent(100);
  config_.set_max_psi_some(101);
  EXPECT_EQ(CheckCpuProbe(config_).message(), "cpu.max_psi_some: 101 is not in [0, 100]");
}

TEST(ParseCpuTicksTest, AddsUpAndCountsTheCores) {
  const auto ticks = ParseCpuTicks("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\ncpu12 1\ncpux 5\ncpu 9\n");
  ASSERT_TRUE(ticks.ok());
  EXPECT_EQ(ticks->total, 36);
  EXPECT_EQ(ticks->busy, 27);
  EXPECT_EQ(ticks->cores, 2);
}

TEST(ParseCpuTicksTest, RefusesWhatIsNone) {
  for (const char* text :
       {"", "cpu0 1 2 3 4 5 6 7 8\n", "cpu  1 2 3 4 5 6 7 8\n", "cpu  1 2 3 4 5 6 7\ncpu0 1\n",
        "cpu  1 2 3 x 5 6 7 8\ncpu0 1\n", "cpu  1 2 3 -4 5 6 7 8\ncpu0 1\n",
        "cpu  18446744073709551615 2 3 4 5 6 7 8\ncpu0 1\n"}) {
    EXPECT_EQ(ParseCpuTicks(text).status().code(), absl::StatusCode::kUnavailable) << text;
  }
}

}  // namespace
}  // namespace salve
