// Transport: brings one letter to one destination, once. It does not queue, retry or remember;
// that is the queue's. Lives on the loop's thread; no call of it blocks. The one that speaks
// SMTP and HTTP is curl_transport.h, the fake for tests fake_transport.h.
#ifndef SALVE_RESPONDERS_ESCALATION_TRANSPORT_H_
#define SALVE_RESPONDERS_ESCALATION_TRANSPORT_H_

#include <cstdint>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "config/config.pb.h"
#include "responders/notice.h"

namespace salve {

struct Letter {
  std::string id;  // The same at each attempt, so that a receiver can drop doubles.
  Notice notice;
};

enum class DeliveryId : uint64_t { kNone = 0 };

class Transport {
 public:
  // What the destination said beside yes, e.g. that it refuses one of the recipients; or why it
  // was not delivered. Holds no secret. Errors:
  //   kUnavailable: the letter did not come before it: not reached, no answer in time, not let in,
  //   or a secret or setting of this server that does not work;
  //   kAborted: it answered and failed on the letter for now (SMTP 4xx; HTTP 5xx, 408, 429, 3xx);
  //   kFailedPrecondition: it refused it for good (SMTP 5xx to the sender, all recipients or the
  //   mail; HTTP other 4xx).
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::string>)>;

  virtual ~Transport() = default;

  // Calls `done` once, a moment after `deadline` at the latest, never inside this call.
  virtual DeliveryId Start(const config::Destination& destination, const Letter& letter,
                           Instant deadline, Done done) = 0;
  // Ends a delivery without `done`. An ended one, or kNone, is ignored.
  virtual void Cancel(DeliveryId id) = 0;
};

}  // namespace salve

#endif  // SALVE_RESPONDERS_ESCALATION_TRANSPORT_H_
