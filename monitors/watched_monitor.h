// WatchedMonitor: a Monitor on a simulated clock, for tests. Each call returns its transitions
// as text ("HEALTHY>DEGRADED opened"), and the whole of the last one is kept.
#ifndef SALVE_MONITORS_WATCHED_MONITOR_H_
#define SALVE_MONITORS_WATCHED_MONITOR_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/ids.h"
#include "config/definition.h"
#include "monitors/monitor.h"
#include "probes/probe.h"

namespace salve {

// Three failed looks in a row; DEGRADED at 0, UNHEALTHY at 60 s, UNRECOVERABLE at 10 min.
inline MonitorDefinition ThreeInARow(std::vector<std::string> probes = {"P"}) {
  MonitorDefinition definition;
  definition.health_set = "Web";
  definition.name = "Down";
  definition.probes = std::move(probes);
  definition.transitions = {{config::DEGRADED, absl::ZeroDuration()},
                            {config::UNHEALTHY, absl::Seconds(60)},
                            {config::UNRECOVERABLE, absl::Minutes(10)}};
  definition.reopen_within = absl::Minutes(10);
  definition.config.mutable_consecutive_failures()->set_threshold(3);
  return definition;
}

class WatchedMonitor {
 public:
  explicit WatchedMonitor(const MonitorDefinition& definition = ThreeInARow())
      : definition_(definition), monitor_(*Monitor::New(definition, *random_)) {}

  std::string Good(const std::string& probe = "P") { return Look(probe, Observation{}); }
  std::string Bad(const std::string& probe = "P") { return Look(probe, Failed("refused")); }
  std::string Blind(const std::string& probe = "P") { return Look(probe, Rejected("no room")); }
  std::string Bad(const std::string& probe, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) Join(all, Bad(probe));
    return all;
  }
  std::string Blind(const std::string& probe, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) Join(all, Blind(probe));
    return all;
  }
  std::string Value(double number) {
    Observation observation;
    observation.values.push_back({.name = "latency_ms", .number = number, .unit = "ms"});
    return Look("P", observation);
  }
  std::string Look(const std::string& probe, const Observation& observation) {
    return Told(monitor_->Observe(now(), wall(), probe, observation, ++last_record_id_));
  }
  std::string Tick() { return Told(monitor_->Tick(now(), wall())); }
  // Time passes; then what is due is looked for.
  std::string Wait(absl::Duration d) {
    clock_.Advance(d);
    return Tick();
  }
  void StepWall(absl::Duration d) { clock_.StepWall(d); }

  std::string BeginRepair(absl::Duration lasts, const std::string& owner = "ada") {
    return Told(monitor_->BeginRepair(now(), wall(), {owner, "new disk", wall(), now() + lasts}));
  }
  std::string EndRepair(const std::string& who = "bob") {
    return Told(monitor_->EndRepair(now(), wall(), who));
  }

  void Suppress(bool suppressed) { monitor_->Suppress(now(), suppressed); }
  void Hold(bool held) { monitor_->Hold(now(), held); }

  // The agent ends and begins again, with this configuration.
  void Restart(const MonitorDefinition& definition, const std::string& boot_before = "boot-1",
               const std::string& boot_after = "boot-1") {
    const monitors::MonitorRecord record = monitor_->Save(now(), boot_before);
    definition_ = definition;
    monitor_ = *Monitor::New(definition_, *random_);
    monitor_->Restore(now(), record, boot_after);
  }
  void Restart() { Restart(definition_); }
  void Reboot() { Restart(definition_, "boot-1", "boot-2"); }

  MonitorStatus status() const { return monitor_->Status(now()); }
  std::string state() const { return config::HealthState_Name(status().state); }
  std::string incident() const { return status().incident_id; }
  absl::Duration next_tick_in() const { return monitor_->NextTick(now()) - now(); }
  uint64_t last_record_id() const { return last_record_id_; }
  const Transition& last() const { return last_; }
  monitors::MonitorRecord Save() const { return monitor_->Save(now(), "boot-1"); }
  Monitor& monitor() { return *monitor_; }
  Instant now() const { return clock_.Now(); }
  absl::Time wall() const { return clock_.WallNow(); }

 private:
  static void Join(std::string& all, const std::string& text) {
    absl::StrAppend(&all, all.empty() || text.empty() ? "" : ", ", text);
  }
  std::string Told(const Monitor::Transitions& transitions) {
    std::string all;
    for (const Transition& t : transitions) {
      Join(all, absl::StrCat(config::HealthState_Name(t.from), ">", config::HealthState_Name(t.to),
                             t.opened ? " opened" : "", t.reopened ? " reopened" : "",
                             t.closed ? " closed" : ""));
      last_ = t;
    }
    return all;
  }

  SimulatedClock clock_;
  std::unique_ptr<RandomSource> random_ =
      std::make_unique<RandomSource>([state = uint64_t{0}]() mutable { return ++state; });
  MonitorDefinition definition_;
  std::unique_ptr<Monitor> monitor_;
  uint64_t last_record_id_ = 100;
  Transition last_;
};

// One whose alert begins now.
inline WatchedMonitor Alerting(const MonitorDefinition& definition = ThreeInARow()) {
  WatchedMonitor monitor(definition);
  monitor.Good();
  monitor.Bad("P", 3);
  return monitor;
}

}  // namespace salve

#endif  // SALVE_MONITORS_WATCHED_MONITOR_H_
