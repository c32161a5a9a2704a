#include "responders/actions/component_state.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/fake_host.h"
#include "base/fake_service_manager.h"
#include "base/simulated_loop.h"
#include "gtest/gtest.h"
#include "responders/fake_component_votes.h"

namespace salve {
namespace {

class ComponentStateTest : public ::testing::Test {
 protected:
  std::unique_ptr<Action> Offline(const std::string& component, const std::string& duration = "") {
    config::TakeOffline config;
    config.set_component(component);
    config.set_duration(duration);
    EXPECT_TRUE(CheckTakeOffline(config).ok());
    return NewTakeOffline(config, environment_);
  }
  std::unique_ptr<Action> Online(const std::string& component) {
    config::BringOnline config;
    config.set_component(component);
    EXPECT_TRUE(CheckBringOnline(config).ok());
    return NewBringOnline(config, environment_);
  }
  ActionResult Run(Action& action) {
    std::optional<ActionResult> result;
    action.AskedBy("Front", "Web/Down is UNHEALTHY");
    action.Run(
        loop_.Now() + absl::Minutes(2), [](std::string, auto then) { then(absl::OkStatus()); },
        [&](ActionResult end) { result = std::move(end); });
    loop_.RunPending();
    EXPECT_TRUE(result.has_value());
    return result.value_or(ActionResult());
  }

  SimulatedLoop loop_;
  FakeHost host_{loop_};
  FakeServiceManager services_{loop_};
  FakeComponentVotes votes_;
  ActionEnvironment environment_{loop_, host_, services_, "web-1", &votes_};
};

TEST_F(ComponentStateTest, TakeOfflineVotesInTheNameOfWhoAsked) {
  const auto action = Offline("web");
  EXPECT_EQ(action->id(), "TakeOffline");
  EXPECT_EQ(action->resource(), "web");
  EXPECT_TRUE(action->is_disruptive());
  EXPECT_TRUE(action->is_throttled());
  const ActionResult result = Run(*action);
  EXPECT_EQ(result.kind, ActionResult::Kind::kSucceeded);
  EXPECT_EQ(result.context, "voted web out of service");
  ASSERT_EQ(votes_.votes.size(), 1u);
  const OfflineVote& vote = votes_.votes.at({"web", "Front"});
  EXPECT_EQ(vote.reason, "Web/Down is UNHEALTHY");
  EXPECT_EQ(vote.duration, absl::InfiniteDuration());
}

TEST_F(ComponentStateTest, TakeOfflineWaitsWhileTheSystemStops) {
  const auto action = Offline("web");
  EXPECT_EQ(action->Check().kind, Readiness::Kind::kReady);
  services_.SetStopping(true);
  EXPECT_EQ(action->Check().kind, Readiness::Kind::kWait);
}

TEST_F(ComponentStateTest, AVoteMayEndByItself) {
  const auto action = Offline("web", "10m");
  EXPECT_EQ(action->Plan(), "votes the component web out of service, for 10m");
  Run(*action);
  EXPECT_EQ(votes_.votes.at({"web", "Front"}).duration, absl::Minutes(10));
  EXPECT_EQ(Offline("web")->Plan(),
            "votes the component web out of service, until its monitor is healthy again or "
            "bring_online takes the vote back");
}

TEST_F(ComponentStateTest, BringOnlineTakesBackTheVotesOfRespondersAlone) {
  Run(*Offline("web"));
  Run(*Offline("db"));
  votes_.votes[{"web", "operator:ada"}] = {};
  const auto action = Online("web");
  EXPECT_EQ(action->id(), "BringOnline");
  EXPECT_EQ(action->resource(), "web");
  EXPECT_FALSE(action->is_disruptive());
  EXPECT_FALSE(action->is_throttled());
  EXPECT_EQ(action->Plan(),
            "takes back the votes of responders for the component web to be offline");
  EXPECT_EQ(Run(*action).context, "took back for web the vote of Front");
  EXPECT_EQ(votes_.votes.size(), 2u);
  EXPECT_TRUE(votes_.votes.contains({"web", "operator:ada"}));
  EXPECT_EQ(Run(*action).context, "no responder votes for web to be offline");
}

TEST_F(ComponentStateTest, AComponentThatIsNotThereFailsTheAction) {
  const ActionResult offline = Run(*Offline("webb"));
  EXPECT_EQ(offline.kind, ActionResult::Kind::kFailed);
  EXPECT_EQ(offline.exception_name, "NoSuchComponent");
  EXPECT_EQ(offline.exception_message, "no component 'webb'");
  EXPECT_EQ(Run(*Online("webb")).exception_name, "NoSuchComponent");
}

TEST_F(ComponentStateTest, FailsWhereThereAreNoComponentsAtAll) {
  environment_.components = nullptr;
  EXPECT_EQ(Run(*Offline("web")).exception_name, "CannotVote");
  EXPECT_EQ(Run(*Online("web")).exception_name, "CannotVote");
}

TEST_F(ComponentStateTest, ChecksTheDuration) {
  const auto check = [](const std::string& duration) {
    config::TakeOffline config;
    config.set_component("web");
    config.set_duration(duration);
    return std::string(CheckTakeOffline(config).message());
  };
  EXPECT_EQ(check("1s"), "");
  EXPECT_EQ(check("720h"), "");
  EXPECT_EQ(check("999ms"), "take_offline.duration: 999ms is not in [1s, 720h]");
  EXPECT_EQ(check("720h1s"), "take_offline.duration: 720h1s is not in [1s, 720h]");
  EXPECT_NE(check("soon"), "");
}

}  // namespace
}  // namespace salve
