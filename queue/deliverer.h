// Deliverer: brings messages to one kind of place, once. It does not queue, retry or remember;
// that is the Dispatcher's. Lives on the loop's thread; no call of it blocks. There are: letters by
// SMTP and webhook (letter_deliverer.h), transfers to another Salve (forward_deliverer.h), deferred
// actions (agent/deferred_actions.h), the fake for tests (fake_deliverer.h).
#ifndef SALVE_QUEUE_DELIVERER_H_
#define SALVE_QUEUE_DELIVERER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "queue/message.pb.h"

namespace salve {

struct DeliveryResult {
  enum class Kind {
    kDelivered,   // Final: done. Of a transfer: the peer has committed it, or had it already.
    kNotReached,  // The peer was not reached, or it said "later": tried again, without end but
                  // the message's expiry.
    kFailedOn,    // The peer was reached and failed on it for now: counts as a delivery.
    kRefused,     // The peer will never take it: dead.
    kWait,        // A deferred action may not start yet (throttle, exclusion, pause): `again_in`.
    kFailed,      // Final: a deferred action ran and failed, or can't exist any more.
    kObsolete,    // Final: no longer wanted.
    kElsewhere,   // Of a transfer: this acceptor takes none now, another may.
  };
  Kind kind = Kind::kDelivered;
  std::string detail;           // What the peer said; holds no secret. At most 1 KiB is kept.
  absl::Duration again_in;      // Of kWait and kNotReached, when known; zero: as configured.
  std::string attempt_id = {};  // Of a deferred action that had begun: in the ledger.
};

class Deliverer {
 public:
  using Done = absl::AnyInvocable<void(DeliveryResult)>;
  enum class Id : uint64_t { kNone = 0 };

  virtual ~Deliverer() = default;

  // Several messages only to places that take digests (TakesDigests). Calls `done` once, a moment
  // after `deadline` at the latest, never inside this call. `queue`: the messages'.
  virtual Id Start(const std::string& queue, const std::vector<queue::Message>& messages,
                   Instant deadline, Done done) = 0;
  // Ends a delivery without `done`. An ended one, or kNone, is ignored.
  virtual void Cancel(Id id) = 0;
};

}  // namespace salve

#endif  // SALVE_QUEUE_DELIVERER_H_
