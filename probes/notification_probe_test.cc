#include "probes/notification_probe.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/simulated_loop.h"

namespace salve {
namespace {

class NotificationProbeTest : public ::testing::Test {
 protected:
  void Make(const std::string& expect_within) {
    config::NotificationProbe config;
    config.set_expect_within(expect_within);
    auto probe = NewNotificationProbe(config, loop_);
    ASSERT_TRUE(probe.ok()) << probe.status();
    probe_ = *std::move(probe);
    probe_->Watch([this] { ++hints_; });
  }
  Observation Look() {
    Observation seen;
    probe_->Start(Instant::InfiniteFuture(), [&](Observation o) { seen = std::move(o); });
    return seen;
  }

  SimulatedLoop loop_;
  std::unique_ptr<Probe> probe_;
  int hints_ = 0;
};

TEST_F(NotificationProbeTest, IsLookedAtWhenAReportComesAndSaysIt) {
  Make("");
  EXPECT_FALSE(probe_->IsRecurrent());
  ASSERT_TRUE(probe_->Report(false, "backup failed").ok());
  EXPECT_EQ(hints_, 1);
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "backup failed");
}

TEST_F(NotificationProbeTest, ShowsEachReportInItsOwnLook) {
  Make("");
  ASSERT_TRUE(probe_->Report(false, "").ok());
  ASSERT_TRUE(probe_->Report(true, "").ok());
  EXPECT_EQ(Look().error, "reported as failed");
  EXPECT_EQ(hints_, 3);  // The look asked for the next one.
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  EXPECT_EQ(hints_, 3);
}

TEST_F(NotificationProbeTest, IsRejectedBeforeTheFirstReport) {
  Make("");
  EXPECT_EQ(Look().outcome, Outcome::kRejected);
}

TEST_F(NotificationProbeTest, SaysTheLastReportAgainWhenAPersonAsks) {
  Make("");
  ASSERT_TRUE(probe_->Report(false, "backup failed").ok());
  Look();
  EXPECT_EQ(Look().error, "backup failed");
}

TEST_F(NotificationProbeTest, FailsEachTimeThatNoReportCameInTime) {
  Make("5m");
  loop_.RunFor(absl::Minutes(5) - absl::Nanoseconds(1));
  EXPECT_EQ(hints_, 0);
  loop_.RunFor(absl::Nanoseconds(1));
  EXPECT_EQ(hints_, 1);
  EXPECT_EQ(Look().error, "no report for 5m");
  loop_.RunFor(absl::Minutes(5));
  EXPECT_EQ(hints_, 2);
}

TEST_F(NotificationProbeTest, AReportBeginsTheWaitAnew) {
  Make("5m");
  loop_.RunFor(absl::Minutes(4));
  ASSERT_TRUE(probe_->Report(true, "").ok());
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  loop_.RunFor(absl::Minutes(5) - absl::Nanoseconds(1));
  EXPECT_EQ(hints_, 1);
  loop_.RunFor(absl::Nanoseconds(1));
  EXPECT_EQ(hints_, 2);
}

TEST_F(NotificationProbeTest, LosesTheOldestReportBeyondSixtyFour) {
  Make("");
  for (int i = 0; i <= 64; ++i) ASSERT_TRUE(probe_->Report(false, absl::StrCat(i)).ok());
  EXPECT_EQ(Look().error, "1");
}

TEST_F(NotificationProbeTest, AsksForNothingAfterItsEnd) {
  Make("5m");
  probe_.reset();
  loop_.RunFor(absl::Minutes(20));
  EXPECT_EQ(hints_, 0);
}

TEST(CheckNotificationProbeTest, KeepsTheBoundsOfExpectWithin) {
  config::NotificationProbe config;
  for (const char* good : {"", "1s", "720h"}) {
    config.set_expect_within(good);
    EXPECT_TRUE(CheckNotificationProbe(config).ok()) << good;
  }
  for (const char* bad : {"999ms", "720h1s", "soon"}) {
    config.set_expect_within(bad);
    EXPECT_EQ(CheckNotificationProbe(config).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_EQ(CheckNotificationProbe(config).message(),
            "notification.expect_within: 'soon' is not a duration like \"10s\"");
}

}  // namespace
}  // namespace salve
