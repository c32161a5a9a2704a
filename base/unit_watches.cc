#include "base/unit_watches.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/systemd_values.h"

namespace salve {
namespace {

// systemd sends a change of the service's own properties first and that of the unit right
// behind it. When the second does not come (a service named another main process, say), the
// first is told alone after this time.
constexpr absl::Duration kServiceAlone = absl::Milliseconds(50);

// After an answer that did not come, while the connection stands.
constexpr absl::Duration kReadAgain = absl::Seconds(5);

}  // namespace

UnitWatches::~UnitWatches() {
  for (auto& [name, unit] : units_) {
    loop_.CancelTimer(unit.tell_timer);
    loop_.CancelTimer(unit.read_timer);
  }
}

UnitWatchId UnitWatches::Watch(const std::string& name, UnitCallback changed) {
  const auto [it, is_new] = units_.try_emplace(name);
  Unit& unit = it->second;
  unit.name = name;
  const UnitWatchId id{++last_id_};
  unit.watchers[id].changed = std::make_shared<UnitCallback>(std::move(changed));
  if (unit.reported.has_value() || link_->is_down()) {
    TellSoon(unit, absl::ZeroDuration());
  } else if (is_new && link_->bus() != nullptr) {
    Read(unit);
  }
  return id;
}

void UnitWatches::Unwatch(UnitWatchId id) {
  for (auto it = units_.begin(); it != units_.end(); ++it) {
    Unit& unit = it->second;
    if (unit.watchers.erase(id) == 0) continue;
    if (!unit.watchers.empty()) return;
    if (link_->bus() != nullptr) link_->bus()->Unmatch(unit.match);
    loop_.CancelTimer(unit.tell_timer);
    loop_.CancelTimer(unit.read_timer);
    units_.erase(it);
    return;
  }
}

void UnitWatches::Up(BusLink&) {
  for (auto& [name, unit] : units_) Read(unit);
}

void UnitWatches::Down() {
  std::vector<std::string> names;
  for (auto& [name, unit] : units_) {
    unit.path.clear();
    unit.is_read = false;
    unit.reading = 0;
    unit.match = BusMatchId::kNone;
    names.push_back(name);
  }
  for (const std::string& name : names) Tell(name, NoBus());
}

UnitWatches::Unit* UnitWatches::Find(const std::string& name) {
  const auto it = units_.find(name);
  return it == units_.end() ? nullptr : &it->second;
}

void UnitWatches::Read(Unit& unit) {
  loop_.CancelTimer(std::exchange(unit.read_timer, TimerId::kNone));
  // A read that is under way may have looked already before what makes us read again.
  const int read = unit.reading = ++last_read_;
  // LoadUnit rather than GetUnit: a unit that is not loaded gets a path as well.
  link_->bus()->Call(
      {kSystemd, kSystemdPath, kManagerInterface, "LoadUnit"},
      [this, name = unit.name, read](const absl::StatusOr<sd_bus_message*>& reply) {
        TakePath(name, read, reply);
      },
      "s", unit.name.c_str());
}

void UnitWatches::TakePath(const std::string& name, int read,
                           const absl::StatusOr<sd_bus_message*>& reply) {
  Unit* unit = Find(name);
  if (unit == nullptr || unit->reading != read) return;
  if (!reply.ok()) return ReadFailed(*unit, reply.status());
  const char* path = nullptr;
  if (sd_bus_message_read(*reply, "o", &path) < 0) {
    return ReadFailed(*unit, absl::UnavailableError("systemd told no path"));
  }
  BusLink* bus = link_->bus();
  if (unit->path != path) {
    bus->Unmatch(unit->match);
    unit->path = path;
    unit->match =
        link_->MatchSignal(unit->path, kPropertiesInterface, ",member='PropertiesChanged'",
                           [this, name](sd_bus_message* signal) { TakeChange(name, signal); });
  }
  // The empty interface stands for all: the unit's, and that of its kind.
  bus->Call(
      {kSystemd, unit->path.c_str(), kPropertiesInterface, "GetAll"},
      [this, name, read](const absl::StatusOr<sd_bus_message*>& answer) {
        TakeState(name, read, answer);
      },
      "s", "");
}

void UnitWatches::TakeState(const std::string& name, int read,
                            const absl::StatusOr<sd_bus_message*>& reply) {
  Unit* unit = Find(name);
  if (unit == nullptr || unit->reading != read) return;
  if (!reply.ok()) return ReadFailed(*unit, reply.status());
  UnitState state;
  if (const absl::Status status = MergeProperties(*reply, state); !status.ok()) {
    return ReadFailed(*unit, status);
  }
  unit->reading = 0;
  unit->state = std::move(state);
  unit->is_read = true;
  TellState(name);
}

void UnitWatches::ReadFailed(Unit& unit, const absl::Status& status) {
  unit.reading = 0;
  unit.is_read = false;
  if (absl::IsUnavailable(status)) {
    unit.read_timer = loop_.CallAfter(kReadAgain, [this, name = unit.name] {
      Unit* again = Find(name);
      if (again != nullptr && link_->bus() != nullptr) Read(*again);
    });
  }
  Tell(unit.name, absl::Status(status.code(), absl::StrCat(unit.name, ": ", status.message())));
}

void UnitWatches::TakeChange(const std::string& name, sd_bus_message* signal) {
  Unit* unit = Find(name);
  // Before the first answer the signal says nothing that the answer will not say.
  if (unit == nullptr || !unit->is_read) return;
  const std::string invocation_before = unit->state.invocation_id;
  const char* interface = nullptr;
  if (sd_bus_message_read(signal, "s", &interface) < 0 ||
      !MergeProperties(signal, unit->state).ok()) {
    return Read(*unit);
  }
  // What was read of a unit that was not loaded says nothing once it is: its constant
  // properties come with no signal. The same after a start: its file may be another one.
  if (unit->state.load_state != "loaded") return Read(*unit);
  if (unit->state.invocation_id != invocation_before) Read(*unit);
  if (absl::string_view(interface) == kUnitInterface) return TellState(name);
  TellSoon(*unit, kServiceAlone);
}

void UnitWatches::TellSoon(Unit& unit, absl::Duration delay) {
  if (unit.tell_timer != TimerId::kNone) {
    if (delay > absl::ZeroDuration()) return;
    loop_.CancelTimer(unit.tell_timer);
  }
  unit.tell_timer = loop_.CallAfter(delay, [this, name = unit.name] { TellState(name); });
}

void UnitWatches::TellState(const std::string& name) {
  Unit* unit = Find(name);
  if (unit == nullptr) return;
  loop_.CancelTimer(std::exchange(unit->tell_timer, TimerId::kNone));
  if (unit->is_read && unit->state.load_state == "not-found") {
    Tell(name, absl::NotFoundError(absl::StrCat(name, ": no such unit")));
  } else if (unit->is_read) {
    Tell(name, unit->state);
  } else {
    Tell(name, unit->reported.value_or(NoBus()));
  }
}

void UnitWatches::Tell(const std::string& name, absl::StatusOr<UnitState> what) {
  Unit* unit = Find(name);
  const bool is_news = !unit->reported.has_value() || *unit->reported != what;
  unit->reported = what;
  std::vector<UnitWatchId> ids;
  for (auto& [id, watcher] : unit->watchers) {
    if (is_news || !watcher.told) ids.push_back(id);
  }
  // A callback may end any watch, also its own and the unit's last.
  for (UnitWatchId id : ids) {
    unit = Find(name);
    if (unit == nullptr) return;
    const auto it = unit->watchers.find(id);
    if (it == unit->watchers.end()) continue;
    it->second.told = true;
    const std::shared_ptr<UnitCallback> changed = it->second.changed;
    (*changed)(what);
  }
}

}  // namespace salve
