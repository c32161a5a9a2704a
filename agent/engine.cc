#include "agent/engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/engine_items.h"
#include "agent/engine_protos.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "responders/escalation/notifier.h"

namespace salve {
namespace {

constexpr absl::Duration kHousekeeping = absl::Seconds(10);
constexpr int kReopeningsBeforeEscalation = 3;

template <typename Message>
bool SameProto(const Message& a, const Message& b) {
  return a.SerializeAsString() == b.SerializeAsString();
}

bool Same(const ProbeDefinition& a, const ProbeDefinition& b) {
  return a.name == b.name && a.interval == b.interval && a.timeout == b.timeout &&
         a.enabled == b.enabled && SameProto(a.config, b.config);
}
bool Same(const MonitorDefinition& a, const MonitorDefinition& b) {
  return a.enabled == b.enabled && a.probes == b.probes && SameProto(a.config, b.config);
}
bool Same(const ResponderDefinition& a, const ResponderDefinition& b) {
  return a.name == b.name && a.enabled == b.enabled && SameProto(a.config, b.config);
}

}  // namespace

Engine::Engine(EngineParts parts)
    : parts_(std::move(parts)),
      scheduler_(parts_.loop, [this](const ProbeDefinition& definition, const Look& look) {
        OnLook(definition, look);
      }) {
  parts_.coordinator.OnFreed([this, alive = alive_](RecoveryAction action,
                                                    const std::string& resource,
                                                    absl::Duration spread) {
    if (*alive) OnGroupFreed(action, resource, spread);
  });
  RestoreGuards();
  last_wall_ = parts_.loop.clock().WallNow();
  last_boot_ = parts_.loop.Now();
  housekeeping_ = parts_.loop.CallAfter(kHousekeeping, [this] { Housekeep(); });
}

Engine::~Engine() {
  *alive_ = false;
  for (TimerId timer :
       {stop_timer_, boot_grace_timer_, housekeeping_, guard_timer_, health_timer_}) {
    parts_.loop.CancelTimer(timer);
  }
  for (auto& [name, item] : monitors_) {
    parts_.loop.CancelTimer(item->timer);
    item->responders.clear();  // Their actions must not call back any more.
    item->asides.clear();
  }
  for (const auto& weak : retired_) {
    if (const MonitorPtr item = weak.lock()) {
      item->responders.clear();
      item->asides.clear();
    }
  }
  for (const auto& weak : manual_runs_) {
    if (const auto run = weak.lock()) run->own.reset();
  }
  for (auto& [id, outlived] : outlived_) EndWatches(*outlived);
}

// ---------------------------------------------------------------------------------------------
// Configuration.

absl::Status Engine::TakeUp(Configuration configuration) {
  // First make all that is new, so that an error leaves everything as it was.
  std::map<std::string, MonitorPtr> monitors;
  std::map<std::string, ProbeDefinition> probes;
  std::map<std::string, std::unique_ptr<Probe>> new_probes;
  const Instant now = parts_.loop.Now();
  for (const HealthSetDefinition& set : configuration.health_sets) {
    if (!set.active()) continue;
    for (const ProbeDefinition& definition : set.probes) {
      const std::string name = FullName(definition);
      probes.emplace(name, definition);
      const auto old = probes_.find(name);
      if (!definition.enabled || parts_.by_hand_only ||
          (old != probes_.end() && Same(old->second, definition))) {
        continue;
      }
      ASSIGN_OR_RETURN(new_probes[name], parts_.new_probe(definition.config));
    }
    for (const MonitorDefinition& definition : set.monitors) {
      std::vector<ResponderDefinition> responders;
      for (const ResponderDefinition& responder : set.responders) {
        if (responder.monitor == definition.name && responder.enabled) {
          responders.push_back(responder);
        }
      }
      const auto asides = TakeAsides(responders);
      const std::string name = FullName(definition);
      const auto old = monitors_.find(name);
      if (old != monitors_.end() && Same(old->second->monitor->definition(), definition) &&
          std::equal(responders.begin(), responders.end(), old->second->responders.begin(),
                     old->second->responders.end(),
                     [](const ResponderDefinition& a, const ResponderItem& b) {
                       return Same(a, b.definition);
                     }) &&
          std::equal(asides.begin(), asides.end(), old->second->asides.begin(),
                     old->second->asides.end(), [](const auto& a, const AsideItem& b) {
                       return a.second == b.before && Same(a.first, b.definition);
                     })) {
        monitors[name] = old->second;
        continue;
      }
      auto item = std::make_shared<MonitorItem>();
      item->full_name = name;
      ASSIGN_OR_RETURN(item->monitor, Monitor::New(definition, parts_.random));
      item->chain = ResponderChain(responders);
      for (const ResponderDefinition& responder : responders) {
        ResponderItem made{.definition = responder};
        ASSIGN_OR_RETURN(made.action, parts_.new_action(responder.config));
        item->responders.push_back(std::move(made));
      }
      for (const auto& [aside, before] : asides) {
        AsideItem made{.definition = aside, .before = before};
        ASSIGN_OR_RETURN(made.action, parts_.new_action(aside.config));
        item->asides.push_back(std::move(made));
      }
      monitors[name] = std::move(item);
    }
  }

  // From here on nothing fails.
  for (auto& [name, item] : monitors_) {
    const auto kept = monitors.find(name);
    if (kept != monitors.end() && kept->second == item) continue;
    Save(*item);
    item->retired = true;
    retired_.push_back(item);
    parts_.loop.CancelTimer(item->timer);
  }
  std::erase_if(retired_, [](const auto& old) { return old.expired(); });
  const bool first = monitors_.empty();
  monitors_.swap(monitors);
  configuration_ = std::move(configuration);
  in_boot_grace_ = now < Instant() + configuration_.agent.boot_grace;
  monitors_of_probe_.clear();
  combinations_.Take(configuration_.health_sets);
  for (auto& [name, item] : monitors_) {
    for (const std::string& probe : item->monitor->definition().probes) {
      monitors_of_probe_[absl::StrCat(item->monitor->definition().health_set, "/", probe)]
          .push_back(item);
    }
    const auto old = monitors.find(name);
    if (old != monitors.end() && old->second == item) continue;
    if (!parts_.by_hand_only) RestoreItem(*item, first);
    for (ResponderItem& responder : item->responders) {
      responder.action->Watch([this, weak = std::weak_ptr<MonitorItem>(item)] {
        if (MonitorPtr watched = weak.lock(); watched && !watched->retired) Consider(watched);
      });
    }
  }
  TakeUpGuards();
  // A resource on which an action runs keeps its monitors suppressed, the new ones too.
  for (auto& [key, resource] : resources_) {
    if (resource.suppressors == 0) continue;
    for (auto& [name, item] : monitors_) {
      for (const ResponderItem& responder : item->responders) {
        if (KeyOf(*responder.action) != key) continue;
        if (std::count(resource.suppressed.begin(), resource.suppressed.end(), item) > 0) continue;
        SuppressItem(*item);
        resource.suppressed.push_back(item);
      }
    }
  }
  if (parts_.by_hand_only) {
    probes_ = std::move(probes);
    return absl::OkStatus();
  }
  if (first) ResumeSettles();
  for (const auto& [name, old] : probes_) {
    const auto kept = probes.find(name);
    if (kept == probes.end() || !Same(kept->second, old)) {
      scheduler_.Remove(name);
      last_looks_.erase(name);
    }
  }
  probes_ = std::move(probes);
  for (auto& [name, probe] : new_probes) scheduler_.Add(probes_.at(name), std::move(probe));

  // Incidents of monitors that are gone have nobody to close them.
  if (!first || !parts_.state.entries().empty()) {
    std::vector<std::string> gone;
    for (const auto& [key, value] : parts_.state.entries()) {
      const size_t slash = key.find('/');
      const std::string kind = key.substr(0, slash);
      if (slash == std::string::npos) continue;
      if (kind != "monitor" && kind != "chain" && kind != "aside") continue;
      if (!monitors_.contains(key.substr(slash + 1))) gone.push_back(key);
    }
    for (const std::string& key : gone) parts_.state.Put(key, "");
  }
  if (parts_.notifier != nullptr) parts_.notifier->Configure(configuration_.agent);
  DropVotesOfNobody();
  parts_.loop.CancelTimer(boot_grace_timer_);
  if (in_boot_grace_) {
    boot_grace_timer_ = parts_.loop.CallAt(Instant() + configuration_.agent.boot_grace,
                                           [this] { ReleaseBootGrace(); });
  } else {
    ReleaseBootGrace();
  }
  // Their inputs may be others now, and nothing else need tell them.
  for (const std::string& name : combinations_.all()) LookAtInputs(name);
  return absl::OkStatus();
}

// What state.db kept of it.
void Engine::RestoreItem(MonitorItem& item, bool first) {
  const Instant now = parts_.loop.Now();
  monitors::MonitorRecord record;
  if (record.ParseFromString(parts_.state.Get("monitor/" + item.full_name))) {
    item.monitor->Restore(now, record, parts_.boot_id);
    item.incident_id = item.monitor->Status(now).incident_id;
  }
  responders::ChainRecord chain;
  if (chain.ParseFromString(parts_.state.Get("chain/" + item.full_name))) {
    item.chain.Restore(chain, parts_.boot_id, /*acting=*/first);
  }
  if (!item.aside_record.ParseFromString(parts_.state.Get("aside/" + item.full_name))) {
    item.aside_record.Clear();
  }
}

void Engine::LimitsChanged() {
  for (auto& [name, item] : monitors_) item->chain.WakeRefused();
  ConsiderAll();
}

void Engine::ReleaseBootGrace() {
  in_boot_grace_ = false;
  for (auto& [name, item] : monitors_) UpdateHolds(item);
  ConsiderAll();
}

// ---------------------------------------------------------------------------------------------
// Looking and deciding.

void Engine::OnLook(const ProbeDefinition& definition, const Look& look) {
  if (!first_look_.has_value()) first_look_ = parts_.loop.Now();
  const std::string name = FullName(definition);
  const bool succeeded = look.observation.outcome == Outcome::kSucceeded;
  LastLook& last = last_looks_[name];
  const bool thin = configuration_.agent.config.channels().probe_results() ==
                    config::Channels::CHANGES_AND_FAILURES;
  const bool tell = !thin || !succeeded || !last.succeeded;
  last.result = ResultProto(definition, look);
  last.succeeded = succeeded;
  if (look.observation.outcome != Outcome::kRejected) last.seen = look.start;

  const auto found = monitors_of_probe_.find(name);
  const std::vector<MonitorPtr> items =
      found == monitors_of_probe_.end() ? std::vector<MonitorPtr>() : found->second;
  uint64_t record_id = 0;
  if (tell) {
    v1::Event event;
    event.set_channel(v1::ProbeResult);
    event.set_event_id(EventIdOf(look.observation.outcome));
    event.set_level(succeeded ? v1::Information : v1::Warning);
    event.set_health_set(definition.health_set);
    event.set_name(definition.name);
    for (const MonitorPtr& item : items) {
      const MonitorStatus status = item->monitor->Status(parts_.loop.Now());
      if (!status.incident_id.empty()) event.set_incident_id(status.incident_id);
    }
    *event.mutable_probe_result() = last.result;
    record_id = parts_.events.Append(std::move(event));
  }
  for (const MonitorPtr& item : items) {
    OnTransitions(item, item->monitor->Observe(parts_.loop.Now(), parts_.loop.clock().WallNow(),
                                               definition.name, look.observation, record_id));
    Consider(item);
  }
  for (const MonitorPtr& item : items) LookAtCombinationsOver(item);
  OnDependencyLook(definition.health_set);
}

void Engine::OnTransitions(const MonitorPtr& item, const Monitor::Transitions& transitions) {
  for (const Transition& transition : transitions) {
    v1::Event event = NewEvent(v1::MonitorResult, 1, LevelOf(transition.to), *item,
                               item->monitor->definition().name);
    event.set_incident_id(transition.incident_id);
    v1::MonitorResultEvent& result = *event.mutable_monitor_result();
    result.set_is_alert(transition.alert);
    result.set_from(config::HealthState_Name(transition.from));
    result.set_to(config::HealthState_Name(transition.to));
    if (transition.first_alert != absl::InfinitePast()) {
      SetTime(transition.first_alert, result.mutable_first_alert_observed_time());
    }
    result.set_evidence(transition.evidence);
    for (uint64_t id : transition.evidence_record_ids) result.add_evidence_record_ids(id);
    result.set_reason(transition.reason);
    result.set_reopened(transition.times_reopened);
    item->result_record_id = parts_.events.Append(std::move(event));

    if (transition.to == config::UNAVAILABLE) item->chain.BeginUnavailable();
    if (transition.from == config::REPAIRING) TellRepairEnded(*item, transition);
    if (!transition.incident_id.empty()) item->incident_id = transition.incident_id;
    item->chain.FollowIncident(transition.incident_id);
    FollowIncident(*item, transition);
    if (transition.reopened && transition.times_reopened == kReopeningsBeforeEscalation) {
      Escalate(item, absl::StrCat("returns/", transition.times_reopened),
               absl::StrCat(item->full_name, " keeps coming back"),
               absl::StrCat("the incident was reopened ", transition.times_reopened, " times"));
    }
    if (transition.closed) {
      v1::Event well =
          NewEvent(v1::Monitoring, 1, v1::Information, *item, item->monitor->definition().name);
      well.set_incident_id(transition.incident_id);
      v1::MonitoringEvent& monitoring = *well.mutable_monitoring();
      monitoring.set_health_set(item->monitor->definition().health_set);
      monitoring.set_monitor(item->monitor->definition().name);
      monitoring.set_subject(absl::StrCat(item->full_name, " is healthy again"));
      parts_.events.Append(std::move(well));
      TellHealthyAgain(*item, transition);
      for (ResponderItem& responder : item->responders) responder.last_reason.clear();
      TakeBackVotes(*item);
    }
  }
  if (transitions.empty()) return;
  Save(*item);
  ReportHealthSoon();
  OnDependencyLook(item->monitor->definition().health_set);
}

void Engine::Consider(const MonitorPtr& item) {
  if (stopping_ || parts_.by_hand_only || item->retired) return;
  const Instant now = parts_.loop.Now();
  const Monitor::Transitions due = item->monitor->Tick(now, parts_.loop.clock().WallNow());
  OnTransitions(item, due);
  if (!due.empty()) LookAtCombinationsOver(item);
  const Instant next_aside = ConsiderAsides(item);
  const MonitorStatus status = item->monitor->Status(now);
  if (!status.alert) item->in_doubt_since.reset();
  if (status.alert && !item->in_doubt_since.has_value()) {
    item->in_doubt_since = now;
    item->looks_asked_for.clear();
  }
  SayHeld(item, status);
  const std::optional<size_t> next = item->chain.Next(status, now);
  if (next.has_value() && !WaitsForEvidence(*item, *next)) TryResponder(item, *next);
  const Instant deadline = std::min({next_aside, item->monitor->NextTick(now),
                                     item->chain.NextDeadline(item->monitor->Status(now), now)});
  parts_.loop.CancelTimer(item->timer);
  item->timer = TimerId::kNone;
  if (deadline == Instant::InfiniteFuture()) return;
  // Something due that could not be done now waits for news, or is looked at again in a second.
  item->timer = parts_.loop.CallAt(deadline > now ? deadline : now + kLookAgain,
                                   [this, weak = std::weak_ptr<MonitorItem>(item)] {
                                     if (MonitorPtr due = weak.lock()) Consider(due);
                                   });
}

void Engine::ConsiderAll() {
  for (const auto& [name, item] : std::map<std::string, MonitorPtr>(monitors_)) Consider(item);
}

void Engine::Housekeep() {
  // The age of an alert is on disk every ten seconds, so that a restart of the agent resumes it;
  // and what is left of a repair, so that a reboot does.
  for (const auto& [name, item] : monitors_) {
    const MonitorStatus status = item->monitor->Status(parts_.loop.Now());
    if (status.alert || status.repair.has_value()) Save(*item);
  }
  if (++ticks_ % 6 == 0) {
    parts_.ledger.Heartbeat([](absl::Status status) {
      if (!status.ok()) LogError(absl::StrCat("ledger: ", status.message()));
    });
    const uint64_t skipped = scheduler_.skipped_total();
    if (skipped > skipped_told_) {
      AppendAgentEvent(5, v1::Warning, "looks were skipped because the one before still ran",
                       static_cast<int64_t>(skipped - skipped_told_));
      skipped_told_ = skipped;
    }
  }
  parts_.state.Flush();
  const absl::Time wall = parts_.loop.clock().WallNow();
  const Instant now = parts_.loop.Now();
  const absl::Duration step = (wall - last_wall_) - (now - last_boot_);
  if (absl::AbsDuration(step) > absl::Seconds(1)) {
    AppendAgentEvent(4, v1::Warning,
                     absl::StrCat("the wall clock was stepped by ", absl::FormatDuration(step)));
  }
  last_wall_ = wall;
  last_boot_ = now;
  housekeeping_ = parts_.loop.CallAfter(kHousekeeping, [this] { Housekeep(); });
}

}  // namespace salve
