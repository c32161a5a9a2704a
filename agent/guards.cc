#include "agent/guards.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "api/salve.pb.h"
#include "google/protobuf/util/json_util.h"

namespace salve {
namespace {

using guards::GuardRecord;

constexpr char kServerScope[] = "server";
constexpr char kGroupScope[] = "group";
constexpr char kGroupKey[] =
    "a text in the group's key";  // Who did it, where that does not say so.

google::protobuf::Timestamp TimestampOf(absl::Time time) {
  google::protobuf::Timestamp timestamp;
  const int64_t seconds = absl::ToUnixSeconds(time);
  timestamp.set_seconds(seconds);
  timestamp.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return timestamp;
}
absl::Time TimeOf(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}

// The rest of what was asked for, when only the wall clock can tell.
absl::Duration Remaining(const Guard& guard, absl::Time wall) {
  const absl::Duration whole =
      std::clamp(guard.until - guard.since, absl::ZeroDuration(), kGuardMost);
  return std::clamp(guard.until - wall, absl::ZeroDuration(), whole);
}

void SaveTimed(const std::string& name, const Guard& guard, GuardRecord::Timed& timed) {
  timed.set_name(name);
  timed.set_who(guard.who);
  timed.set_reason(guard.reason);
  timed.set_since_unix_ns(absl::ToUnixNanos(guard.since));
  if (guard.until == absl::InfiniteFuture()) return;
  timed.set_until_unix_ns(absl::ToUnixNanos(guard.until));
  timed.set_deadline_boot_ns(guard.deadline.nanos_since_boot());
}

Guard RestoreTimed(const GuardRecord::Timed& timed, bool same_boot, Instant now, absl::Time wall) {
  Guard guard;
  guard.who = timed.who();
  guard.reason = timed.reason();
  guard.since = absl::FromUnixNanos(timed.since_unix_ns());
  if (timed.until_unix_ns() == 0) return guard;
  guard.until = absl::FromUnixNanos(timed.until_unix_ns());
  guard.deadline = same_boot ? Instant::FromNanosSinceBoot(timed.deadline_boot_ns())
                             : now + Remaining(guard, wall);
  return guard;
}

// nullopt: it is over already.
std::optional<Guard> ReadGroupText(const std::string& text, Instant now, absl::Time wall) {
  v1::Pause pause;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  if (!google::protobuf::util::JsonStringToMessage(text, &pause, options).ok()) {
    // Somebody wrote it by hand: that it is there is what counts.
    return NewGuard(kGroupKey, text.substr(0, text.find('\n')), absl::InfiniteDuration(), now,
                    wall);
  }
  Guard guard = NewGuard(pause.who().empty() ? kGroupKey : pause.who(), pause.reason(),
                         absl::InfiniteDuration(), now, wall);
  if (pause.has_since()) guard.since = TimeOf(pause.since());
  if (!pause.has_until()) return guard;
  guard.until = TimeOf(pause.until());
  const absl::Duration rest = Remaining(guard, wall);
  if (rest == absl::ZeroDuration()) return std::nullopt;
  guard.deadline = now + rest;
  return guard;
}

std::string Printable(absl::string_view text) {
  std::string out(text.substr(0, kGuardTextMax));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return out;
}

}  // namespace

bool KeepsFrom(HoldKind kind, const ActionTraits& action) {
  switch (kind) {
    case HoldKind::kMaintenance:
      return true;
    case HoldKind::kBootGrace:
    case HoldKind::kPause:
      return !action.is_notification;
    case HoldKind::kDependency:
      return action.is_disruptive;
  }
  return true;
}

std::string JoinHolds(const std::vector<Hold>& holds) {
  return absl::StrJoin(holds, "; ",
                       [](std::string* out, const Hold& hold) { absl::StrAppend(out, hold.why); });
}

std::string Guard::Text() const {
  std::string text;
  if (!who.empty()) absl::StrAppend(&text, " by ", who);
  if (until != absl::InfiniteFuture()) {
    absl::StrAppend(&text, " until ",
                    absl::FormatTime("%Y-%m-%d %H:%M:%S", until, absl::LocalTimeZone()));
  }
  if (!reason.empty()) absl::StrAppend(&text, ": ", reason);
  return std::string(absl::StripPrefix(text, " "));
}

Guard NewGuard(absl::string_view who, absl::string_view reason, absl::Duration length, Instant now,
               absl::Time wall) {
  Guard guard;
  guard.who = Printable(who);
  guard.reason = Printable(reason);
  guard.since = wall;
  if (length == absl::InfiniteDuration()) return guard;
  guard.until = wall + length;
  guard.deadline = now + length;
  return guard;
}

std::string GroupPauseText(const Guard& guard) {
  v1::Pause pause;
  pause.set_scope(kGroupScope);
  pause.set_who(guard.who);
  pause.set_reason(guard.reason);
  *pause.mutable_since() = TimestampOf(guard.since);
  if (guard.until != absl::InfiniteFuture()) *pause.mutable_until() = TimestampOf(guard.until);
  std::string text;
  // What can't be written (a name that is no UTF-8) is a pause all the same.
  if (!google::protobuf::util::MessageToJsonString(pause, &text).ok()) return "paused";
  return text;
}

std::string MaintenanceName(const std::string& health_set) {
  return absl::StrCat("maintenance of ", health_set.empty() ? "the whole server" : health_set);
}

void Guards::StartMaintenance(const std::string& health_set, Guard guard) {
  maintenances_[health_set] = std::move(guard);
}

std::optional<Guard> Guards::EndMaintenance(const std::string& health_set) {
  const auto found = maintenances_.find(health_set);
  if (found == maintenances_.end()) return std::nullopt;
  Guard guard = std::move(found->second);
  maintenances_.erase(found);
  return guard;
}

bool Guards::IsInMaintenance(const std::string& health_set) const {
  return maintenances_.contains("") || maintenances_.contains(health_set);
}

std::optional<Guard> Guards::Resume() { return std::exchange(server_pause_, std::nullopt); }

bool Guards::SetGroupText(const std::string& text, Instant now, absl::Time wall) {
  if (text == group_text_) return false;  // One that has ended here stays so.
  group_text_ = text;
  const bool was_paused = group_pause_.has_value();
  group_pause_ = text.empty() ? std::nullopt : ReadGroupText(text, now, wall);
  return was_paused || group_pause_.has_value();
}

std::vector<Hold> Guards::HoldsOn(const std::string& health_set) const {
  std::vector<Hold> holds;
  for (const std::string& of : {std::string(), health_set}) {
    const auto found = maintenances_.find(of);
    if (found == maintenances_.end()) continue;
    holds.push_back(
        {HoldKind::kMaintenance, absl::StrCat(MaintenanceName(of), " ", found->second.Text())});
    if (health_set.empty()) break;
  }
  if (std::string why = PausedBecause(); !why.empty()) {
    holds.push_back({HoldKind::kPause, std::move(why)});
  }
  return holds;
}

std::string Guards::PausedBecause() const {
  std::vector<std::string> reasons;
  if (server_pause_.has_value()) {
    reasons.push_back(absl::StrCat("actions are paused ", server_pause_->Text()));
  }
  for (const auto& [path, guard] : files_) {
    reasons.push_back(absl::StrCat("actions are paused by the file ", path,
                                   guard.reason.empty() ? "" : ": ", guard.reason));
  }
  if (group_pause_.has_value()) {
    reasons.push_back(absl::StrCat("actions of the group are paused ", group_pause_->Text()));
  }
  return absl::StrJoin(reasons, "; ");
}

std::vector<Guards::Ended> Guards::TakeEnded(Instant now) {
  std::vector<Ended> ended;
  for (auto it = maintenances_.begin(); it != maintenances_.end();) {
    if (now < it->second.deadline) {
      ++it;
      continue;
    }
    ended.push_back({HoldKind::kMaintenance, MaintenanceName(it->first), std::move(it->second)});
    it = maintenances_.erase(it);
  }
  if (server_pause_.has_value() && now >= server_pause_->deadline) {
    ended.push_back({HoldKind::kPause, "pause of the server", *Resume()});
  }
  if (group_pause_.has_value() && now >= group_pause_->deadline) {
    ended.push_back(
        {HoldKind::kPause, "pause of the group", *std::exchange(group_pause_, std::nullopt)});
  }
  return ended;
}

Instant Guards::NextEnd() const {
  Instant next = Instant::InfiniteFuture();
  for (const auto& [health_set, guard] : maintenances_) next = std::min(next, guard.deadline);
  if (server_pause_.has_value()) next = std::min(next, server_pause_->deadline);
  if (group_pause_.has_value()) next = std::min(next, group_pause_->deadline);
  return next;
}

GuardRecord Guards::Save(const std::string& boot_id) const {
  GuardRecord record;
  for (const auto& [health_set, guard] : maintenances_) {
    SaveTimed(health_set, guard, *record.add_maintenance());
  }
  if (server_pause_.has_value()) SaveTimed(kServerScope, *server_pause_, *record.add_pause());
  if (group_pause_.has_value()) SaveTimed(kGroupScope, *group_pause_, *record.add_pause());
  record.set_group_text(group_text_);
  record.set_boot_id(boot_id);
  return record;
}

void Guards::Restore(const GuardRecord& record, Instant now, absl::Time wall,
                     const std::string& boot_id) {
  const bool same_boot = record.boot_id() == boot_id;
  for (const GuardRecord::Timed& timed : record.maintenance()) {
    maintenances_[timed.name()] = RestoreTimed(timed, same_boot, now, wall);
  }
  for (const GuardRecord::Timed& timed : record.pause()) {
    std::optional<Guard>& pause = timed.name() == kGroupScope ? group_pause_ : server_pause_;
    pause = RestoreTimed(timed, same_boot, now, wall);
  }
  group_text_ = record.group_text();
}

}  // namespace salve
