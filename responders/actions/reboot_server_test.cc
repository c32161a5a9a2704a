#include "responders/actions/reboot_server.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fake_host.h"
#include "base/fake_service_manager.h"
#include "base/simulated_loop.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

constexpr absl::Duration kTick = absl::Nanoseconds(1);

class RebootServerTest : public ::testing::Test {
 protected:
  void Make(bool force = false) {
    config::RebootServer config;
    config.set_force(force);
    action_ = NewRebootServer(config, {loop_, host_, services_, "web-1"});
  }
  void Run(absl::Status recorded = absl::OkStatus()) {
    result_.reset();
    action_->Run(
        loop_.Now() + absl::Minutes(15),
        [this, recorded](std::string effect, absl::AnyInvocable<void(absl::Status)> then) {
          EXPECT_TRUE(services_.reboots().empty()) << "before it was on disk";
          effects_.push_back(effect);
          then(recorded);
        },
        [this](ActionResult result) {
          EXPECT_FALSE(result_.has_value()) << "done twice";
          result_ = std::move(result);
        });
    loop_.RunPending();
  }

  SimulatedLoop loop_;
  FakeHost host_{loop_};
  FakeServiceManager services_{loop_};
  std::unique_ptr<Action> action_;
  std::vector<std::string> effects_;
  std::optional<ActionResult> result_;
};

TEST_F(RebootServerTest, IsOfTheServerAndTakesAQuarterOfAnHour) {
  Make();
  EXPECT_EQ(action_->id(), "RebootServer");
  EXPECT_EQ(action_->resource(), "web-1");
  EXPECT_EQ(action_->Needs(), absl::Minutes(15));
  EXPECT_TRUE(action_->is_disruptive());
  EXPECT_TRUE(action_->is_throttled());
  config::RebootServer config;
  EXPECT_TRUE(CheckRebootServer(config).ok());
}

TEST_F(RebootServerTest, SaysWhetherInhibitorsHold) {
  Make();
  EXPECT_EQ(action_->Plan(),
            "reboots web-1 through logind, or where there is none through systemd, unless "
            "something inhibits a shutdown");
  Make(/*force=*/true);
  EXPECT_EQ(action_->Plan(),
            "reboots web-1 through logind, or where there is none through systemd, in spite of "
            "what inhibits a shutdown");
}

TEST_F(RebootServerTest, WaitsWhileTheSystemStops) {
  Make();
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kReady);
  services_.SetStopping(true);
  EXPECT_EQ(action_->Check().kind, Readiness::Kind::kWait);
  EXPECT_EQ(action_->Check().reason, "the system is stopping");
}

TEST_F(RebootServerTest, IsOnDiskBeforeItIsAskedForAndStaysInProgressUntilTheDeadline) {
  Make();
  Run();
  EXPECT_EQ(effects_, std::vector<std::string>{"reboot"});
  EXPECT_EQ(services_.reboots(), std::vector<bool>{false});
  loop_.RunFor(absl::Minutes(15) - kTick);
  EXPECT_FALSE(result_.has_value());
  loop_.RunFor(kTick);
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, ActionResult::Kind::kTimedOut);
  EXPECT_EQ(result_->exception_name, "NotRebooted");
  EXPECT_EQ(result_->exception_message, "the server is still up at the deadline");
}

TEST_F(RebootServerTest, ForcesOnlyWhenItIsTold) {
  Make(/*force=*/true);
  Run();
  EXPECT_EQ(services_.reboots(), std::vector<bool>{true});
}

TEST_F(RebootServerTest, DoesNothingThatIsNotOnDisk) {
  Make();
  Run(absl::ResourceExhaustedError("disk full"));
  EXPECT_TRUE(services_.reboots().empty());
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->exception_name, "LedgerUnavailable");
}

TEST_F(RebootServerTest, FailsWithTheNamesOfWhoInhibitsIt) {
  Make();
  services_.SetRebootAnswer(absl::FailedPreconditionError("a reboot is inhibited by dpkg"));
  Run();
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->kind, ActionResult::Kind::kFailed);
  EXPECT_EQ(result_->exception_name, "Inhibited");
  EXPECT_EQ(result_->exception_message, "a reboot is inhibited by dpkg");
  loop_.RunFor(absl::Hours(1));
}

TEST_F(RebootServerTest, TellsTheOtherRefusalsApart) {
  const std::vector<std::pair<absl::Status, std::string>> cases = {
      {absl::PermissionDeniedError("x"), "PermissionDenied"},
      {absl::DeadlineExceededError("x"), "TimedOut"},
      {absl::UnavailableError("x"), "CannotReboot"}};
  for (const auto& [answer, name] : cases) {
    Make();
    services_.SetRebootAnswer(answer);
    result_.reset();
    action_->Run(
        loop_.Now() + absl::Minutes(15), [](std::string, auto then) { then(absl::OkStatus()); },
        [this](ActionResult result) { result_ = std::move(result); });
    loop_.RunPending();
    ASSERT_TRUE(result_.has_value()) << name;
    EXPECT_EQ(result_->exception_name, name);
    EXPECT_EQ(result_->kind == ActionResult::Kind::kTimedOut, name == "TimedOut");
  }
}

TEST_F(RebootServerTest, CallsNobodyOnceItIsGone) {
  Make();
  Run();
  action_.reset();
  loop_.RunFor(absl::Hours(1));
  EXPECT_FALSE(result_.has_value());
}

}  // namespace
}  // namespace salve
