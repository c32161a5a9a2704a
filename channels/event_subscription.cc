#include "channels/event_subscription.h"

#include <algorithm>

#include "channels/event_filter.h"

namespace salve {
namespace {

constexpr size_t kBatchMax = 1'000;

}  // namespace

void SubscriptionQueue::Offer(const SharedEvent& event) {
  if (!Matches(filter_, *event)) return;
  {
    MutexLock lock(&mu_);
    if (closed_) return;
    if (events_.size() >= events_max_) {
      events_.pop_front();
      ++missed_;
    }
    events_.push_back(event);
  }
  changed_.SignalAll();
}

void SubscriptionQueue::Close() {
  {
    MutexLock lock(&mu_);
    closed_ = true;
  }
  changed_.SignalAll();
}

bool SubscriptionQueue::closed() const {
  MutexLock lock(&mu_);
  return closed_;
}

SubscriptionQueue::Taken SubscriptionQueue::Take(absl::Duration timeout) {
  MutexLock lock(&mu_);
  // Woken for no reason, it waits anew: a Take may take a little longer than its timeout, but
  // only the store's signals end it early and empty-handed.
  while (events_.empty() && !closed_) {
    if (!changed_.WaitFor(&mu_, timeout)) break;
  }
  Taken taken{.events = {}, .missed = missed_, .closed = closed_ && events_.empty()};
  missed_ = 0;
  const size_t count = std::min(events_.size(), kBatchMax);
  taken.events.assign(events_.begin(), events_.begin() + count);
  events_.erase(events_.begin(), events_.begin() + count);
  return taken;
}

EventSubscription::EventSubscription(std::shared_ptr<SubscriptionQueue> queue,
                                     std::vector<v1::Event> first)
    : queue_(std::move(queue)),
      first_(std::move(first)),
      after_(first_.empty() ? 0 : first_.back().record_id()) {}

EventSubscription::~EventSubscription() { queue_->Close(); }

EventSubscription::Batch EventSubscription::Next(absl::Duration timeout) {
  if (!first_.empty()) return {.events = std::exchange(first_, {}), .missed = 0, .closed = false};
  const SubscriptionQueue::Taken taken = queue_->Take(timeout);
  Batch batch{.events = {}, .missed = taken.missed, .closed = taken.closed};
  for (const SharedEvent& event : taken.events) {
    if (event->record_id() > after_) batch.events.push_back(*event);
  }
  return batch;
}

}  // namespace salve
