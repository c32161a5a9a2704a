// DeferredActions: runs the deferred actions of the queue local/<resource> through the engine, as a
// person's are run: by the throttle, the pauses and the exclusion of that moment. The attempt's
// requester, "deferred:<MID>:<who>", links a message with the ledger, so that an effect is never
// had twice for one MID, whatever died in between. Lives on the loop's thread.
#ifndef SALVE_AGENT_DEFERRED_ACTIONS_H_
#define SALVE_AGENT_DEFERRED_ACTIONS_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/engine.h"
#include "api/salve.pb.h"
#include "base/event_loop.h"
#include "queue/deliverer.h"
#include "queue/known_attempt.h"
#include "queue/submission.h"
#include "throttling/ledger.h"

namespace salve {

// What `action run --defer` puts into the queue. `request` as EngineParts::defer has it.
// Errors: kInvalidArgument: an expiry or a priority out of range.
absl::StatusOr<Submission> DeferredSubmission(const v1::RunActionRequest& request,
                                              const std::string& resource);

// "deferred:<MID>:<who>".
std::string DeferredRequester(const queue::Message& message);

// What the ledger knows of the message: its newest attempt. Attempts that ended before they began
// an effect are none: the message still waits.
std::optional<KnownAttempt> KnownAttemptOf(const Ledger& ledger, const std::string& mid);

// Attempts of deferred actions on the same resource that crashed within the last day. `at_start`:
// what is in progress was left so by a crash.
int CrashesOf(const Ledger& ledger, const queue::Deferred& deferred, absl::Time now, bool at_start);

class DeferredActions final : public Deliverer {
 public:
  // What is not a refusal by the throttle, a pause or a busy resource, is looked at again so soon.
  static constexpr absl::Duration kAgain = absl::Seconds(5);
  // Refused by a limit that no time lifts: a person may change it.
  static constexpr absl::Duration kAgainUnlimited = absl::Minutes(5);

  DeferredActions(EventLoop& loop, const Ledger& ledger) : loop_(loop), ledger_(ledger) {}
  ~DeferredActions() override { *alive_ = false; }

  // Until then, and after nullptr, actions wait. The engine must outlive this or be taken back.
  void SetEngine(Engine* engine) { engine_ = engine; }

  // The action's own timeout ends it: `deadline` is not looked at.
  Id Start(const std::string& queue, const std::vector<queue::Message>& messages, Instant deadline,
           Done done) override;
  // Takes the answer back; what runs goes on, and the ledger knows how it ended.
  void Cancel(Id id) override { running_.erase(id); }

 private:
  void Finish(Id id, DeliveryResult result);
  void Run(Id id, const queue::Message& message);

  EventLoop& loop_;
  const Ledger& ledger_;
  Engine* engine_ = nullptr;
  std::map<Id, Done> running_;
  uint64_t last_id_ = 0;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace salve

#endif  // SALVE_AGENT_DEFERRED_ACTIONS_H_
