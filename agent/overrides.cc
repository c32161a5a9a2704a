#include "agent/overrides.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "config/override_property.h"

namespace salve {
namespace {

constexpr int kChangeByAPerson = 10;  // Of the channel Agent.

absl::StatusOr<OverrideScope> ParseScope(absl::string_view text) {
  for (const OverrideScope scope : {OverrideScope::kLocal, OverrideScope::kGlobal}) {
    if (absl::EqualsIgnoreCase(text, OverrideScopeName(scope))) return scope;
  }
  return absl::InvalidArgumentError("scope: is neither local nor global");
}

void SetTime(absl::Time time, google::protobuf::Timestamp& out) {
  const timespec ts = absl::ToTimespec(time);
  out.set_seconds(ts.tv_sec);
  out.set_nanos(static_cast<int32_t>(ts.tv_nsec));
}

// What the two requests have in common.
absl::StatusOr<ScopedOverride> ReadKey(const std::string& scope, const std::string& item_type,
                                       const std::string& identity, const std::string& property,
                                       const std::string& version) {
  ScopedOverride read;
  ASSIGN_OR_RETURN(read.scope, ParseScope(scope));
  Override& override = read.override;
  ASSIGN_OR_RETURN(override.item_type, ParseItemType(item_type));
  ASSIGN_OR_RETURN(override.identity, ParseIdentity(override.item_type, identity));
  ASSIGN_OR_RETURN(override.property, CanonicalProperty(override.item_type, property));
  if (!version.empty()) RETURN_IF_ERROR(CanonicalVersion(version).status());
  override.version = version;
  return read;
}

absl::Status CheckText(absl::string_view name, absl::string_view text) {
  if (text.size() <= kOverrideTextBytesMax) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": is longer than ", kOverrideTextBytesMax, " bytes"));
}

}  // namespace

Overrides::Overrides(Parts parts, OverrideStoreOptions options)
    : parts_(parts),
      store_(parts.loop, parts.worker, std::move(options),
             {.on_change = [this] { GiveToEngine(); },
              .on_news = [this](const OverrideNews& news) { Record(news); }}) {}

void Overrides::Load() {
  store_.Load();
  GiveToEngine();
}

void Overrides::GiveToEngine() {
  const absl::Status status = parts_.engine.SetOverrides({store_.overrides(), store_.ended()});
  if (!status.ok()) LogError(absl::StrCat("overrides: ", status.message()));
}

absl::StatusOr<ScopedOverride> Overrides::Read(const v1::AddOverrideRequest& request) const {
  const v1::Override& asked = request.override();
  ASSIGN_OR_RETURN(ScopedOverride read, ReadKey(asked.scope(), asked.item_type(), asked.identity(),
                                                asked.property_name(), asked.apply_version()));
  if (asked.apply_version().empty() == (request.duration_seconds() == 0)) {
    return absl::InvalidArgumentError("exactly one of version and duration is needed");
  }
  RETURN_IF_ERROR(CheckText("value", asked.property_value()));
  RETURN_IF_ERROR(CheckText("reason", asked.reason()));
  RETURN_IF_ERROR(CheckText("user", request.user()));
  if (request.unchecked() && read.scope == OverrideScope::kLocal) {
    return absl::InvalidArgumentError("unchecked: is only for global overrides");
  }
  // Whole seconds: what is written is then read as the same.
  const absl::Time now = absl::FromUnixSeconds(absl::ToUnixSeconds(parts_.loop.clock().WallNow()));
  Override& override = read.override;
  override.value = asked.property_value();
  override.created = now;
  override.created_by = request.user().empty() ? "unknown" : request.user();
  override.reason = asked.reason();
  override.expiration = now + kVersionOverrideLife;
  if (request.duration_seconds() != 0) {
    const absl::Duration duration = absl::Seconds(request.duration_seconds());
    if (duration < absl::ZeroDuration() || duration > kOverrideDurationMax) {
      return absl::InvalidArgumentError("duration: is not in [1 s, 3650 days]");
    }
    override.expiration = now + duration;
  }
  RETURN_IF_ERROR(parts_.engine.CheckOverride(read, request.unchecked()));
  return read;
}

// The overrides as they would be with `one`.
OverrideSet Overrides::With(const ScopedOverride& one) const {
  OverrideSet then;
  const std::string key = one.override.Key();
  for (size_t i = 0; i < store_.overrides().size(); ++i) {
    const ScopedOverride& other = store_.overrides()[i];
    if (other.scope == one.scope && other.override.Key() == key) continue;
    then.overrides.push_back(other);
    then.ended.push_back(store_.ended()[i]);
  }
  then.overrides.push_back(one);
  return then;
}

void Overrides::Add(const v1::AddOverrideRequest& request,
                    std::function<void(absl::StatusOr<v1::AddOverrideResponse>)> done) {
  absl::StatusOr<ScopedOverride> read = Read(request);
  if (!read.ok()) return done(read.status());
  // A dry run, too, must say that it could not be done.
  if (absl::Status status = store_.CheckScope(read->scope); !status.ok()) return done(status);
  v1::AddOverrideResponse response;
  const OverrideSet then = With(*read);
  Engine::OverridePreview preview = parts_.engine.PreviewLast(then);
  for (v1::OverrideEffect& effect : preview.effects) *response.add_effects() = std::move(effect);
  if (request.dry_run()) {
    *response.mutable_override() = Proto(*read);
    response.set_replaced(then.overrides.size() == store_.overrides().size());
    response.mutable_override()->set_in_force(preview.why_not.empty());
    response.mutable_override()->set_why_not(preview.why_not);
    return done(std::move(response));
  }
  store_.Add(
      read->scope, read->override,
      [this, one = *read, response, done](absl::StatusOr<std::optional<Override>> old) mutable {
        if (!old.ok()) return done(old.status());
        response.set_replaced(old->has_value());
        *response.mutable_override() = Listed(one);
        parts_.engine.AppendAgentEvent(
            kChangeByAPerson, v1::Information,
            absl::StrCat("override add: ", OverrideScopeName(one.scope), " ", one.override.Text()),
            0, one.override.created_by);
        done(std::move(response));
      });
}

void Overrides::Remove(const v1::RemoveOverrideRequest& request,
                       std::function<void(absl::StatusOr<v1::RemoveOverrideResponse>)> done) {
  absl::StatusOr<ScopedOverride> read =
      ReadKey(request.scope(), request.item_type(), request.identity(), request.property_name(),
              request.apply_version());
  if (!read.ok()) return done(read.status());
  const std::string who = request.user().empty() ? "unknown" : request.user();
  store_.Remove(
      read->scope, read->override, who,
      [this, scope = read->scope, who, done](absl::StatusOr<Override> removed) {
        if (!removed.ok()) return done(removed.status());
        parts_.engine.AppendAgentEvent(
            kChangeByAPerson, v1::Information,
            absl::StrCat("override remove: ", OverrideScopeName(scope), " ", removed->Text()), 0,
            who);
        v1::RemoveOverrideResponse response;
        *response.mutable_removed() = Proto({scope, *removed});
        done(std::move(response));
      });
}

v1::ListOverridesResponse Overrides::List() const {
  v1::ListOverridesResponse response;
  for (const ScopedOverride& one : store_.overrides()) *response.add_overrides() = Proto(one);
  const std::vector<std::string>& why_not = parts_.engine.overrides_why_not();
  for (int i = 0; i < response.overrides_size() && i < std::ssize(why_not); ++i) {
    response.mutable_overrides(i)->set_in_force(why_not[i].empty());
    response.mutable_overrides(i)->set_why_not(why_not[i]);
  }
  for (std::string& fault : store_.faults()) response.add_faults(std::move(fault));
  return response;
}

// As List has it.
v1::Override Overrides::Listed(const ScopedOverride& one) const {
  v1::Override out = Proto(one);
  const std::vector<std::string>& why_not = parts_.engine.overrides_why_not();
  for (size_t i = 0; i < store_.overrides().size() && i < why_not.size(); ++i) {
    const ScopedOverride& there = store_.overrides()[i];
    if (there.scope != one.scope || !(there.override == one.override)) continue;
    out.set_in_force(why_not[i].empty());
    out.set_why_not(why_not[i]);
  }
  return out;
}

v1::Override Overrides::Proto(const ScopedOverride& one) const {
  const Override& override = one.override;
  v1::Override out;
  out.set_scope(std::string(OverrideScopeName(one.scope)));
  out.set_item_type(std::string(ItemTypeName(override.item_type)));
  out.set_identity(override.identity.Text());
  out.set_property_name(override.property);
  out.set_property_value(override.value);
  out.set_apply_version(override.version);
  SetTime(override.End(), *out.mutable_expiration_time());
  out.set_created_by(override.created_by);
  if (override.created != absl::InfinitePast()) {
    SetTime(override.created, *out.mutable_created_time());
  }
  out.set_reason(override.reason);
  return out;
}

void Overrides::Record(const OverrideNews& news) {
  const bool is_fault = news.kind == OverrideNews::Kind::kRejectedFile;
  v1::Event event;
  event.set_channel(v1::Overrides);
  event.set_event_id(static_cast<int>(news.kind));
  event.set_level(is_fault ? v1::Error : v1::Information);
  event.set_health_set(news.health_set);
  event.set_name(news.item);
  v1::OverridesEvent& content = *event.mutable_overrides();
  content.set_who(news.who);
  content.set_what(news.what);
  content.set_why(news.why);
  parts_.events.Append(std::move(event));
  if (is_fault) LogError(absl::StrCat(news.what, " is refused: ", news.why));
}

}  // namespace salve
