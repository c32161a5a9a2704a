// Overrides in the engine: laid over the configuration's definitions and the gate's limits.
#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "agent/engine_items.h"
#include "base/status_macros.h"
#include "config/override_property.h"

namespace salve {
namespace {

// What `property` is in the item that is meant, for a person: SET/NAME and value, once an item.
std::vector<std::pair<std::string, std::string>> ValuesOf(
    const std::vector<HealthSetDefinition>& sets, const Override& about) {
  std::vector<std::pair<std::string, std::string>> values;
  const auto add = [&](const auto& item) {
    if (MeansItem(about.identity, item.health_set, item.name)) {
      values.emplace_back(FullName(item), PropertyText(item, about.property));
    }
  };
  for (const HealthSetDefinition& set : sets) {
    switch (about.item_type) {
      case ItemType::kHealthSet:
        if (MeansItem(about.identity, set.name, "")) {
          values.emplace_back(set.name, set.enabled ? "True" : "False");
        }
        break;
      case ItemType::kProbe:
        std::for_each(set.probes.begin(), set.probes.end(), add);
        break;
      case ItemType::kMonitor:
        std::for_each(set.monitors.begin(), set.monitors.end(), add);
        break;
      case ItemType::kResponder:
        std::for_each(set.responders.begin(), set.responders.end(), add);
        break;
    }
  }
  return values;
}

int LargestOwnMinimum(const std::vector<HealthSetDefinition>& sets) {
  int largest = 0;
  for (const HealthSetDefinition& set : sets) {
    for (const ResponderDefinition& responder : set.responders) {
      const config::Throttle& own = responder.config.throttle();
      largest = std::max({largest, own.local_minimum_minutes_between_attempts(),
                          own.group_minimum_minutes_between_attempts()});
    }
  }
  return largest;
}

}  // namespace

AppliedOverrides Engine::ApplyTo(const std::vector<HealthSetDefinition>& base,
                                 const std::string& version, const OverrideSet& set) const {
  return ApplyOverrides(base, set.overrides,
                        {.version = version, .ended = set.ended, .checks = parts_.checks});
}

// The same for the one health set that `about` names: enough to say what becomes of it.
AppliedOverrides Engine::ApplyToSetOf(const Override& about, const OverrideSet& set) const {
  std::vector<HealthSetDefinition> base;
  for (const HealthSetDefinition& one : base_sets_) {
    if (absl::EqualsIgnoreCase(one.name, about.identity.health_set)) base.push_back(one);
  }
  return ApplyTo(base, configuration_.agent.version, set);
}

absl::Status Engine::Apply(Configuration configuration) {
  AppliedOverrides applied =
      ApplyTo(configuration.health_sets, configuration.agent.version, overrides_);
  std::vector<HealthSetDefinition> base =
      std::exchange(configuration.health_sets, std::move(applied.health_sets));
  const LimitOverrideTable before = parts_.gate.overrides();
  // Before the items: what asks at once asks by the limits of now.
  parts_.gate.SetOverrides(LimitOverrideTable(applied, overrides_.overrides));
  if (absl::Status status = TakeUp(std::move(configuration)); !status.ok()) {
    parts_.gate.SetOverrides(before);
    return status;
  }
  base_sets_ = std::move(base);
  is_configured_ = true;
  why_not_ = std::move(applied.why_not);
  overridden_ = std::move(applied.changes);
  parts_.gate.SetLargestOwnMinimum(LargestOwnMinimum(base_sets_));
  AppendDefinitions(Told::kAll);
  LimitsChanged();
  return absl::OkStatus();
}

absl::Status Engine::SetOverrides(OverrideSet set) {
  if (!is_configured_) {
    overrides_ = std::move(set);
    return absl::OkStatus();
  }
  AppliedOverrides applied = ApplyTo(base_sets_, configuration_.agent.version, set);
  const bool same_definitions = applied.changes == overridden_;
  const LimitOverrideTable before = parts_.gate.overrides();
  parts_.gate.SetOverrides(LimitOverrideTable(applied, set.overrides));
  if (!same_definitions) {
    Configuration configuration = configuration_;
    configuration.health_sets = std::move(applied.health_sets);
    if (absl::Status status = TakeUp(std::move(configuration)); !status.ok()) {
      parts_.gate.SetOverrides(before);
      return status;
    }
  }
  overrides_ = std::move(set);
  why_not_ = std::move(applied.why_not);
  overridden_ = std::move(applied.changes);
  AppendDefinitions(same_definitions ? Told::kNewLimits : Told::kChanges);
  LimitsChanged();
  return absl::OkStatus();
}

absl::Status Engine::CheckOverride(const ScopedOverride& one, bool unchecked) const {
  const Override& override = one.override;
  RETURN_IF_ERROR(CheckOverrideValue(override.item_type, override.property, override.value));
  const absl::Status found = FindOverriddenItem(base_sets_, override.item_type, override.identity);
  if (!found.ok()) return unchecked ? absl::OkStatus() : found;
  // With the others that are known, as it would have to stand beside them; whatever it is bound to
  // and whatever shadows it.
  OverrideSet then = overrides_;
  for (size_t i = 0; i < then.overrides.size(); ++i) {
    const Override& other = then.overrides[i].override;
    const bool same_property = other.item_type == override.item_type &&
                               other.property == override.property &&
                               other.identity.Text() == override.identity.Text();
    then.ended.resize(then.overrides.size());
    if (same_property) then.ended[i] = true;
  }
  then.overrides.push_back(one);
  then.overrides.back().override.version.clear();
  const AppliedOverrides applied = ApplyToSetOf(override, then);
  absl::string_view why_not = applied.why_not.back();
  if (!absl::ConsumePrefix(&why_not, "fault: ")) return absl::OkStatus();
  return absl::InvalidArgumentError(why_not);
}

Engine::OverridePreview Engine::PreviewLast(const OverrideSet& then) const {
  OverridePreview preview;
  const Override& about = then.overrides.back().override;
  const AppliedOverrides applied = ApplyToSetOf(about, then);
  preview.why_not = applied.why_not.back();
  const auto add = [&](const std::string& item, std::string before, std::string after) {
    v1::OverrideEffect& effect = preview.effects.emplace_back();
    effect.set_item(item);
    effect.set_before(std::move(before));
    effect.set_after(std::move(after));
  };
  if (!absl::StartsWith(about.property, kThrottleAttributes)) {
    const auto before = ValuesOf(configuration_.health_sets, about);
    const auto after = ValuesOf(applied.health_sets, about);
    for (size_t i = 0; i < before.size() && i < after.size(); ++i) {
      add(before[i].first, before[i].second, after[i].second);
    }
    return preview;
  }
  const LimitOverrideTable limits(applied, then.overrides);
  const auto text = [](const std::optional<EffectiveLimits>& effective) {
    return effective.has_value() ? LimitsXml(effective->limits) : "no throttle policy";
  };
  for (const auto& [name, item] : monitors_) {
    for (size_t i = 0; i < item->responders.size(); ++i) {
      const ResponderDefinition& responder = item->responders[i].definition;
      if (!MeansItem(about.identity, responder.health_set, responder.name)) continue;
      if (!item->responders[i].action->is_throttled()) continue;
      const ActionRequest request = RequestOf(*item, i);
      add(FullName(responder), text(parts_.gate.LimitsFor(request)),
          text(parts_.gate.LimitsFor(request, limits)));
    }
  }
  return preview;
}

}  // namespace salve
