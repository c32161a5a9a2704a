#include <algorithm>

#include "queue/dispatcher_state.h"
#include "queue/hold.h"

namespace salve {
namespace {

constexpr absl::Duration kTickEvery = absl::Minutes(1);

}  // namespace

void Dispatcher::State::Reroute(bool all, bool handed_over, std::function<void(int64_t)> done) {
  Run([all, handed_over](QueueDesk& desk) { return desk.QueuesToReroute(all, handed_over); },
      [this, done = std::move(done)](std::vector<std::string> queues) {
        RerouteFrom(std::make_shared<std::vector<std::string>>(std::move(queues)), {}, 0, done);
      });
}

// Page by page, so that accepting and delivering go on between.
void Dispatcher::State::RerouteFrom(std::shared_ptr<std::vector<std::string>> queues,
                                    QueuePlace after, int64_t moved,
                                    std::function<void(int64_t)> done) {
  // Not `done`: it is not complete. The next life routes anew.
  if (stopping && !queues->empty()) return;
  if (queues->empty()) {
    if (moved > 0) {
      PumpAll();
      ReadInbox();
    }
    return done(moved);
  }
  Run([queue = queues->back(), after](QueueDesk& desk) { return desk.Reroute(queue, after); },
      [this, queues, moved, done](absl::StatusOr<QueueDesk::Page> page) {
        const bool ends = !page.ok() || !page->next;
        if (ends) queues->pop_back();
        RerouteFrom(queues, ends ? QueuePlace() : *page->next,
                    moved + (page.ok() ? page->moved : 0), done);
      });
}

void Dispatcher::State::MakeDue(std::shared_ptr<std::vector<std::string>> queues, QueuePlace after,
                                int64_t count, std::function<void(int64_t)> done) {
  if (stopping) queues->clear();
  if (queues->empty()) {
    PumpAll();
    return done(count);
  }
  const std::string& queue = queues->back();
  if (Stream* stream = StreamOf(queue)) stream->not_before = parts.loop.Now();
  Run([queue, after](QueueDesk& desk) { return desk.MakeDue(queue, after); },
      [this, queues, count, done](absl::StatusOr<QueueDesk::Page> page) {
        const bool ends = !page.ok() || !page->next;
        if (ends) queues->pop_back();
        MakeDue(queues, ends ? QueuePlace() : *page->next, count + (page.ok() ? page->moved : 0),
                done);
      });
}

// Page by page, as above. What can't be written now is tried again by the tick.
void Dispatcher::State::ReleaseHeld() {
  if (releasing || stopping || !HasHeld(picture.rows)) return;
  releasing = true;
  Run([](QueueDesk& desk) { return desk.ReleaseHeld(); },
      [this](const absl::StatusOr<bool>& released) {
        releasing = false;
        if (released.ok() && *released) ReleaseHeld();
      });
}

// Each minute: the store keeps house, acceptors come back, late destinations are told of.
void Dispatcher::State::Tick() {
  tick = parts.loop.CallAfter(kTickEvery, [this] {
    Tick();
    Run([this](QueueDesk& desk) { return desk.Keep([this] { return AreEventsOnDisk(); }); },
        [](absl::Status) {});
    Expire();
    ReadInbox();
    ReleaseHeld();
    TellLate();
    const Instant now = parts.loop.Now();
    if (std::erase_if(acceptors_out, [&](const auto& out) { return out.second <= now; }) > 0) {
      OnAcceptorBack();
    }
  });
}

void Dispatcher::State::OnAcceptorBack() {
  MakeRules();
  // What came back from an acceptor and is not delivered here either has another chance there.
  const bool is_out = std::any_of(streams.begin(), streams.end(),
                                  [](const auto& one) { return one.second->failures > 0; });
  if (is_out && rules->mode == config::Queue::REMOTELY) Reroute(false, true, [](int64_t) {});
}

void Dispatcher::State::ExpireSoon(absl::Time when) {
  if (stopping || when == absl::InfiniteFuture()) return;
  const Instant at = parts.loop.Now() + std::max(when - WallNow(), absl::Milliseconds(1));
  if (expiry != TimerId::kNone && expiry_at <= at) return;
  parts.loop.CancelTimer(expiry);
  expiry_at = at;
  expiry = parts.loop.CallAt(at, [this] {
    expiry = TimerId::kNone;
    Expire();
  });
}

void Dispatcher::State::Expire() {
  if (preparing) return;  // It must not change any more.
  Run([](QueueDesk& desk) { return desk.Expire(); },
      [this](absl::StatusOr<std::optional<absl::Time>> next) {
        if (next.ok() && next->has_value()) ExpireSoon(**next);
        PumpAll();
      });
}

void Dispatcher::State::TellLate() {
  if (rules->late_after <= absl::ZeroDuration()) return;
  for (auto& [queue, stream] : streams) {
    if (stream->failures == 0 || stream->is_late_told || QueueKindOf(queue) != QueueKind::kRemote) {
      continue;
    }
    Run([queue = queue,
         error = stream->last_error](QueueDesk& desk) { return desk.TellLate(queue, error); },
        [this, queue = queue](const absl::Status& told) {
          Stream* late = StreamOf(queue);
          if (told.ok() && late != nullptr) late->is_late_told = true;
          if (told.ok()) PumpAll();
        });
  }
}

}  // namespace salve
