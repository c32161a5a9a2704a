#include "probes/process_probe.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/fake_host.h"
#include "base/real_host.h"
#include "base/simulated_loop.h"
#include "base/uv_loop.h"

namespace salve {
namespace {

class ProcessProbeTest : public ::testing::Test {
 protected:
  ProcessProbeTest() {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_ + "/proc");
  }
  void AddProcess(pid_t pid, const std::string& comm, int ticks = 0, char state = 'S') {
    const std::string folder = absl::StrCat(root_, "/proc/", pid);
    std::filesystem::create_directories(folder + "/fd");
    std::ofstream(folder + "/fd/0") << "";
    std::ofstream(folder + "/comm") << comm << "\n";
    std::ofstream(folder + "/stat")
        << pid << " (" << comm << ") " << state << " 1 1 1 0 -1 0 1 0 0 0 " << ticks
        << " 0 0 0 20 0 1 0 " << 1000 + pid << " 1000000 10 0 0\n";
    host_.AddProcess(pid);
  }
  void RemoveProcess(pid_t pid) { std::filesystem::remove_all(absl::StrCat(root_, "/proc/", pid)); }
  void Make() {
    auto probe = NewProcessProbe(config_, loop_, host_);
    ASSERT_TRUE(probe.ok()) << probe.status();
    probe_ = *std::move(probe);
  }
  Observation Look() {
    std::optional<Observation> seen;
    probe_->Start(loop_.Now() + absl::Seconds(1), [&](Observation o) { seen = std::move(o); });
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
  FakeHost host_{loop_, root_ + "/proc"};
  config::ProcessProbe config_;
  std::unique_ptr<Probe> probe_;
};

TEST_F(ProcessProbeTest, PassesWhileAProcessHasTheName) {
  AddProcess(7, "nginx");
  AddProcess(8, "nginx");
  AddProcess(9, "cron");
  config_.set_process_name("nginx");
  Make();
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kSucceeded);
  EXPECT_EQ(Value(seen, "count"), 2);
  EXPECT_EQ(Value(seen, "rss_bytes"), 20.0 * sysconf(_SC_PAGESIZE));
  EXPECT_EQ(Value(seen, "open_descriptors"), 2);
}

TEST_F(ProcessProbeTest, FailsBelowTheMinimumAndAboveTheMaximum) {
  config_.set_process_name("nginx");
  config_.set_min_count(2);
  config_.set_max_count(3);
  Make();
  AddProcess(1, "nginx");
  EXPECT_EQ(Look().error, "1 process named nginx, expected at least 2");
  AddProcess(2, "nginx");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  AddProcess(3, "nginx");
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  AddProcess(4, "nginx");
  EXPECT_EQ(Look().error, "4 processes named nginx, expected at most 3");
}

TEST_F(ProcessProbeTest, AZombieDoesNotCount) {
  AddProcess(7, "nginx", 0, 'Z');
  config_.set_process_name("nginx");
  Make();
  EXPECT_EQ(Look().outcome, Outcome::kFailed);
}

TEST_F(ProcessProbeTest, SeesAllOfAThousandProcessesInSlices) {
  for (int pid = 1; pid <= 1000; ++pid) AddProcess(pid, "php-fpm");
  config_.set_process_name("php-fpm");
  Make();
  bool ended = false;
  probe_->Start(loop_.Now() + absl::Seconds(1), [&](Observation o) {
    ended = true;
    EXPECT_EQ(Value(o, "count"), 1000);
  });
  EXPECT_FALSE(ended);
  loop_.RunPending();
  EXPECT_TRUE(ended);
}

TEST_F(ProcessProbeTest, TimesOutBetweenSlices) {
  for (int pid = 1; pid <= 300; ++pid) AddProcess(pid, "php-fpm");
  config_.set_process_name("php-fpm");
  Make();
  Observation seen;
  probe_->Start(loop_.Now(), [&](Observation o) { seen = std::move(o); });
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
}

TEST_F(ProcessProbeTest, FollowsThePidFileAtEachLook) {
  AddProcess(7, "nginx");
  AddProcess(8, "nginx");
  config_.set_pid_file(root_ + "/nginx.pid");
  Make();
  EXPECT_EQ(Look().error, absl::StrCat("0 processes of ", root_,
                                       "/nginx.pid, which is not there, expected at least 1"));
  std::ofstream(root_ + "/nginx.pid") << " 7 \n";
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  RemoveProcess(7);
  EXPECT_EQ(Look().outcome, Outcome::kFailed);
  std::ofstream(root_ + "/nginx.pid") << "8";
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
}

TEST_F(ProcessProbeTest, APidFileWithoutAPidIsRejected) {
  config_.set_pid_file(root_ + "/nginx.pid");
  Make();
  for (const char* content : {"", "nginx", "-7", "0", "99999999999999999999"}) {
    std::ofstream(root_ + "/nginx.pid") << content;
    EXPECT_EQ(Look().outcome, Outcome::kRejected) << content;
  }
}

TEST_F(ProcessProbeTest, ComputesTheShareOfTheProcessorSinceTheLookBefore) {
  const long hz = sysconf(_SC_CLK_TCK);
  AddProcess(7, "nginx", 100);
  config_.set_process_name("nginx");
  Make();
  EXPECT_EQ(Value(Look(), "cpu_percent"), std::nullopt);
  loop_.RunFor(absl::Seconds(10));
  AddProcess(7, "nginx", 100 + static_cast<int>(5 * hz));
  EXPECT_EQ(Value(Look(), "cpu_percent"), 50);
}

TEST_F(ProcessProbeTest, RepeatsTheShareWhenTheLookBeforeIsLessThanASecondAgo) {
  const int hz = static_cast<int>(sysconf(_SC_CLK_TCK));
  AddProcess(7, "nginx", 0);
  config_.set_process_name("nginx");
  Make();
  Look();
  loop_.RunFor(absl::Seconds(1));
  AddProcess(7, "nginx", hz);
  EXPECT_EQ(Value(Look(), "cpu_percent"), 100);
  loop_.RunFor(absl::Milliseconds(999));
  AddProcess(7, "nginx", hz);
  EXPECT_EQ(Value(Look(), "cpu_percent"), 100);
  loop_.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(Value(Look(), "cpu_percent"), 0);
}

TEST_F(ProcessProbeTest, AsksForAFewMoreLooksButNotForEverWhenItCannotWatch) {
  AddProcess(7, "nginx");
  host_.EndProcess(7);  // Still in /proc, but it cannot be opened.
  config_.set_process_name("nginx");
  Make();
  int hints = 0;
  probe_->Watch([&] { ++hints; });
  for (int i = 0; i < 10; ++i) Look();
  EXPECT_EQ(hints, 1 + 3);
}

TEST(RealProcessProbeTest, SeesTheEndOfAProcessAtOnce) {
  UvLoop loop;
  RealHost host(loop);
  const auto child = host.RunCommand({.argv = {"sleep", "60"}}, Instant::InfiniteFuture(),
                                     [](absl::StatusOr<CommandResult>) {});
  ASSERT_TRUE(child.ok()) << child.status();
  const std::string pid_file = ::testing::TempDir() + "/sleep.pid";
  std::ofstream(pid_file) << child->process.pid;
  config::ProcessProbe config;
  config.set_pid_file(pid_file);
  auto probe = NewProcessProbe(config, loop, host);
  ASSERT_TRUE(probe.ok()) << probe.status();

  int hints = 0;
  (*probe)->Watch([&] {
    if (++hints == 2) loop.Stop();
  });
  Observation before, after;
  (*probe)->Start(loop.Now() + absl::Seconds(10), [&](Observation o) { before = std::move(o); });
  EXPECT_EQ(before.outcome, Outcome::kSucceeded) << before.error;
  host.KillCommand(child->id);
  loop.Run();
  (*probe)->Start(loop.Now() + absl::Seconds(10), [&](Observation o) { after = std::move(o); });
  EXPECT_EQ(after.outcome, Outcome::kFailed);
}

TEST(CheckProcessProbeTest, WantsExactlyOneWayToFindAProcess) {
  config::ProcessProbe config;
  EXPECT_FALSE(CheckProcessProbe(config).ok());
  config.set_process_name("nginx");
  EXPECT_TRUE(CheckProcessProbe(config).ok());
  config.set_pid_file("/run/nginx.pid");
  EXPECT_EQ(CheckProcessProbe(config).message(),
            "process.pid_file: exactly one of pid_file and process_name must be set");
}

TEST(CheckProcessProbeTest, KeepsTheBoundsOfTheCounts) {
  config::ProcessProbe config;
  config.set_process_name("nginx");
  config.set_min_count(10000);
  EXPECT_TRUE(CheckProcessProbe(config).ok());
  config.set_min_count(10001);
  EXPECT_FALSE(CheckProcessProbe(config).ok());
  config.set_min_count(3);
  config.set_max_count(2);
  EXPECT_EQ(CheckProcessProbe(config).message(), "process.max_count: 2 is less than min_count 3");
  config.set_max_count(3);
  EXPECT_TRUE(CheckProcessProbe(config).ok());
}

}  // namespace
}  // namespace salve
