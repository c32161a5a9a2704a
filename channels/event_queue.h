// EventQueue: what has been appended and is not on disk yet. Between Append on any thread, the
// one writer, and those who ask or listen. Bounded; its loss rules are those of the store:
// ProbeResults first, oldest first, every loss counted. Thread-safe.
#ifndef SALVE_CHANNELS_EVENT_QUEUE_H_
#define SALVE_CHANNELS_EVENT_QUEUE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/events.pb.h"
#include "api/salve.pb.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "channels/event_subscription.h"

namespace salve {

struct EventQueueBounds {
  size_t probe_results_max = 10'000;  // Beyond it the oldest one is dropped.
  size_t others_max = 10'000;         // The same of all other events together.
  size_t bytes_max = 8u << 20;        // Of each of the two; an estimate of the memory.
};

struct QueuedEvent {
  SharedEvent event;
  size_t bytes = 0;       // Estimated.
  bool exported = false;  // Exports have had it; only the file has not.
};

struct DropCounts {
  uint64_t probe_results = 0;
  uint64_t others = 0;
  bool any() const { return probe_results + others > 0; }
};

class EventQueue {
 public:
  EventQueue(EventQueueBounds bounds, size_t batch_events_max, uint64_t next_record_id)
      : bounds_(bounds), batch_events_max_(batch_events_max), next_record_id_(next_record_id) {}

  // Gives the event its record id, queues it and offers it to the subscribers.
  uint64_t Append(v1::Event event) ABSL_LOCKS_EXCLUDED(mu_);

  // The writer's side. -----------------------------------------------------------------------

  // Waits until a batch is due: `delay` after its first event, or at once when it is full, holds
  // a RecoveryAction* event, or somebody waits in Flush; or until `idle` has passed.
  void AwaitBatch(absl::Duration delay, absl::Duration idle) ABSL_LOCKS_EXCLUDED(mu_);
  // The oldest events, in order of their ids. They stay visible to Unwritten until Written or
  // PutBack, one of which must follow.
  std::shared_ptr<const std::vector<QueuedEvent>> TakeBatch() ABSL_LOCKS_EXCLUDED(mu_);
  // The batch is on disk (`synced`: also after a power loss).
  void Written() ABSL_LOCKS_EXCLUDED(mu_);
  // It could not be written: ProbeResults of it, and all others that wait, are dropped and
  // counted, the rest waits again. `why` is what Flush and trouble() say.
  void PutBack(absl::Status why) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const EventQueueBounds bounds_;
  const size_t batch_events_max_;
  Mutex mu_;
  uint64_t next_record_id_ ABSL_GUARDED_BY(mu_);
};

}  // namespace salve

#endif  // SALVE_CHANNELS_EVENT_QUEUE_H_
