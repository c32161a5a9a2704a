// What stands beside the chain: notifications, which wait for nobody, and evidence, for which what
// is disruptive and written after it waits. Neither passes the gate; each runs once an incident.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/engine_items.h"
#include "agent/engine_protos.h"
#include "base/log.h"
#include "responders/escalation/notifier.h"

namespace salve {
namespace {

// Healing waits for evidence: no longer than this, unless the responder says so.
constexpr absl::Duration kCollectTimeout = absl::Seconds(30);

bool IsAside(const config::Responder& config) {
  return config.has_escalate() || config.has_collect();
}

template <typename List>
bool Contains(const List& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

}  // namespace

std::vector<std::pair<ResponderDefinition, size_t>> Engine::TakeAsides(
    std::vector<ResponderDefinition>& responders) {
  std::vector<std::pair<ResponderDefinition, size_t>> asides;
  std::vector<ResponderDefinition> chain;
  for (ResponderDefinition& responder : responders) {
    if (IsAside(responder.config)) {
      asides.emplace_back(std::move(responder), chain.size());
    } else {
      chain.push_back(std::move(responder));
    }
  }
  responders = std::move(chain);
  return asides;
}

bool Engine::AsideItem::Applies(const MonitorStatus& status) const {
  if (status.state != definition.on) return false;
  if (action->is_notification()) return status.alert || status.state == config::UNAVAILABLE;
  return status.alert && status.fresh && !status.held && !status.suppressed;
}

absl::Duration Engine::AsideItem::Wait(const MonitorStatus& status, absl::Time wall) const {
  // What can't be looked at is on no timeline, and people wait also while that stands still.
  const bool by_wall =
      status.state == config::UNAVAILABLE || (status.held && action->is_notification());
  const absl::Duration age = by_wall ? wall - status.since : status.in_state;
  return std::max(absl::ZeroDuration(), definition.after - age);
}

void Engine::FollowIncident(MonitorItem& item, const Transition& transition) {
  responders::AsideRecord& record = item.aside_record;
  if (!transition.incident_id.empty() && transition.incident_id != record.incident_id()) {
    record.Clear();
    record.set_incident_id(transition.incident_id);
  }
  item.evidence = transition.evidence;
  // Not to be able to look is no incident: it is told again each time.
  if (transition.from != config::UNAVAILABLE) return;
  auto& done = *record.mutable_done();
  for (const AsideItem& aside : item.asides) {
    if (aside.definition.on != config::UNAVAILABLE) continue;
    done.erase(std::remove(done.begin(), done.end(), aside.definition.name), done.end());
  }
}

Instant Engine::ConsiderAsides(const MonitorPtr& item) {
  const Instant now = parts_.loop.Now();
  const MonitorStatus status = item->monitor->Status(now);
  Instant next = Instant::InfiniteFuture();
  for (size_t i = 0; i < item->asides.size(); ++i) {
    const AsideItem& aside = item->asides[i];
    const bool is_done = Contains(item->aside_record.done(), aside.definition.name);
    if (is_done || aside.running || !aside.Applies(status)) continue;
    if (std::string why = WhyHeld(*item, *aside.action); !why.empty()) {
      if (item->asides[i].last_reason != why) RespondAside(*item, item->asides[i], 1, why);
      continue;
    }
    const absl::Duration wait = aside.Wait(status, parts_.loop.clock().WallNow());
    if (wait > absl::ZeroDuration()) {
      next = std::min(next, now + wait);
    } else {
      RunAside(item, i);
    }
  }
  return next;
}

bool Engine::WaitsForEvidence(const MonitorItem& item, size_t index) const {
  const ResponderItem& responder = item.responders[index];
  return responder.action->is_disruptive() &&
         std::any_of(item.asides.begin(), item.asides.end(), [&](const AsideItem& aside) {
           return aside.running && aside.before <= index &&
                  aside.definition.on == responder.definition.on;
         });
}

// The same for the same occasion, also when the agent died and asks again.
std::string Engine::KeyOfAside(const MonitorItem& item, const AsideItem& aside) const {
  const MonitorStatus status = item.monitor->Status(parts_.loop.Now());
  std::string key = absl::StrCat(status.incident_id.empty() ? item.full_name : status.incident_id,
                                 "/", FullName(aside.definition));
  // Not to be able to look is told each time.
  if (aside.definition.on == config::UNAVAILABLE) {
    absl::StrAppend(&key, "/", absl::ToUnixSeconds(status.since));
  }
  return key;
}

void Engine::RunAside(const MonitorPtr& item, size_t index) {
  AsideItem& aside = item->asides[index];
  const auto mark_done = [&] {
    item->aside_record.add_done(aside.definition.name);
    Save(*item);
  };
  // A notice is kept before it is marked: killed in between, it is asked for again under its key.
  const bool is_told = aside.action->is_notification() && !aside.definition.observe;
  if (!is_told) mark_done();
  if (aside.definition.observe) {
    RespondAside(*item, aside, 1, absl::StrCat("OBSERVE: would act: ", aside.action->Plan()));
    return;
  }
  RespondAside(*item, aside, 2, aside.action->Plan());
  aside.running = true;
  const bool is_limited = !aside.definition.config.timeout().empty();
  const Instant deadline =
      parts_.loop.Now() + (is_limited ? aside.definition.timeout : kCollectTimeout);
  Notice notice = NoticeOf(*item);
  notice.key = KeyOfAside(*item, aside);
  aside.action->About(std::move(notice));
  aside.action->Run(
      deadline, [](std::string, absl::AnyInvocable<void(absl::Status)> then) { then({}); },
      [this, alive = alive_, item, index](ActionResult result) {
        if (*alive) OnAsideEnded(item, index, std::move(result));
      });
  if (is_told) mark_done();
}

void Engine::OnAsideEnded(const MonitorPtr& item, size_t index, ActionResult result) {
  AsideItem& aside = item->asides[index];
  aside.running = false;
  if (aside.action->is_notification()) return;
  const bool is_whole = result.kind == ActionResult::Kind::kSucceeded;
  v1::Event event = NewEvent(v1::Monitoring, 8, is_whole ? v1::Information : v1::Warning, *item,
                             item->monitor->definition().name);
  event.set_incident_id(item->incident_id);
  v1::MonitoringEvent& monitoring = *event.mutable_monitoring();
  monitoring.set_health_set(item->monitor->definition().health_set);
  monitoring.set_monitor(item->monitor->definition().name);
  monitoring.set_subject(aside.definition.name);
  monitoring.set_message(result.exception_message);
  monitoring.set_path(result.context);
  parts_.events.Append(std::move(event));
  if (!is_whole) {
    LogWarning(absl::StrCat(aside.definition.name, ": evidence: ", result.exception_message));
    aside.last_reason = result.exception_message;
  }
  // What is disruptive has waited for this, however it ended.
  parts_.loop.Post([this, alive = alive_, item] {
    if (*alive) Consider(item);
  });
}

Notice Engine::NoticeOf(const MonitorItem& item) const {
  const MonitorStatus status = item.monitor->Status(parts_.loop.Now());
  Notice notice;
  notice.health_set = item.monitor->definition().health_set;
  notice.monitor = item.monitor->definition().name;
  notice.state = config::HealthState_Name(status.state);
  notice.error = status.last_error;
  notice.incident_id = status.incident_id;
  notice.server = configuration_.agent.server;
  notice.group = configuration_.agent.group;
  notice.time = parts_.loop.clock().WallNow();
  notice.message = item.evidence;
  if (!status.last_error.empty()) {
    absl::StrAppend(&notice.message, notice.message.empty() ? "" : "\n",
                    "latest error: ", status.last_error);
  }
  for (size_t i = 0; i < item.chain.size(); ++i) {
    if (item.chain.ineffective(i) == 0) continue;
    absl::StrAppend(&notice.message, "\n", item.chain.definition(i).name, " ran ",
                    item.chain.ineffective(i), " times and did not help");
  }
  if (!status.incident_id.empty()) {
    absl::StrAppend(&notice.message, "\nincident ", status.incident_id);
  }
  return notice;
}

void Engine::Tell(Notice notice) {
  const auto found = monitors_.find(absl::StrCat(notice.health_set, "/", notice.monitor));
  v1::Event event;
  event.set_channel(v1::Monitoring);
  event.set_event_id(4);
  event.set_level(v1::Error);
  event.set_health_set(notice.health_set);
  event.set_name(notice.monitor);
  event.set_incident_id(notice.incident_id);
  v1::MonitoringEvent& monitoring = *event.mutable_monitoring();
  monitoring.set_health_set(notice.health_set);
  monitoring.set_monitor(notice.monitor);
  monitoring.set_subject(notice.subject);
  monitoring.set_message(notice.message);
  monitoring.set_latest_error(notice.error);
  parts_.events.Append(std::move(event));
  Log(Severity::kCritical, absl::StrCat(notice.subject, ": ", notice.message));
  if (parts_.notifier == nullptr) return;
  const std::vector<std::string> names = parts_.notifier->Send(notice);
  if (found == monitors_.end() || notice.incident_id.empty()) return;
  responders::AsideRecord& record = found->second->aside_record;
  for (const std::string& name : names) {
    if (!Contains(record.told(), name)) record.add_told(name);
  }
  Save(*found->second);
}

void Engine::Escalate(const MonitorPtr& item, const std::string& occasion, std::string subject,
                      std::string message) {
  if (guards_.IsInMaintenance(item->monitor->definition().health_set)) return;
  Notice notice = NoticeOf(*item);
  notice.subject = std::move(subject);
  notice.message = std::move(message);
  if (!notice.incident_id.empty()) notice.key = absl::StrCat(notice.incident_id, "/", occasion);
  Tell(std::move(notice));
}

void Engine::TellHealthyAgain(MonitorItem& item, const Transition& transition) {
  responders::AsideRecord& record = item.aside_record;
  if (record.told().empty() || parts_.notifier == nullptr) return;
  Notice notice = NoticeOf(item);
  notice.kind = Notice::Kind::kHealthyAgain;
  notice.incident_id = transition.incident_id;
  notice.subject = absl::StrCat(item.full_name, " is healthy again");
  const absl::Duration stood = absl::Trunc(notice.time - transition.first_alert, absl::Seconds(1));
  notice.message = absl::StrCat(
      "The alert stood for ", absl::FormatDuration(stood), "; incident ", transition.incident_id,
      " is closed. Should it come back within ",
      absl::FormatDuration(item.monitor->definition().reopen_within),
      ", then it is the same incident, which is not told anew before its third return.");
  notice.to.assign(record.told().begin(), record.told().end());
  notice.key = absl::StrCat(transition.incident_id, "/healthy/", transition.times_reopened);
  parts_.notifier->Send(notice);
  record.clear_told();
}

void Engine::RespondAside(const MonitorItem& item, AsideItem& aside, int recovery_result,
                          std::string reason) {
  aside.last_reason = reason;
  v1::Event event = NewEvent(v1::ResponderResult, 1, v1::Information, item, aside.definition.name);
  v1::ResponderResultEvent& result = *event.mutable_responder_result();
  result.set_recovery_result(recovery_result);
  result.set_reason(std::move(reason));
  result.set_monitor(item.monitor->definition().name);
  parts_.events.Append(std::move(event));
}

}  // namespace salve
