#include "probes/memory_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/fake_host.h"
#include "base/simulated_loop.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class MemoryProbeTest : public ::testing::Test {
 protected:
  MemoryProbeTest() {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_ + "/pressure");
    SetMemory(10'000, 1000);
  }
  void SetMemory(int total_kib, int available_kib, int swap_kib = 0, int swap_free_kib = 0) {
    std::ofstream(root_ + "/meminfo")
        << "MemTotal:       " << total_kib
        << " kB\nMemFree:   1 kB\nMemAvailable:   " << available_kib
        << " kB\nSwapTotal:  " << swap_kib << " kB\nSwapFree: " << swap_free_kib
        << " kB\nHugePages_Total:       0\n";
  }
  void SetPressure(const std::string& text) { std::ofstream(root_ + "/pressure/memory") << text; }
  void AddProcess(int pid, const std::string& comm, int pages) {
    const std::string folder = absl::StrCat(root_, "/", pid);
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/stat")
        << pid << " (" << comm << ") S 1 1 1 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 100 1000000 " << pages
        << " 0 0\n";
  }
  std::unique_ptr<Probe> Make() {
    auto probe = NewMemoryProbe(config_, loop_, host_);
    EXPECT_TRUE(probe.ok()) << probe.status();
    return *std::move(probe);
  }
  Observation Look() {
    std::optional<Observation> seen;
    const auto probe = Make();
    probe->Start(loop_.Now() + absl::Seconds(1), [&](Observation o) { seen = std::move(o); });
    loop_.RunPending();
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
  config::MemoryProbe config_;
};

TEST_F(MemoryProbeTest, TellsWhatIsThere) {
  SetMemory(10'000, 1000, 1000, 250);
  SetPressure("some avg10=1.50 avg60=0 avg300=0 total=1\nfull avg10=0.50 avg60=0 total=1\n");
  AddProcess(7, "mysqld", 5);
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded);
  EXPECT_EQ(Value(seen, "available_percent"), 10);
  EXPECT_EQ(Value(seen, "available_bytes"), 1000.0 * 1024);
  EXPECT_EQ(Value(seen, "swap_used_percent"), 75);
  EXPECT_EQ(Value(seen, "psi_some_avg10"), 1.5);
  EXPECT_EQ(Value(seen, "psi_full_avg10"), 0.5);
  EXPECT_THAT(seen.attributes, IsEmpty());
}

TEST_F(MemoryProbeTest, FailsBelowTheShareAndNotAtIt) {
  config_.set_min_available_percent(10);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  SetMemory(10'000, 999);
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "10.0 % (999 KiB of 9.8 MiB) of memory is available, expected 10 %");
}

TEST_F(MemoryProbeTest, TheDefaultIsFivePercentAndZeroIsNone) {
  SetMemory(10'000, 499);
  EXPECT_THAT(Look().error, HasSubstr("expected 5 %"));
  config_.set_min_available_percent(0);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

TEST_F(MemoryProbeTest, FailsBelowTheBytesAndNotAtThem) {
  config_.set_min_available_bytes(1000 * 1024);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  config_.set_min_available_bytes(2000 * 1024);
  EXPECT_EQ(Look().error, "1000 KiB of memory is available, expected 2.0 MiB");
}

TEST_F(MemoryProbeTest, FailsAboveTheShareOfSwapAndNotAtIt) {
  config_.set_max_swap_used_percent(75);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded) << "a server without swap";
  SetMemory(10'000, 1000, 1000, 250);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  SetMemory(10'000, 1000, 1000, 240);
  EXPECT_EQ(Look().error, "76 % of the swap is used, expected at most 75 %");
}

TEST_F(MemoryProbeTest, FailsAboveThePressureAndNotAtIt) {
  config_.set_max_psi_some(20);
  config_.set_max_psi_full(5);
  SetPressure("some avg10=20.00 avg60=0\nfull avg10=5.00 avg60=0\n");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  SetPressure("some avg10=20.50 avg60=0\nfull avg10=5.50 avg60=0\n");
  EXPECT_EQ(Look().error,
            "some task waited for memory 20.5 % of the last 10 s, expected at most 20 %; "
            "every task waited for memory 5.5 % of the last 10 s, expected at most 5 %");
}

TEST_F(MemoryProbeTest, WithoutPressureTheOtherBoundsAreStillJudged) {
  config_.set_max_psi_full(5);
  Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  EXPECT_THAT(seen.attributes, ElementsAre(Pair("psi", "not available")));
  EXPECT_EQ(Value(seen, "psi_full_avg10"), std::nullopt);
  SetMemory(10'000, 1);
  seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_THAT(seen.attributes, ElementsAre(Pair("psi", "not available")));
  SetMemory(10'000, 1000);
  SetPressure("some avg10=0 total=1\nfull avg10=0 total=1\n");
  EXPECT_THAT(Look().attributes, IsEmpty());
}

TEST_F(MemoryProbeTest, WithoutPressureABoundThatIsAloneIsRejected) {
  config_.set_max_psi_full(5);
  config_.set_min_available_percent(0);
  EXPECT_EQ(Look().outcome, Outcome::kRejected);
  EXPECT_EQ(Look().error,
            absl::StrCat("the kernel does not tell the pressure in ", root_, "/pressure/memory"));
  config_.set_max_psi_some(5);
  SetPressure("some avg10=0 total=1\n");
  EXPECT_EQ(Look().error, "") << "that of some tasks is judged";
  config_.clear_max_psi_some();
  config_.set_max_swap_used_percent(50);
  EXPECT_EQ(Look().error, "");
}

TEST_F(MemoryProbeTest, NamesTheLargestProcessWhenItFails) {
  SetMemory(10'000, 1);
  for (int pid = 1; pid <= 600; ++pid) AddProcess(pid, "small", 1);
  AddProcess(601, "mysqld", 50);
  EXPECT_THAT(
      Look().attributes,
      ElementsAre(Pair("largest", absl::StrCat("mysqld (pid 601, ",
                                               50 * sysconf(_SC_PAGESIZE) / 1024, " KiB)"))));
}

TEST_F(MemoryProbeTest, EndsAtItsDeadlineWithWhatItHasSeen) {
  SetMemory(10'000, 1);
  for (int pid = 1; pid <= 600; ++pid) AddProcess(pid, "small", 1);
  const auto probe = Make();
  Observation seen;
  probe->Start(loop_.Now(), [&](Observation o) { seen = std::move(o); });
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
}

TEST_F(MemoryProbeTest, IsSilentWhenItEndsDuringALook) {
  SetMemory(10'000, 1);
  for (int pid = 1; pid <= 600; ++pid) AddProcess(pid, "small", 1);
  auto probe = Make();
  probe->Start(loop_.Now() + absl::Seconds(1), [](Observation) { ADD_FAILURE(); });
  probe.reset();
  loop_.RunPending();
}

TEST_F(MemoryProbeTest, WithoutAMeminfoItIsRejected) {
  std::ofstream(root_ + "/meminfo") << "MemTotal: 5 kB\n";
  EXPECT_THAT(Look().error, HasSubstr("/meminfo: no MemAvailable in it"));
  std::filesystem::remove(root_ + "/meminfo");
  EXPECT_EQ(Look().outcome, Outcome::kRejected);
}

TEST_F(MemoryProbeTest, ChecksItsFields) {
  config_.set_min_available_percent(101);
  EXPECT_EQ(CheckMemoryProbe(config_).message(),
            "memory.min_available_percent: 101 is not in [0, 100]");
  config_.set_min_available_percent(100);
  config_.set_max_swap_used_percent(-1);
  EXPECT_EQ(CheckMemoryProbe(config_).message(),
            "memory.max_swap_used_percent: -1 is not in [0, 100]");
  config_.set_max_swap_used_percent(100);
  config_.set_max_psi_some(101);
  EXPECT_EQ(CheckMemoryProbe(config_).message(), "memory.max_psi_some: 101 is not in [0, 100]");
  config_.set_max_psi_some(100);
  config_.set_max_psi_full(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(CheckMemoryProbe(config_).message(), "memory.max_psi_full: nan is not in [0, 100]");
  config_.set_max_psi_full(100);
  EXPECT_TRUE(CheckMemoryProbe(config_).ok());
}

TEST(ParseMemoryStateTest, RefusesWhatIsNoNumber) {
  const std::string rest = "MemAvailable: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n";
  EXPECT_TRUE(ParseMemoryState("MemTotal: 1 kB\n" + rest).ok());
  for (const char* total : {"MemTotal: x kB\n", "MemTotal: -1 kB\n", "MemTotal: 0 kB\n",
                            "MemTotal:\n", "MemTotal: 18446744073709551615 kB\n", "MemTotal\n"}) {
    EXPECT_EQ(ParseMemoryState(total + rest).status().code(), absl::StatusCode::kUnavailable)
        << total;
  }
}

}  // namespace
}  // namespace salve
