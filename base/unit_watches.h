// UnitWatches: the state of the watched units, as systemd last told it. Lives on the loop's
// thread.
#ifndef SALVE_BASE_UNIT_WATCHES_H_
#define SALVE_BASE_UNIT_WATCHES_H_

#include <systemd/sd-bus.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bus_link.h"
#include "base/event_loop.h"
#include "base/service_manager.h"
#include "base/systemd_link.h"

namespace salve {

class UnitWatches final : public SystemdLink::User {
 public:
  explicit UnitWatches(EventLoop& loop) : loop_(loop) {}
  ~UnitWatches() override;

  // Requires: `link` is this object's own and outlived by it.
  void SetLink(SystemdLink* link) { link_ = link; }

  // As ServiceManager::WatchUnit and UnwatchUnit.
  UnitWatchId Watch(const std::string& unit, UnitCallback changed);
  void Unwatch(UnitWatchId id);

  void Up(BusLink& bus) override;
  void Down() override;

 private:
  struct Watcher {
    std::shared_ptr<UnitCallback> changed;  // Shared with a call of it that is on the stack.
    bool told = false;                      // Knows what was reported last.
  };
  struct Unit {
    std::string name;
    std::string path;  // Empty until systemd has told it.
    UnitState state;
    bool is_read = false;  // The state is whole.
    int reading = 0;       // The number of the read under way; answers to others are too late.
    BusMatchId match = BusMatchId::kNone;
    TimerId tell_timer = TimerId::kNone;
    TimerId read_timer = TimerId::kNone;
    std::map<UnitWatchId, Watcher> watchers;
    std::optional<absl::StatusOr<UnitState>> reported;
  };

  Unit* Find(const std::string& name);
  void Read(Unit& unit);
  void TakePath(const std::string& name, int read, const absl::StatusOr<sd_bus_message*>& reply);
  void TakeState(const std::string& name, int read, const absl::StatusOr<sd_bus_message*>& reply);
  void ReadFailed(Unit& unit, const absl::Status& status);
  void TakeChange(const std::string& name, sd_bus_message* signal);
  void TellSoon(Unit& unit, absl::Duration delay);
  void TellState(const std::string& name);
  void Tell(const std::string& name, absl::StatusOr<UnitState> what);

  EventLoop& loop_;
  SystemdLink* link_ = nullptr;
  uint64_t last_id_ = 0;
  int last_read_ = 0;
  std::map<std::string, Unit> units_;
};

}  // namespace salve

#endif  // SALVE_BASE_UNIT_WATCHES_H_
