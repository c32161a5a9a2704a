// EventSubscription: the events that match a filter, as they are appended. The store puts them
// into a bounded queue of the subscriber; a subscriber that does not keep up loses the oldest
// and is told how many. Its methods are for one thread at a time (any); it may outlive the store.
#ifndef SALVE_CHANNELS_EVENT_SUBSCRIPTION_H_
#define SALVE_CHANNELS_EVENT_SUBSCRIPTION_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "api/events.pb.h"
#include "api/salve.pb.h"
#include "base/mutex.h"

namespace salve {

using SharedEvent = std::shared_ptr<const v1::Event>;

// The queue between the store and one subscriber. Thread-safe.
class SubscriptionQueue {
 public:
  SubscriptionQueue(v1::QueryEventsRequest filter, size_t events_max)
      : filter_(std::move(filter)), events_max_(events_max) {}

  // Takes the event when it matches; drops the oldest when full.
  void Offer(const SharedEvent& event) ABSL_LOCKS_EXCLUDED(mu_);
  // From either side: no event follows; wakes who waits.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);
  bool closed() const ABSL_LOCKS_EXCLUDED(mu_);

  struct Taken {
    std::vector<SharedEvent> events;
    uint64_t missed = 0;  // Events lost before `events`, since the last Take.
    bool closed = false;  // The store is gone and the queue is empty.
  };
  Taken Take(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const v1::QueryEventsRequest filter_;
  const size_t events_max_;
  mutable Mutex mu_;
  CondVar changed_;
  std::deque<SharedEvent> events_ ABSL_GUARDED_BY(mu_);
  uint64_t missed_ ABSL_GUARDED_BY(mu_) = 0;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

class EventSubscription {
 public:
  // `first` (oldest first) is given out before what the queue holds; of the queue, events up to
  // the last record id of `first` are left out, so that each comes exactly once.
  EventSubscription(std::shared_ptr<SubscriptionQueue> queue, std::vector<v1::Event> first);
  ~EventSubscription();  // Ends the subscription.
  EventSubscription(const EventSubscription&) = delete;
  EventSubscription& operator=(const EventSubscription&) = delete;

  struct Batch {
    std::vector<v1::Event> events;  // In order; empty when `timeout` passed without any.
    uint64_t missed = 0;            // Lost just before `events`: this subscriber was too slow.
    bool closed = false;            // The store was closed: nothing follows.
  };
  // Waits at most `timeout` for the next events and gives all that are there (at most 1,000).
  Batch Next(absl::Duration timeout);

 private:
  const std::shared_ptr<SubscriptionQueue> queue_;
  std::vector<v1::Event> first_;
  const uint64_t after_;  // Record ids up to this one were in `first_`.
};

}  // namespace salve

#endif  // SALVE_CHANNELS_EVENT_SUBSCRIPTION_H_
