// HeldMessages: the way of a message out of a crash set into the live queue, and its end there.
// Each step is one synced transaction. Blocks; one thread.
#ifndef SALVE_AGENT_HELD_MESSAGES_H_
#define SALVE_AGENT_HELD_MESSAGES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "channels/event_log.h"
#include "queue/message_store.h"

namespace salve {

// Errors of all: those of MessageStore::Apply.
class HeldMessages {
 public:
  // All must outlive it.
  HeldMessages(MessageStore& store, EventLog& events, const Clock& clock)
      : store_(store), events_(events), clock_(clock) {}

  // Returns its sequence. `suspended`: nothing delivers it before a person, or a later step, says
  // so. Errors: kAlreadyExists: it is there, or ended otherwise than in a set.
  absl::StatusOr<int64_t> PutBack(const queue::Message& message, const std::string& queue,
                                  bool suspended = false);
  absl::Status BeginDelivery(int64_t sequence, const std::string& queue);
  absl::Status End(int64_t sequence, Final final, const queue::Message& message,
                   std::string reason);
  // To the dead ones, from `queue`, with its event; returns its DMID.
  absl::StatusOr<std::string> Bury(int64_t sequence, queue::Message message,
                                   const std::string& queue, const std::string& reason);
  // To poison, from `queue`, with its event. Requires: it has its poison_reason.
  absl::Status Poison(int64_t sequence, const queue::Message& message, const std::string& queue);

 private:
  absl::Time Now() const { return clock_.WallNow(); }

  MessageStore& store_;
  EventLog& events_;
  const Clock& clock_;
};

}  // namespace salve

#endif  // SALVE_AGENT_HELD_MESSAGES_H_
