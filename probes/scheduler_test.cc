#include "probes/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/simulated_loop.h"
#include "probes/fake_probe.h"

namespace salve {
namespace {

constexpr absl::Duration kInterval = absl::Seconds(10);
constexpr absl::Duration kTimeout = absl::Seconds(3);

class ProbeSchedulerTest : public ::testing::Test {
 protected:
  FakeProbe& Add(const std::string& name, int retries = 0, bool recurrent = true) {
    ProbeDefinition definition;
    definition.health_set = "Web";
    definition.name = name;
    definition.interval = kInterval;
    definition.timeout = kTimeout;
    definition.max_retry_attempts = retries;
    auto probe = std::make_unique<FakeProbe>();
    FakeProbe& fake = *probe;
    if (!recurrent) fake.MakeNotRecurrent();
    scheduler_.Add(std::move(definition), std::move(probe));
    return fake;
  }
  // Time from Add to the first turn of the probe Web/`name`.
  static absl::Duration Phase(const std::string& name) { return PhaseOf("Web/" + name, kInterval); }

  SimulatedLoop loop_;
  std::vector<std::string> names_;
  std::vector<Look> looks_;
  std::function<void()> inside_done_ = [] {};
  ProbeScheduler scheduler_{loop_, [this](const ProbeDefinition& probe, const Look& look) {
                              names_.push_back(FullName(probe));
                              looks_.push_back(look);
                              inside_done_();
                            }};
};

TEST_F(ProbeSchedulerTest, LooksFirstAtThePhaseOfTheNameAndThenEveryInterval) {
  FakeProbe& probe = Add("Ping");
  loop_.RunFor(Phase("Ping") - absl::Nanoseconds(1));
  EXPECT_EQ(probe.looks_started(), 0);
  loop_.RunFor(absl::Nanoseconds(1));
  EXPECT_EQ(probe.looks_started(), 1);
  loop_.RunFor(kInterval - absl::Nanoseconds(1));
  EXPECT_EQ(probe.looks_started(), 1);
  loop_.RunFor(absl::Nanoseconds(1));
  EXPECT_EQ(probe.looks_started(), 2);
  EXPECT_EQ(scheduler_.counters("Web/Ping").looks, 2);
}

TEST_F(ProbeSchedulerTest, WhatIsRarelyLookedAtIsLookedAtWithinTheFirstMinute) {
  ProbeDefinition definition;
  definition.health_set = "Web";
  definition.interval = absl::Minutes(10);
  definition.timeout = kTimeout;
  std::vector<FakeProbe*> probes;
  for (int i = 0; i < 20; ++i) {
    definition.name = absl::StrCat("Rare", i);
    auto probe = std::make_unique<FakeProbe>();
    probes.push_back(probe.get());
    scheduler_.Add(definition, std::move(probe));
  }
  loop_.RunFor(absl::Seconds(30));
  const auto looked = [](const FakeProbe* probe) { return probe->looks_started() == 1; };
  const auto early = std::count_if(probes.begin(), probes.end(), looked);
  EXPECT_GT(early, 0);   // Not all at the end of the minute,
  EXPECT_LT(early, 20);  // nor all at once.
  loop_.RunFor(absl::Seconds(30));
  EXPECT_TRUE(std::all_of(probes.begin(), probes.end(), looked));
  loop_.RunFor(absl::Minutes(9));
  EXPECT_TRUE(std::all_of(probes.begin(), probes.end(), looked));
  loop_.RunFor(absl::Minutes(1));
  EXPECT_FALSE(std::any_of(probes.begin(), probes.end(), looked));
}

TEST_F(ProbeSchedulerTest, ReportsEachLookWithItsPlaceInTime) {
  FakeProbe& probe = Add("Ping");
  probe.Hang();
  loop_.RunFor(Phase("Ping"));
  const Instant start = loop_.Now();
  const absl::Time wall_start = loop_.clock().WallNow();
  EXPECT_EQ(probe.deadline(), start + kTimeout);
  loop_.RunFor(absl::Milliseconds(40));
  probe.Finish(Failed("status 503, expected 2xx"));
  ASSERT_EQ(looks_.size(), 1u);
  EXPECT_EQ(names_[0], "Web/Ping");
  EXPECT_EQ(looks_[0].observation.error, "status 503, expected 2xx");
  EXPECT_EQ(looks_[0].start, start);
  EXPECT_EQ(looks_[0].wall_start, wall_start);
  EXPECT_EQ(looks_[0].duration, absl::Milliseconds(40));
  EXPECT_EQ(looks_[0].retries, 0);
}

TEST_F(ProbeSchedulerTest, CutsObservationsThatAreBeyondTheirBounds) {
  Observation big = Failed("");
  big.error = std::string(kErrorBytesMax + 1, 'x');
  big.values.resize(kValuesMax + 1);
  big.attributes.resize(kAttributesMax + 1, {"a", std::string(kErrorBytesMax + 1, 'y')});
  Add("Ping").Say(big);
  loop_.RunFor(kInterval);
  ASSERT_EQ(looks_.size(), 1u);
  EXPECT_EQ(looks_[0].observation.error.size(), kErrorBytesMax);
  EXPECT_EQ(looks_[0].observation.values.size(), kValuesMax);
  EXPECT_EQ(looks_[0].observation.attributes.size(), kAttributesMax);
  EXPECT_EQ(looks_[0].observation.attributes[0].second.size(), kErrorBytesMax);
}

TEST_F(ProbeSchedulerTest, SkipsAndCountsTheTurnsOfAProbeThatStillLooks) {
  FakeProbe& probe = Add("Slow");
  probe.Hang();
  loop_.RunFor(Phase("Slow"));
  loop_.RunFor(kInterval * 3);
  EXPECT_EQ(probe.looks_started(), 1);
  EXPECT_EQ(scheduler_.counters("Web/Slow").skipped, 3u);
  EXPECT_EQ(scheduler_.skipped_total(), 3u);
  probe.Finish({});
  loop_.RunFor(kInterval);
  EXPECT_EQ(probe.looks_started(), 2);
  EXPECT_EQ(scheduler_.skipped_total(), 3u);
}

TEST_F(ProbeSchedulerTest, RetriesATimedOutLookAtOnceAndReportsItOnce) {
  FakeProbe& probe = Add("Ping", /*retries=*/2);
  probe.Say(TimedOut("while connecting"));
  loop_.RunFor(Phase("Ping"));
  EXPECT_EQ(probe.looks_started(), 3);
  ASSERT_EQ(looks_.size(), 1u);
  EXPECT_EQ(looks_[0].retries, 2);
  EXPECT_EQ(looks_[0].observation.outcome, Outcome::kTimedOut);
}

TEST_F(ProbeSchedulerTest, StopsRetryingWhenATryDoesNotTimeOut) {
  FakeProbe& probe = Add("Ping", /*retries=*/2);
  probe.Hang();
  loop_.RunFor(Phase("Ping"));
  probe.Finish(TimedOut("while connecting"));
  loop_.RunPending();
  EXPECT_EQ(probe.looks_started(), 2);
  ASSERT_EQ(looks_.size(), 1u);
  EXPECT_EQ(looks_[0].retries, 1);
  EXPECT_EQ(looks_[0].observation.outcome, Outcome::kSucceeded);
}

TEST_F(ProbeSchedulerTest, DoesNotRetryFailedAndRejectedLooks) {
  FakeProbe& probe = Add("Ping", /*retries=*/2);
  probe.Say(Failed("refused"));
  loop_.RunFor(Phase("Ping"));
  probe.Say(Rejected("no descriptors"));
  loop_.RunFor(kInterval);
  EXPECT_EQ(probe.looks_started(), 2);
  EXPECT_EQ(looks_.size(), 2u);
}

TEST_F(ProbeSchedulerTest, GivesEachTryItsOwnDeadline) {
  FakeProbe& probe = Add("Ping", /*retries=*/1);
  probe.Hang();
  loop_.RunFor(Phase("Ping") + kTimeout);
  probe.Finish(TimedOut("while connecting"));
  probe.Hang();
  loop_.RunPending();
  EXPECT_EQ(probe.deadline(), loop_.Now() + kTimeout);
  probe.Finish({});
  ASSERT_EQ(looks_.size(), 1u);
  EXPECT_EQ(looks_[0].duration, kTimeout);
}

TEST_F(ProbeSchedulerTest, RecordsAProbeThatIgnoresItsDeadlineAsTimedOut) {
  Add("Stuck").Hang();
  loop_.RunFor(Phase("Stuck") + kTimeout + ProbeScheduler::kGrace - absl::Nanoseconds(1));
  EXPECT_TRUE(looks_.empty());
  loop_.RunFor(absl::Nanoseconds(1));
  ASSERT_EQ(looks_.size(), 1u);
  EXPECT_EQ(looks_[0].observation.outcome, Outcome::kTimedOut);
  EXPECT_EQ(looks_[0].observation.error, "the probe has not ended 1s after its deadline");
}

TEST_F(ProbeSchedulerTest, DoesNotStartAStuckProbeAgainAndIgnoresItsLateAnswer) {
  FakeProbe& probe = Add("Stuck", /*retries=*/2);
  probe.Hang();
  loop_.RunFor(Phase("Stuck") + kInterval);
  EXPECT_EQ(probe.looks_started(), 1);
  EXPECT_EQ(scheduler_.counters("Web/Stuck").skipped, 1u);
  probe.Finish({});
  EXPECT_EQ(looks_.size(), 1u);
  loop_.RunFor(kInterval);
  EXPECT_EQ(probe.looks_started(), 2);
  EXPECT_EQ(looks_.size(), 2u);
}

TEST_F(ProbeSchedulerTest, LookNowOfAStuckProbeAnswersRejectedWithoutRecordingIt) {
  Add("Stuck").Hang();
  loop_.RunFor(Phase("Stuck") + kTimeout + ProbeScheduler::kGrace);
  std::vector<Look> answers;
  ASSERT_TRUE(scheduler_.LookNow("Web/Stuck", [&](const Look& l) { answers.push_back(l); }).ok());
  loop_.RunPending();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].observation.outcome, Outcome::kRejected);
  EXPECT_EQ(looks_.size(), 1u);
}

TEST_F(ProbeSchedulerTest, LookNowLooksOutOfTurnAndNeverInsideTheCall) {
  FakeProbe& probe = Add("Ping");
  int answers = 0;
  ASSERT_TRUE(scheduler_.LookNow("Web/Ping", [&](const Look&) { ++answers; }).ok());
  EXPECT_EQ(probe.looks_started(), 0);
  loop_.RunPending();
  EXPECT_EQ(probe.looks_started(), 1);
  EXPECT_EQ(answers, 1);
  EXPECT_EQ(looks_.size(), 1u);
}

TEST_F(ProbeSchedulerTest, LookNowJoinsTheLookThatIsRunning) {
  FakeProbe& probe = Add("Ping");
  probe.Hang();
  loop_.RunFor(Phase("Ping"));
  int answers = 0;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(scheduler_.LookNow("Web/Ping", [&](const Look&) { ++answers; }).ok());
  }
  probe.Finish({});
  EXPECT_EQ(answers, 2);
  loop_.RunPending();
  EXPECT_EQ(probe.looks_started(), 1);
}

TEST_F(ProbeSchedulerTest, LookNowAnswersAfterLookDoneHasHadTheLook) {
  Add("Ping");
  size_t recorded_before_the_answer = 0;
  ASSERT_TRUE(
      scheduler_
          .LookNow("Web/Ping", [&](const Look&) { recorded_before_the_answer = looks_.size(); })
          .ok());
  loop_.RunPending();
  EXPECT_EQ(recorded_before_the_answer, 1u);
}

TEST_F(ProbeSchedulerTest, LookNowInsideLookDoneStartsAnotherLook) {
  FakeProbe& probe = Add("Ping");
  int answers = 0;
  inside_done_ = [&] {
    if (looks_.size() > 1) return;
    ASSERT_TRUE(scheduler_.LookNow("Web/Ping", [&](const Look&) { ++answers; }).ok());
  };
  loop_.RunFor(Phase("Ping"));
  EXPECT_EQ(probe.looks_started(), 2);
  EXPECT_EQ(answers, 1);
}

TEST_F(ProbeSchedulerTest, LookNowOfAnUnknownProbeIsNotFound) {
  EXPECT_EQ(scheduler_.LookNow("Web/No", [](const Look&) {}).code(), absl::StatusCode::kNotFound);
}

TEST_F(ProbeSchedulerTest, LookNowRefusesTheCallerAfterTheThousandth) {
  Add("Ping");
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(scheduler_.LookNow("Web/Ping", [](const Look&) {}).ok());
  }
  EXPECT_EQ(scheduler_.LookNow("Web/Ping", [](const Look&) {}).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(ProbeSchedulerTest, AChangeIsLookedAtAtOnceButNotInsideTheHint) {
  FakeProbe& probe = Add("Unit");
  probe.Change();
  EXPECT_EQ(probe.looks_started(), 0);
  loop_.RunPending();
  EXPECT_EQ(probe.looks_started(), 1);
}

TEST_F(ProbeSchedulerTest, ChangesDuringALookCauseExactlyOneFurtherLook) {
  FakeProbe& probe = Add("Unit");
  probe.Hang();
  probe.Change();
  loop_.RunPending();
  for (int i = 0; i < 5; ++i) probe.Change();
  loop_.RunFor(ProbeScheduler::kHintSpacing);
  probe.Finish({});
  loop_.RunFor(ProbeScheduler::kHintSpacing * 5);
  EXPECT_EQ(probe.looks_started(), 2);
}

TEST_F(ProbeSchedulerTest, ChangesFasterThanTheSpacingAreSeenByOneLook) {
  FakeProbe& probe = Add("Unit");
  probe.Change();
  loop_.RunPending();
  for (int i = 0; i < 5; ++i) probe.Change();
  loop_.RunFor(ProbeScheduler::kHintSpacing - absl::Nanoseconds(1));
  EXPECT_EQ(probe.looks_started(), 1);
  loop_.RunFor(absl::Nanoseconds(1));
  EXPECT_EQ(probe.looks_started(), 2);
  loop_.RunFor(ProbeScheduler::kHintSpacing * 5);
  EXPECT_EQ(probe.looks_started(), 2);
}

TEST_F(ProbeSchedulerTest, ARecurrentProbeTakesNoReport) {
  Add("Ping");
  EXPECT_EQ(scheduler_.Report("Web/Ping", true, "").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(scheduler_.Report("Web/No", true, "").code(), absl::StatusCode::kNotFound);
}

TEST_F(ProbeSchedulerTest, ANotificationProbeLooksOnlyWhenItIsToldSomething) {
  FakeProbe& probe = Add("Told", 0, /*recurrent=*/false);
  loop_.RunFor(kInterval * 5);
  EXPECT_EQ(probe.looks_started(), 0);
  ASSERT_TRUE(scheduler_.Report("Web/Told", false, "backup failed").ok());
  loop_.RunPending();
  ASSERT_EQ(looks_.size(), 1u);
  EXPECT_EQ(looks_[0].observation.error, "backup failed");
}

TEST_F(ProbeSchedulerTest, RemoveDropsALookThatIsRunning) {
  Add("Ping").Hang();
  loop_.RunFor(Phase("Ping"));
  ASSERT_TRUE(scheduler_.LookNow("Web/Ping", [](const Look&) { FAIL(); }).ok());
  scheduler_.Remove("Web/Ping");
  scheduler_.Remove("Web/Ping");
  loop_.RunFor(kInterval * 3);
  EXPECT_TRUE(looks_.empty());
}

TEST_F(ProbeSchedulerTest, AProbeMayBeRemovedAndAddedAgainInsideItsOwnLookDone) {
  Add("Ping").Hang();
  inside_done_ = [&] {
    if (looks_.size() > 1) return;
    scheduler_.Remove("Web/Ping");
    Add("Ping").Say(Failed("the new one"));
  };
  loop_.RunFor(Phase("Ping") + kTimeout + ProbeScheduler::kGrace);
  ASSERT_EQ(looks_.size(), 1u);
  loop_.RunFor(kInterval);
  ASSERT_EQ(looks_.size(), 2u);
  EXPECT_EQ(looks_[1].observation.error, "the new one");
}

TEST_F(ProbeSchedulerTest, AProbeThatAnswersInsideStartMayBeRemovedThere) {
  Add("Ping");
  inside_done_ = [&] { scheduler_.Remove("Web/Ping"); };
  loop_.RunFor(kInterval * 3);
  EXPECT_EQ(looks_.size(), 1u);
}

TEST_F(ProbeSchedulerTest, OtherProbesMayBeRemovedInsideLookDone) {
  Add("A").Hang();
  Add("B");
  inside_done_ = [&] { scheduler_.Remove("Web/A"); };
  loop_.RunFor(kInterval * 3);
  EXPECT_EQ(std::count(names_.begin(), names_.end(), "Web/B"), 3);
}

TEST_F(ProbeSchedulerTest, TurnsThatASuspendedMachineMissedAreNotMadeUpFor) {
  FakeProbe& probe = Add("Ping");
  loop_.simulated_clock().Advance(kInterval * 100);
  loop_.RunPending();
  EXPECT_EQ(probe.looks_started(), 1);
  loop_.RunFor(kInterval);
  EXPECT_EQ(probe.looks_started(), 2);
  EXPECT_EQ(scheduler_.skipped_total(), 0u);
}

TEST(PhaseOfTest, IsTheSameOnEveryServerAndAfterEveryRestart) {
  EXPECT_EQ(PhaseOf("Web/NginxPing", absl::Seconds(10)), absl::Nanoseconds(2427750725));
}

TEST(PhaseOfTest, SpreadsAThousandSimilarNamesEvenly) {
  std::vector<int> tenths(10);
  for (int i = 0; i < 1000; ++i) {
    const absl::Duration phase = PhaseOf(absl::StrCat("Web/Ping", i), absl::Seconds(10));
    ASSERT_GE(phase, absl::ZeroDuration());
    ASSERT_LT(phase, absl::Seconds(10));
    ++tenths[phase / absl::Seconds(1)];
  }
  EXPECT_GE(*std::min_element(tenths.begin(), tenths.end()), 70);
  EXPECT_LE(*std::max_element(tenths.begin(), tenths.end()), 130);
}

}  // namespace
}  // namespace salve
