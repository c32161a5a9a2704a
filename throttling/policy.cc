#include "throttling/policy.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace salve {
namespace {

constexpr absl::string_view kAny = "*";

// FNV-1a over the lower-cased bytes: no copy is made to compare without regard to case.
uint64_t HashIgnoringCase(absl::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(absl::ascii_tolower(static_cast<unsigned char>(c)));
    hash *= 0x100000001b3;
  }
  return hash;
}

uint64_t Mix(uint64_t hash, uint64_t next) {
  hash = (hash ^ next) * 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 29);
}

uint64_t HashOf(RecoveryAction action, uint64_t type, uint64_t name, uint64_t resource) {
  return Mix(Mix(Mix(static_cast<uint64_t>(action) + 1, name), resource), type);
}

uint64_t HashOf(const PolicyEntry& entry) {
  return HashOf(entry.action, HashIgnoringCase(entry.responder_type),
                HashIgnoringCase(entry.responder_name), HashIgnoringCase(entry.resource));
}

bool IsOf(const PolicyEntry& entry, const RequesterKey& key) {
  return entry.action == key.action && absl::EqualsIgnoreCase(entry.resource, key.resource) &&
         absl::EqualsIgnoreCase(entry.responder_name, key.responder_name) &&
         absl::EqualsIgnoreCase(entry.responder_type, key.responder_type);
}

RequesterKey KeyOf(const PolicyEntry& entry) {
  return {entry.action, entry.resource, entry.responder_type, entry.responder_name};
}

// The responder's own number of kLimitAttributes[i]; -1 where it says nothing.
int OwnLimit(const config::Throttle& own, int i) {
  switch (i) {
    case 0:
      return own.has_local_minimum_minutes_between_attempts()
                 ? own.local_minimum_minutes_between_attempts()
                 : -1;
    case 1:
      return own.has_local_maximum_allowed_attempts_in_one_hour()
                 ? own.local_maximum_allowed_attempts_in_one_hour()
                 : -1;
    case 2:
      return own.has_local_maximum_allowed_attempts_in_a_day()
                 ? own.local_maximum_allowed_attempts_in_a_day()
                 : -1;
    case 3:
      return own.has_group_minimum_minutes_between_attempts()
                 ? own.group_minimum_minutes_between_attempts()
                 : -1;
    default:
      return own.has_group_maximum_allowed_attempts_in_a_day()
                 ? own.group_maximum_allowed_attempts_in_a_day()
                 : -1;
  }
}

bool SaysAnything(const config::Throttle& own) {
  for (int i = 0; i < kLimitAttributeCount; ++i) {
    if (OwnLimit(own, i) >= 0) return true;
  }
  return false;
}

// Lays a responder's own limits over those of the entry. They also hold where the entry is
// disabled, but not where an override disables the result.
void AddOwn(const config::Throttle& own, bool enabled_is_overridden, EffectiveLimits& effective) {
  if (!enabled_is_overridden && !effective.limits.enabled) {
    effective.limits = effective.limits.InForce();
    effective.limits.enabled = true;
    effective.enabled_source = LimitSource::kResponder;
  }
  for (int i = 0; i < kLimitAttributeCount; ++i) {
    int& value = effective.limits.*kLimitAttributes[i].field;
    const int stricter = StricterLimit(kLimitAttributes[i], value, OwnLimit(own, i));
    if (stricter != value) effective.sources[i] = LimitSource::kResponder;
    value = stricter;
  }
}

PolicyEntry BuiltIn(RecoveryAction action, int minutes, int hour, int day, int group_minutes,
                    int group_day) {
  PolicyEntry entry;
  entry.action = action;
  entry.limits = {true, minutes, hour, day, group_minutes, group_day};
  return entry;
}

}  // namespace

std::string PolicyEntry::Identity() const {
  return absl::StrCat(ActionName(action), "/Default/", responder_type, "/", responder_name, "/",
                      absl::AsciiStrToLower(resource));
}

absl::StatusOr<Policy> Policy::Create(std::vector<PolicyEntry> entries) {
  Policy policy;
  policy.entries_ = std::move(entries);
  size_t size = 8;
  while (size < policy.entries_.size() * 2) size *= 2;
  policy.slots_.resize(size);
  for (size_t i = 0; i < policy.entries_.size(); ++i) {
    const PolicyEntry& entry = policy.entries_[i];
    const uint64_t hash = HashOf(entry);
    const size_t slot = policy.Find(KeyOf(entry), hash);
    if (policy.slots_[slot].entry != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("two entries of the identity ", entry.Identity()));
    }
    policy.slots_[slot] = {hash, static_cast<uint32_t>(i + 1)};
  }
  return policy;
}

// The slot of an entry with exactly these fields, or the free one where it would stand.
size_t Policy::Find(const RequesterKey& key, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t i = hash & mask;
  while (slots_[i].entry != 0) {
    if (slots_[i].hash == hash && IsOf(entries_[slots_[i].entry - 1], key)) break;
    i = (i + 1) & mask;
  }
  return i;
}

const PolicyEntry* Policy::Match(const RequesterKey& key) const {
  if (entries_.empty()) return nullptr;
  static constexpr struct {
    bool name, resource, type;
  } kBySpecificity[] = {
      {true, true, true},  {true, true, false},  {true, false, true},  {true, false, false},
      {false, true, true}, {false, true, false}, {false, false, true}, {false, false, false},
  };
  const uint64_t any = HashIgnoringCase(kAny);
  const uint64_t name = HashIgnoringCase(key.responder_name);
  const uint64_t resource = HashIgnoringCase(key.resource);
  const uint64_t type = HashIgnoringCase(key.responder_type);
  for (const auto& exact : kBySpecificity) {
    const RequesterKey wanted = {key.action, exact.resource ? key.resource : kAny,
                                 exact.type ? key.responder_type : kAny,
                                 exact.name ? key.responder_name : kAny};
    const Slot& slot =
        slots_[Find(wanted, HashOf(key.action, exact.type ? type : any, exact.name ? name : any,
                                   exact.resource ? resource : any))];
    if (slot.entry != 0) return &entries_[slot.entry - 1];
  }
  return nullptr;
}

const Policy& BuiltInPolicy() {
  using enum RecoveryAction;
  static const Policy& policy = *new Policy(*Policy::Create({
      BuiltIn(kRestartService, 10, 3, 8, -1, -1),
      BuiltIn(kResetPool, 10, 3, 12, -1, -1),
      BuiltIn(kKillProcess, 10, 3, 8, -1, -1),
      BuiltIn(kRunCommand, 10, 3, 12, -1, -1),
      BuiltIn(kRebootServer, 720, -1, 1, 60, 4),
      BuiltIn(kTakeOffline, 60, -1, 4, -1, -1),
  }));
  return policy;
}

absl::string_view LimitSourceName(LimitSource source) {
  switch (source) {
    case LimitSource::kBuiltIn:
      return "built-in";
    case LimitSource::kPolicy:
      return "policy";
    case LimitSource::kResponder:
      return "responder";
    case LimitSource::kGlobalOverride:
      return "global override";
    case LimitSource::kLocalOverride:
      return "local override";
  }
  return "";
}

LimitSource EffectiveLimits::HighestSource() const {
  return std::max(enabled_source, *std::max_element(sources.begin(), sources.end()));
}

std::optional<EffectiveLimits> Resolve(const Policy& policy, const Policy& built_in,
                                       const RequesterKey& key, const ResponderLimits& responder) {
  EffectiveLimits effective;
  const PolicyEntry* entry = policy.Match(key);
  if (entry == nullptr) {
    entry = built_in.Match(key);
    effective.layer = LimitSource::kBuiltIn;
  }
  if (entry == nullptr) return std::nullopt;
  effective.identity = entry->Identity();
  effective.limits = entry->limits;
  effective.enabled_source = effective.layer;
  effective.sources.fill(effective.layer);
  const LimitOverrides* overrides = responder.overrides;
  if (overrides != nullptr && overrides->enabled.has_value()) {
    effective.limits.enabled = overrides->enabled->value;
    effective.enabled_source = overrides->enabled->source;
  }
  if (responder.own != nullptr && SaysAnything(*responder.own)) {
    AddOwn(*responder.own, overrides != nullptr && overrides->enabled.has_value(), effective);
  }
  for (int i = 0; overrides != nullptr && i < kLimitAttributeCount; ++i) {
    const std::optional<LimitOverrides::Number>& limit = overrides->limits[i];
    if (!limit.has_value()) continue;
    effective.limits.*kLimitAttributes[i].field = limit->value;
    effective.sources[i] = limit->source;
  }
  return effective;
}

EffectiveLimits StrictestOf(absl::Span<const EffectiveLimits> all) {
  CHECK(!all.empty());
  EffectiveLimits strictest = all[0];
  for (const EffectiveLimits& next : all.subspan(1)) {
    // A disabled one is all -1; it must not switch off the others, nor they it.
    if (!next.limits.enabled) continue;
    if (!strictest.limits.enabled) {
      strictest.limits = next.limits;
      strictest.enabled_source = next.enabled_source;
      strictest.sources = next.sources;
      continue;
    }
    for (int i = 0; i < kLimitAttributeCount; ++i) {
      int& value = strictest.limits.*kLimitAttributes[i].field;
      const int stricter =
          StricterLimit(kLimitAttributes[i], value, next.limits.*kLimitAttributes[i].field);
      if (stricter != value) strictest.sources[i] = next.sources[i];
      value = stricter;
    }
  }
  return strictest;
}

}  // namespace salve
