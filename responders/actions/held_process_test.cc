#include "responders/actions/held_process.h"

#include <unistd.h>

#include "base/simulated_loop.h"
#include "gtest/gtest.h"
#include "responders/actions/processes_fixture.h"

namespace salve {
namespace {

class HeldProcessTest : public ::testing::Test {
 protected:
  absl::StatusOr<HeldProcess> Hold(pid_t pid, uint64_t start_ticks) {
    return HoldProcess(processes_.host, {.pid = pid, .start_ticks = start_ticks});
  }

  SimulatedLoop loop_;
  FakeProcesses processes_{loop_};
};

TEST_F(HeldProcessTest, HoldsTheOneThatIsMeantUntilItEnds) {
  processes_.Add(70, {.comm = "php"});
  const auto held = Hold(70, 1070);
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_FALSE(HasEnded(*held));
  processes_.End(70);
  EXPECT_TRUE(HasEnded(*held));
}

TEST_F(HeldProcessTest, DoesNotHoldAnotherOneWithItsNumber) {
  processes_.Add(70, {.comm = "php", .start_ticks = 5});
  EXPECT_EQ(Hold(70, 4).status().message(), "process 70 is another one by now");
  EXPECT_EQ(Hold(70, 4).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Hold(71, 4).status().code(), absl::StatusCode::kNotFound);
  processes_.host.SetOpenError(absl::ResourceExhaustedError("no descriptors"));
  EXPECT_EQ(Hold(70, 5).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(HeldProcessTest, ProtectsTheAgentAndWhatItDescendsFrom) {
  const std::string proc = processes_.host.proc();
  EXPECT_EQ(WhyProtected(proc, 1), "is the init process");
  EXPECT_EQ(WhyProtected(proc, 0), "is the init process");
  EXPECT_EQ(WhyProtected(proc, getpid()), "is the agent itself");
  EXPECT_EQ(WhyProtected(proc, FakeProcesses::kAgentParent), "started the agent");
  EXPECT_EQ(WhyProtected(proc, 70), "");
}

}  // namespace
}  // namespace salve
