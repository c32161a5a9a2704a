// Guards: what people have laid over the server so that nothing acts, whatever the throttle says:
// maintenance of a health set or of all, and the kill switch (by command, by file, for the group).
// Pure, (state, now, input) -> why no action now, and when that changes by itself; the engine asks,
// holds the monitors, and keeps the record. One thread.
//
// What ends by itself does so by the uptime: no stepped clock ends it early or prolongs it. Only
// across a reboot the wall clock counts, and then never for longer than was asked for.
#ifndef SALVE_AGENT_GUARDS_H_
#define SALVE_AGENT_GUARDS_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agent/guard_record.pb.h"
#include "base/clock.h"

namespace salve {

// Of an action, as guards see it (responders/action.h).
struct ActionTraits {
  bool is_disruptive = true;
  bool is_notification = false;
};

enum class HoldKind { kBootGrace, kMaintenance, kPause, kDependency };

// Something that holds the monitors of a health set.
struct Hold {
  HoldKind kind;
  std::string why;  // For people; the same as long as it is the same hold.
};

// Whether a hold of this kind keeps the action from starting: a maintenance holds all, boot_grace
// and a pause all but notifications, a dependency what is disruptive.
bool KeepsFrom(HoldKind kind, const ActionTraits& action);

// "maintenance …; paused …"
std::string JoinHolds(const std::vector<Hold>& holds);

// A maintenance, or a pause.
struct Guard {
  std::string who;
  std::string reason;
  absl::Time since;
  absl::Time until = absl::InfiniteFuture();     // For people.
  Instant deadline = Instant::InfiniteFuture();  // What ends it.

  // "by ada until 2026-11-21 12:00:00: new disks", in local time.
  std::string Text() const;
};

inline constexpr absl::Duration kGuardLeast = absl::Seconds(1);
inline constexpr absl::Duration kGuardMost = absl::Hours(24 * 30);
inline constexpr size_t kGuardTextMax = 1000;  // Of who and of reason, in bytes; the rest is cut.

// One that begins now. `length`: InfiniteDuration is until it is taken back.
Guard NewGuard(absl::string_view who, absl::string_view reason, absl::Duration length, Instant now,
               absl::Time wall);

// A pause as the group's key holds it: JSON of v1.Pause.
std::string GroupPauseText(const Guard& guard);

class Guards {
 public:
  // Begins or replaces the maintenance of a health set; "": of the whole server.
  void StartMaintenance(const std::string& health_set, Guard guard);
  // What it was; nullopt: there is none.
  std::optional<Guard> EndMaintenance(const std::string& health_set);
  const std::map<std::string, Guard>& maintenances() const { return maintenances_; }
  bool IsInMaintenance(const std::string& health_set) const;

  void Pause(Guard guard) { server_pause_ = std::move(guard); }
  std::optional<Guard> Resume();
  const std::optional<Guard>& server_pause() const { return server_pause_; }

  // The files that pause now, by path.
  void SetFiles(std::map<std::string, Guard> files) { files_ = std::move(files); }
  const std::map<std::string, Guard>& files() const { return files_; }

  // What the group's key holds now. A text that is no pause that we know is one all the same,
  // without an end. Returns true if the group's pause is another.
  bool SetGroupText(const std::string& text, Instant now, absl::Time wall);
  const std::optional<Guard>& group_pause() const { return group_pause_; }

  // All that concerns a health set, in the order of HoldKind.
  std::vector<Hold> HoldsOn(const std::string& health_set) const;
  // Why nothing may act anywhere, manual actions too; "" when nothing pauses.
  std::string PausedBecause() const;

  // Takes out what is over, and says what it was.
  struct Ended {
    HoldKind kind;
    std::string what;  // "maintenance of Web", "pause of the server"
    Guard guard;
  };
  std::vector<Ended> TakeEnded(Instant now);
  // When TakeEnded has something, at the earliest.
  Instant NextEnd() const;

  // Files are not part of it: they are their own record.
  guards::GuardRecord Save(const std::string& boot_id) const;
  // Takes up an earlier life. What ended meanwhile is there until TakeEnded.
  void Restore(const guards::GuardRecord& record, Instant now, absl::Time wall,
               const std::string& boot_id);

 private:
  std::map<std::string, Guard> maintenances_;  // By health set.
  std::optional<Guard> server_pause_;
  std::optional<Guard> group_pause_;
  std::string group_text_;
  std::map<std::string, Guard> files_;
};

// "maintenance of Web", "maintenance of the whole server"
std::string MaintenanceName(const std::string& health_set);

}  // namespace salve

#endif  // SALVE_AGENT_GUARDS_H_
