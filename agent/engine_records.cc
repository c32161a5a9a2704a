// What the engine writes down: events, and what must outlive it.
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "agent/engine_items.h"
#include "agent/engine_protos.h"
#include "config/redact.h"
#include "probes/registry.h"

namespace salve {

v1::Event Engine::NewEvent(v1::Channel channel, int event_id, v1::Level level,
                           const MonitorItem& item, const std::string& name) const {
  v1::Event event;
  event.set_channel(channel);
  event.set_event_id(event_id);
  event.set_level(level);
  event.set_health_set(item.monitor->definition().health_set);
  event.set_name(name);
  event.set_incident_id(item.monitor->Status(parts_.loop.Now()).incident_id);
  return event;
}

void Engine::Respond(const MonitorPtr& item, size_t index, int recovery_result, std::string reason,
                     std::optional<Instant> next) {
  ResponderItem& responder = item->responders[index];
  if (responder.last_result == recovery_result && responder.last_reason == reason) return;
  responder.last_result = recovery_result;
  responder.last_reason = reason;
  v1::Event event =
      NewEvent(v1::ResponderResult, 1, recovery_result == 3 ? v1::Warning : v1::Information, *item,
               responder.definition.name);
  event.set_incident_id(item->incident_id);
  v1::ResponderResultEvent& result = *event.mutable_responder_result();
  result.set_recovery_result(recovery_result);
  result.set_is_recovery_attempted(recovery_result == 2);
  result.set_reason(std::move(reason));
  result.set_monitor(item->monitor->definition().name);
  if (next.has_value() && *next != Instant::InfiniteFuture()) {
    SetTime(parts_.loop.clock().WallNow() + (*next - parts_.loop.Now()),
            result.mutable_next_attempt_time());
  }
  parts_.events.Append(std::move(event));
}

// Definitions are told at start and at a reload; in between, those that have become others.
// `more`: what belongs to it and stands not in the event.
void Engine::AppendDefinition(v1::Event event, absl::string_view more, bool only_changes) {
  event.set_event_id(1);
  event.set_level(v1::Information);
  const std::string item =
      absl::StrCat(event.channel(), "/", event.health_set(), "/", event.name());
  const size_t hash = absl::HashOf(event.SerializeAsString(), more);
  const auto [told, is_new] = told_definitions_.try_emplace(item, hash);
  if (only_changes && !is_new && told->second == hash) return;
  told->second = hash;
  parts_.events.Append(std::move(event));
}

void Engine::AppendDefinitions(Told told) {
  const bool only_changes = told != Told::kAll;
  if (!only_changes) told_definitions_.clear();
  for (const HealthSetDefinition& set : configuration_.health_sets) {
    if (told != Told::kNewLimits) {
      for (const auto& probe : set.probes) AppendProbeDefinition(set, probe, only_changes);
      for (const auto& monitor : set.monitors) AppendMonitorDefinition(set, monitor, only_changes);
    }
    for (const auto& responder : set.responders) {
      AppendResponderDefinition(set, responder, only_changes);
    }
  }
  const v1::ListThrottleConfigResponse throttling = ThrottleConfig();
  // Those of the policies stand first, where one identity may be in several layers; only a reload
  // changes them.
  const int fixed =
      static_cast<int>(parts_.gate.policy().entries().size() + BuiltInPolicy().entries().size());
  for (int i = only_changes ? fixed : 0; i < throttling.entries_size(); ++i) {
    v1::Event event;
    event.set_channel(v1::ThrottlingConfig);
    event.set_name(throttling.entries(i).identity());
    *event.mutable_throttling_config() = ConfigEventProto(throttling.entries(i));
    AppendDefinition(std::move(event), "", only_changes);
  }
}

void Engine::AppendProbeDefinition(const HealthSetDefinition& set,
                                   const ProbeDefinition& definition, bool only_changes) {
  v1::Event event;
  event.set_channel(v1::ProbeDefinition);
  event.set_health_set(set.name);
  event.set_name(definition.name);
  v1::ProbeDefinitionEvent& content = *event.mutable_probe_definition();
  content.set_type_name(ProbeTypeName(definition.config));
  content.set_name(definition.name);
  content.set_service_name(set.name);
  content.set_target_resource(definition.target);
  content.set_recurrence_interval_seconds(absl::ToDoubleSeconds(definition.interval));
  content.set_timeout_seconds(absl::ToDoubleSeconds(definition.timeout));
  content.set_max_retry_attempts(definition.max_retry_attempts);
  content.set_enabled(set.active() && definition.enabled);
  content.set_definition(RedactedText(definition.config));
  AppendDefinition(std::move(event), "", only_changes);
}

void Engine::AppendMonitorDefinition(const HealthSetDefinition& set,
                                     const MonitorDefinition& definition, bool only_changes) {
  v1::Event event;
  event.set_channel(v1::MonitorDefinition);
  event.set_health_set(set.name);
  event.set_name(definition.name);
  v1::MonitorDefinitionEvent& content = *event.mutable_monitor_definition();
  content.set_type_name(MonitorTypeName(definition.config));
  content.set_name(definition.name);
  content.set_service_name(set.name);
  for (const std::string& probe : definition.probes) content.add_sample_mask(probe);
  content.set_enabled(set.active() && definition.enabled);
  content.set_definition(RedactedText(definition.config));
  AppendDefinition(std::move(event), "", only_changes);
}

void Engine::AppendResponderDefinition(const HealthSetDefinition& set,
                                       const ResponderDefinition& definition, bool only_changes) {
  v1::Event event;
  event.set_channel(v1::ResponderDefinition);
  event.set_health_set(set.name);
  event.set_name(definition.name);
  v1::ResponderDefinitionEvent& content = *event.mutable_responder_definition();
  content.set_type_name(ResponderTypeName(definition.config));
  content.set_name(definition.name);
  content.set_service_name(set.name);
  content.set_alert_mask(definition.monitor);
  content.set_enabled(set.active() && definition.enabled);
  content.set_definition(RedactedText(definition.config));
  // What is disabled has no action, and so no resource.
  std::string sources;
  const auto item = monitors_.find(absl::StrCat(set.name, "/", definition.monitor));
  for (size_t i = 0; item != monitors_.end() && i < item->second->responders.size(); ++i) {
    if (item->second->responders[i].definition.name != definition.name) continue;
    content.set_target_resource(item->second->responders[i].action->resource());
    if (!item->second->responders[i].action->is_throttled()) continue;
    const ActionRequest request = RequestOf(*item->second, i);
    if (const std::optional<EffectiveLimits> limits = parts_.gate.LimitsFor(request)) {
      content.set_throttle_policy_xml(LimitsXml(limits->limits));
      // An override of the value that held before is a change, too.
      for (const LimitSource source : limits->sources) {
        absl::StrAppend(&sources, LimitSourceName(source), ",");
      }
      absl::StrAppend(&sources, LimitSourceName(limits->enabled_source));
    }
  }
  for (size_t i = 0; item != monitors_.end() && i < item->second->asides.size(); ++i) {
    const AsideItem& aside = item->second->asides[i];
    if (aside.definition.name != definition.name) continue;
    content.set_target_resource(aside.action->resource());
  }
  AppendDefinition(std::move(event), sources, only_changes);
}

void Engine::AppendAgentEvent(int event_id, v1::Level level, std::string message, int64_t count,
                              std::string who) {
  v1::Event event;
  event.set_channel(v1::Agent);
  event.set_event_id(event_id);
  event.set_level(level);
  event.set_name("salved");
  v1::AgentEvent& agent = *event.mutable_agent();
  agent.set_message(std::move(message));
  agent.set_version(parts_.version);
  agent.set_count(count);
  agent.set_who(std::move(who));
  parts_.events.Append(std::move(event));
}

void Engine::Save(const MonitorItem& item) {
  if (item.retired || parts_.by_hand_only) return;
  parts_.state.Put("monitor/" + item.full_name,
                   item.monitor->Save(parts_.loop.Now(), parts_.boot_id).SerializeAsString());
  parts_.state.Put("chain/" + item.full_name, item.chain.Save(parts_.boot_id).SerializeAsString());
  if (!item.asides.empty() || item.aside_record.told_size() > 0) {
    parts_.state.Put("aside/" + item.full_name, item.aside_record.SerializeAsString());
  }
}

}  // namespace salve
