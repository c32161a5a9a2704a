#include "base/fake_service_manager.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "base/simulated_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class FakeServiceManagerTest : public testing::Test {
 protected:
  UnitWatchId Watch(const std::string& unit) {
    return manager_.WatchUnit(unit, [this](const absl::StatusOr<UnitState>& state) {
      told_.push_back(state.ok() ? state->active_state
                                 : std::string(absl::StatusCodeToString(state.status().code())));
    });
  }
  void Restart(const std::string& unit) {
    manager_.RestartUnit(
        unit, loop_.Now() + absl::Seconds(10), [this](uint32_t job) { queued_ = job; },
        [this](absl::StatusOr<JobResult> result) { done_ = std::move(result); });
    EXPECT_FALSE(done_.has_value());
    loop_.RunPending();
  }

  SimulatedLoop loop_;
  FakeServiceManager manager_{loop_};
  std::vector<std::string> told_;
  uint32_t queued_ = 0;
  std::optional<absl::StatusOr<JobResult>> done_;
};

TEST_F(FakeServiceManagerTest, TellsStatesSoonAndUntilTheWatchEnds) {
  const UnitWatchId id = Watch("a.service");
  EXPECT_THAT(told_, IsEmpty());
  loop_.RunPending();
  manager_.SetUnit("a.service", manager_.Unit("a.service"));
  loop_.RunPending();
  manager_.SetConnected(false);
  loop_.RunPending();
  manager_.UnwatchUnit(id);
  manager_.SetConnected(true);
  loop_.RunPending();
  EXPECT_THAT(told_, ElementsAre("NOT_FOUND", "active", "UNAVAILABLE"));
}

TEST_F(FakeServiceManagerTest, TellsFailedUnitsSoonAndUntilTheWatchEnds) {
  const FailedUnitsWatchId id =
      manager_.WatchFailedUnits([this](const absl::StatusOr<FailedUnitsList>& failed) {
        told_.push_back(failed.ok() ? absl::StrJoin(*failed, " ") : "none");
      });
  EXPECT_THAT(told_, IsEmpty());
  loop_.RunPending();
  manager_.SetFailedUnits({"a.service", "b.mount"});
  loop_.RunPending();
  manager_.SetConnected(false);
  loop_.RunPending();
  manager_.UnwatchFailedUnits(id);
  manager_.SetConnected(true);
  loop_.RunPending();
  EXPECT_THAT(told_, ElementsAre("", "a.service b.mount", "none"));
}

TEST_F(FakeServiceManagerTest, QueuesARestartThatTheTestEnds) {
  manager_.SetUnit("a.service", manager_.Unit("a.service"));
  Restart("a.service");
  ASSERT_EQ(manager_.restarts().size(), 1);
  EXPECT_EQ(manager_.restarts()[0].unit, "a.service");
  EXPECT_EQ(manager_.restarts()[0].job_id, queued_);
  EXPECT_TRUE(manager_.is_pending(queued_));
  manager_.EndJob(queued_, "done");
  loop_.RunPending();
  EXPECT_EQ(done_->value().result, "done");
  EXPECT_FALSE(manager_.is_pending(queued_));
}

TEST_F(FakeServiceManagerTest, CancelsARestartAtItsDeadlineAndNotBefore) {
  manager_.SetUnit("a.service", manager_.Unit("a.service"));
  Restart("a.service");
  loop_.RunFor(absl::Seconds(10) - absl::Nanoseconds(1));
  EXPECT_FALSE(done_.has_value());
  loop_.RunFor(absl::Nanoseconds(1));
  EXPECT_EQ(done_->status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(manager_.cancelled_jobs(), ElementsAre(queued_));
}

TEST_F(FakeServiceManagerTest, RefusesARestartAsTheTestSays) {
  Restart("none.service");
  EXPECT_EQ(done_->status().code(), absl::StatusCode::kNotFound);
  manager_.SetRestartError(absl::FailedPreconditionError("masked"));
  done_.reset();
  Restart("none.service");
  EXPECT_EQ(done_->status().code(), absl::StatusCode::kFailedPrecondition);
  manager_.SetConnected(false);
  done_.reset();
  Restart("none.service");
  EXPECT_EQ(done_->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(queued_, 0);
}

TEST_F(FakeServiceManagerTest, KeepsReloadsApartFromRestarts) {
  manager_.SetUnit("a.service", manager_.Unit("a.service"));
  manager_.ReloadUnit(
      "a.service", loop_.Now() + absl::Seconds(10), [this](uint32_t job) { queued_ = job; },
      [this](absl::StatusOr<JobResult> result) { done_ = std::move(result); });
  loop_.RunPending();
  EXPECT_THAT(manager_.restarts(), testing::IsEmpty());
  ASSERT_THAT(manager_.reloads(), testing::SizeIs(1));
  manager_.EndJob(queued_, "failed");
  loop_.RunPending();
  EXPECT_EQ(done_->value().result, "failed");
}

TEST_F(FakeServiceManagerTest, EndsACancelledJob) {
  manager_.SetUnit("a.service", manager_.Unit("a.service"));
  Restart("a.service");
  manager_.CancelJob(queued_);
  loop_.RunPending();
  EXPECT_EQ(done_->value().result, "canceled");
}

TEST_F(FakeServiceManagerTest, StopsWhenTheTestSays) {
  EXPECT_FALSE(manager_.IsStopping());
  manager_.SetStopping(true);
  EXPECT_TRUE(manager_.IsStopping());
}

}  // namespace
}  // namespace salve
