// What the engine writes down: events, and what must outlive it.
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/engine_items.h"
#include "agent/engine_protos.h"
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

void Engine::AppendDefinitions() {
  for (const auto& [name, definition] : probes_) {
    v1::Event event;
    event.set_channel(v1::ProbeDefinition);
    event.set_event_id(1);
    event.set_level(v1::Information);
    event.set_health_set(definition.health_set);
    event.set_name(definition.name);
    v1::ProbeDefinitionEvent& content = *event.mutable_probe_definition();
    content.set_type_name(ProbeTypeName(definition.config));
    content.set_name(definition.name);
    content.set_service_name(definition.health_set);
    content.set_target_resource(definition.target);
    content.set_recurrence_interval_seconds(absl::ToDoubleSeconds(definition.interval));
    content.set_timeout_seconds(absl::ToDoubleSeconds(definition.timeout));
    content.set_max_retry_attempts(definition.max_retry_attempts);
    content.set_enabled(definition.enabled);
    content.set_definition(definition.config.ShortDebugString());
    parts_.events.Append(std::move(event));
  }
  for (const auto& [name, item] : monitors_) {
    const MonitorDefinition& definition = item->monitor->definition();
    v1::Event event = NewEvent(v1::MonitorDefinition, 1, v1::Information, *item, definition.name);
    event.clear_incident_id();
    v1::MonitorDefinitionEvent& content = *event.mutable_monitor_definition();
    content.set_type_name(MonitorTypeName(definition.config));
    content.set_name(definition.name);
    content.set_service_name(definition.health_set);
    for (const std::string& probe : definition.probes) content.add_sample_mask(probe);
    content.set_enabled(definition.enabled);
    content.set_definition(definition.config.ShortDebugString());
    parts_.events.Append(std::move(event));

    for (size_t i = 0; i < item->responders.size(); ++i) {
      const ResponderItem& responder = item->responders[i];
      v1::Event made =
          NewEvent(v1::ResponderDefinition, 1, v1::Information, *item, responder.definition.name);
      made.clear_incident_id();
      v1::ResponderDefinitionEvent& out = *made.mutable_responder_definition();
      out.set_type_name(ResponderTypeName(responder.definition.config));
      out.set_name(responder.definition.name);
      out.set_service_name(responder.definition.health_set);
      out.set_target_resource(responder.action->resource());
      out.set_alert_mask(responder.definition.monitor);
      out.set_enabled(responder.definition.enabled);
      out.set_definition(responder.definition.config.ShortDebugString());
      const ActionRequest request = RequestOf(*item, i);
      const std::optional<EffectiveLimits> limits = parts_.gate.LimitsFor(request);
      if (limits.has_value()) out.set_throttle_policy_xml(LimitsXml(limits->limits));
      parts_.events.Append(std::move(made));
    }
  }
  const v1::ListThrottleConfigResponse throttling = ThrottleConfig();
  for (const v1::ThrottleConfigEntry& entry : throttling.entries()) {
    v1::Event event;
    event.set_channel(v1::ThrottlingConfig);
    event.set_event_id(1);
    event.set_level(v1::Information);
    event.set_name(entry.identity());
    *event.mutable_throttling_config() = ConfigEventProto(entry);
    parts_.events.Append(std::move(event));
  }
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
  if (item.retired) return;
  parts_.state.Put("monitor/" + item.full_name,
                   item.monitor->Save(parts_.loop.Now(), parts_.boot_id).SerializeAsString());
  parts_.state.Put("chain/" + item.full_name, item.chain.Save().SerializeAsString());
}

}  // namespace salve
