#include "channels/event_queue.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "channels/event_filter.h"

namespace salve {
namespace {

constexpr size_t kSpilledMax = 1'000;

bool IsProbeResult(const v1::Event& event) { return event.channel() == v1::ProbeResult; }

bool IsRecoveryAction(const v1::Event& event) {
  return event.channel() == v1::RecoveryActionLogs || event.channel() == v1::RecoveryActionResults;
}

// Protobuf's objects and the texts in them take roughly twice what they take on the wire.
size_t EstimateBytes(const v1::Event& event) { return 400 + 2 * event.ByteSizeLong(); }

}  // namespace

void EventQueue::SkipTo(uint64_t record_id) {
  MutexLock lock(&mu_);
  next_record_id_ = std::max(next_record_id_, record_id);
}

uint64_t EventQueue::Append(v1::Event event) {
  const size_t bytes = EstimateBytes(event);
  auto shared = std::make_shared<v1::Event>(std::move(event));
  MutexLock lock(&mu_);
  const uint64_t id = next_record_id_++;
  shared->set_record_id(id);
  newest_time_ = ToTime(shared->time());
  std::erase_if(subscribers_, [](const auto& subscriber) { return subscriber->closed(); });
  for (const auto& subscriber : subscribers_) subscriber->Offer(shared);

  QueuedEvent queued{.event = shared, .bytes = bytes};
  if (IsProbeResult(*shared)) {
    if (!trouble_.ok() || !accepts_probe_results_) {
      Drop(queued);
      return id;
    }
    Push(&probe_results_, std::move(queued), bounds_.probe_results_max);
  } else {
    Push(&others_, std::move(queued), bounds_.others_max);
  }
  urgent_ = urgent_ || IsRecoveryAction(*shared);
  // The writer is woken when it may have to begin or to end its wait for company; events between
  // need not wake it.
  if (++arrivals_ == 1 || urgent_ || size() == bounds_.batch_events_max) work_.SignalAll();
  return id;
}

void EventQueue::Push(Lane* lane, QueuedEvent event, size_t count_max) {
  lane->bytes += event.bytes;
  lane->events.push_back(std::move(event));
  while (lane->events.size() > count_max ||
         (lane->bytes > bounds_.bytes_max && lane->events.size() > 1)) {
    Drop(lane->events.front());
    lane->bytes -= lane->events.front().bytes;
    lane->events.pop_front();
  }
}

void EventQueue::Drop(const QueuedEvent& event) {
  ++dropped_;
  if (IsProbeResult(*event.event)) {
    ++drops_.probe_results;
    return;
  }
  ++drops_.others;
  if (event.exported) return;
  spilled_.push_back(event.event);
  if (spilled_.size() > kSpilledMax) spilled_.pop_front();
}

size_t EventQueue::size() const { return probe_results_.events.size() + others_.events.size(); }

absl::Status EventQueue::AwaitSynced(absl::Duration timeout) {
  // Woken by each batch, it waits on in slices, so that a stream of batches can't keep it longer
  // than about the timeout; no clock is needed for that.
  constexpr absl::Duration kSlice = absl::Milliseconds(10);
  MutexLock lock(&mu_);
  const uint64_t target = next_record_id_ - 1;
  const uint64_t failed_before = failed_attempts_;
  while (synced_id_ < target) {
    if (failed_attempts_ != failed_before) return absl::UnavailableError(trouble_.message());
    if (timeout <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError("events are not on disk yet");
    }
    flush_asked_ = true;  // Again for each batch, until ours was in one.
    work_.SignalAll();
    if (!progress_.WaitFor(&mu_, std::min(timeout, kSlice))) timeout -= kSlice;
  }
  return absl::OkStatus();
}

std::vector<SharedEvent> EventQueue::Unwritten(const v1::QueryEventsRequest& request) const {
  std::vector<SharedEvent> waiting;
  {
    MutexLock lock(&mu_);
    waiting.reserve(size());
    if (taken_.events != nullptr) {
      for (const QueuedEvent& queued : *taken_.events) waiting.push_back(queued.event);
    }
    for (const Lane* lane : {&probe_results_, &others_}) {
      for (const QueuedEvent& queued : lane->events) waiting.push_back(queued.event);
    }
  }
  const auto& ids = request.record_id();
  std::erase_if(waiting, [&](const SharedEvent& event) {
    return !Matches(request, *event) ||
           (!ids.empty() && std::find(ids.begin(), ids.end(), event->record_id()) == ids.end());
  });
  std::sort(waiting.begin(), waiting.end(), [](const SharedEvent& a, const SharedEvent& b) {
    return a->record_id() < b->record_id();
  });
  return waiting;
}

std::shared_ptr<SubscriptionQueue> EventQueue::Subscribe(v1::QueryEventsRequest filter) {
  MutexLock lock(&mu_);
  std::erase_if(subscribers_, [](const auto& subscriber) { return subscriber->closed(); });
  if (subscribers_.size() >= bounds_.subscribers_max) return nullptr;
  subscribers_.push_back(
      std::make_shared<SubscriptionQueue>(std::move(filter), bounds_.subscriber_events_max));
  if (stopping_) subscribers_.back()->Close();
  return subscribers_.back();
}

void EventQueue::Stop() {
  MutexLock lock(&mu_);
  stopping_ = true;
  for (const auto& subscriber : subscribers_) subscriber->Close();
  work_.SignalAll();
}

uint64_t EventQueue::next_record_id() const {
  MutexLock lock(&mu_);
  return next_record_id_;
}

absl::Time EventQueue::newest_time() const {
  MutexLock lock(&mu_);
  return newest_time_;
}

uint64_t EventQueue::dropped() const {
  MutexLock lock(&mu_);
  return dropped_;
}

absl::Status EventQueue::trouble() const {
  MutexLock lock(&mu_);
  return trouble_;
}

EventQueue::Call EventQueue::AwaitWork(absl::Duration delay, absl::Duration idle) {
  MutexLock lock(&mu_);
  const auto has_work = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return trouble_.ok() ? size() > 0 : arrivals_ > 0;
  };
  const auto must_not_wait = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return stopping_ || flush_asked_ || urgent_;
  };
  if (!has_work() && !must_not_wait()) work_.WaitFor(&mu_, idle);
  const bool full = trouble_.ok() && size() >= bounds_.batch_events_max;
  if (has_work() && !must_not_wait() && !full) work_.WaitFor(&mu_, delay);
  arrivals_ = 0;
  urgent_ = false;
  return {.stop = stopping_, .flush = flush_asked_};
}

EventBatch EventQueue::Take() {
  MutexLock lock(&mu_);
  auto batch = std::make_shared<std::vector<QueuedEvent>>();
  const auto front_id = [](const Lane& lane) {
    return lane.events.empty() ? std::numeric_limits<uint64_t>::max()
                               : lane.events.front().event->record_id();
  };
  bool synced = std::exchange(flush_asked_, false);
  while (size() > 0 && batch->size() < bounds_.batch_events_max) {
    Lane& lane = front_id(probe_results_) < front_id(others_) ? probe_results_ : others_;
    lane.bytes -= lane.events.front().bytes;
    synced = synced || IsRecoveryAction(*lane.events.front().event);
    batch->push_back(std::move(lane.events.front()));
    lane.events.pop_front();
  }
  taken_ = {.events = std::move(batch), .synced = synced};
  return taken_;
}

void EventQueue::Written() {
  MutexLock lock(&mu_);
  // What waits has higher ids than what was taken; when nothing waits, all ids are settled.
  if (taken_.synced) {
    uint64_t waiting = next_record_id_;
    for (const Lane* lane : {&probe_results_, &others_}) {
      if (!lane->events.empty()) {
        waiting = std::min(waiting, lane->events.front().event->record_id());
      }
    }
    synced_id_ = waiting - 1;
  }
  taken_ = {};
  trouble_ = absl::OkStatus();
  progress_.SignalAll();
}

void EventQueue::ReturnTaken(bool probe_results_too) {
  if (taken_.events == nullptr) return;
  for (auto queued = taken_.events->rbegin(); queued != taken_.events->rend(); ++queued) {
    const bool is_probe_result = IsProbeResult(*queued->event);
    if (is_probe_result && !probe_results_too) {
      Drop(*queued);
      continue;
    }
    Lane& lane = is_probe_result ? probe_results_ : others_;
    lane.bytes += queued->bytes;
    lane.events.push_front(*queued);
  }
  taken_ = {};
}

void EventQueue::PutBack() {
  MutexLock lock(&mu_);
  ReturnTaken(/*probe_results_too=*/true);
}

void EventQueue::GiveUp(absl::Status why) {
  MutexLock lock(&mu_);
  ReturnTaken(/*probe_results_too=*/false);
  for (const QueuedEvent& queued : probe_results_.events) Drop(queued);
  probe_results_ = {};
  trouble_ = std::move(why);
  flush_asked_ = false;
  ++failed_attempts_;
  progress_.SignalAll();
}

std::vector<SharedEvent> EventQueue::TakeUnexported() {
  MutexLock lock(&mu_);
  std::vector<SharedEvent> events;
  // Those already exported stand in front: everything is exported in order.
  for (auto queued = others_.events.rbegin(); queued != others_.events.rend() && !queued->exported;
       ++queued) {
    queued->exported = true;
    events.push_back(queued->event);
  }
  std::reverse(events.begin(), events.end());
  return events;
}

std::vector<SharedEvent> EventQueue::TakeSpilled() {
  MutexLock lock(&mu_);
  std::vector<SharedEvent> events(spilled_.begin(), spilled_.end());
  spilled_.clear();
  return events;
}

DropCounts EventQueue::TakeDrops() {
  MutexLock lock(&mu_);
  return std::exchange(drops_, {});
}

void EventQueue::AcceptProbeResults(bool accept) {
  MutexLock lock(&mu_);
  accepts_probe_results_ = accept;
}

}  // namespace salve
