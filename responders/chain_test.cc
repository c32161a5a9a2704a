#include "responders/chain.h"

#include <random>

#include "gtest/gtest.h"

namespace salve {
namespace {

using Phase = ResponderChain::Phase;

constexpr absl::Duration kTick = absl::Nanoseconds(1);

ResponderDefinition Responder(const std::string& name, config::HealthState on = config::DEGRADED,
                              absl::Duration after = absl::ZeroDuration()) {
  ResponderDefinition definition;
  definition.name = name;
  definition.on = on;
  definition.after = after;
  definition.retry_after = absl::Seconds(60);
  definition.ineffective_after = 3;
  return definition;
}

ResponderDefinition Observer(const std::string& name) {
  ResponderDefinition definition = Responder(name);
  definition.observe = true;
  return definition;
}

MonitorStatus In(config::HealthState state, absl::Duration in_state = absl::ZeroDuration()) {
  MonitorStatus status;
  status.state = state;
  status.alert = true;
  status.fresh = true;
  status.in_state = in_state;
  status.incident_id = "one";
  return status;
}

Instant At(absl::Duration age) { return Instant() + absl::Hours(1) + age; }
const Instant kNow = At(absl::ZeroDuration());
constexpr char kBoot[] = "boot-1";

// One attempt, from the question to the judgement.
bool Attempt(ResponderChain& chain, size_t i, bool effective, Instant now) {
  chain.Asked(i);
  chain.Started(i, "attempt");
  chain.Settling(i, now);
  return chain.Judged(i, effective, now);
}

TEST(ResponderChainTest, AsksForWhatItsStateNeeds) {
  ResponderChain chain(
      {Responder("restart", config::DEGRADED), Responder("run", config::UNHEALTHY)});
  EXPECT_EQ(chain.Next(In(config::DEGRADED), kNow), 0u);
  EXPECT_EQ(chain.Next(In(config::UNHEALTHY), kNow), 1u);
  EXPECT_EQ(chain.Next(In(config::UNRECOVERABLE), kNow), std::nullopt);
}

MonitorStatus Blind(absl::Duration in_state = absl::ZeroDuration()) {
  MonitorStatus status = In(config::UNAVAILABLE, in_state);
  status.alert = false;
  status.incident_id.clear();
  return status;
}

TEST(ResponderChainTest, UnavailableNeedsNoAlert) {
  ResponderChain chain({Responder("tell", config::UNAVAILABLE, absl::Minutes(1))});
  EXPECT_EQ(chain.Next(Blind(absl::Minutes(1) - kTick), kNow), std::nullopt);
  EXPECT_EQ(chain.NextDeadline(Blind(absl::Minutes(1) - kTick), kNow), kNow + kTick);
  EXPECT_EQ(chain.Next(Blind(absl::Minutes(1)), kNow), 0u);
  EXPECT_EQ(chain.WhyNot(0, Blind(absl::Minutes(1))), std::nullopt);
  EXPECT_EQ(chain.WhyNot(0, In(config::HEALTHY)), "the monitor is HEALTHY, not UNAVAILABLE");
  MonitorStatus held = Blind(absl::Hours(1));
  held.held = true;
  MonitorStatus stale = Blind(absl::Hours(1));
  stale.fresh = false;
  EXPECT_EQ(chain.Next(held, kNow), std::nullopt);
  EXPECT_EQ(chain.Next(stale, kNow), std::nullopt);
}

TEST(ResponderChainTest, NobodyElseActsOnUnavailable) {
  ResponderChain chain({Responder("a", config::DEGRADED), Responder("b", config::UNHEALTHY),
                        Responder("c", config::UNRECOVERABLE)});
  EXPECT_EQ(chain.Next(Blind(absl::Hours(1)), kNow), std::nullopt);
  EXPECT_EQ(chain.NextDeadline(Blind(absl::Hours(1)), kNow), Instant::InfiniteFuture());
  // Nor does one of another state without an alert.
  MonitorStatus well = In(config::UNHEALTHY);
  well.alert = false;
  EXPECT_EQ(chain.Next(well, kNow), std::nullopt);
}

TEST(ResponderChainTest, EachTimeItIsUnavailableCountsBeginAnew) {
  ResponderChain chain({Responder("tell", config::UNAVAILABLE), Responder("act")});
  for (int i = 0; i < 3; ++i) {
    Attempt(chain, 0, false, kNow);
    Attempt(chain, 1, false, kNow);
  }
  EXPECT_EQ(chain.phase(0), Phase::kHeldBack);
  chain.BeginUnavailable();
  EXPECT_EQ(chain.Next(Blind(), kNow), 0u);
  EXPECT_EQ(chain.ineffective(0), 0);
  EXPECT_EQ(chain.phase(1), Phase::kHeldBack);
}

TEST(ResponderChainTest, AnAttemptIsEffectiveByWhatItAnswers) {
  ResponderChain chain({Responder("tell", config::UNAVAILABLE), Responder("act")});
  EXPECT_FALSE(chain.IsEffective(0, Blind()));
  EXPECT_TRUE(chain.IsEffective(0, In(config::UNHEALTHY)));
  EXPECT_FALSE(chain.IsEffective(1, In(config::DEGRADED)));
  EXPECT_TRUE(chain.IsEffective(1, Blind()));  // No alert.
  MonitorStatus clearing = In(config::DEGRADED);
  clearing.clearing = true;
  EXPECT_TRUE(chain.IsEffective(1, clearing));
  EXPECT_EQ(chain.WhyNot(1, clearing), "the monitor's rule holds no longer");
  EXPECT_TRUE(chain.IsEffective(1, In(config::REPAIRING)));
}

TEST(ResponderChainTest, AsksOnlyOnAnAlertOfNow) {
  ResponderChain chain({Responder("restart")});
  MonitorStatus well = In(config::DEGRADED);
  well.alert = false;
  MonitorStatus stale = In(config::DEGRADED);
  stale.fresh = false;
  MonitorStatus held = In(config::DEGRADED);
  held.held = true;
  MonitorStatus suppressed = In(config::DEGRADED);
  suppressed.suppressed = true;
  for (const MonitorStatus& status : {well, stale, held, suppressed}) {
    EXPECT_EQ(chain.Next(status, kNow), std::nullopt);
    EXPECT_EQ(chain.NextDeadline(status, kNow), Instant::InfiniteFuture());
    EXPECT_NE(chain.WhyNot(0, status), std::nullopt);
  }
  EXPECT_EQ(chain.WhyNot(0, In(config::DEGRADED)), std::nullopt);
}

TEST(ResponderChainTest, SaysWhyNotInASentence) {
  ResponderChain chain({Responder("restart", config::DEGRADED, absl::Seconds(10))});
  MonitorStatus status = In(config::UNHEALTHY);
  EXPECT_EQ(chain.WhyNot(0, status), "the monitor is UNHEALTHY, not DEGRADED");
  status.alert = false;
  EXPECT_EQ(chain.WhyNot(0, status), "the monitor is healthy again");
  // A hold has begun and ended while it asked: the timeline starts anew.
  EXPECT_EQ(chain.WhyNot(0, In(config::DEGRADED, absl::Seconds(10) - kTick)),
            "the state is not old enough");
  EXPECT_EQ(chain.WhyNot(0, In(config::DEGRADED, absl::Seconds(10))), std::nullopt);
}

TEST(ResponderChainTest, WhatGoesOnWhileTheMonitorIsHeldAsksAndTheOthersDoNot) {
  ResponderChain chain({Responder("restart"), Responder("escalate")});
  MonitorStatus held = In(config::DEGRADED);
  held.held = true;
  EXPECT_EQ(chain.Next(held, kNow), std::nullopt);
  chain.SetGoesOn(1, true);
  EXPECT_EQ(chain.Next(held, kNow), 1u);
  EXPECT_EQ(chain.WhyNot(1, held), std::nullopt);
  EXPECT_EQ(chain.WhyNot(0, held), "the monitor is held");
  held.fresh = false;
  EXPECT_EQ(chain.Next(held, kNow), std::nullopt);
  chain.SetGoesOn(1, false);
  held.fresh = true;
  EXPECT_EQ(chain.Next(held, kNow), std::nullopt);
}

TEST(ResponderChainTest, ActsInTheOrderWrittenOneAtATime) {
  ResponderChain chain({Responder("first"), Responder("second")});
  const MonitorStatus status = In(config::DEGRADED);
  EXPECT_EQ(chain.Next(status, kNow), 0u);
  chain.Asked(0);
  EXPECT_EQ(chain.Next(status, kNow), std::nullopt);
  chain.Started(0, "attempt");
  EXPECT_EQ(chain.Next(status, kNow), std::nullopt);
  chain.Settling(0, kNow);
  EXPECT_EQ(chain.Next(status, kNow), std::nullopt);
  EXPECT_EQ(chain.NextDeadline(status, kNow), Instant::InfiniteFuture());
  chain.Judged(0, /*effective=*/false, kNow);
  EXPECT_EQ(chain.Next(status, kNow), 1u);
}

TEST(ResponderChainTest, OneOfAWeakerStateIsWaitedForToo) {
  ResponderChain chain(
      {Responder("weak", config::DEGRADED), Responder("strong", config::UNHEALTHY)});
  chain.Asked(0);
  chain.Started(0, "attempt");
  EXPECT_EQ(chain.Next(In(config::UNHEALTHY), kNow), std::nullopt);
}

TEST(ResponderChainTest, ARungComesExactlyAtItsAge) {
  ResponderChain chain({Responder("rung", config::DEGRADED, absl::Seconds(10))});
  EXPECT_EQ(chain.Next(In(config::DEGRADED, absl::Seconds(10) - kTick), kNow), std::nullopt);
  EXPECT_EQ(chain.Next(In(config::DEGRADED, absl::Seconds(10)), kNow), 0u);
  EXPECT_EQ(chain.NextDeadline(In(config::DEGRADED, absl::Seconds(4)), kNow), At(absl::Seconds(6)));
}

TEST(ResponderChainTest, AnIneffectiveOneIsAskedAgainExactlyAfterItsTime) {
  ResponderChain chain({Responder("restart")});
  const MonitorStatus status = In(config::DEGRADED);
  EXPECT_FALSE(Attempt(chain, 0, /*effective=*/false, kNow));
  EXPECT_EQ(chain.ineffective(0), 1);
  EXPECT_EQ(chain.NextDeadline(status, kNow), At(absl::Seconds(60)));
  EXPECT_EQ(chain.Next(status, At(absl::Seconds(60) - kTick)), std::nullopt);
  EXPECT_EQ(chain.Next(status, At(absl::Seconds(60))), 0u);
}

TEST(ResponderChainTest, AnEffectiveOneMayBeAskedAgainAtOnce) {
  ResponderChain chain({Responder("restart")});
  EXPECT_FALSE(Attempt(chain, 0, /*effective=*/true, kNow));
  EXPECT_EQ(chain.ineffective(0), 0);
  EXPECT_EQ(chain.Next(In(config::DEGRADED), kNow), 0u);
}

TEST(ResponderChainTest, IsHeldBackAfterExactlySoManyIneffectiveOnes) {
  ResponderChain chain({Responder("restart")});
  EXPECT_FALSE(Attempt(chain, 0, /*effective=*/false, kNow));
  EXPECT_FALSE(Attempt(chain, 0, /*effective=*/false, kNow));
  EXPECT_EQ(chain.Next(In(config::DEGRADED), At(absl::Hours(1))), 0u);
  EXPECT_TRUE(Attempt(chain, 0, /*effective=*/false, kNow));
  EXPECT_EQ(chain.phase(0), Phase::kHeldBack);
  EXPECT_EQ(chain.Next(In(config::DEGRADED), At(absl::Hours(1))), std::nullopt);
  EXPECT_EQ(chain.NextDeadline(In(config::DEGRADED), kNow), Instant::InfiniteFuture());
}

TEST(ResponderChainTest, OneThatIsHeldBackLetsTheNextAct) {
  ResponderDefinition once = Responder("once");
  once.ineffective_after = 1;
  ResponderChain chain({once, Responder("next")});
  EXPECT_TRUE(Attempt(chain, 0, /*effective=*/false, kNow));
  EXPECT_EQ(chain.Next(In(config::DEGRADED), kNow), 1u);
}

TEST(ResponderChainTest, ARefusedOneIsAskedAgainExactlyAtItsTime) {
  ResponderChain chain({Responder("restart")});
  const MonitorStatus status = In(config::DEGRADED);
  chain.Asked(0);
  chain.AskAgainAt(0, At(absl::Hours(2)));
  EXPECT_EQ(chain.NextDeadline(status, kNow), At(absl::Hours(2)));
  EXPECT_EQ(chain.not_before(0), At(absl::Hours(2)));
  EXPECT_EQ(chain.Next(status, At(absl::Hours(2) - kTick)), std::nullopt);
  EXPECT_EQ(chain.Next(status, At(absl::Hours(2))), 0u);
  EXPECT_EQ(chain.ineffective(0), 0);
}

TEST(ResponderChainTest, WakesWhoWaitsForARefusal) {
  ResponderChain chain({Responder("refused"), Responder("tried", config::UNHEALTHY)});
  chain.Asked(0);
  chain.AskAgainAt(0, Instant::InfiniteFuture());
  Attempt(chain, 1, /*effective=*/false, kNow);
  EXPECT_EQ(chain.Next(In(config::DEGRADED), At(absl::Hours(24))), std::nullopt);
  chain.WakeRefused();
  EXPECT_EQ(chain.Next(In(config::DEGRADED), kNow), 0u);
  EXPECT_EQ(chain.Next(In(config::UNHEALTHY), kNow), std::nullopt);  // A retry is no refusal.
}

TEST(ResponderChainTest, ARetryAfterARefusalIsARetry) {
  ResponderChain chain({Responder("restart")});
  chain.AskAgainAt(0, kNow);
  Attempt(chain, 0, /*effective=*/false, kNow);
  chain.WakeRefused();
  EXPECT_EQ(chain.Next(In(config::DEGRADED), At(absl::Seconds(60) - kTick)), std::nullopt);
}

TEST(ResponderChainTest, AnotherIncidentBeginsClean) {
  ResponderDefinition once = Responder("once");
  once.ineffective_after = 1;
  ResponderChain chain({once, Responder("tried")});
  EXPECT_TRUE(chain.FollowIncident("one"));
  Attempt(chain, 0, /*effective=*/false, kNow);
  Attempt(chain, 1, /*effective=*/false, kNow);
  EXPECT_FALSE(chain.FollowIncident("one"));
  EXPECT_FALSE(chain.FollowIncident(""));  // Closed: it may be reopened.
  EXPECT_EQ(chain.phase(0), Phase::kHeldBack);
  EXPECT_TRUE(chain.FollowIncident("two"));
  EXPECT_EQ(chain.ineffective(0), 0);
  EXPECT_EQ(chain.ineffective(1), 0);
  EXPECT_EQ(chain.Next(In(config::DEGRADED), kNow), 0u);
  chain.AskAgainAt(0, Instant::InfiniteFuture());
  EXPECT_EQ(chain.Next(In(config::DEGRADED), kNow), 1u);  // Its retry was the other incident's.
}

TEST(ResponderChainTest, WhatARefusalSaidHoldsInAnotherIncidentToo) {
  ResponderChain chain({Responder("restart")});
  chain.FollowIncident("one");
  chain.AskAgainAt(0, At(absl::Hours(2)));
  chain.FollowIncident("two");
  EXPECT_EQ(chain.Next(In(config::DEGRADED), kNow), std::nullopt);
}

TEST(ResponderChainTest, OneThatObservesIsInNobodysWay) {
  ResponderChain chain({Observer("watch"), Responder("restart")});
  const MonitorStatus status = In(config::DEGRADED);
  EXPECT_EQ(chain.Next(status, kNow), 0u);
  chain.Asked(0);
  EXPECT_EQ(chain.Next(status, kNow), 1u);
  EXPECT_EQ(chain.NextDeadline(status, kNow), kNow);
  chain.AskAgainAt(0, At(absl::Seconds(60)));
  EXPECT_EQ(chain.Next(status, kNow), 1u);
}

TEST(ResponderChainTest, DisabledOnesAreNotThere) {
  ResponderDefinition off = Responder("off");
  off.enabled = false;
  ResponderChain chain({off, Responder("on")});
  ASSERT_EQ(chain.size(), 1u);
  EXPECT_EQ(chain.definition(0).name, "on");
}

TEST(ResponderChainTest, AnEmptyChainHasNothingToAsk) {
  ResponderChain chain({});
  EXPECT_EQ(chain.Next(In(config::DEGRADED), kNow), std::nullopt);
  EXPECT_EQ(chain.NextDeadline(In(config::DEGRADED), kNow), Instant::InfiniteFuture());
}

TEST(ResponderChainTest, CountsOutliveTheAgent) {
  ResponderDefinition once = Responder("once");
  once.ineffective_after = 1;
  ResponderChain chain({once, Responder("tried")});
  chain.FollowIncident("one");
  Attempt(chain, 0, /*effective=*/false, kNow);
  Attempt(chain, 1, /*effective=*/false, kNow);
  const responders::ChainRecord record = chain.Save(kBoot);

  ResponderChain next({Responder("new"), Responder("tried"), once});
  next.Restore(record, kBoot, true);
  EXPECT_EQ(next.ineffective(0), 0);
  EXPECT_EQ(next.ineffective(1), 1);
  EXPECT_EQ(next.phase(2), Phase::kHeldBack);
  EXPECT_FALSE(next.FollowIncident("one"));
  EXPECT_EQ(next.phase(2), Phase::kHeldBack);
  EXPECT_TRUE(next.FollowIncident("two"));
  EXPECT_EQ(next.phase(2), Phase::kIdle);
}

TEST(ResponderChainTest, SavesWhatItRestored) {
  ResponderChain chain({Responder("restart")});
  chain.FollowIncident("one");
  for (int i = 0; i < 3; ++i) Attempt(chain, 0, /*effective=*/false, kNow);
  ResponderChain next({Responder("restart")});
  next.Restore(chain.Save(kBoot), kBoot, true);
  EXPECT_EQ(next.Save(kBoot).SerializeAsString(), chain.Save(kBoot).SerializeAsString());
}

TEST(ResponderChainTest, OneThatIsAllowedMoreAttemptsIsNotHeldBackAfterARestart) {
  ResponderChain chain({Responder("restart")});
  for (int i = 0; i < 3; ++i) Attempt(chain, 0, /*effective=*/false, kNow);
  ResponderDefinition more = Responder("restart");
  more.ineffective_after = 4;
  ResponderChain next({more});
  next.Restore(chain.Save(kBoot), kBoot, true);
  EXPECT_EQ(next.phase(0), Phase::kIdle);
  EXPECT_TRUE(Attempt(next, 0, /*effective=*/false, kNow));
}

TEST(ResponderChainTest, OneThatIsAllowedFewerIsHeldBackAfterItsNext) {
  ResponderChain chain({Responder("restart")});
  for (int i = 0; i < 2; ++i) Attempt(chain, 0, /*effective=*/false, kNow);
  ResponderDefinition fewer = Responder("restart");
  fewer.ineffective_after = 1;
  ResponderChain next({fewer});
  next.Restore(chain.Save(kBoot), kBoot, true);
  EXPECT_EQ(next.phase(0), Phase::kIdle);  // Nobody has been told yet that it is held back.
  EXPECT_TRUE(Attempt(next, 0, /*effective=*/false, kNow));
}

TEST(ResponderChainTest, AnAttemptThatWasNotJudgedIsJudgedInTheNextLife) {
  ResponderChain chain({Responder("restart"), Responder("next")});
  chain.Asked(0);
  chain.Started(0, "attempt-7");
  ResponderChain running({Responder("restart"), Responder("next")});
  running.Restore(chain.Save(kBoot), kBoot, true);
  EXPECT_EQ(running.phase(0), Phase::kRunning);
  EXPECT_EQ(running.attempt_id(0), "attempt-7");
  EXPECT_EQ(running.Next(In(config::DEGRADED), kNow), std::nullopt);

  chain.Settling(0, At(absl::Seconds(15)));
  ResponderChain settling({Responder("restart"), Responder("next")});
  settling.Restore(chain.Save(kBoot), kBoot, true);
  EXPECT_EQ(settling.phase(0), Phase::kSettling);
  EXPECT_EQ(settling.settle_end(0), At(absl::Seconds(15)));
  EXPECT_EQ(settling.phase(1), Phase::kIdle);
  settling.Judged(0, /*effective=*/false, kNow);
  EXPECT_EQ(settling.ineffective(0), 1);
}

TEST(ResponderChainTest, ARetryIsWaitedForInTheNextLife) {
  ResponderChain chain({Responder("restart")});
  chain.FollowIncident("one");
  Attempt(chain, 0, /*effective=*/false, kNow);
  ResponderChain next({Responder("restart")});
  next.Restore(chain.Save(kBoot), kBoot, true);
  EXPECT_FALSE(next.Next(In(config::DEGRADED), At(absl::Seconds(60)) - kTick).has_value());
  EXPECT_TRUE(next.Next(In(config::DEGRADED), At(absl::Seconds(60))).has_value());
}

TEST(ResponderChainTest, ARefusalIsAskedForAnewInTheNextLife) {
  ResponderChain chain({Responder("restart")});
  chain.Asked(0);
  chain.AskAgainAt(0, At(absl::Hours(1)));
  ResponderChain next({Responder("restart")});
  next.Restore(chain.Save(kBoot), kBoot, true);
  EXPECT_TRUE(next.Next(In(config::DEGRADED), kNow).has_value());
}

TEST(ResponderChainTest, AfterARebootOnlyTheCountsAreLeft) {
  ResponderChain chain({Responder("restart"), Responder("other")});
  Attempt(chain, 0, /*effective=*/false, kNow);
  chain.Asked(1);
  chain.Started(1, "attempt");
  chain.Settling(1, At(absl::Seconds(15)));
  ResponderChain next({Responder("restart"), Responder("other")});
  next.Restore(chain.Save(kBoot), "boot-2", true);
  EXPECT_EQ(next.ineffective(0), 1);
  EXPECT_EQ(next.not_before(0), Instant());
  EXPECT_EQ(next.phase(1), Phase::kIdle);
}

TEST(ResponderChainTest, AReloadLeavesWhatActsToTheOldChain) {
  ResponderChain chain({Responder("restart")});
  chain.Asked(0);
  chain.Started(0, "attempt");
  ResponderChain next({Responder("restart")});
  next.Restore(chain.Save(kBoot), kBoot, /*acting=*/false);
  EXPECT_EQ(next.phase(0), Phase::kIdle);
}

// At NextDeadline Next has an answer, and just before it has not.
class DeadlineProperty {
 public:
  explicit DeadlineProperty(uint64_t seed) : rng_(seed), chain_(RandomResponders()) {}

  void Step() {
    const size_t i = rng_() % chain_.size();
    switch (rng_() % 8) {
      case 0:
        chain_.Asked(i);
        break;
      case 1:
        chain_.AskAgainAt(i, rng_() % 5 == 0 ? Instant::InfiniteFuture() : now_ + RandomTime());
        break;
      case 2:
        chain_.Judged(i, rng_() % 2 == 0, now_);
        break;
      case 3:
        chain_.WakeRefused();
        break;
      case 4:
        chain_.FollowIncident(std::to_string(rng_() % 100));
        break;
      default:
        Pass(RandomTime());
    }
    Check();
  }

 private:
  std::vector<ResponderDefinition> RandomResponders() {
    std::vector<ResponderDefinition> all;
    for (uint64_t i = 0; i <= rng_() % 4; ++i) {
      all.push_back(Responder(std::to_string(i),
                              rng_() % 3 == 0 ? config::UNHEALTHY : config::DEGRADED,
                              rng_() % 2 == 0 ? absl::ZeroDuration() : RandomTime()));
      all.back().observe = rng_() % 4 == 0;
      all.back().retry_after = RandomTime();
    }
    return all;
  }
  absl::Duration RandomTime() { return absl::Nanoseconds(1 + rng_() % 10'000'000'000); }
  void Pass(absl::Duration d) {
    now_ = now_ + d;
    status_.in_state += d;
  }
  void Check() {
    const Instant due = chain_.NextDeadline(status_, now_);
    ASSERT_GE(due, now_);
    EXPECT_EQ(chain_.Next(status_, now_).has_value(), due == now_);
    if (due == Instant::InfiniteFuture()) {
      EXPECT_EQ(chain_.Next(In(status_.state, absl::Hours(1000)), now_ + absl::Hours(1000)),
                std::nullopt);
    } else if (due > now_) {
      Pass(due - now_ - kTick);
      EXPECT_EQ(chain_.Next(status_, now_), std::nullopt);
      Pass(kTick);
      EXPECT_NE(chain_.Next(status_, now_), std::nullopt);
    }
  }

  std::mt19937_64 rng_;
  ResponderChain chain_;
  Instant now_ = kNow;
  MonitorStatus status_ = In(config::DEGRADED);
};

TEST(ResponderChainTest, NextDeadlineAgreesWithNext) {
  const uint64_t first = std::random_device()();
  for (uint64_t seed = first; seed < first + 300 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    DeadlineProperty property(seed);
    for (int i = 0; i < 200 && !testing::Test::HasFailure(); ++i) property.Step();
  }
}

}  // namespace
}  // namespace salve
