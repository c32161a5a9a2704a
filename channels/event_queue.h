// EventQueue: what has been appended and is not on disk yet. It stands between Append on any
// thread, the one writer, and those who ask or listen. Bounded; its loss rules are the store's:
// ProbeResults first, oldest first, every loss counted. Thread-safe.
#ifndef SALVE_CHANNELS_EVENT_QUEUE_H_
#define SALVE_CHANNELS_EVENT_QUEUE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "api/events.pb.h"
#include "api/salve.pb.h"
#include "base/mutex.h"
#include "channels/event_subscription.h"

namespace salve {

struct EventQueueBounds {
  size_t batch_events_max = 1'000;    // That many are taken at once.
  size_t probe_results_max = 10'000;  // Beyond it the oldest of them is dropped.
  size_t others_max = 10'000;         // The same of all other events together.
  size_t bytes_max = 8u << 20;        // Of each of the two; an estimate of the memory.
  size_t subscribers_max = 64;
  size_t subscriber_events_max = 10'000;  // A slower subscriber loses the oldest.
};

struct QueuedEvent {
  SharedEvent event;
  size_t bytes = 0;       // Estimated.
  bool exported = false;  // The exports have had it; only the file has not.
};

struct DropCounts {
  uint64_t probe_results = 0;
  uint64_t others = 0;
};

struct EventBatch {
  std::shared_ptr<const std::vector<QueuedEvent>> events;  // In order of their ids.
  bool synced = false;  // Must outlive a power loss: holds a RecoveryAction* event, or Flush asks.
};

class EventQueue {
 public:
  EventQueue(EventQueueBounds bounds, uint64_t next_record_id)
      : bounds_(bounds), next_record_id_(next_record_id) {}

  // No id below `record_id` is given out from now on.
  void SkipTo(uint64_t record_id) ABSL_LOCKS_EXCLUDED(mu_);

  // Gives the event its record id, queues it and offers it to the subscribers.
  uint64_t Append(v1::Event event) ABSL_LOCKS_EXCLUDED(mu_);

  // Waits until all events appended before are on disk, synced. Errors: kDeadlineExceeded;
  // kUnavailable: an attempt to write them failed meanwhile.
  absl::Status AwaitSynced(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mu_);

  // What matches and is not on disk, oldest first. Asked before the file is read, so that no
  // event falls between the two.
  std::vector<SharedEvent> Unwritten(const v1::QueryEventsRequest& request) const
      ABSL_LOCKS_EXCLUDED(mu_);
  // Null when there are too many.
  std::shared_ptr<SubscriptionQueue> Subscribe(v1::QueryEventsRequest filter)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Ends the subscriptions and tells the writer to finish.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  uint64_t next_record_id() const ABSL_LOCKS_EXCLUDED(mu_);
  absl::Time newest_time() const ABSL_LOCKS_EXCLUDED(mu_);  // Of the last Append; else 1970.
  uint64_t dropped() const ABSL_LOCKS_EXCLUDED(mu_);        // Ever.
  absl::Status trouble() const ABSL_LOCKS_EXCLUDED(mu_);

  // ---- The writer's side ----

  struct Call {
    bool stop = false;   // The last round.
    bool flush = false;  // Somebody waits in AwaitSynced: write now, whatever the back-off.
  };
  // Waits until a batch is due: `delay` after its first event, or at once when it is full or
  // must be synced, or for Flush and Stop; at most `idle` without anything. In trouble only what
  // is new counts, since what waits can't be written.
  Call AwaitWork(absl::Duration delay, absl::Duration idle) ABSL_LOCKS_EXCLUDED(mu_);

  // The oldest events, at most a batch. They stay visible to Unwritten until Written, PutBack
  // or GiveUp, one of which must follow before the next Take.
  EventBatch Take() ABSL_LOCKS_EXCLUDED(mu_);
  void Written() ABSL_LOCKS_EXCLUDED(mu_);  // It is on disk. Ends trouble.
  void PutBack() ABSL_LOCKS_EXCLUDED(mu_);  // It waits again, as if it had not been taken.
  // The disk can't be written: trouble begins or goes on. All ProbeResults are dropped and
  // counted, and so are new ones until the next Written; the rest waits again.
  void GiveUp(absl::Status why) ABSL_LOCKS_EXCLUDED(mu_);

  // Those that wait and were not exported; they count as exported from now on.
  std::vector<SharedEvent> TakeUnexported() ABSL_LOCKS_EXCLUDED(mu_);
  // Events other than ProbeResults that were dropped before any export had them: the newest
  // 1,000 since the last call.
  std::vector<SharedEvent> TakeSpilled() ABSL_LOCKS_EXCLUDED(mu_);
  DropCounts TakeDrops() ABSL_LOCKS_EXCLUDED(mu_);  // Since the last call.
  // Whether ProbeResults are taken at all (not when the disk is nearly full).
  void AcceptProbeResults(bool accept) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Lane {
    std::deque<QueuedEvent> events;
    size_t bytes = 0;
  };

  void Push(Lane* lane, QueuedEvent event, size_t count_max) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Drop(const QueuedEvent& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReturnTaken(bool probe_results_too) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  size_t size() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const EventQueueBounds bounds_;
  mutable Mutex mu_;
  CondVar work_;      // The writer waits here …
  CondVar progress_;  // … and AwaitSynced here.
  Lane probe_results_ ABSL_GUARDED_BY(mu_);
  Lane others_ ABSL_GUARDED_BY(mu_);
  EventBatch taken_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<SubscriptionQueue>> subscribers_ ABSL_GUARDED_BY(mu_);
  std::deque<SharedEvent> spilled_ ABSL_GUARDED_BY(mu_);
  uint64_t next_record_id_ ABSL_GUARDED_BY(mu_);
  uint64_t synced_id_ ABSL_GUARDED_BY(mu_) = 0;  // Ids up to it are on disk or dropped.
  uint64_t failed_attempts_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Time newest_time_ ABSL_GUARDED_BY(mu_) = absl::UnixEpoch();
  absl::Status trouble_ ABSL_GUARDED_BY(mu_);
  DropCounts drops_ ABSL_GUARDED_BY(mu_);
  uint64_t dropped_ ABSL_GUARDED_BY(mu_) = 0;
  size_t arrivals_ ABSL_GUARDED_BY(mu_) = 0;  // Since the writer last looked.
  bool flush_asked_ ABSL_GUARDED_BY(mu_) = false;
  bool urgent_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool accepts_probe_results_ ABSL_GUARDED_BY(mu_) = true;
};

}  // namespace salve

#endif  // SALVE_CHANNELS_EVENT_QUEUE_H_
