#include "throttling/policy.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using enum RecoveryAction;

PolicyEntry Entry(RecoveryAction action, std::string type, std::string name, std::string resource,
                  Limits limits = {}) {
  return {action, std::move(type), std::move(name), std::move(resource), limits};
}

std::string IdentityOf(const Policy& policy, const RequesterKey& key) {
  const PolicyEntry* entry = policy.Match(key);
  return entry ? entry->Identity() : "";
}

TEST(PolicyTest, IdentityHasTheResourceInLowerCase) {
  EXPECT_EQ(Entry(kRestartService, "*", "*", "MSExchangeFastSearch").Identity(),
            "RestartService/Default/*/*/msexchangefastsearch");
}

TEST(PolicyTest, AnEmptyPolicyMatchesNothing) {
  EXPECT_EQ(Policy().Match({kRestartService, "a", "T", "R"}), nullptr);
}

TEST(PolicyTest, MatchesWithoutRegardToCase) {
  const Policy policy = *Policy::Create({Entry(kResetPool, "MyResponder", "Heal", "Php/WWW")});
  EXPECT_NE(policy.Match({kResetPool, "pHP/www", "MYRESPONDER", "heal"}), nullptr);
  EXPECT_EQ(policy.Match({kRestartService, "php/www", "MyResponder", "Heal"}), nullptr);
  EXPECT_EQ(policy.Match({kResetPool, "php/www2", "MyResponder", "Heal"}), nullptr);
}

TEST(PolicyTest, TheExactNameWinsOverResourceAndThatOverType) {
  const Policy policy = *Policy::Create({
      Entry(kRestartService, "*", "*", "*"),
      Entry(kRestartService, "T", "*", "*"),
      Entry(kRestartService, "*", "*", "nginx"),
      Entry(kRestartService, "T", "*", "nginx"),
      Entry(kRestartService, "*", "R", "*"),
      Entry(kRestartService, "T", "R", "*"),
      Entry(kRestartService, "*", "R", "nginx"),
  });
  EXPECT_EQ(IdentityOf(policy, {kRestartService, "nginx", "T", "R"}),
            "RestartService/Default/*/R/nginx");
  EXPECT_EQ(IdentityOf(policy, {kRestartService, "other", "T", "R"}),
            "RestartService/Default/T/R/*");
  EXPECT_EQ(IdentityOf(policy, {kRestartService, "other", "U", "R"}),
            "RestartService/Default/*/R/*");
  EXPECT_EQ(IdentityOf(policy, {kRestartService, "nginx", "T", "S"}),
            "RestartService/Default/T/*/nginx");
  EXPECT_EQ(IdentityOf(policy, {kRestartService, "nginx", "U", "S"}),
            "RestartService/Default/*/*/nginx");
  EXPECT_EQ(IdentityOf(policy, {kRestartService, "other", "T", "S"}),
            "RestartService/Default/T/*/*");
  EXPECT_EQ(IdentityOf(policy, {kRestartService, "other", "U", "S"}),
            "RestartService/Default/*/*/*");
}

TEST(PolicyTest, AStarInsideAFieldIsNoWildcard) {
  const Policy policy = *Policy::Create({Entry(kRestartService, "*", "*", "nginx*")});
  EXPECT_EQ(policy.Match({kRestartService, "nginx1", "T", "R"}), nullptr);
  EXPECT_NE(policy.Match({kRestartService, "nginx*", "T", "R"}), nullptr);
}

TEST(PolicyTest, IdentitiesAreComparedFieldByField) {
  // Joined by '/' these two are the same text.
  const auto policy = Policy::Create(
      {Entry(kRestartService, "a/b", "c", "d"), Entry(kRestartService, "a", "b/c", "d")});
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ(policy->Match({kRestartService, "d", "a", "b/c"}), &policy->entries()[1]);
}

TEST(PolicyTest, TwoEntriesOfOneIdentityAreRefused) {
  const auto policy = Policy::Create(
      {Entry(kRestartService, "*", "*", "Nginx"), Entry(kRestartService, "*", "*", "nginx")});
  EXPECT_EQ(policy.status().code(), absl::StatusCode::kInvalidArgument);
}

// The plain way to find the best match: look at all and compare.
const PolicyEntry* SlowMatch(const Policy& policy, const RequesterKey& key) {
  const PolicyEntry* best = nullptr;
  int best_rank = -1;
  for (const PolicyEntry& entry : policy.entries()) {
    const auto fits = [](absl::string_view pattern, absl::string_view value) {
      return pattern == "*" || absl::EqualsIgnoreCase(pattern, value);
    };
    if (entry.action != key.action || !fits(entry.responder_name, key.responder_name) ||
        !fits(entry.resource, key.resource) || !fits(entry.responder_type, key.responder_type)) {
      continue;
    }
    const int rank = (entry.responder_name != "*") * 4 + (entry.resource != "*") * 2 +
                     (entry.responder_type != "*");
    if (rank > best_rank) {
      best = &entry;
      best_rank = rank;
    }
  }
  return best;
}

TEST(PolicyTest, MatchesAsAPlainSearchDoesOnRandomPolicies) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  const auto one_of = [&](const char* letters) {
    return std::string(1, letters[random() % strlen(letters)]);
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<PolicyEntry> entries;
    for (int i = static_cast<int>(random() % 40); i > 0; --i) {
      PolicyEntry entry =
          Entry(kRecoveryActions[random() % 2], one_of("*abC"), one_of("*abC"), one_of("*abC"));
      const bool is_new = std::none_of(entries.begin(), entries.end(), [&](const auto& other) {
        return absl::EqualsIgnoreCase(other.Identity(), entry.Identity());
      });
      if (is_new) entries.push_back(std::move(entry));
    }
    const Policy policy = *Policy::Create(entries);
    for (int i = 0; i < 50; ++i) {
      const std::string resource = one_of("aBcd"), type = one_of("aBcd"), name = one_of("aBcd");
      const RequesterKey key = {kRecoveryActions[random() % 2], resource, type, name};
      ASSERT_EQ(policy.Match(key), SlowMatch(policy, key));
    }
  }
}

TEST(BuiltInPolicyTest, HasLimitsForEveryAction) {
  for (const RecoveryAction action : kRecoveryActions) {
    EXPECT_NE(BuiltInPolicy().Match({action, "x", "T", "R"}), nullptr) << ActionName(action);
  }
  EXPECT_EQ(BuiltInPolicy().Match({kRebootServer, "x", "T", "R"})->limits,
            (Limits{true, 720, -1, 1, 60, 4}));
  EXPECT_EQ(BuiltInPolicy().Match({kTakeOffline, "x", "T", "R"})->limits,
            (Limits{true, 60, -1, 4, -1, -1}));
}

constexpr RequesterKey kKey = {kRestartService, "nginx", "RestartServiceResponder", "R"};

TEST(ResolveTest, TheBuiltInDefaultsHoldOnlyWhereThePolicyMatchesNothing) {
  const Policy policy =
      *Policy::Create({Entry(kRestartService, "*", "*", "*", {true, -1, -1, -1, -1, -1})});
  const auto from_policy = Resolve(policy, BuiltInPolicy(), kKey, {});
  EXPECT_EQ(from_policy->layer, LimitSource::kPolicy);
  EXPECT_EQ(from_policy->limits.local_max_in_day, -1);
  RequesterKey other = kKey;
  other.action = kResetPool;
  const auto built_in = Resolve(policy, BuiltInPolicy(), other, {});
  EXPECT_EQ(built_in->layer, LimitSource::kBuiltIn);
  EXPECT_EQ(built_in->limits.local_max_in_day, 12);
}

TEST(ResolveTest, WhatMatchesNothingHasNoLimits) {
  EXPECT_EQ(Resolve(Policy(), Policy(), kKey, {}), std::nullopt);
}

TEST(ResolveTest, OfEachAttributeTheStricterOfPolicyAndResponderHolds) {
  const Policy policy =
      *Policy::Create({Entry(kRestartService, "*", "*", "*", {true, 60, 3, -1, -1, 4})});
  config::Throttle own;
  own.set_local_minimum_minutes_between_attempts(10);  // Looser: does not hold.
  own.set_local_maximum_allowed_attempts_in_one_hour(2);
  own.set_local_maximum_allowed_attempts_in_a_day(5);
  own.set_group_maximum_allowed_attempts_in_a_day(-1);  // Says nothing.
  const auto effective = Resolve(policy, Policy(), kKey, {.own = &own});
  EXPECT_EQ(effective->limits, (Limits{true, 60, 2, 5, -1, 4}));
  EXPECT_THAT(
      effective->sources,
      testing::ElementsAre(LimitSource::kPolicy, LimitSource::kResponder, LimitSource::kResponder,
                           LimitSource::kPolicy, LimitSource::kPolicy));
}

TEST(ResolveTest, AResponderOwnLimitsHoldOverADisabledEntry) {
  const Policy policy =
      *Policy::Create({Entry(kRestartService, "*", "*", "*", {false, 60, 3, 4, 5, 6})});
  config::Throttle own;
  own.set_local_maximum_allowed_attempts_in_a_day(9);
  EXPECT_EQ(Resolve(policy, Policy(), kKey, {.own = &own})->limits,
            (Limits{true, -1, -1, 9, -1, -1}));
}

TEST(ResolveTest, ADisabledEntryKeepsItsNumbersOutOfForce) {
  const Limits written = {false, 60, 3, 4, 5, 6};
  const Policy policy = *Policy::Create({Entry(kRestartService, "*", "*", "*", written)});
  const config::Throttle nothing;
  EXPECT_EQ(Resolve(policy, Policy(), kKey, {})->limits, written);
  EXPECT_EQ(Resolve(policy, Policy(), kKey, {.own = &nothing})->limits, written);
}

LimitOverrides OverridesOf(std::optional<bool> enabled, std::optional<int> local_minimum,
                           LimitSource source = LimitSource::kLocalOverride) {
  LimitOverrides overrides;
  if (enabled.has_value()) overrides.enabled = {*enabled, source};
  if (local_minimum.has_value()) overrides.limits[0] = {*local_minimum, source};
  return overrides;
}

TEST(ResolveTest, AnOverrideChangesASingleAttributeInEitherDirection) {
  const Policy policy =
      *Policy::Create({Entry(kRestartService, "*", "*", "*", {true, 60, 3, -1, -1, 4})});
  config::Throttle own;
  own.set_local_minimum_minutes_between_attempts(90);
  for (const int minutes : {240, 10, 0, -1}) {
    const LimitOverrides overrides = OverridesOf(std::nullopt, minutes);
    const auto effective = Resolve(policy, Policy(), kKey, {.own = &own, .overrides = &overrides});
    EXPECT_EQ(effective->limits, (Limits{true, minutes, 3, -1, -1, 4}));
    EXPECT_EQ(effective->sources[0], LimitSource::kLocalOverride);
    EXPECT_EQ(effective->sources[1], LimitSource::kPolicy);
    EXPECT_EQ(effective->HighestSource(), LimitSource::kLocalOverride);
  }
}

TEST(ResolveTest, AnOverrideOfTheSameValueIsStillItsSource) {
  const LimitOverrides overrides = OverridesOf(true, 10, LimitSource::kGlobalOverride);
  const auto effective = Resolve(Policy(), BuiltInPolicy(), kKey, {.overrides = &overrides});
  EXPECT_EQ(effective->limits.local_minimum_minutes, 10);
  EXPECT_EQ(effective->sources[0], LimitSource::kGlobalOverride);
  EXPECT_EQ(effective->enabled_source, LimitSource::kGlobalOverride);
  EXPECT_EQ(effective->identity, "RestartService/Default/*/*/*");
}

TEST(ResolveTest, AnOverrideOfEnabledDecides) {
  const Policy off =
      *Policy::Create({Entry(kRestartService, "*", "*", "*", {false, 60, 3, 4, 5, 6})});
  config::Throttle own;
  own.set_local_minimum_minutes_between_attempts(90);
  const LimitOverrides on = OverridesOf(true, std::nullopt);
  EXPECT_EQ(Resolve(off, Policy(), kKey, {.overrides = &on})->limits,
            (Limits{true, 60, 3, 4, 5, 6}));
  EXPECT_EQ(Resolve(off, Policy(), kKey, {.own = &own, .overrides = &on})->limits,
            (Limits{true, 90, 3, 4, 5, 6}));
  const LimitOverrides disabled = OverridesOf(false, 240);
  const auto effective =
      Resolve(Policy(), BuiltInPolicy(), kKey, {.own = &own, .overrides = &disabled});
  EXPECT_EQ(effective->limits.InForce(), (Limits{false, -1, -1, -1, -1, -1}));
  EXPECT_EQ(effective->enabled_source, LimitSource::kLocalOverride);
}

TEST(ResolveTest, AnOverrideOfANumberDoesNotEnableADisabledEntry) {
  const Policy off =
      *Policy::Create({Entry(kRestartService, "*", "*", "*", {false, 60, 3, 4, 5, 6})});
  const LimitOverrides overrides = OverridesOf(std::nullopt, 240);
  EXPECT_EQ(Resolve(off, Policy(), kKey, {.overrides = &overrides})->limits,
            (Limits{false, 240, 3, 4, 5, 6}));
}

TEST(ResolveTest, NoOverrideHelpsWhatMatchesNothing) {
  const LimitOverrides overrides = OverridesOf(true, 1);
  EXPECT_EQ(Resolve(Policy(), Policy(), kKey, {.overrides = &overrides}), std::nullopt);
}

TEST(StrictestOfTest, TakesTheStrictestOfEachAndADisabledOneSwitchesNothingOff) {
  EffectiveLimits a, b, off;
  a.identity = "A";
  a.limits = {true, 10, 5, -1, -1, -1};
  b.limits = {true, 5, 3, 7, -1, -1};
  off.limits = {false, 999, 0, 0, 0, 0};
  EXPECT_EQ(StrictestOf({a, off, b}).limits, (Limits{true, 10, 3, 7, -1, -1}));
  EXPECT_EQ(StrictestOf({off, b}).limits, b.limits);
  EXPECT_EQ(StrictestOf({a, b}).identity, "A");
  EXPECT_FALSE(StrictestOf({off}).limits.enabled);
}

}  // namespace
}  // namespace salve
