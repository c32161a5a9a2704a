// Health sets that do not apply to the server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "agent/engine.h"
#include "agent/simulated_world.h"

namespace salve {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kWeb[] = R"(
health_set {
  name: "Web"
  if_exists: "/web"
  probe { name: "Ping" interval: "10s" timeout: "1s" http { url: "web" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 3 } transition { to: UNHEALTHY } }
  responder { name: "Fix" monitor: "Down" on: UNHEALTHY
              run_command { command: "touch" resource: "web" } }
})";
constexpr char kApp[] = R"(
health_set {
  name: "App"
  depends_on: "Web"
  probe { name: "Ping" interval: "10s" timeout: "1s" http { url: "app" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 3 } transition { to: UNHEALTHY } }
  responder { name: "FixApp" monitor: "Down" on: UNHEALTHY
              run_command { command: "touch" resource: "app" } }
})";
constexpr char kClusters[] = R"(
health_set {
  name: "Pg"
  for_each { glob: "/pg/*" }
  probe { name: "Ping" interval: "10s" timeout: "1s" http { url: "{target}" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 3 } transition { to: UNHEALTHY } }
})";

class EngineConditionsTest : public testing::Test {
 protected:
  void SetUp() override { world_.host.SetProgram("touch", {.takes = absl::Seconds(1)}); }
  SimulatedWorld world_;
};

TEST_F(EngineConditionsTest, ASetThatDoesNotApplyNeitherLooksNorActs) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Minutes(5));
  EXPECT_EQ(world_.StateOf("Web"), "NOT_APPLICABLE");
  EXPECT_THAT(world_.engine->Health("Web")->health_sets(0).monitors(), IsEmpty());
  EXPECT_THAT(world_.Events(v1::ProbeResult), IsEmpty());
  EXPECT_THAT(world_.host.started(), IsEmpty());
}

TEST_F(EngineConditionsTest, TheServerIsHealthyBesideIt) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  EXPECT_EQ(world_.engine->Health("")->state(), "HEALTHY");
  ASSERT_TRUE(world_.Configure(absl::StrCat(kWeb, kApp)).ok());
  world_.RunFor(absl::Seconds(30));
  EXPECT_EQ(world_.engine->Health("")->state(), "HEALTHY");
  world_.Sees("app") = Failed("down");
  world_.RunFor(absl::Seconds(40));
  EXPECT_EQ(world_.engine->Health("")->state(), "UNHEALTHY");
}

TEST_F(EngineConditionsTest, WhoDependsOnItIsNotHeld) {
  ASSERT_TRUE(world_.Configure(absl::StrCat(kWeb, kApp)).ok());
  world_.Sees("app") = Failed("down");
  world_.RunFor(absl::Minutes(1));
  EXPECT_THAT(world_.host.started(), SizeIs(1));
}

TEST_F(EngineConditionsTest, BeginsToLookWhenItApplies) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.Sees("web") = Failed("connection refused");
  world_.found["/web"] = {"/web"};
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(world_.StateOf("Web"), "UNHEALTHY");
  EXPECT_THAT(world_.host.started(), SizeIs(1));
}

TEST_F(EngineConditionsTest, AnAlertEndsWithTheSetThatItIsOf) {
  world_.found["/web"] = {"/web"};
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  world_.Sees("web") = Failed("connection refused");
  world_.RunFor(absl::Minutes(1));
  ASSERT_EQ(world_.engine->Health("")->state(), "UNHEALTHY");
  world_.found.clear();
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  EXPECT_EQ(world_.StateOf("Web"), "NOT_APPLICABLE");
  EXPECT_EQ(world_.engine->Health("")->state(), "HEALTHY");
}

TEST_F(EngineConditionsTest, ItsRespondersAreShownAsDisabled) {
  ASSERT_TRUE(world_.Configure(kWeb).ok());
  const auto responders = world_.engine->Responders(v1::ListRequest());
  ASSERT_EQ(responders->responders_size(), 1);
  EXPECT_EQ(responders->responders(0).state(), "disabled");
}

TEST_F(EngineConditionsTest, ADisabledOneIsDisabledFirst) {
  std::string text = kWeb;
  text.replace(text.find("if_exists"), 0, "enabled: false ");
  ASSERT_TRUE(world_.Configure(text).ok());
  EXPECT_EQ(world_.StateOf("Web"), "DISABLED");
}

TEST_F(EngineConditionsTest, TargetsComeAndGoAndTheOthersKeepTheirState) {
  ASSERT_TRUE(world_.Configure(kClusters).ok());
  EXPECT_EQ(world_.StateOf("Pg"), "NOT_APPLICABLE");
  world_.found["/pg/*"] = {"/pg/a"};
  ASSERT_TRUE(world_.Configure(kClusters).ok());
  world_.Sees("a") = Failed("down");
  world_.RunFor(absl::Minutes(1));
  const std::string incident =
      world_.engine->Health("Pg")->health_sets(0).monitors(0).incident_id();
  ASSERT_FALSE(incident.empty());
  world_.found["/pg/*"] = {"/pg/a", "/pg/b"};
  ASSERT_TRUE(world_.Configure(kClusters).ok());
  const v1::HealthSetHealth health = world_.engine->Health("Pg")->health_sets(0);
  ASSERT_EQ(health.monitors_size(), 2);
  EXPECT_EQ(health.monitors(0).incident_id(), incident);
  EXPECT_EQ(health.monitors(1).state(), "UNINITIALIZED");
}

}  // namespace
}  // namespace salve
