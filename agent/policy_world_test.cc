#include "agent/policy_world.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "agent/configuration.h"
#include "config/loader.h"

namespace salve {
namespace {

constexpr char kSets[] = R"(
health_set {
  name: "Web"
  probe { name: "Ping" interval: "1h" systemd_unit { unit: "nginx" } }
  probe { name: "Fast" interval: "100ms" tcp { port: 1 } }
  probe { name: "Told" notification {} }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 1 }
            transition { to: UNHEALTHY } }
  monitor { name: "Off" enabled: false probe: "Fast" consecutive_failures {} }
  monitor { name: "Late" probe: "Told" consecutive_failures { threshold: 1 }
            transition { to: DEGRADED } }
  responder { name: "Pool" monitor: "Down" on: UNHEALTHY
              reset_pool { service: "php8.2-fpm" php_fpm {} } }
  responder { name: "Out" monitor: "Late" on: DEGRADED take_offline { component: "web" } }
}
health_set {
  name: "Absent"
  if_exists: "/nowhere"
  probe { name: "Ping" tcp { port: 1 } }
  monitor { name: "Down" probe: "Ping" consecutive_failures {} }
})";

class PolicyWorldTest : public testing::Test {
 protected:
  void SetUp() override {
    ConfigurationSource source;
    source.agent = {"agent",
                    "component { name: \"web\" state_file: \"/nowhere/state\" "
                    "offline_command: \"/bin/false\" }"};
    source.health_sets = {{"sets", kSets}};
    LoadOptions options;
    options.host_name = "test-1";
    options.checks = ChecksOfAllKinds();
    auto configuration = ParseConfiguration(std::move(source), options);
    ASSERT_TRUE(configuration.ok()) << configuration.status();
    configuration_ = *std::move(configuration);
    auto world = PolicyWorld::Create(configuration_, policy_);
    ASSERT_TRUE(world.ok()) << world.status();
    world_ = *std::move(world);
  }
  void Run(absl::Duration d) { ASSERT_TRUE(world_->RunFor(d).ok()); }
  std::string State(const std::string& item) const { return world_->StateOf(item).name; }

  Configuration configuration_;
  const Policy policy_ = {};
  std::unique_ptr<PolicyWorld> world_;
};

TEST_F(PolicyWorldTest, AKindThatNoticesChangesLooksAtOnce) {
  Run(absl::Seconds(1));
  world_->See("Web/Ping", {Failed("dead")});
  Run(absl::Milliseconds(50));
  EXPECT_EQ(State("Web/Down"), "UNHEALTHY");
  EXPECT_EQ(world_->StateOf("Web/Down").error, "dead");
}

TEST_F(PolicyWorldTest, ANotificationIsSeenOnceAndNoLookOfItself) {
  Run(absl::Hours(2));
  EXPECT_EQ(State("Web/Late"), "UNINITIALIZED");
  world_->See("Web/Told", {Failed("late")});
  Run(absl::Milliseconds(50));
  EXPECT_EQ(State("Web/Late"), "DEGRADED");
}

TEST_F(PolicyWorldTest, WhatIsDisabledOrNotThereSaysSo) {
  EXPECT_EQ(State("Web/Off"), "DISABLED");
  EXPECT_EQ(State("Absent"), "NOT_APPLICABLE");
  EXPECT_EQ(State("Absent/Down"), "NOT_APPLICABLE");
}

TEST_F(PolicyWorldTest, ACaseHasABoundOfLooks) {
  auto world = PolicyWorld::Create(configuration_, policy_, /*looks_max=*/100);
  ASSERT_TRUE(world.ok());
  EXPECT_TRUE((*world)->RunFor(absl::Seconds(9)).ok());
  const absl::Status status = (*world)->RunFor(absl::Minutes(1));
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_EQ(status.message(), "the case has more than 100 looks: let less time pass");
  EXPECT_LE((*world)->Now(), absl::Seconds(12));
}

TEST_F(PolicyWorldTest, AComponentFollowsWithoutTouchingTheMachine) {
  world_->See("Web/Told", {Failed("late")});
  Run(absl::Seconds(90));
  ASSERT_EQ(world_->record().deeds().size(), 1u);
  EXPECT_EQ(world_->record().deeds()[0].responder, "Out");
  for (const PolicyRecord::Line& line : world_->record().Story(100)) {
    EXPECT_EQ(line.text.find("/nowhere"), std::string::npos) << line.text;
  }
}

TEST_F(PolicyWorldTest, APoolIsResetWithoutItsProcesses) {
  world_->See("Web/Ping", {Failed("dead")});
  Run(absl::Seconds(5));
  ASSERT_EQ(world_->record().deeds().size(), 1u);
  EXPECT_EQ(world_->record().deeds()[0].result, policytest::ExpectedAction::SUCCEEDED);
  EXPECT_EQ(UnitsOf(configuration_).count("php8.2-fpm.service"), 1u);
}

TEST_F(PolicyWorldTest, TheTimeOfTheCaseGoesOnThroughCrashAndReboot) {
  Run(absl::Seconds(10));
  ASSERT_TRUE(world_->RestartAgent(absl::Seconds(5)).ok());
  EXPECT_EQ(world_->Now(), absl::Seconds(15));
  ASSERT_TRUE(world_->Reboot(absl::Minutes(1)).ok());
  EXPECT_EQ(world_->Now(), absl::Seconds(75));
}

TEST_F(PolicyWorldTest, TheStoryKeepsTheNewestLines) {
  for (int i = 0; i < 1000; ++i) world_->record().Say(absl::StrCat("line ", i));
  const auto story = world_->record().Story(1000);
  EXPECT_EQ(story.size(), PolicyRecord::kLinesMax);
  EXPECT_EQ(story.back().text, "test: line 999");
}

}  // namespace
}  // namespace salve
