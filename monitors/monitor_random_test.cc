// Random operations on a Monitor: whatever happens, these stay true.
#include <algorithm>
#include <map>
#include <random>

#include "gtest/gtest.h"
#include "monitors/watched_monitor.h"

namespace salve {
namespace {

int Rank(config::HealthState state) {
  switch (state) {
    case config::DEGRADED:
      return 1;
    case config::UNHEALTHY:
      return 2;
    case config::UNRECOVERABLE:
      return 3;
    default:
      return 0;
  }
}

class RandomWorld {
 public:
  explicit RandomWorld(uint64_t seed) : rng_(seed), definition_(RandomDefinition()) {
    id_source_ = [this] { return rng_(); };
    monitor_ = *Monitor::New(definition_, id_source_);
  }

  void Step() {
    const uint64_t kind = rng_() % 100;
    const Instant now = clock_.Now();
    if (kind < 50) {
      const std::string& probe = definition_.probes[rng_() % definition_.probes.size()];
      Check(monitor_->Observe(now, clock_.WallNow(), probe, RandomLook(), ++record_id_));
    } else if (kind < 75) {
      clock_.Advance(absl::Milliseconds(rng_() % 20'000));
      Check(monitor_->Tick(clock_.Now(), clock_.WallNow()));
    } else if (kind < 80) {
      TickWhenItSays();
    } else if (kind < 88) {
      suppressed_ = rng_() % 2 == 0;
      monitor_->Suppress(now, suppressed_);
    } else if (kind < 92) {
      held_ = rng_() % 4 == 0;
      monitor_->Hold(now, held_);
      highest_ = 0;  // The timeline starts anew.
    } else if (kind < 93) {
      Repair();
    } else if (kind < 96) {
      clock_.StepWall(absl::Seconds(static_cast<int64_t>(rng_() % 2000) - 1000));
    } else {
      Restart();
    }
    CheckStatus();
  }

 private:
  MonitorDefinition RandomDefinition() {
    MonitorDefinition definition = ThreeInARow(
        rng_() % 2 == 0 ? std::vector<std::string>{"A"} : std::vector<std::string>{"A", "B"});
    if (rng_() % 2 == 0) definition.transitions.front().after = absl::Seconds(5);
    if (rng_() % 2 == 0) definition.config.set_require(config::Monitor::ALL);
    if (rng_() % 2 == 0) definition.clear_after = absl::Seconds(10);
    switch (rng_() % 5) {
      case 3:
        definition.config.mutable_flapping()->set_changes(3);
        break;
      case 0:
        definition.config.mutable_failure_count()->set_window("30s");
        break;
      case 1:
        definition.config.mutable_percent_success()->set_window("1m");
        break;
      case 2:
        definition.config.mutable_value_above()->set_threshold(100);
        definition.config.mutable_value_above()->set_clear(80);
        break;
      default:
        break;
    }
    return definition;
  }

  Observation RandomLook() {
    Observation look;
    const uint64_t kind = rng_() % 10;
    if (kind < 4) look = Failed("refused");
    if (kind == 4) look = TimedOut("3s");
    if (kind == 5) look = Rejected("no room");
    look.values.push_back({.name = "v", .number = static_cast<double>(rng_() % 150), .unit = ""});
    return look;
  }

  // A Tick at NextTick has something to tell, and one just before it has not.
  void TickWhenItSays() {
    const Instant due = monitor_->NextTick(clock_.Now());
    if (due == Instant::InfiniteFuture()) return;
    ASSERT_GE(due, clock_.Now());
    if (due > clock_.Now()) {
      clock_.Advance(due - clock_.Now() - absl::Nanoseconds(1));
      EXPECT_TRUE(monitor_->Tick(clock_.Now(), clock_.WallNow()).empty());
      clock_.Advance(absl::Nanoseconds(1));
    }
    const Monitor::Transitions told = monitor_->Tick(clock_.Now(), clock_.WallNow());
    // With a clear_after one of two probes may have ended without a word.
    if (definition_.clear_after == absl::ZeroDuration()) {
      EXPECT_FALSE(told.empty());
    }
    Check(told);
  }

  void Repair() {
    const Instant now = clock_.Now();
    if (monitor_->Status(now).repair.has_value()) {
      Check(monitor_->EndRepair(now, clock_.WallNow(), "bob"));
    } else {
      Check(monitor_->BeginRepair(now, clock_.WallNow(),
                                  {"ada", "", clock_.WallNow(), now + absl::Minutes(1)}));
    }
    highest_ = 0;
  }

  void Restart() {
    const bool reboot = rng_() % 2 == 0;
    const MonitorStatus before = monitor_->Status(clock_.Now());
    const monitors::MonitorRecord record = monitor_->Save(clock_.Now(), "boot-1");
    monitor_ = *Monitor::New(definition_, id_source_);
    monitor_->Restore(clock_.Now(), record, reboot ? "boot-2" : "boot-1");
    const MonitorStatus after = monitor_->Status(clock_.Now());
    EXPECT_EQ(after.alert, before.alert);
    EXPECT_EQ(after.incident_id, before.incident_id);
    EXPECT_EQ(after.repair.has_value(), before.repair.has_value());
    if (before.alert) {
      EXPECT_EQ(after.state, before.state);
    }
    state_ = after.state;
    // What held or suppressed it is the engine's, which says so again.
    monitor_->Hold(clock_.Now(), held_);
    monitor_->Suppress(clock_.Now(), suppressed_);
    if (reboot || held_) highest_ = 0;
  }

  void Check(const Monitor::Transitions& transitions) {
    for (const Transition& t : transitions) {
      EXPECT_EQ(t.from, state_);
      state_ = t.to;
      if (t.to == config::UNAVAILABLE) highest_ = 0;
      if (t.from == config::REPAIRING) highest_ = 0;
      if (Rank(t.to) > 0) {
        EXPECT_TRUE(t.alert);
        EXPECT_FALSE(t.incident_id.empty());
        EXPECT_FALSE(suppressed_) << "suppressed, and yet " << config::HealthState_Name(t.to);
        // But for a timeline that started anew, the states of one alert only rise.
        EXPECT_GT(Rank(t.to), highest_);
        highest_ = Rank(t.to);
      }
      if (!t.alert) highest_ = 0;
      EXPECT_EQ(open_.empty() && !t.incident_id.empty(), t.opened || t.reopened);
      if (!open_.empty()) {
        EXPECT_EQ(t.incident_id, open_);
      }
      if (t.opened) {
        EXPECT_TRUE(opened_.emplace(t.incident_id, true).second) << "opened twice";
      }
      if (t.reopened) {
        EXPECT_TRUE(opened_.contains(t.incident_id)) << "reopened, never opened";
      }
      open_ = t.closed ? "" : t.incident_id;
      EXPECT_LE(t.evidence_record_ids.size(), 20u);
      EXPECT_TRUE(std::is_sorted(t.evidence_record_ids.begin(), t.evidence_record_ids.end()));
      if (t.closed) {
        EXPECT_EQ(t.to, config::HEALTHY);
      }
    }
  }

  void CheckStatus() {
    const MonitorStatus status = monitor_->Status(clock_.Now());
    EXPECT_EQ(status.state, state_);
    EXPECT_EQ(status.incident_id, open_);
    EXPECT_EQ(status.repair.has_value(), status.state == config::REPAIRING);
    if (!status.alert && !status.repair.has_value()) {
      EXPECT_EQ(status.incident_id, "") << "no alert, but an incident is open";
    }
    if (Rank(status.state) > 0) {
      EXPECT_TRUE(status.alert);
    }
    EXPECT_GE(status.in_state, absl::ZeroDuration());
    if (status.clearing) {
      EXPECT_TRUE(status.alert);
      EXPECT_TRUE(status.state == config::UNAVAILABLE || !status.fresh);
    }
    const bool may_end =
        status.repair.has_value() || definition_.clear_after > absl::ZeroDuration();
    if ((status.suppressed || status.held) && !may_end) {
      EXPECT_EQ(monitor_->NextTick(clock_.Now()), Instant::InfiniteFuture());
    }
  }

  std::mt19937_64 rng_;
  SimulatedClock clock_;
  MonitorDefinition definition_;
  RandomSource id_source_;
  std::unique_ptr<Monitor> monitor_;
  uint64_t record_id_ = 0;
  bool suppressed_ = false;
  bool held_ = false;
  config::HealthState state_ = config::UNINITIALIZED;
  int highest_ = 0;  // Rank of the highest state of this alert, since its timeline started.
  std::string open_;
  std::map<std::string, bool> opened_;
};

TEST(MonitorRandomTest, KeepsItsPromisesWhateverHappens) {
  const uint64_t first = std::random_device()();
  for (uint64_t seed = first; seed < first + 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomWorld world(seed);
    for (int i = 0; i < 1000 && !testing::Test::HasFailure(); ++i) world.Step();
    if (testing::Test::HasFailure()) break;
  }
}

}  // namespace
}  // namespace salve
