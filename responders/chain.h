// ResponderChain: decides which responder of one monitor asks next. Pure; the engine asks the
// gate, runs the action, and tells the chain what came of it.
//
// A responder belongs to (state, age within the state). Those whose turn it is act in the order
// written, one at a time. An attempt that has not cleared the monitor when its settle ends was
// ineffective: it is asked for again after `retry_after`, and after `ineffective_after` of them
// in one incident that responder is held back. Nothing is asked on a state that is not of
// now (held, suppressed, or no bad look since). UNAVAILABLE, where there may be no alert and no
// incident, is answered only by those that are `on` it. One thread.
#ifndef SALVE_RESPONDERS_CHAIN_H_
#define SALVE_RESPONDERS_CHAIN_H_

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "config/definition.h"
#include "monitors/monitor.h"
#include "responders/chain_record.pb.h"

namespace salve {

class ResponderChain {
 public:
  enum class Phase {
    kIdle,
    kAsking,    // At the gate.
    kRunning,   // Its action runs.
    kSettling,  // Its action has ended; not yet judged.
    kHeldBack,  // Too many ineffective attempts in this incident.
  };

  explicit ResponderChain(std::vector<ResponderDefinition> responders);

  size_t size() const { return links_.size(); }
  const ResponderDefinition& definition(size_t i) const { return links_[i].definition; }
  Phase phase(size_t i) const { return links_[i].phase; }
  int ineffective(size_t i) const { return links_[i].ineffective; }
  Instant not_before(size_t i) const { return links_[i].not_before; }
  // While it runs or settles.
  const std::string& attempt_id(size_t i) const { return links_[i].attempt_id; }
  Instant settle_end(size_t i) const { return links_[i].settle_end; }

  // The responder that should ask now, if any.
  std::optional<size_t> Next(const MonitorStatus& monitor, Instant now) const;
  // When Next will have an answer although nothing happens: `now` when it has one already,
  // InfiniteFuture when only news can bring it.
  Instant NextDeadline(const MonitorStatus& monitor, Instant now) const;
  // Whether responder `i` is still justified: why not, or nothing. For the gate's last look.
  std::optional<std::string> WhyNot(size_t i, const MonitorStatus& monitor) const;

  void Asked(size_t i) { links_[i].phase = Phase::kAsking; }
  void Started(size_t i, std::string attempt_id);
  void Settling(size_t i, Instant settle_end);
  // It was refused or put off: asks again at `when`, or when WakeRefused is called.
  void AskAgainAt(size_t i, Instant when);
  // Whether the monitor is as it should be after the attempt of responder `i`.
  bool IsEffective(size_t i, const MonitorStatus& monitor) const;
  // Its settle has ended. Returns true when it is held back from now on.
  bool Judged(size_t i, bool effective, Instant now);
  // What blocked them has ended, or the limits have changed: who waits for a refusal asks again.
  void WakeRefused();

  // Whether responder `i` goes on while its monitor is held: a hold need not be for every action.
  void SetGoesOn(size_t i, bool goes_on) { links_[i].goes_on = goes_on; }
  bool goes_on(size_t i) const { return links_[i].goes_on; }

  // Follows the monitor: another incident begins with clean counts and without waiting for a
  // retry; what a refusal said still holds. Returns true if it is another one.
  bool FollowIncident(const std::string& incident_id);
  // The monitor has become UNAVAILABLE: those that answer that begin with clean counts.
  void BeginUnavailable();

  responders::ChainRecord Save(const std::string& boot_id) const;
  // Takes up an earlier life. In the same boot waiting for a retry goes on and, with `acting`, so
  // does an attempt that was not judged yet: the caller awaits its end, or that of its settle.
  void Restore(const responders::ChainRecord& record, const std::string& boot_id, bool acting);

 private:
  struct Link {
    ResponderDefinition definition;
    Phase phase = Phase::kIdle;
    Instant not_before;
    bool goes_on = false;  // Held or not.
    bool refused = false;  // `not_before` comes from a refusal.
    int ineffective = 0;
    std::string attempt_id;
    Instant settle_end;
  };
  static void StartAnew(Link& link);
  bool IsActing() const;
  bool Applies(const Link& link, const MonitorStatus& monitor) const;

  std::vector<Link> links_;
  std::string incident_id_;
};

}  // namespace salve

#endif  // SALVE_RESPONDERS_CHAIN_H_
