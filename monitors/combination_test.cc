#include "monitors/combination.h"

#include <algorithm>
#include <memory>

#include "gtest/gtest.h"
#include "monitors/watched_monitor.h"

namespace salve {
namespace {

MonitorDefinition Combining(const std::string& name, bool all, std::vector<std::string> inputs) {
  MonitorDefinition definition = ThreeInARow({});
  definition.name = name;
  definition.config.Clear();
  config::Combination& combination =
      all ? *definition.config.mutable_all_of() : *definition.config.mutable_any_of();
  for (std::string& input : inputs) combination.add_monitor(std::move(input));
  return definition;
}

HealthSetDefinition Set(std::vector<MonitorDefinition> monitors) {
  HealthSetDefinition set;
  set.name = "Web";
  set.monitors = std::move(monitors);
  return set;
}

// Inputs as the test says, and a combination over them.
class CombinationTest : public testing::Test {
 protected:
  void Combine(bool all, std::vector<std::string> inputs) {
    graph_.Take({Set({Combining("C", all, std::move(inputs))})});
  }
  // A bad look that alerts.
  void Alert(const std::string& name, bool is_new = true) {
    auto& input = inputs_["Web/" + name];
    input.status.state = config::UNHEALTHY;
    input.status.alert = input.status.fresh = true;
    input.status.bad_looks += is_new;
    input.record_id = name == "A" ? 20 : 10;
  }
  void State(const std::string& name, config::HealthState state) {
    inputs_["Web/" + name].status = {.state = state};
  }
  InputsLook Look() {
    return graph_.Look("Web/C", [&](const std::string& name) {
      const auto found = inputs_.find(name);
      return found == inputs_.end() ? CombinationGraph::Input() : found->second;
    });
  }
  CombinationGraph graph_;
  std::map<std::string, CombinationGraph::Input> inputs_;
};

TEST_F(CombinationTest, AllOfAlertsWhenAllDo) {
  Combine(true, {"A", "B"});
  Alert("A");
  State("B", config::HEALTHY);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  Alert("B");
  EXPECT_EQ(Look().outcome, Outcome::kFailed);
}

TEST_F(CombinationTest, AnyOfAlertsWhenOneDoes) {
  Combine(false, {"A", "B"});
  State("A", config::HEALTHY);
  State("B", config::HEALTHY);
  EXPECT_EQ(Look().outcome, Outcome::kSucceeded);
  Alert("B");
  EXPECT_EQ(Look().outcome, Outcome::kFailed);
}

TEST_F(CombinationTest, WhatSaysNothingLeavesItOpenUnlessTheOthersDecide) {
  for (const config::HealthState nothing :
       {config::UNAVAILABLE, config::UNINITIALIZED, config::DISABLED, config::REPAIRING}) {
    State("B", nothing);
    inputs_["Web/B"].status.alert = true;  // Not even then.
    Combine(true, {"A", "B"});
    State("A", config::HEALTHY);
    EXPECT_EQ(Look().outcome, Outcome::kSucceeded) << nothing;
    Alert("A");
    EXPECT_EQ(Look().outcome, Outcome::kRejected) << nothing;
    Combine(false, {"A", "B"});
    EXPECT_EQ(Look().outcome, Outcome::kFailed) << nothing;
    State("A", config::HEALTHY);
    EXPECT_EQ(Look().outcome, Outcome::kRejected) << nothing;
    EXPECT_EQ(Look().too_early, nothing == config::UNINITIALIZED);
  }
}

TEST_F(CombinationTest, AnInputThatIsNotThereIsAsGoodAsDisabled) {
  Combine(false, {"A"});
  EXPECT_EQ(Look().outcome, Outcome::kRejected);
  EXPECT_FALSE(Look().too_early);
  EXPECT_EQ(Look().text, "any of: Web/A is DISABLED");
}

TEST_F(CombinationTest, NamesItsInputsAndTheTransitionsOfThoseThatAlert) {
  Combine(true, {"A", "B", "Other/X"});
  Alert("A");
  Alert("B");
  inputs_["Other/X"].status.state = config::HEALTHY;
  inputs_["Other/X"].record_id = 5;
  const InputsLook look = Look();
  EXPECT_EQ(look.text, "all of: Web/A is UNHEALTHY, Web/B is UNHEALTHY, Other/X is HEALTHY");
  EXPECT_EQ(look.record_ids, (std::vector<uint64_t>{10, 20}));
}

TEST_F(CombinationTest, IsFreshOnlyByABadLookThatItWasNotShownBefore) {
  Combine(false, {"A", "B"});
  State("B", config::HEALTHY);
  Alert("A");
  EXPECT_TRUE(Look().fresh);
  EXPECT_FALSE(Look().fresh);
  Alert("A");
  EXPECT_TRUE(Look().fresh);
  Alert("A");
  inputs_["Web/A"].status.fresh = false;  // A hold came since.
  EXPECT_FALSE(Look().fresh);
  inputs_["Web/B"].status.bad_looks = 7;  // A bad look that makes no alert.
  EXPECT_FALSE(Look().fresh);
}

TEST_F(CombinationTest, WhatWasCountedOutlivesAReload) {
  Combine(false, {"A"});
  Alert("A");
  EXPECT_TRUE(Look().fresh);
  Combine(false, {"A", "B"});
  EXPECT_FALSE(Look().fresh);
}

TEST(CombinationGraphTest, KnowsWhatIsOverAMonitorAfterWhatItCombines) {
  CombinationGraph graph;
  graph.Take({Set({Combining("Top", true, {"Mid", "Other"}), Combining("Mid", false, {"A", "B"}),
                   Combining("Other", true, {"B"}), ThreeInARow()})});
  EXPECT_EQ(graph.InputsOf("Web/Mid"), (std::vector<std::string>{"Web/A", "Web/B"}));
  EXPECT_TRUE(graph.InputsOf("Web/Down").empty());
  EXPECT_EQ(graph.Over("Web/A"), (std::vector<std::string>{"Web/Mid", "Web/Top"}));
  std::vector<std::string> over = graph.Over("Web/B");
  ASSERT_EQ(over.size(), 3u);
  EXPECT_EQ(over.back(), "Web/Top");
  EXPECT_TRUE(graph.Over("Web/Top").empty());
  EXPECT_EQ(graph.all().size(), 3u);
  graph.Take({});
  EXPECT_TRUE(graph.all().empty());
}

TEST(CombinationGraphTest, ADisabledSetHasNone) {
  HealthSetDefinition set = Set({Combining("C", true, {"A"})});
  set.enabled = false;
  CombinationGraph graph;
  graph.Take({set});
  EXPECT_TRUE(graph.all().empty());
  set.enabled = true;
  set.applicable = false;
  graph.Take({set});
  EXPECT_TRUE(graph.all().empty());
}

// --- A Monitor that combines.

class CombiningMonitor {
 public:
  CombiningMonitor() : monitor_(*Monitor::New(definition_, random_)) {}
  std::string Sees(Outcome outcome, bool fresh = true, bool too_early = false) {
    return Told(
        monitor_->ObserveInputs(clock_.Now(), clock_.WallNow(),
                                {outcome, fresh, too_early, "all of: Web/A is so", {7, 9}}));
  }
  std::string Wait(absl::Duration d) {
    clock_.Advance(d);
    return Told(monitor_->Tick(clock_.Now(), clock_.WallNow()));
  }
  void Restart() {
    const auto record = monitor_->Save(clock_.Now(), "boot-1");
    monitor_ = *Monitor::New(definition_, random_);
    monitor_->Restore(clock_.Now(), record, "boot-1");
  }
  MonitorStatus status() const { return monitor_->Status(clock_.Now()); }
  Monitor& monitor() { return *monitor_; }
  Instant now() const { return clock_.Now(); }
  Transition last_;

 private:
  std::string Told(const Monitor::Transitions& transitions) {
    std::string all;
    for (const Transition& t : transitions) {
      all += (all.empty() ? "" : ", ") + config::HealthState_Name(t.from) + ">" +
             config::HealthState_Name(t.to);
      last_ = t;
    }
    return all;
  }
  SimulatedClock clock_;
  RandomSource random_ = [] { return 7; };
  MonitorDefinition definition_ = Combining("C", true, {"A"});
  std::unique_ptr<Monitor> monitor_;
};

TEST(CombiningMonitorTest, AlertsAndClearsWithItsInputs) {
  CombiningMonitor monitor;
  EXPECT_EQ(monitor.Sees(Outcome::kSucceeded), "UNINITIALIZED>HEALTHY");
  EXPECT_EQ(monitor.Sees(Outcome::kFailed), "HEALTHY>DEGRADED");
  EXPECT_EQ(monitor.last_.evidence, "all of: Web/A is so");
  EXPECT_EQ(monitor.last_.evidence_record_ids, (std::vector<uint64_t>{7, 9}));
  EXPECT_EQ(monitor.status().last_error, "all of: Web/A is so");
  EXPECT_EQ(monitor.Sees(Outcome::kFailed), "");
  EXPECT_EQ(monitor.Wait(absl::Seconds(60)), "DEGRADED>UNHEALTHY");
  EXPECT_EQ(monitor.last_.evidence_record_ids, (std::vector<uint64_t>{7, 9}));
  EXPECT_EQ(monitor.Sees(Outcome::kSucceeded), "UNHEALTHY>HEALTHY");
  EXPECT_TRUE(monitor.last_.closed);
}

TEST(CombiningMonitorTest, DoesNothingOnABacklog) {
  CombiningMonitor monitor;
  EXPECT_EQ(monitor.Sees(Outcome::kFailed, /*fresh=*/false), "UNINITIALIZED>HEALTHY");
  EXPECT_TRUE(monitor.status().alert);
  EXPECT_FALSE(monitor.status().fresh);
  EXPECT_EQ(monitor.Wait(absl::Hours(1)), "");
  EXPECT_EQ(monitor.Sees(Outcome::kFailed),
            "HEALTHY>DEGRADED, DEGRADED>UNHEALTHY, "
            "UNHEALTHY>UNRECOVERABLE");
  monitor.monitor().Suppress(monitor.now(), true);
  monitor.monitor().Suppress(monitor.now(), false);
  EXPECT_FALSE(monitor.status().fresh);
  monitor.Sees(Outcome::kFailed, /*fresh=*/false);
  EXPECT_FALSE(monitor.status().fresh);
  monitor.Sees(Outcome::kFailed);
  EXPECT_TRUE(monitor.status().fresh);
}

TEST(CombiningMonitorTest, IsUnavailableAtOnceWhenItCantBeSaid) {
  CombiningMonitor monitor;
  monitor.Sees(Outcome::kFailed);
  EXPECT_EQ(monitor.Sees(Outcome::kRejected), "DEGRADED>UNAVAILABLE");
  EXPECT_EQ(monitor.last_.reason, "its inputs can't be judged");
  EXPECT_EQ(monitor.Sees(Outcome::kFailed), "UNAVAILABLE>DEGRADED");
  EXPECT_EQ(monitor.Sees(Outcome::kRejected), "DEGRADED>UNAVAILABLE");
  EXPECT_EQ(monitor.Sees(Outcome::kSucceeded), "UNAVAILABLE>HEALTHY");
}

TEST(CombiningMonitorTest, WaitsForTheFirstLooksOfItsInputs) {
  CombiningMonitor monitor;
  EXPECT_EQ(monitor.Sees(Outcome::kRejected, true, /*too_early=*/true), "");
  EXPECT_EQ(monitor.status().state, config::UNINITIALIZED);
  EXPECT_EQ(monitor.Sees(Outcome::kSucceeded), "UNINITIALIZED>HEALTHY");
  EXPECT_EQ(monitor.Sees(Outcome::kRejected, true, /*too_early=*/true), "HEALTHY>UNAVAILABLE");
}

TEST(CombiningMonitorTest, ARestartOfTheAgentResumesItsAlert) {
  CombiningMonitor monitor;
  monitor.Sees(Outcome::kFailed);
  monitor.Wait(absl::Seconds(50));
  const std::string incident = monitor.status().incident_id;
  monitor.Restart();
  EXPECT_EQ(monitor.Sees(Outcome::kRejected, true, /*too_early=*/true), "");
  EXPECT_EQ(monitor.status().state, config::DEGRADED);
  monitor.Sees(Outcome::kFailed);
  EXPECT_EQ(monitor.Wait(absl::Seconds(10)), "DEGRADED>UNHEALTHY");
  EXPECT_EQ(monitor.status().incident_id, incident);
}

}  // namespace
}  // namespace salve
