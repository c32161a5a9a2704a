#include "config/override_apply.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "config/item.h"
#include "config/names.h"
#include "config/override_property.h"
#include "config/rules.h"

namespace salve {
namespace {

// ---------------------------------------------------------------------------------------------
// One property of one kind of item. Each changes `item`, or says what the configuration would say.

absl::Status Change(HealthSetDefinition& set, const Override& override, const KindChecks&) {
  ASSIGN_OR_RETURN(set.enabled, ParseTrueOrFalse(override.value));
  return absl::OkStatus();
}

absl::Status Change(ProbeDefinition& probe, const Override& override, const KindChecks&) {
  RETURN_IF_ERROR(SetProperty(probe.config, override.property, override.value));
  probe.enabled = !probe.config.has_enabled() || probe.config.enabled();
  probe.interval = ProbeInterval(probe.config);
  probe.timeout = ProbeTimeout(probe.config);
  return absl::OkStatus();
}

absl::Status Change(MonitorDefinition& monitor, const Override& override, const KindChecks&) {
  RETURN_IF_ERROR(SetProperty(monitor.config, override.property, override.value));
  monitor.enabled = !monitor.config.has_enabled() || monitor.config.enabled();
  monitor.clear_after = DurationOf(monitor.config, "clear_after");
  return absl::OkStatus();
}

absl::Status Change(ResponderDefinition& responder, const Override& override, const KindChecks&) {
  RETURN_IF_ERROR(CheckOverrideValue(ItemType::kResponder, override.property, override.value));
  if (absl::StartsWith(override.property, kThrottleAttributes)) return absl::OkStatus();
  ASSIGN_OR_RETURN(responder.enabled, ParseTrueOrFalse(override.value));
  responder.config.set_enabled(responder.enabled);
  return absl::OkStatus();
}

// The item as a whole, after its properties were changed.
absl::Status CheckWhole(const HealthSetDefinition&, const KindChecks&) { return absl::OkStatus(); }
absl::Status CheckWhole(const ResponderDefinition&, const KindChecks&) { return absl::OkStatus(); }
absl::Status CheckWhole(const ProbeDefinition& probe, const KindChecks& checks) {
  const std::string fault = FaultOfTimeout(probe);
  if (!fault.empty()) return absl::InvalidArgumentError(absl::StrCat("timeout: ", fault));
  return checks.probe ? checks.probe(probe.config) : absl::OkStatus();
}
absl::Status CheckWhole(const MonitorDefinition& monitor, const KindChecks& checks) {
  return checks.monitor ? checks.monitor(monitor.config) : absl::OkStatus();
}

// ---------------------------------------------------------------------------------------------

std::string Key(absl::string_view health_set, absl::string_view name) {
  return absl::AsciiStrToLower(absl::StrCat(health_set, "\n", name));
}

std::string Key(const ItemIdentity& identity) {
  return Key(identity.health_set, identity.target.empty()
                                      ? identity.item
                                      : absl::StrCat(identity.item, "/", identity.target));
}

// What an instance of a for_each is called in the configuration.
template <typename Definition>
absl::string_view WrittenName(const Definition& item) {
  absl::string_view name = item.name;
  if (!item.target.empty()) absl::ConsumeSuffix(&name, absl::StrCat("/", item.target));
  return name;
}

// Calls `call(type, set, name, written_name, item)` for every item, the sets themselves included.
template <typename Sets, typename Call>
void ForEachItem(Sets& sets, const Call& call) {
  for (auto& set : sets) {
    call(ItemType::kHealthSet, set.name, "", "", set);
    for (auto& item : set.probes) {
      call(ItemType::kProbe, set.name, item.name, WrittenName(item), item);
    }
    for (auto& item : set.monitors) {
      call(ItemType::kMonitor, set.name, item.name, WrittenName(item), item);
    }
    for (auto& item : set.responders) {
      call(ItemType::kResponder, set.name, item.name, WrittenName(item), item);
    }
  }
}

class Applier {
 public:
  Applier(const std::vector<HealthSetDefinition>& base, absl::Span<const ScopedOverride> overrides,
          const OverrideContext& context)
      : overrides_(overrides), context_(context) {
    applied_.health_sets = base;
    applied_.why_not.resize(overrides.size());
    outcomes_.resize(overrides.size());
  }

  AppliedOverrides Apply() {
    Gather();
    // The sets first: their items are members of them.
    ForEachItem(applied_.health_sets,
                [this](ItemType type, const std::string& set, absl::string_view name,
                       absl::string_view written, auto& item) {
                  std::map<std::string, std::vector<OverrideIndex>> by_property;
                  Collect(type, Key(set, name), by_property);
                  if (written != name) Collect(type, Key(set, written), by_property);
                  if (!by_property.empty()) ApplyTo(item, by_property);
                });
    for (OverrideIndex i = 0; i < overrides_.size(); ++i) {
      if (!applied_.why_not[i].empty() || outcomes_[i].holds) continue;
      applied_.why_not[i] = outcomes_[i].why_not.empty() ? "unknown item" : outcomes_[i].why_not;
    }
    return std::move(applied_);
  }

 private:
  // What became of an override, over all items that it is about.
  struct Outcome {
    bool holds = false;
    std::string why_not;
  };

  const Override& Of(OverrideIndex i) const { return overrides_[i].override; }

  // Sorts out what holds nowhere, and notes the others by the item that they name.
  void Gather() {
    const std::string here = CanonicalVersion(context_.version).value_or("");
    for (OverrideIndex i = 0; i < overrides_.size(); ++i) {
      const Override& override = Of(i);
      if (i < context_.ended.size() && context_.ended[i]) {
        applied_.why_not[i] = "expired";
      } else if (!override.version.empty() &&
                 CanonicalVersion(override.version).value_or("?") != here) {
        applied_.why_not[i] = context_.version.empty()
                                  ? "version (no version is set here)"
                                  : absl::StrCat("version (it is ", context_.version, " here)");
      } else {
        by_item_[{override.item_type, Key(override.identity)}].push_back(i);
      }
    }
  }

  void Collect(ItemType type, const std::string& key,
               std::map<std::string, std::vector<OverrideIndex>>& by_property) const {
    const auto found = by_item_.find({type, key});
    if (found == by_item_.end()) return;
    for (const OverrideIndex i : found->second) by_property[Of(i).property].push_back(i);
  }

  // Why `loser` stands behind `winner`, or "" when it does not.
  std::string WhyBehind(OverrideIndex loser, OverrideIndex winner) const {
    if (overrides_[loser].scope != overrides_[winner].scope) {
      return overrides_[winner].scope == OverrideScope::kLocal ? "shadowed by a local one" : "";
    }
    const bool loser_aims = !Of(loser).identity.target.empty();
    const bool winner_aims = !Of(winner).identity.target.empty();
    if (loser_aims != winner_aims) return winner_aims ? "shadowed by one of this target" : "";
    if (Of(loser).created != Of(winner).created) {
      return Of(winner).created > Of(loser).created ? "shadowed by a newer one" : "";
    }
    return winner > loser ? "shadowed by a newer one" : "";
  }

  template <typename Item>
  absl::Status Try(Item& item, const std::vector<OverrideIndex>& those) const {
    Item changed = item;
    for (const OverrideIndex i : those) {
      RETURN_IF_ERROR(Change(changed, Of(i), context_.checks));
    }
    RETURN_IF_ERROR(CheckWhole(changed, context_.checks));
    item = std::move(changed);
    return absl::OkStatus();
  }

  template <typename Item>
  void ApplyTo(Item& item, std::map<std::string, std::vector<OverrideIndex>>& by_property) {
    std::vector<OverrideIndex> best;
    for (auto& [property, those] : by_property) {
      std::sort(those.begin(), those.end(),
                [this](OverrideIndex a, OverrideIndex b) { return !WhyBehind(b, a).empty(); });
      best.push_back(those.front());
    }
    std::map<std::string, OverrideIndex> chosen;
    if (Try(item, best).ok()) {
      for (const OverrideIndex i : best) chosen[Of(i).property] = i;
    } else {
      ChooseOneByOne(item, by_property, chosen);
    }
    for (const auto& [property, those] : by_property) {
      const auto winner = chosen.find(property);
      for (const OverrideIndex i : those) {
        if (winner == chosen.end() || !outcomes_[i].why_not.empty()) continue;
        if (i != winner->second) outcomes_[i].why_not = WhyBehind(i, winner->second);
      }
    }
    for (const auto& [property, i] : chosen) Accept(item, i);
  }

  // Something does not fit. What fits by itself is taken; as one property may only fit after
  // another (a longer timeout after a longer interval), the rest is tried again after each that
  // did. What is behind in rank gets its chance only when nothing before it fits.
  template <typename Item>
  void ChooseOneByOne(Item& item,
                      const std::map<std::string, std::vector<OverrideIndex>>& by_property,
                      std::map<std::string, OverrideIndex>& chosen) {
    size_t deepest = 0;
    for (const auto& [property, those] : by_property) deepest = std::max(deepest, those.size());
    for (size_t rank = 0; rank < deepest; ++rank) {
      for (bool went_on = true; went_on;) {
        went_on = false;
        for (const auto& [property, those] : by_property) {
          if (chosen.contains(property) || rank >= those.size()) continue;
          const absl::Status status = Try(item, {those[rank]});
          outcomes_[those[rank]].why_not =
              status.ok() ? "" : absl::StrCat("fault: ", status.message());
          if (!status.ok()) continue;
          chosen[property] = those[rank];
          went_on = true;
        }
      }
    }
  }

  void Accept(const ResponderDefinition& responder, OverrideIndex i) {
    outcomes_[i].holds = true;
    if (absl::StartsWith(Of(i).property, kThrottleAttributes)) {
      applied_.limits[responder.name].push_back(i);
    } else {
      NoteChange(responder.name, i);
    }
  }
  template <typename Item>
  void Accept(const Item& item, OverrideIndex i) {
    outcomes_[i].holds = true;
    NoteChange(item.name, i);
  }
  void NoteChange(absl::string_view name, OverrideIndex i) {
    applied_.changes.push_back(absl::StrCat(ItemTypeName(Of(i).item_type), "\n",
                                            Of(i).identity.health_set, "\n", name, "\n",
                                            Of(i).property, "\n", Of(i).value));
  }

  const absl::Span<const ScopedOverride> overrides_;
  const OverrideContext& context_;
  AppliedOverrides applied_;
  absl::flat_hash_map<std::pair<ItemType, std::string>, std::vector<OverrideIndex>> by_item_;
  std::vector<Outcome> outcomes_;
};

}  // namespace

AppliedOverrides ApplyOverrides(const std::vector<HealthSetDefinition>& base,
                                absl::Span<const ScopedOverride> overrides,
                                const OverrideContext& context) {
  return Applier(base, overrides, context).Apply();
}

bool MeansItem(const ItemIdentity& identity, absl::string_view health_set, absl::string_view name) {
  const std::string key = Key(identity);
  if (key == Key(health_set, name)) return true;
  // No written name holds a '/': what follows it is the target.
  return identity.target.empty() && key == Key(health_set, name.substr(0, name.find('/')));
}

absl::Status FindOverriddenItem(const std::vector<HealthSetDefinition>& base, ItemType type,
                                const ItemIdentity& identity) {
  bool found = false;
  std::string other;
  std::vector<std::string> known;
  ForEachItem(base, [&](ItemType its_type, const std::string& set, absl::string_view name,
                        absl::string_view written, const auto&) {
    const bool is_meant = Key(identity) == Key(set, name) || Key(identity) == Key(set, written);
    if (is_meant && its_type != type) other = std::string(ItemTypeName(its_type));
    if (its_type != type) return;
    if (is_meant) found = true;
    ItemIdentity there{set, std::string(written), ""};
    if (name != written) there.target = std::string(name.substr(written.size() + 1));
    known.push_back(there.Text());
  });
  if (found) return absl::OkStatus();
  const std::string text = identity.Text();
  const std::string hint = other.empty() ? DidYouMean(text, known)
                                         : absl::StrCat("; there is a ", other, " of that name");
  return absl::NotFoundError(
      absl::StrCat("there is no ", ItemTypeName(type), " '", text, "'", hint));
}

}  // namespace salve
