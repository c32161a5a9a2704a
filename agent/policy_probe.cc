#include "agent/policy_probe.h"

#include <algorithm>
#include <utility>

namespace salve {
namespace {

// Kinds that look at once when there is something to see.
bool NoticesChanges(const config::Probe& config) {
  return config.has_systemd_unit() || config.has_process() || config.has_notification() ||
         config.has_systemd_failed_units();
}

class PolicyProbe final : public Probe {
 public:
  PolicyProbe(const config::Probe& config, EventLoop& loop, Seen& seen, int64_t& looks)
      : loop_(loop),
        is_recurrent_(!config.has_notification()),
        notices_changes_(NoticesChanges(config)),
        seen_(seen),
        looks_(looks) {}
  ~PolicyProbe() override {
    loop_.CancelTimer(timer_);
    if (notices_changes_) seen_.look_now = nullptr;
  }

  void Start(Instant deadline, ObservationDone done) override {
    ++looks_;
    if (seen_.sight.takes <= absl::ZeroDuration()) return done(seen_.sight.observation);
    const Instant end = loop_.Now() + seen_.sight.takes;
    Observation seen =
        end <= deadline ? seen_.sight.observation : TimedOut(seen_.sight.observation.error);
    if (seen.outcome == Outcome::kTimedOut && seen.error.empty()) seen.error = "simulated";
    timer_ = loop_.CallAt(
        std::min(end, deadline),
        [seen = std::move(seen), done = std::move(done)]() mutable { done(std::move(seen)); });
  }
  void Watch(std::function<void()> look_now) override {
    if (notices_changes_) seen_.look_now = std::move(look_now);
  }
  bool IsRecurrent() const override { return is_recurrent_; }

 private:
  EventLoop& loop_;
  const bool is_recurrent_;
  const bool notices_changes_;
  Seen& seen_;
  int64_t& looks_;
  TimerId timer_ = TimerId::kNone;
};

}  // namespace

std::unique_ptr<Probe> NewPolicyProbe(const config::Probe& config, EventLoop& loop, Seen& seen,
                                      int64_t& looks) {
  return std::make_unique<PolicyProbe>(config, loop, seen, looks);
}

}  // namespace salve
