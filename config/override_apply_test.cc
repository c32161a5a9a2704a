#include "config/override_apply.h"

#include <algorithm>

#include "config/loader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kSets[] = R"(
  health_set {
    name: "Web"
    probe { name: "Ping" interval: "10s" timeout: "5s" notification {} }
    probe { name: "Http" interval: "10s" timeout: "5s" http { url: "http://127.0.0.1/" } }
    monitor { name: "Down" probe: "Http" consecutive_failures { threshold: 3 } }
    monitor { name: "Slow" probe: "Http" value_above { threshold: 90 clear: 80 } }
    responder { name: "Restart" monitor: "Down" on: UNHEALTHY
                restart_service { service: "web.service" } }
  }
  health_set {
    name: "Disk"
    for_each { value: "var" value: "data/a" }
    probe { name: "Free" interval: "10s" timeout: "5s" http { url: "http://127.0.0.1/{target}" } }
  })";

absl::Status CheckMonitorOfTest(const config::Monitor& monitor) {
  const config::ValueBound& bound = monitor.value_above();
  return bound.clear() <= bound.threshold() ? absl::OkStatus()
                                            : absl::InvalidArgumentError("clear above threshold");
}

class ApplyOverridesTest : public testing::Test {
 protected:
  ApplyOverridesTest() {
    context_.version = "15.0.1044.25";
    context_.checks.monitor = CheckMonitorOfTest;
    ConfigurationSource source;
    source.health_sets.push_back({"w.textproto", kSets});
    LoadOptions options;
    options.host_name = "h";
    base_ = ParseConfiguration(source, options)->health_sets;
  }

  Override& Add(ItemType type, const std::string& identity, const std::string& property,
                const std::string& value, OverrideScope scope = OverrideScope::kLocal) {
    Override override;
    override.item_type = type;
    override.identity = *ParseIdentity(type, identity);
    override.property = property;
    override.value = value;
    overrides_.push_back({scope, override});
    return overrides_.back().override;
  }

  const AppliedOverrides& Apply() {
    applied_ = ApplyOverrides(base_, overrides_, context_);
    return applied_;
  }
  const ProbeDefinition& ProbeOf(const std::string& name) const {
    for (const HealthSetDefinition& set : applied_.health_sets) {
      for (const ProbeDefinition& probe : set.probes) {
        if (probe.name == name) return probe;
      }
    }
    ADD_FAILURE() << name;
    return applied_.health_sets[0].probes[0];
  }

  std::vector<HealthSetDefinition> base_;
  std::vector<ScopedOverride> overrides_;
  OverrideContext context_;
  AppliedOverrides applied_;
};

TEST_F(ApplyOverridesTest, WithoutAnyNothingChanges) {
  EXPECT_THAT(Apply().changes, testing::IsEmpty());
  EXPECT_EQ(ProbeOf("Http").interval, absl::Seconds(10));
}

TEST_F(ApplyOverridesTest, ChangesWhatItNamesInAnyCase) {
  Add(ItemType::kProbe, "WEB/http", "interval", "1m");
  Add(ItemType::kMonitor, "Web\\Down", "threshold", "5");
  Add(ItemType::kResponder, "Web\\Restart", "Enabled", "False");
  Add(ItemType::kHealthSet, "Disk", "Enabled", "false");
  EXPECT_THAT(Apply().why_not, ElementsAre("", "", "", ""));
  EXPECT_EQ(applied_.changes.size(), 4u);
  EXPECT_EQ(ProbeOf("Http").interval, absl::Minutes(1));
  EXPECT_EQ(ProbeOf("Http").config.interval(), "1m");
  EXPECT_EQ(ProbeOf("Ping").interval, absl::Seconds(10));
  EXPECT_EQ(applied_.health_sets[0].monitors[0].config.consecutive_failures().threshold(), 5u);
  EXPECT_FALSE(applied_.health_sets[0].responders[0].enabled);
  EXPECT_TRUE(applied_.health_sets[0].enabled);
  EXPECT_FALSE(applied_.health_sets[1].enabled);
}

TEST_F(ApplyOverridesTest, LimitsAreHandedOnByTheRespondersName) {
  Add(ItemType::kResponder, "Web\\restart", "ThrottleAttributes.Enabled", "True");
  EXPECT_THAT(Apply().limits, ElementsAre(testing::Pair("Restart", ElementsAre(0))));
  EXPECT_THAT(applied_.changes, testing::IsEmpty());
  EXPECT_THAT(applied_.why_not, ElementsAre(""));
}

TEST_F(ApplyOverridesTest, EqualChangesAreEqualDefinitions) {
  Add(ItemType::kProbe, "Web\\Http", "interval", "1m").created = absl::FromUnixSeconds(1);
  const std::vector<std::string> once = Apply().changes;
  Add(ItemType::kResponder, "Web\\Restart", "ThrottleAttributes.Enabled", "True");
  EXPECT_EQ(Apply().changes, once);
  Add(ItemType::kProbe, "Web\\Http", "interval", "2m").created = absl::FromUnixSeconds(2);
  EXPECT_NE(Apply().changes, once);
}

TEST_F(ApplyOverridesTest, HoldsOnlyForItsVersion) {
  Add(ItemType::kProbe, "Web\\Http", "interval", "1m").version = "15.00.1044.026";
  Add(ItemType::kProbe, "Web\\Http", "interval", "2m").version = "Version 15.0 (Build 1044.25)";
  EXPECT_THAT(Apply().why_not, ElementsAre("version (it is 15.0.1044.25 here)", ""));
  EXPECT_EQ(ProbeOf("Http").interval, absl::Minutes(2));
  context_.version = "";
  EXPECT_THAT(Apply().why_not[1], HasSubstr("no version is set here"));
}

TEST_F(ApplyOverridesTest, WhatHasEndedDoesNotHold) {
  Add(ItemType::kProbe, "Web\\Http", "interval", "1m");
  Add(ItemType::kProbe, "Web\\Http", "timeout", "2s");
  context_.ended = {true};
  EXPECT_THAT(Apply().why_not, ElementsAre("expired", ""));
}

TEST_F(ApplyOverridesTest, ALocalOneWinsOverANewerGlobalOne) {
  Add(ItemType::kProbe, "Web\\Http", "interval", "1m").created = absl::FromUnixSeconds(1);
  Add(ItemType::kProbe, "Web\\Http", "interval", "2m", OverrideScope::kGlobal).created =
      absl::FromUnixSeconds(2);
  Add(ItemType::kProbe, "Web\\Http", "timeout", "3s", OverrideScope::kGlobal);
  EXPECT_THAT(Apply().why_not, ElementsAre("", "shadowed by a local one", ""));
  EXPECT_EQ(ProbeOf("Http").interval, absl::Minutes(1));
  EXPECT_EQ(ProbeOf("Http").timeout, absl::Seconds(3));
  std::swap(overrides_[0], overrides_[1]);
  EXPECT_THAT(Apply().why_not, ElementsAre("shadowed by a local one", "", ""));
}

TEST_F(ApplyOverridesTest, WhenTheLocalOneEndsTheGlobalOneHolds) {
  Add(ItemType::kProbe, "Web\\Http", "interval", "1m");
  Add(ItemType::kProbe, "Web\\Http", "interval", "2m", OverrideScope::kGlobal);
  context_.ended = {true, false};
  EXPECT_THAT(Apply().why_not, ElementsAre("expired", ""));
  EXPECT_EQ(ProbeOf("Http").interval, absl::Minutes(2));
}

TEST_F(ApplyOverridesTest, TheNewerOfAVersionAndAnyVersionHolds) {
  Override& of_version = Add(ItemType::kProbe, "Web\\Http", "interval", "1m");
  of_version.version = context_.version;
  of_version.created = absl::FromUnixSeconds(1);
  Add(ItemType::kProbe, "Web\\Http", "interval", "2m").created = absl::FromUnixSeconds(2);
  EXPECT_THAT(Apply().why_not, ElementsAre("shadowed by a newer one", ""));
}

TEST_F(ApplyOverridesTest, WithoutATargetEachInstanceIsMeant) {
  Add(ItemType::kProbe, "Disk\\Free", "interval", "1m").created = absl::FromUnixSeconds(2);
  Add(ItemType::kProbe, "Disk\\Free\\data\\a", "interval", "2m");
  EXPECT_THAT(Apply().why_not, ElementsAre("", ""));
  EXPECT_EQ(ProbeOf("Free/var").interval, absl::Minutes(1));
  EXPECT_EQ(ProbeOf("Free/data/a").interval, absl::Minutes(2));
}

TEST_F(ApplyOverridesTest, AnUnknownItemIsSaid) {
  Add(ItemType::kProbe, "Web\\Nothing", "interval", "1m");
  Add(ItemType::kMonitor, "Web\\Http", "threshold", "1");
  Add(ItemType::kProbe, "Disk\\Free\\other", "interval", "1m");
  EXPECT_THAT(Apply().why_not, ElementsAre("unknown item", "unknown item", "unknown item"));
}

TEST_F(ApplyOverridesTest, WhatDoesNotFitIsAFaultAndTheRestHolds) {
  Add(ItemType::kProbe, "Web\\Http", "timeout", "11s");
  Add(ItemType::kProbe, "Web\\Http", "Enabled", "False");
  EXPECT_THAT(Apply().why_not,
              ElementsAre("fault: timeout: 11s is longer than the interval of 10s", ""));
  EXPECT_EQ(ProbeOf("Http").timeout, absl::Seconds(5));
  EXPECT_FALSE(ProbeOf("Http").enabled);
}

TEST_F(ApplyOverridesTest, TwoThatOnlyFitTogetherHoldTogether) {
  Add(ItemType::kProbe, "Web\\Http", "timeout", "30s");
  Add(ItemType::kProbe, "Web\\Http", "interval", "30s");
  Add(ItemType::kMonitor, "Web\\Slow", "threshold", "50");
  Add(ItemType::kMonitor, "Web\\Slow", "clear", "40");
  EXPECT_THAT(Apply().why_not, ElementsAre("", "", "", ""));
  EXPECT_EQ(ProbeOf("Http").timeout, absl::Seconds(30));
}

TEST_F(ApplyOverridesTest, OneThatFitsOnlyAfterAnotherIsTriedAgain) {
  // The faulty one keeps the three from being taken at once.
  Add(ItemType::kMonitor, "Web\\Slow", "threshold", "50");
  Add(ItemType::kMonitor, "Web\\Slow", "clear", "40");
  Add(ItemType::kMonitor, "Web\\Slow", "window", "1m");
  const std::vector<std::string> why_not = Apply().why_not;
  EXPECT_EQ(why_not[0], "");
  EXPECT_EQ(why_not[1], "");
  EXPECT_THAT(why_not[2], HasSubstr("fault: window: a ValueBound monitor has no such property"));
}

TEST_F(ApplyOverridesTest, AFaultyLocalOneLeavesTheGlobalOneInForce) {
  Add(ItemType::kProbe, "Web\\Http", "timeout", "11s");
  Add(ItemType::kProbe, "Web\\Http", "timeout", "9s", OverrideScope::kGlobal);
  EXPECT_THAT(Apply().why_not, ElementsAre(HasSubstr("fault: "), ""));
  EXPECT_EQ(ProbeOf("Http").timeout, absl::Seconds(9));
}

TEST_F(ApplyOverridesTest, AnItemIsFoundOrTheNearestAreNamed) {
  const auto find = [this](ItemType type, const std::string& identity) {
    return FindOverriddenItem(base_, type, *ParseIdentity(type, identity));
  };
  EXPECT_TRUE(find(ItemType::kResponder, "web/RESTART").ok());
  EXPECT_TRUE(find(ItemType::kProbe, "Disk\\Free\\data\\a").ok());
  EXPECT_TRUE(find(ItemType::kProbe, "Disk\\Free").ok());
  EXPECT_TRUE(find(ItemType::kHealthSet, "Disk").ok());
  EXPECT_EQ(find(ItemType::kResponder, "Web\\Restrat").code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(find(ItemType::kResponder, "Web\\Restrat").message(),
              HasSubstr("did you mean 'Web\\Restart'"));
  EXPECT_THAT(find(ItemType::kMonitor, "Web\\Http").message(),
              HasSubstr("there is a Probe of that name"));
}

TEST(MeansItemTest, AnInstanceIsMeantByItsTargetOrByAll) {
  const ItemIdentity all = *ParseIdentity(ItemType::kResponder, "S\\R");
  const ItemIdentity one = *ParseIdentity(ItemType::kResponder, "S\\R\\t");
  EXPECT_TRUE(MeansItem(all, "s", "r"));
  EXPECT_TRUE(MeansItem(all, "S", "R/t"));
  EXPECT_TRUE(MeansItem(one, "S", "R/t"));
  EXPECT_FALSE(MeansItem(one, "S", "R"));
  EXPECT_FALSE(MeansItem(one, "S", "R/u"));
  EXPECT_FALSE(MeansItem(all, "T", "R"));
}

}  // namespace
}  // namespace salve
