#include "responders/actions/process_end.h"

#include <optional>
#include <utility>

#include "base/simulated_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "responders/actions/processes_fixture.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kTick = absl::Nanoseconds(1);

class ProcessEndTest : public ::testing::Test {
 protected:
  HeldProcess Held(pid_t pid, bool ends_on_term = true) {
    processes_.Add(pid, {.comm = "php", .ends_on_term = ends_on_term});
    return *HoldProcess(processes_.host, {pid, static_cast<uint64_t>(1000 + pid)});
  }
  void Start(std::vector<HeldProcess> processes, absl::Duration pause = absl::ZeroDuration()) {
    end_.Start(std::move(processes),
               {.signal = SIGTERM,
                .pause = pause,
                .grace = absl::Seconds(3),
                .deadline = loop_.Now() + absl::Seconds(10)},
               [this](ProcessEnd::Report report) {
                 EXPECT_FALSE(report_.has_value());
                 report_ = std::move(report);
               });
  }

  SimulatedLoop loop_;
  FakeProcesses processes_{loop_};
  ProcessEnd end_{loop_, processes_.host};
  std::optional<ProcessEnd::Report> report_;
};

TEST_F(ProcessEndTest, EachHasItsOwnGrace) {
  std::vector<HeldProcess> held;
  held.push_back(Held(70, false));
  held.push_back(Held(71, false));
  Start(std::move(held), absl::Seconds(1));
  loop_.RunFor(absl::Seconds(3) - kTick);
  EXPECT_TRUE(processes_.IsThere(70));
  loop_.RunFor(kTick);
  EXPECT_FALSE(processes_.IsThere(70));
  loop_.RunFor(absl::Seconds(1) - kTick);
  EXPECT_TRUE(processes_.IsThere(71));
  loop_.RunFor(absl::Milliseconds(21));
  EXPECT_THAT(report_.value().by_kill, ElementsAre(70, 71));
}

TEST_F(ProcessEndTest, SignalsNobodyMoreAtTheDeadline) {
  std::vector<HeldProcess> held;
  for (pid_t pid = 70; pid < 76; ++pid) held.push_back(Held(pid));
  Start(std::move(held), absl::Seconds(2));
  loop_.RunFor(absl::Minutes(1));
  EXPECT_THAT(report_.value().by_signal, ElementsAre(70, 71, 72, 73, 74));
  EXPECT_THAT(report_->left, ElementsAre(75));
  EXPECT_TRUE(processes_.IsThere(75));
}

TEST_F(ProcessEndTest, NobodyIsEndedAtOnce) {
  Start({});
  ASSERT_TRUE(report_.has_value());
  EXPECT_THAT(report_->left, IsEmpty());
  EXPECT_EQ(ToText(*report_, "TERM"), "");
}

TEST(PidsTextTest, TellsSomeOfMany) {
  EXPECT_EQ(PidsText({}), "");
  std::vector<pid_t> pids(20, 7);
  const std::string twenty = PidsText(pids);
  EXPECT_EQ(twenty.find("more"), std::string::npos);
  pids.push_back(7);
  EXPECT_EQ(PidsText(pids), twenty + " and 1 more");
}

}  // namespace
}  // namespace salve
