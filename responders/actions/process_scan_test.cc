#include "responders/actions/process_scan.h"

#include <filesystem>
#include <optional>

#include "base/simulated_loop.h"
#include "gtest/gtest.h"
#include "responders/actions/processes_fixture.h"

namespace salve {
namespace {

class ProcessScanTest : public ::testing::Test {
 protected:
  void Start(const std::string& name) {
    found_.reset();
    scan_.Start([name](const ProcessStat& stat) { return stat.comm == name; },
                [this](absl::StatusOr<ProcessScan::Found> found) {
                  EXPECT_FALSE(found_.has_value());
                  found_ = std::move(found);
                });
    EXPECT_FALSE(found_.has_value());
  }

  SimulatedLoop loop_;
  FakeProcesses processes_{loop_};
  ProcessScan scan_{loop_, processes_.host};
  std::optional<absl::StatusOr<ProcessScan::Found>> found_;
};

TEST_F(ProcessScanTest, FindsThoseThatAreWantedAmongMoreThanATurnTakes) {
  for (pid_t pid = 100; pid < 700; ++pid) processes_.Add(pid, {.comm = pid % 2 ? "a" : "b"});
  Start("a");
  loop_.RunPending();
  ASSERT_TRUE(found_.has_value());
  EXPECT_EQ((*found_)->size(), 300u);
}

TEST_F(ProcessScanTest, NeverFindsAThreadOfTheKernelOrAZombie) {
  processes_.Add(70, {.comm = "a", .flags = 0x00200000});
  processes_.Add(71, {.comm = "a", .is_zombie = true});
  processes_.Add(72, {.comm = "a", .parent = 7});
  Start("a");
  loop_.RunPending();
  ASSERT_EQ((*found_)->size(), 1u);
  EXPECT_EQ((**found_)[0].identity, (ProcessIdentity{.pid = 72, .start_ticks = 1072}));
  EXPECT_EQ((**found_)[0].parent, 7);
}

TEST_F(ProcessScanTest, IsSilentOnceCancelled) {
  processes_.Add(70, {.comm = "a"});
  Start("a");
  scan_.Cancel();
  loop_.RunPending();
  EXPECT_FALSE(found_.has_value());
}

TEST_F(ProcessScanTest, SaysThatProcCannotBeRead) {
  std::filesystem::remove_all(processes_.host.proc());
  Start("a");
  loop_.RunPending();
  EXPECT_EQ(found_->status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace salve
