// Monitor: turns the looks of its probes into a state. Pure, (state, now, input) -> output: the
// engine hands in looks, time and what holds it; the Transitions that come out are its news.
//
// When a rule fires the alert begins, and the alert's age walks the timeline of states. The
// timeline stands still while an action on the monitor's resource runs or settles, starts anew
// after a hold (boot_grace, UNAVAILABLE, a reboot …), and moves only on a bad look made since:
// nothing is decided on a backlog. Could not look is not sick: Rejected looks neither count nor
// break a run, but a run of them is UNAVAILABLE. While a person repairs (REPAIRING) looks count and
// nothing comes of them; when that ends the evidence and the timeline start anew. A combination has
// other monitors in place of probes. One thread.
#ifndef SALVE_MONITORS_MONITOR_H_
#define SALVE_MONITORS_MONITOR_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/ids.h"
#include "config/definition.h"
#include "monitors/monitor_record.pb.h"
#include "monitors/rule.h"
#include "probes/probe.h"

namespace salve {

// One change of a monitor's state.
struct Transition {
  config::HealthState from;
  config::HealthState to;
  bool alert = false;
  std::string incident_id;  // Empty outside an incident.
  bool opened = false;      // This transition opened the incident …
  bool reopened = false;    // … or opened one again that had just closed …
  bool closed = false;      // … or closed it.
  int times_reopened = 0;
  absl::Time first_alert;  // InfinitePast when there was no alert.
  std::string evidence;
  // At most 20 bad looks, the newest, also those before the incident; in the order made.
  std::vector<uint64_t> evidence_record_ids;
  std::string reason;  // When the looks alone don't say it.
  std::string who;     // Who began a repair, or ended it before its time.
};

// A person repairs what the monitor looks at: nothing acts until that has ended.
struct Repair {
  std::string owner;
  std::string reason;
  absl::Time since;  // For people.
  Instant until;
};

// What the inputs of a combination say together (combination.h).
struct InputsLook {
  Outcome outcome;     // Failed: they make an alert; Rejected: it can't be said.
  bool fresh = false;  // Of an input that alerts a bad look was counted since the last of these.
  bool too_early = false;            // It can't be said because an input has had no look yet.
  std::string text;                  // "all of: Web/A is UNHEALTHY, Web/B is HEALTHY"
  std::vector<uint64_t> record_ids;  // Of the transitions of those that alert, where known.
};

// What responders and people look at.
struct MonitorStatus {
  config::HealthState state = config::UNINITIALIZED;
  bool alert = false;
  // A bad look was counted since the last settle, hold or start, and the rule still holds: the
  // state is of now. Of UNAVAILABLE: a look could not be made since.
  bool fresh = false;
  // The rule holds no longer, and clear_after has not passed: nothing acts on the alert.
  bool clearing = false;
  uint64_t bad_looks = 0;  // Bad looks counted in the life of this monitor.
  bool held = false;
  bool suppressed = false;
  bool doubtful = false;  // The last look of a probe that saw something was bad.
  // Age of the state on the alert's own timeline, which stands still at times; of UNAVAILABLE since
  // it was entered, or the last hold.
  absl::Duration in_state = absl::ZeroDuration();
  std::string incident_id;
  absl::Time since;  // Wall time at which the state was entered.
  std::string last_error;
  std::optional<Repair> repair;
};

class Monitor {
 public:
  // Errors: kInvalidArgument, as CheckMonitor. `random` must outlive the monitor.
  static absl::StatusOr<std::unique_ptr<Monitor>> New(const MonitorDefinition& definition,
                                                      RandomSource& random);

  using Transitions = std::vector<Transition>;

  // A look of one of its probes (its name within the set). `record_id` is its event's, 0 = none.
  Transitions Observe(Instant now, absl::Time wall, const std::string& probe,
                      const Observation& observation, uint64_t record_id);
  // A look of a combination at its inputs. Requires: it is one.
  Transitions ObserveInputs(Instant now, absl::Time wall, const InputsLook& look);
  // Time has passed: the timeline may have something due.
  Transitions Tick(Instant now, absl::Time wall);
  // When Tick has something to do; InfiniteFuture when only a look can change something.
  Instant NextTick(Instant now) const;
  // When the timeline has its next state, if nothing changes until then; else InfiniteFuture.
  Instant NextState(Instant now) const;

  // An action on the monitor's resource runs or settles: the timeline stands still, bad looks
  // don't count. The evidence starts anew with it, so that one good look clears the alert of any
  // rule, and once more when it ends.
  void Suppress(Instant now, bool suppressed);
  // A hold: nothing may act. The timeline starts anew when it begins and when it ends; between
  // them it stands at 0, so that a state at 0 is all that is entered.
  void Hold(Instant now, bool held);

  // What was seen so far is old: nothing is decided before another bad look.
  void Outdate() { fresh_ = blind_fresh_ = false; }

  // REPAIRING from now on, or with another owner, reason and end. Requires: it is enabled.
  Transitions BeginRepair(Instant now, absl::Time wall, Repair repair);
  // Ends it before its time, which Tick would do; `who`: the person. Nothing comes of what was seen
  // before: with an alert the state is UNINITIALIZED until the next look. Requires: there is one.
  Transitions EndRepair(Instant now, absl::Time wall, const std::string& who);

  MonitorStatus Status(Instant now) const;
  const MonitorDefinition& definition() const { return definition_; }

  monitors::MonitorRecord Save(Instant now, const std::string& boot_id) const;
  // Takes up an earlier life, before the first look. After a reboot the timeline starts anew; a
  // restart of the agent alone resumes it at the age that was saved.
  void Restore(Instant now, const monitors::MonitorRecord& record, const std::string& boot_id);

 private:
  struct Source {  // One probe.
    std::string name;
    std::unique_ptr<Rule> rule;
    std::deque<bool> rejected;  // The last 10 looks.
    int rejected_in_a_row = 0;
    bool seen = false;  // Has had a look that saw something.
    bool bad = false;   // The last of these was bad.
    // Its rule has held, and it has not been seen well since: what makes the alert.
    bool fires = false;
    bool good_since = false;  // A good look since it fires, or the evidence starts anew.
    // It fires, its rule holds no longer, and it has been seen well: clears after clear_after.
    std::optional<Instant> quiet_since;
    std::deque<uint64_t> bad_looks;  // Record ids of those that speak for the rule; 0 = none.
    bool undecided = false;          // Of a combination: its inputs leave it open.

    bool Unavailable() const;
    void NoteRejected(bool is_rejected);
    void Count(Instant now, const Observation& observation, Sign sign, uint64_t record_id);
    void EndQuiet(Instant now, absl::Duration clear_after);
    void Forget();
  };

  Monitor(const MonitorDefinition& definition, RandomSource& random);
  Transitions Evaluate(Instant now, absl::Time wall, bool looked);
  void BeginAlert(Instant now, absl::Time wall);
  void EndAlert(Instant now, absl::Time wall, Transitions& out);
  void AdvanceTimeline(Instant now, absl::Time wall, Transitions& out);
  void RestartTimeline(Instant now);
  void Enter(config::HealthState to, absl::Time wall, std::string reason, Transitions& out);
  void OpenIncident(absl::Time wall, Transition& transition);
  bool ReopensIncident(Instant now, absl::Time wall) const;
  void FollowAlert(Instant now, absl::Time wall, bool fires);
  bool FireTogether(bool (*fires)(const Source&)) const;
  bool Fires() const;
  bool IsClearing() const;
  Instant ClearsAt() const;
  bool AllSeen() const;
  bool CannotLook() const;
  bool StandsStill() const;
  absl::Duration Age(Instant now) const;
  void KeepEvidence(uint64_t record_id);
  std::string Evidence() const;
  void RestoreFiring(const monitors::MonitorRecord& record);

  const MonitorDefinition definition_;
  RandomSource& random_;
  std::vector<Source> sources_;

  config::HealthState state_ = config::UNINITIALIZED;
  absl::Time since_ = absl::InfinitePast();
  bool alert_ = false;
  bool fresh_ = false;
  bool blind_fresh_ = false;  // The same for UNAVAILABLE.
  Instant unavailable_since_;
  uint64_t bad_looks_ = 0;
  std::optional<Repair> repair_;
  bool held_ = false;
  bool suppressed_ = false;
  absl::Time first_alert_ = absl::InfinitePast();

  // The alert's age is `age_` at `mark_`, and grows from there unless it stands still.
  absl::Duration age_ = absl::ZeroDuration();
  Instant mark_;
  int position_ = -1;                                // Last transition entered.
  absl::Duration state_age_ = absl::ZeroDuration();  // The alert's when the state was entered.

  std::string incident_id_;  // Of the open incident, or of the one that could be reopened.
  bool incident_open_ = false;
  int times_reopened_ = 0;
  absl::Time closed_ = absl::InfinitePast();
  std::optional<Instant> closed_at_;  // If it was in this boot: not moved by a stepped clock.

  std::string last_error_;         // Of the last look that was bad or could not be made.
  std::string inputs_;             // What the inputs of a combination said last.
  std::deque<uint64_t> evidence_;  // Record ids of the alert's bad looks, at most 20.
};

}  // namespace salve

#endif  // SALVE_MONITORS_MONITOR_H_
