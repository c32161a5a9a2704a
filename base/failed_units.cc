#include "base/failed_units.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/systemd_values.h"

namespace salve {
namespace {

// A target that goes down takes many units with it: one list for all of them.
constexpr absl::Duration kDebounce = absl::Milliseconds(100);

// What no signal tells: a unit that takes the place of another among the failed.
constexpr absl::Duration kReadAgain = absl::Seconds(60);

// After an answer that did not come, while the connection stands.
constexpr absl::Duration kRetry = absl::Seconds(5);

absl::StatusOr<FailedUnitsList> ParseList(sd_bus_message* message) {
  const absl::Status malformed = absl::UnavailableError("systemd sent a list of another form");
  FailedUnitsList names;
  if (sd_bus_message_enter_container(message, 'a', "(ssssssouso)") < 0) return malformed;
  int r;
  while ((r = sd_bus_message_enter_container(message, 'r', "ssssssouso")) > 0) {
    // Name, description, load state, active state, and what is of no interest here.
    const char *name = nullptr, *active_state = nullptr;
    if (sd_bus_message_read(message, "s", &name) < 0 || sd_bus_message_skip(message, "ss") < 0 ||
        sd_bus_message_read(message, "s", &active_state) < 0 ||
        sd_bus_message_skip(message, "ssouso") < 0 || sd_bus_message_exit_container(message) < 0) {
      return malformed;
    }
    // The filter is for states of any kind.
    if (absl::string_view(active_state) != "failed") continue;
    if (names.size() < kFailedUnitsMax) names.emplace_back(name);
  }
  if (r < 0) return malformed;
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace

FailedUnits::~FailedUnits() {
  loop_.CancelTimer(read_timer_);
  loop_.CancelTimer(tell_timer_);
}

FailedUnitsWatchId FailedUnits::Watch(FailedUnitsCallback changed) {
  const FailedUnitsWatchId id{++last_id_};
  const bool is_first = watchers_.empty();
  watchers_[id].changed = std::make_shared<FailedUnitsCallback>(std::move(changed));
  if (is_first && link_->bus() != nullptr) Begin();
  if (reported_.has_value() || link_->is_down()) {
    loop_.CancelTimer(tell_timer_);
    tell_timer_ = loop_.CallAfter(absl::ZeroDuration(), [this] {
      tell_timer_ = TimerId::kNone;
      Tell(reported_.value_or(NoBus()));
    });
  }
  return id;
}

void FailedUnits::Unwatch(FailedUnitsWatchId id) {
  if (watchers_.erase(id) == 0 || !watchers_.empty()) return;
  if (link_->bus() != nullptr) link_->bus()->Unmatch(match_);
  Stop();
  reported_.reset();
}

void FailedUnits::Up(BusLink&) {
  if (watchers_.empty()) return;
  if (match_ == BusMatchId::kNone) {
    Begin();
  } else {
    Read();
  }
}

void FailedUnits::Down() {
  Stop();
  if (!watchers_.empty()) Tell(NoBus());
}

void FailedUnits::Begin() {
  match_ = link_->MatchSignal(kSystemdPath, kPropertiesInterface, ",member='PropertiesChanged'",
                              [this](sd_bus_message*) { ReadAfter(kDebounce); });
  Read();
}

void FailedUnits::Stop() {
  match_ = BusMatchId::kNone;
  reading_ = 0;
  read_again_ = false;
  loop_.CancelTimer(std::exchange(read_timer_, TimerId::kNone));
  loop_.CancelTimer(std::exchange(tell_timer_, TimerId::kNone));
}

// Or sooner, if that is meant already: a stream of signals must not put it off for ever.
void FailedUnits::ReadAfter(absl::Duration delay) {
  const Instant when = loop_.Now() + delay;
  if (read_timer_ != TimerId::kNone && read_at_ <= when) return;
  loop_.CancelTimer(read_timer_);
  read_at_ = when;
  read_timer_ = loop_.CallAt(when, [this] {
    read_timer_ = TimerId::kNone;
    Read();
  });
}

void FailedUnits::Read() {
  if (link_->bus() == nullptr) return;
  // The one under way may have looked already before what makes us read again; but a stream of
  // signals must not make every answer of a slow systemd too late.
  if (reading_ != 0) {
    read_again_ = true;
    return;
  }
  const int read = reading_ = ++last_read_;
  link_->bus()->Call(
      {kSystemd, kSystemdPath, kManagerInterface, "ListUnitsFiltered"},
      [this, read](const absl::StatusOr<sd_bus_message*>& reply) {
        if (read == reading_) Take(reply);
      },
      "as", 1, "failed");
}

void FailedUnits::Take(const absl::StatusOr<sd_bus_message*>& reply) {
  reading_ = 0;
  absl::StatusOr<FailedUnitsList> list =
      reply.ok() ? ParseList(*reply) : absl::StatusOr<FailedUnitsList>(reply.status());
  const bool read_again = std::exchange(read_again_, false);
  ReadAfter(!list.ok() ? kRetry : read_again ? kDebounce : kReadAgain);
  Tell(std::move(list));
}

void FailedUnits::Tell(absl::StatusOr<FailedUnitsList> what) {
  const bool is_news = !reported_.has_value() || *reported_ != what;
  reported_ = what;
  std::vector<FailedUnitsWatchId> ids;
  for (const auto& [id, watcher] : watchers_) {
    if (is_news || !watcher.told) ids.push_back(id);
  }
  // A callback may end any watch, also its own and the last.
  for (FailedUnitsWatchId id : ids) {
    const auto it = watchers_.find(id);
    if (it == watchers_.end()) continue;
    it->second.told = true;
    const std::shared_ptr<FailedUnitsCallback> changed = it->second.changed;
    (*changed)(what);
  }
}

}  // namespace salve
