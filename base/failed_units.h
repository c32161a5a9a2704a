// FailedUnits: which units systemd calls failed, as it last told. systemd says only that their
// number has changed; then, soon, and once a minute in any case, the list is asked for. Lives on
// the loop's thread.
#ifndef SALVE_BASE_FAILED_UNITS_H_
#define SALVE_BASE_FAILED_UNITS_H_

#include <systemd/sd-bus.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/bus_link.h"
#include "base/event_loop.h"
#include "base/service_manager.h"
#include "base/systemd_link.h"

namespace salve {

class FailedUnits final : public SystemdLink::User {
 public:
  explicit FailedUnits(EventLoop& loop) : loop_(loop) {}
  ~FailedUnits() override;

  // Requires: `link` is this object's own and outlived by it.
  void SetLink(SystemdLink* link) { link_ = link; }

  // As ServiceManager::WatchFailedUnits and UnwatchFailedUnits. Without watchers nothing is asked.
  FailedUnitsWatchId Watch(FailedUnitsCallback changed);
  void Unwatch(FailedUnitsWatchId id);

  void Up(BusLink& bus) override;
  void Down() override;

 private:
  struct Watcher {
    std::shared_ptr<FailedUnitsCallback> changed;  // Shared with a call of it on the stack.
    bool told = false;                             // Knows what was reported last.
  };

  void Begin();
  void Stop();
  void ReadAfter(absl::Duration delay);
  void Read();
  void Take(const absl::StatusOr<sd_bus_message*>& reply);
  void Tell(absl::StatusOr<FailedUnitsList> what);

  EventLoop& loop_;
  SystemdLink* link_ = nullptr;
  uint64_t last_id_ = 0;
  std::map<FailedUnitsWatchId, Watcher> watchers_;
  std::optional<absl::StatusOr<FailedUnitsList>> reported_;
  BusMatchId match_ = BusMatchId::kNone;
  TimerId read_timer_ = TimerId::kNone;
  TimerId tell_timer_ = TimerId::kNone;
  Instant read_at_;  // What read_timer_ is set to.
  int reading_ = 0;  // The number of the read under way, or 0; answers to others are too late.
  bool read_again_ = false;  // Once that one has ended.
  int last_read_ = 0;
};

}  // namespace salve

#endif  // SALVE_BASE_FAILED_UNITS_H_
