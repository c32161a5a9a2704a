#include "responders/chain.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace salve {

ResponderChain::ResponderChain(std::vector<ResponderDefinition> responders) {
  for (ResponderDefinition& definition : responders) {
    if (definition.enabled) links_.push_back(Link{.definition = std::move(definition)});
  }
}

bool ResponderChain::Applies(const Link& link, const MonitorStatus& monitor) const {
  // Could not look is not sick: there need be no alert.
  const bool has_reason = monitor.alert || monitor.state == config::UNAVAILABLE;
  return has_reason && monitor.state == link.definition.on && monitor.fresh &&
         (!monitor.held || link.goes_on) && !monitor.suppressed;
}

bool ResponderChain::IsActing() const {
  // One that only observes is in nobody's way.
  return std::any_of(links_.begin(), links_.end(), [](const Link& link) {
    return !link.definition.observe && link.phase != Phase::kIdle && link.phase != Phase::kHeldBack;
  });
}

std::optional<size_t> ResponderChain::Next(const MonitorStatus& monitor, Instant now) const {
  if (IsActing()) return std::nullopt;
  for (size_t i = 0; i < links_.size(); ++i) {
    const Link& link = links_[i];
    if (link.phase == Phase::kIdle && Applies(link, monitor) &&
        monitor.in_state >= link.definition.after && now >= link.not_before) {
      return i;
    }
  }
  return std::nullopt;
}

Instant ResponderChain::NextDeadline(const MonitorStatus& monitor, Instant now) const {
  Instant next = Instant::InfiniteFuture();
  if (IsActing()) return next;
  for (const Link& link : links_) {
    if (link.phase != Phase::kIdle || !Applies(link, monitor)) continue;
    const Instant rung =
        now + std::max(absl::ZeroDuration(), link.definition.after - monitor.in_state);
    next = std::min(next, std::max(rung, link.not_before));
  }
  return next;
}

std::optional<std::string> ResponderChain::WhyNot(size_t i, const MonitorStatus& monitor) const {
  const Link& link = links_[i];
  if (!monitor.alert && link.definition.on != config::UNAVAILABLE) {
    return "the monitor is healthy again";
  }
  if (monitor.state != link.definition.on) {
    return absl::StrCat("the monitor is ", config::HealthState_Name(monitor.state), ", not ",
                        config::HealthState_Name(link.definition.on));
  }
  if (monitor.held && !link.goes_on) return "the monitor is held";
  if (monitor.suppressed) return "an action on the resource runs or settles";
  if (monitor.clearing) return "the monitor's rule holds no longer";
  if (!monitor.fresh) return "no failed look since the last action or hold";
  // The timeline may have started anew while this one asked.
  if (monitor.in_state < link.definition.after) return "the state is not old enough";
  return std::nullopt;
}

void ResponderChain::Started(size_t i, std::string attempt_id) {
  links_[i].phase = Phase::kRunning;
  links_[i].attempt_id = std::move(attempt_id);
}

void ResponderChain::Settling(size_t i, Instant settle_end) {
  links_[i].phase = Phase::kSettling;
  links_[i].settle_end = settle_end;
}

void ResponderChain::AskAgainAt(size_t i, Instant when) {
  links_[i].phase = Phase::kIdle;
  links_[i].not_before = when;
  links_[i].refused = true;
}

bool ResponderChain::IsEffective(size_t i, const MonitorStatus& monitor) const {
  if (links_[i].definition.on == config::UNAVAILABLE) return monitor.state != config::UNAVAILABLE;
  // What a person repairs is not judged.
  return !monitor.alert || monitor.clearing || monitor.state == config::REPAIRING;
}

bool ResponderChain::Judged(size_t i, bool effective, Instant now) {
  Link& link = links_[i];
  link.phase = Phase::kIdle;
  link.refused = false;
  if (effective) return false;
  link.not_before = now + link.definition.retry_after;
  if (++link.ineffective < link.definition.ineffective_after) return false;
  link.phase = Phase::kHeldBack;
  return true;
}

void ResponderChain::WakeRefused() {
  for (Link& link : links_) {
    if (link.refused) link.not_before = Instant();
    link.refused = false;
  }
}

bool ResponderChain::FollowIncident(const std::string& incident_id) {
  if (incident_id.empty() || incident_id == incident_id_) return false;
  incident_id_ = incident_id;
  for (Link& link : links_) StartAnew(link);
  return true;
}

void ResponderChain::BeginUnavailable() {
  for (Link& link : links_) {
    if (link.definition.on == config::UNAVAILABLE) StartAnew(link);
  }
}

void ResponderChain::StartAnew(Link& link) {
  link.ineffective = 0;
  if (link.phase == Phase::kHeldBack) link.phase = Phase::kIdle;
  if (!link.refused) link.not_before = Instant();  // A retry belongs to its incident.
}

responders::ChainRecord ResponderChain::Save(const std::string& boot_id) const {
  responders::ChainRecord record;
  record.set_incident_id(incident_id_);
  record.set_boot_id(boot_id);
  for (const Link& link : links_) {
    auto* saved = record.add_link();
    saved->set_responder(link.definition.name);
    saved->set_ineffective(link.ineffective);
    saved->set_held_back(link.phase == Phase::kHeldBack);
    // A refusal is asked for anew: what refused it remembers.
    if (!link.refused) saved->set_retry_boot_ns(link.not_before.nanos_since_boot());
    if (link.phase != Phase::kRunning && link.phase != Phase::kSettling) continue;
    saved->set_attempt_id(link.attempt_id);
    if (link.phase == Phase::kSettling) {
      saved->set_settle_end_boot_ns(link.settle_end.nanos_since_boot());
    }
  }
  return record;
}

void ResponderChain::Restore(const responders::ChainRecord& record, const std::string& boot_id,
                             bool acting) {
  incident_id_ = record.incident_id();
  const bool same_boot = record.boot_id() == boot_id;
  for (const auto& saved : record.link()) {
    for (Link& link : links_) {
      if (link.definition.name != saved.responder()) continue;
      link.ineffective = saved.ineffective();
      // The configuration may allow more of them now.
      const bool too_many = link.ineffective >= link.definition.ineffective_after;
      if (saved.held_back() && too_many) link.phase = Phase::kHeldBack;
      if (!same_boot) continue;
      link.not_before = Instant::FromNanosSinceBoot(saved.retry_boot_ns());
      if (!acting || saved.attempt_id().empty()) continue;
      link.attempt_id = saved.attempt_id();
      link.settle_end = Instant::FromNanosSinceBoot(saved.settle_end_boot_ns());
      link.phase = saved.settle_end_boot_ns() == 0 ? Phase::kRunning : Phase::kSettling;
    }
  }
}

}  // namespace salve
