// Guards in the engine: maintenance, the kill switch, dependencies and the health floor hold the
// monitors, or keep an action from starting.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/engine_items.h"
#include "agent/engine_protos.h"
#include "base/log.h"
#include "config/names.h"
#include "throttling/health_floor.h"

namespace salve {
namespace {

constexpr char kGuardsKey[] = "guards";
constexpr int kMaintenanceBegan = 11;
constexpr int kMaintenanceEnded = 12;
constexpr int kPaused = 13;
constexpr int kResumed = 14;
constexpr int kFloorOrDependency = 18;
constexpr absl::Duration kFloorAgain = absl::Seconds(30);
constexpr absl::Duration kReportAfter = absl::Milliseconds(100);
constexpr int kGroupTries = 20;
constexpr absl::Duration kGroupTryAgain = absl::Milliseconds(100);

absl::StatusOr<absl::Duration> LengthOf(int64_t seconds) {
  // Compared before it is made a duration: a huge number is out of range, and no wrap.
  if (seconds < absl::ToInt64Seconds(kGuardLeast) || seconds > absl::ToInt64Seconds(kGuardMost)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the duration: ", seconds, " s is not in [1 s, 30 days]"));
  }
  return absl::Seconds(seconds);
}

template <typename Message>
void FillTimes(const Guard& guard, Message& out) {
  out.set_who(guard.who);
  out.set_reason(guard.reason);
  SetTime(guard.since, out.mutable_since());
  if (guard.until != absl::InfiniteFuture()) SetTime(guard.until, out.mutable_until());
}

}  // namespace

// ---------------------------------------------------------------------------------------------
// Maintenance and pause.

void Engine::RestoreGuards() {
  guards::GuardRecord record;
  if (record.ParseFromString(parts_.state.Get(kGuardsKey))) {
    guards_.Restore(record, parts_.loop.Now(), parts_.loop.clock().WallNow(), parts_.boot_id);
  }
  ScheduleGuards();
  if (parts_.group_pause == nullptr) return;
  parts_.group_pause->Watch([this, alive = alive_](const std::string& text) {
    if (*alive) OnGroupPause(text);
  });
}

void Engine::OnGuardTimer() {
  for (const Guards::Ended& ended : guards_.TakeEnded(parts_.loop.Now())) TellEnded(ended);
  OnGuardsChanged();
}

void Engine::TellEnded(const Guards::Ended& ended) {
  AppendAgentEvent(
      ended.kind == HoldKind::kMaintenance ? kMaintenanceEnded : kResumed, v1::Information,
      absl::StrCat("the ", ended.what, " has ended by itself; it was ", ended.guard.Text()));
}

// Takes up what the guards say now, and puts it with the monitors' new timelines on its way to
// disk.
void Engine::OnGuardsChanged() {
  parts_.state.Put(kGuardsKey, guards_.Save(parts_.boot_id).SerializeAsString());
  for (const auto& [name, item] : monitors_) UpdateHolds(item);
  ScheduleGuards();
  ConsiderSoon();
}

void Engine::ScheduleGuards() {
  parts_.loop.CancelTimer(guard_timer_);
  guard_timer_ = TimerId::kNone;
  const Instant next = guards_.NextEnd();
  if (next == Instant::InfiniteFuture()) return;
  guard_timer_ = parts_.loop.CallAt(std::max(next, parts_.loop.Now()), [this] { OnGuardTimer(); });
}

void Engine::SyncGuards(std::function<void(absl::Status)> done) {
  parts_.state.Sync(
      [alive = alive_, &loop = parts_.loop, done = std::move(done)](absl::Status status) mutable {
        loop.Post([alive, status, done = std::move(done)] {
          if (!*alive) return;
          if (status.ok()) return done(status);
          done(absl::UnavailableError(absl::StrCat(
              "it holds until the agent ends, but could not be written: ", status.message())));
        });
      });
}

v1::MaintenanceResponse Engine::MaintenanceStatus() const {
  v1::MaintenanceResponse response;
  for (const auto& [health_set, guard] : guards_.maintenances()) {
    v1::MaintenanceWindow& window = *response.add_windows();
    window.set_health_set(health_set);
    FillTimes(guard, window);
  }
  return response;
}

void Engine::Maintain(const v1::MaintenanceRequest& request,
                      std::function<void(absl::StatusOr<v1::MaintenanceResponse>)> done) {
  const std::string& set = request.health_set();
  const std::vector<std::string> known = HealthSetNames();
  switch (request.verb()) {
    case v1::MaintenanceRequest::START: {
      if (!set.empty() && std::count(known.begin(), known.end(), set) == 0) {
        return done(
            absl::NotFoundError(absl::StrCat("no health set '", set, "'", DidYouMean(set, known))));
      }
      const absl::StatusOr<absl::Duration> length = LengthOf(request.duration_seconds());
      if (!length.ok()) return done(length.status());
      const Guard guard = NewGuard(request.user(), request.reason(), *length, parts_.loop.Now(),
                                   parts_.loop.clock().WallNow());
      AppendAgentEvent(kMaintenanceBegan, v1::Information,
                       absl::StrCat(MaintenanceName(set), " ", guard.Text()), 0, guard.who);
      guards_.StartMaintenance(set, guard);
      break;
    }
    case v1::MaintenanceRequest::END: {
      const std::optional<Guard> guard = guards_.EndMaintenance(set);
      if (!guard.has_value()) {
        std::string others;
        for (const auto& [other, window] : guards_.maintenances()) {
          absl::StrAppend(&others, others.empty() ? "; there is a " : ", a ",
                          MaintenanceName(other));
        }
        return done(
            absl::NotFoundError(absl::StrCat("there is no ", MaintenanceName(set), others)));
      }
      AppendAgentEvent(
          kMaintenanceEnded, v1::Information,
          absl::StrCat("the ", MaintenanceName(set), " was ended; it was ", guard->Text()), 0,
          request.user());
      break;
    }
    default:
      return done(MaintenanceStatus());
  }
  OnGuardsChanged();
  SyncGuards([this, done = std::move(done)](const absl::Status& status) {
    if (!status.ok()) return done(status);
    done(MaintenanceStatus());
  });
}

v1::PauseResponse Engine::PauseStatus() const {
  v1::PauseResponse response;
  const auto add = [&](const std::string& scope, const Guard& guard) {
    v1::Pause& pause = *response.add_pauses();
    pause.set_scope(scope);
    FillTimes(guard, pause);
  };
  if (guards_.server_pause().has_value()) add("server", *guards_.server_pause());
  for (const auto& [path, guard] : guards_.files()) add("file", guard);
  if (guards_.group_pause().has_value()) add("group", *guards_.group_pause());
  response.set_paused(!response.pauses().empty());
  return response;
}

void Engine::PauseActions(const v1::PauseRequest& request,
                          std::function<void(absl::StatusOr<v1::PauseResponse>)> done) {
  const bool pauses = request.verb() == v1::PauseRequest::PAUSE;
  if (!pauses && request.verb() != v1::PauseRequest::RESUME) return done(PauseStatus());
  if (request.group() && parts_.group_pause == nullptr) {
    return done(absl::FailedPreconditionError(
        "this server is in no group: salve.textproto has no group and no shared coordinator"));
  }
  absl::Duration length = absl::InfiniteDuration();
  if (pauses && request.duration_seconds() != 0) {
    const absl::StatusOr<absl::Duration> given = LengthOf(request.duration_seconds());
    if (!given.ok()) return done(given.status());
    length = *given;
  }
  const Instant now = parts_.loop.Now();
  const absl::Time wall = parts_.loop.clock().WallNow();
  const Guard guard = NewGuard(request.user(), request.reason(), length, now, wall);
  const auto answer = [this, done](const absl::Status& status) {
    if (!status.ok()) return done(status);
    done(PauseStatus());
  };
  const auto tell = [this, pauses, guard, who = request.user()](const std::string& of) {
    AppendAgentEvent(pauses ? kPaused : kResumed, v1::Information,
                     pauses ? absl::StrCat("actions of ", of, " are paused ", guard.Text())
                            : absl::StrCat("actions of ", of, " are no longer paused",
                                           guard.reason.empty() ? "" : ": ", guard.reason),
                     0, who);
  };
  if (request.group()) {
    const std::string text = pauses ? GroupPauseText(guard) : "";
    return ReplaceGroupPause(
        text,
        [this, tell, text, answer](const absl::Status& status) {
          if (!status.ok()) return answer(status);
          group_pause_text_ = text;
          // The watch may have been faster, and has told it then.
          if (guards_.SetGroupText(text, parts_.loop.Now(), parts_.loop.clock().WallNow())) {
            tell("the group " + configuration_.agent.group);
          }
          OnGuardsChanged();
          SyncGuards(answer);
        },
        kGroupTries);
  }
  if (pauses) {
    guards_.Pause(guard);
    tell("this server");
  } else if (guards_.Resume().has_value()) {
    tell("this server");
  }
  OnGuardsChanged();
  SyncGuards(answer);
}

void Engine::SetPauseFiles(std::map<std::string, Guard> files) {
  for (const auto& [path, guard] : files) {
    if (guards_.files().contains(path)) continue;
    AppendAgentEvent(kPaused, v1::Information,
                     absl::StrCat("actions of this server are paused by the file ", path,
                                  guard.reason.empty() ? "" : ": ", guard.reason),
                     0, path);
  }
  for (const auto& [path, guard] : guards_.files()) {
    if (files.contains(path)) continue;
    AppendAgentEvent(kResumed, v1::Information,
                     absl::StrCat("the file ", path, " does not pause the actions any more"), 0,
                     path);
  }
  guards_.SetFiles(std::move(files));
  OnGuardsChanged();
}

void Engine::OnGroupPause(const std::string& text) {
  group_pause_text_ = text;
  const Instant now = parts_.loop.Now();
  if (!guards_.SetGroupText(text, now, parts_.loop.clock().WallNow())) {
    return OnGuardsChanged();  // The text is kept all the same.
  }
  const std::optional<Guard>& pause = guards_.group_pause();
  const std::string of = "actions of the group " + configuration_.agent.group;
  if (pause.has_value()) {
    AppendAgentEvent(kPaused, v1::Information, absl::StrCat(of, " are paused ", pause->Text()), 0,
                     pause->who);
  } else {
    AppendAgentEvent(kResumed, v1::Information, absl::StrCat(of, " are no longer paused"));
  }
  OnGuardsChanged();
}

void Engine::ReplaceGroupPause(const std::string& text, std::function<void(absl::Status)> done,
                               int tries_left) {
  if (!group_pause_text_.has_value()) {
    return done(absl::UnavailableError("the group's coordinator has not answered yet"));
  }
  if (*group_pause_text_ == text) return done(absl::OkStatus());
  parts_.group_pause->Replace(
      *group_pause_text_, text,
      [this, alive = alive_, text, done = std::move(done), tries_left](absl::Status status) {
        if (!*alive) return;
        if (status.code() != absl::StatusCode::kAborted) return done(status);
        if (tries_left == 0) {
          return done(absl::UnavailableError("others change the group's pause all the time"));
        }
        // Another was first: once more, as soon as its text is known here.
        parts_.loop.CallAfter(kGroupTryAgain, [this, alive, text, done, tries_left] {
          if (*alive) ReplaceGroupPause(text, done, tries_left - 1);
        });
      });
}

// ---------------------------------------------------------------------------------------------
// Holds.

void Engine::TakeUpGuards() {
  dependencies_ = Dependencies(configuration_.health_sets);
  monitors_of_set_.clear();
  for (const auto& [name, item] : monitors_) {
    monitors_of_set_[item->monitor->definition().health_set].push_back(item);
  }
  boot_grace_why_.clear();
  if (in_boot_grace_) {
    const absl::Time end = parts_.loop.clock().WallNow() +
                           (Instant() + configuration_.agent.boot_grace - parts_.loop.Now());
    boot_grace_why_ =
        absl::StrCat("boot_grace until ", absl::FormatTime("%H:%M:%S", end, absl::LocalTimeZone()));
  }
  dependency_holds_.clear();
  for (const HealthSetDefinition& set : configuration_.health_sets) {
    if (std::string why = WhyDependencyHolds(set.name); !why.empty()) {
      dependency_holds_[set.name] = std::move(why);
    }
  }
  for (const auto& [name, item] : monitors_) UpdateHolds(item);
  ReportHealthSoon();
}

std::vector<Hold> Engine::HoldsOn(const MonitorItem& item) const {
  const std::string& set = item.monitor->definition().health_set;
  std::vector<Hold> holds;
  if (in_boot_grace_) holds.push_back({HoldKind::kBootGrace, boot_grace_why_});
  for (Hold& hold : guards_.HoldsOn(set)) holds.push_back(std::move(hold));
  const auto dependency = dependency_holds_.find(set);
  if (dependency != dependency_holds_.end()) {
    holds.push_back({HoldKind::kDependency, dependency->second});
  }
  return holds;
}

void Engine::UpdateHolds(const MonitorPtr& item) {
  const Instant now = parts_.loop.Now();
  item->holds = HoldsOn(*item);
  for (size_t i = 0; i < item->responders.size(); ++i) {
    item->chain.SetGoesOn(i, WhyHeld(*item, *item->responders[i].action).empty());
  }
  MonitorStatus status = item->monitor->Status(now);
  if (status.held == !item->holds.empty()) return;
  item->monitor->Hold(now, !item->holds.empty());
  item->in_doubt_since.reset();
  Save(*item);  // A restart must not resume the age that it had before.
  status.held = !item->holds.empty();
  status.fresh =
      true;  // What it would have done is said, whether it would have been at once or not.
  SayHeld(item, status);
}

// Says in the incident what is not done now, once.
void Engine::SayHeld(const MonitorPtr& item, const MonitorStatus& status) {
  if (!status.alert || !status.held || !status.fresh) return;
  for (size_t i = 0; i < item->responders.size(); ++i) {
    const bool is_idle = item->chain.phase(i) == ResponderChain::Phase::kIdle;
    if (!is_idle || item->responders[i].definition.on != status.state) continue;
    if (std::string why = WhyHeld(*item, *item->responders[i].action); !why.empty())
      Respond(item, i, 1, std::move(why));
  }
}

std::string Engine::WhyHeld(const MonitorItem& item, const Action& action) const {
  const ActionTraits traits = TraitsOf(action);
  std::vector<Hold> holds;
  for (const Hold& hold : item.holds) {
    if (KeepsFrom(hold.kind, traits)) holds.push_back(hold);
  }
  return holds.empty() ? "" : absl::StrCat("held: ", JoinHolds(holds));
}

void Engine::ConsiderSoon() {
  if (std::exchange(considering_soon_, true)) return;
  parts_.loop.Post([this, alive = alive_] {
    if (!*alive) return;
    considering_soon_ = false;
    ConsiderAll();
  });
}

// ---------------------------------------------------------------------------------------------
// Dependencies.

std::string Engine::WhyDependencyHolds(const std::string& health_set) const {
  for (const std::string& dependency : dependencies_.Of(health_set)) {
    const auto items = monitors_of_set_.find(dependency);
    if (items == monitors_of_set_.end()) continue;
    for (const MonitorPtr& item : items->second) {
      const MonitorStatus status = item->monitor->Status(parts_.loop.Now());
      if (JudgeDependency(status, item->monitor->definition()) != DependencyVerdict::kHolds) {
        continue;
      }
      return absl::StrCat("its dependency ", dependency, " is not well: ", item->full_name, " is ",
                          config::HealthState_Name(status.state));
    }
  }
  return "";
}

// A look at a probe of this set, or a change of a monitor of it, may concern its dependents.
void Engine::OnDependencyLook(const std::string& health_set) {
  for (const std::string& dependent : dependencies_.DependentsOf(health_set)) {
    const std::vector<MonitorPtr>& items = monitors_of_set_[dependent];
    const bool alerts = std::any_of(items.begin(), items.end(), [&](const MonitorPtr& item) {
      return item->monitor->Status(parts_.loop.Now()).alert;
    });
    if (alerts) ConsiderSoon();
    std::string why = WhyDependencyHolds(dependent);
    std::string& before = dependency_holds_[dependent];
    if (before == why) {
      if (why.empty()) dependency_holds_.erase(dependent);
      continue;
    }
    const bool is_news = before.empty() != why.empty();
    before = why;
    if (why.empty()) dependency_holds_.erase(dependent);
    if (is_news) {
      v1::Event event;
      event.set_channel(v1::Agent);
      event.set_event_id(kFloorOrDependency);
      event.set_level(why.empty() ? v1::Information : v1::Warning);
      event.set_name("salved");
      event.set_health_set(dependent);
      for (const MonitorPtr& item : items) {
        const MonitorStatus status = item->monitor->Status(parts_.loop.Now());
        if (!status.incident_id.empty()) event.set_incident_id(status.incident_id);
      }
      event.mutable_agent()->set_version(parts_.version);
      event.mutable_agent()->set_message(
          why.empty() ? absl::StrCat(dependent,
                                     ": its dependencies are well again; what is still "
                                     "wrong is judged anew")
                      : absl::StrCat(dependent, ": no disruptive action: ", why));
      parts_.events.Append(std::move(event));
    }
    for (const MonitorPtr& item : items) UpdateHolds(item);
  }
}

// "" when all probes of the monitor of a dependency that can be asked were seen since the doubt
// began; else the first that was not.
std::string Engine::NotLookedAt(const MonitorItem& item, const MonitorItem& dependency) const {
  for (const std::string& probe : ProbesOf(dependency)) {
    const auto found = probes_.find(probe);
    // A notification has nothing new to say; a disabled one says nothing.
    if (found == probes_.end() || !found->second.enabled ||
        found->second.config.has_notification()) {
      continue;
    }
    const auto last = last_looks_.find(probe);
    const bool seen = last != last_looks_.end() && last->second.seen.has_value() &&
                      item.in_doubt_since.has_value() && *last->second.seen >= *item.in_doubt_since;
    if (!seen) return probe;
  }
  return "";
}

// A dependency that failed at the same moment may be slower to notice: an action waits until each
// of its probes was looked at since the alert began, and until a bad look has been decided.
std::string Engine::WhyDependencyWaits(const MonitorItem& item, size_t index) const {
  if (!item.responders[index].action->is_disruptive()) return "";
  for (const std::string& set : dependencies_.Of(item.monitor->definition().health_set)) {
    const auto items = monitors_of_set_.find(set);
    if (items == monitors_of_set_.end()) continue;
    for (const MonitorPtr& dependency : items->second) {
      const MonitorDefinition& definition = dependency->monitor->definition();
      if (!definition.enabled) continue;
      const MonitorStatus status = dependency->monitor->Status(parts_.loop.Now());
      if (JudgeDependency(status, definition) == DependencyVerdict::kUndecided) {
        return absl::StrCat("its dependency ", dependency->full_name,
                            " had a bad look and is not decided yet");
      }
      if (!NotLookedAt(item, *dependency).empty()) {
        return absl::StrCat("its dependency ", dependency->full_name,
                            " was not looked at since the trouble began");
      }
    }
  }
  return "";
}

void Engine::LookAtDependencies(const MonitorPtr& item) {
  for (const std::string& set : dependencies_.Of(item->monitor->definition().health_set)) {
    for (const MonitorPtr& dependency : monitors_of_set_[set]) {
      for (const std::string& probe : ProbesOf(*dependency)) {
        const auto last = last_looks_.find(probe);
        const bool seen = last != last_looks_.end() && last->second.seen.has_value() &&
                          *last->second.seen >= *item->in_doubt_since;
        if (!seen) LookAtDependency(item, probe);
      }
    }
  }
}

// Once since the doubt began; it ends by the look's own timeout.
void Engine::LookAtDependency(const MonitorPtr& item, const std::string& probe) {
  const auto found = probes_.find(probe);
  if (found == probes_.end() || found->second.config.has_notification()) return;
  if (!item->looks_asked_for.insert(probe).second) return;
  const auto done = [this, alive = alive_, weak = std::weak_ptr<MonitorItem>(item),
                     probe](const Look& look) {
    const MonitorPtr item = weak.lock();
    if (!*alive || item == nullptr || item->retired || !item->in_doubt_since.has_value()) return;
    // It joined one that ran already, and says nothing of now.
    if (look.start < *item->in_doubt_since) {
      item->looks_asked_for.erase(probe);
      LookAtDependency(item, probe);
    }
    ConsiderSoon();
  };
  scheduler_.LookNow(probe, done).IgnoreError();  // A disabled one: nobody waits for it.
}

// ---------------------------------------------------------------------------------------------
// The health floor.

// Only what is known to be well is healthy.
bool Engine::IsHealthy() const {
  return std::all_of(monitors_.begin(), monitors_.end(), [&](const auto& entry) {
    const config::HealthState state = entry.second->monitor->Status(parts_.loop.Now()).state;
    return state == config::HEALTHY || state == config::DISABLED;
  });
}

// A moment later: when much changes at once it is counted once.
void Engine::ReportHealthSoon() {
  if (health_timer_ != TimerId::kNone) return;
  health_timer_ = parts_.loop.CallAfter(kReportAfter, [this] {
    health_timer_ = TimerId::kNone;
    ReportHealth();
  });
}

void Engine::ReportHealth() {
  const bool healthy = IsHealthy();
  if (std::exchange(reported_healthy_, healthy) == healthy) return;
  parts_.coordinator.ReportHealth(healthy, [](const absl::StatusOr<GroupHealth>&) {});
}

void Engine::AskAboveFloor(const MonitorPtr& item, size_t index, const std::string& key) {
  reported_healthy_ = IsHealthy();
  parts_.coordinator.ReportHealth(*reported_healthy_, [this, alive = alive_, item, index,
                                                       key](absl::StatusOr<GroupHealth> health) {
    if (!*alive) return;
    const int percent = static_cast<int>(configuration_.agent.config.min_healthy_percent());
    const std::optional<std::string> why =
        health.ok() ? BelowHealthFloor(percent, *health)
                    : absl::StrCat("health floor: it is not known how many servers are healthy: ",
                                   health.status().message());
    if (!why.has_value()) {
      below_floor_.clear();
      return AskGate(item, index, key);
    }
    if (std::exchange(below_floor_, *why) != *why) {
      AppendAgentEvent(
          kFloorOrDependency, v1::Warning,
          absl::StrCat(item->responders[index].definition.name, " may not act: ", *why));
    }
    const Instant next = parts_.loop.Now() + kFloorAgain;
    item->chain.AskAgainAt(index, next);
    Respond(item, index, 3, *why, next);
    Vacate(key);
  });
}

}  // namespace salve
