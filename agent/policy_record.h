// PolicyRecord: what happened in a case of a policy test: what responders did, what the throttle
// refused, and the story around it. The event log of the case's agents, one after the other.
// Times are those of the case, from its begin on. One thread only.
#ifndef SALVE_AGENT_POLICY_RECORD_H_
#define SALVE_AGENT_POLICY_RECORD_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/clock.h"
#include "channels/event_log.h"
#include "config/policy_test.pb.h"

namespace salve {

// An action that began.
struct Deed {
  std::string responder;
  absl::Duration at;
  policytest::ExpectedAction::Result result = policytest::ExpectedAction::RUNNING;
  std::string error;  // Of one that failed.
};

// A responder's request that the throttle refused.
struct Refusal {
  std::string responder;
  absl::Duration at;
  std::string checks;                   // "LocalMinimumMinutes, LocalMaxInHour"
  std::optional<absl::Duration> again;  // When it may ask again; unset: never by itself.
};

// A time of the case for people: whole seconds, from the first one on.
std::string TimeText(absl::Duration d);

class PolicyRecord final : public EventLog {
 public:
  // The story keeps so many lines; the oldest go.
  static constexpr size_t kLinesMax = 200;

  explicit PolicyRecord(absl::Time start) : start_(start) {}

  // The clock of the server that runs now: another one after a reboot. Before anything is recorded.
  void SetClock(const Clock& clock) { clock_ = &clock; }
  // Since the case began.
  absl::Duration Now() const { return clock_->WallNow() - start_; }

  uint64_t Append(v1::Event event) override;
  // Returns the deed's index.
  size_t Began(const std::string& responder);
  void Ended(size_t deed, policytest::ExpectedAction::Result result, std::string error);
  // Something that no event tells: what the test itself does.
  void Say(std::string text);

  const std::vector<Deed>& deeds() const { return deeds_; }
  const std::vector<Refusal>& refusals() const { return refusals_; }

  struct Line {
    absl::Duration at;  // Of the first, where it stands for several.
    std::string text;
  };
  // The newest `count`.
  std::vector<Line> Story(size_t count) const;

 private:
  struct Entry {
    absl::Duration at;
    std::string text;
    int times = 1;
    absl::Duration last;
  };

  bool IsNews(const v1::Event& event);
  void Tell(std::string text);

  const absl::Time start_;
  const Clock* clock_ = nullptr;
  uint64_t last_id_ = 0;
  std::vector<Deed> deeds_;
  std::vector<Refusal> refusals_;
  std::deque<Entry> story_;
  std::map<std::string, int> last_look_;  // By probe: the event id of its last result.
};

}  // namespace salve

#endif  // SALVE_AGENT_POLICY_RECORD_H_
