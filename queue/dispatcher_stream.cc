#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "config/queue.h"
#include "queue/digest.h"
#include "queue/dispatcher_state.h"

namespace salve {
namespace {

constexpr int kActiveMax = 64;  // Deliveries at once, over all streams.
constexpr absl::Duration kTransferTimeout = absl::Seconds(30);
constexpr absl::Duration kActionTimeout = absl::Hours(3);  // The actions have limits of their own.
constexpr absl::Duration kStoreRetry = absl::Seconds(5);
constexpr absl::Duration kAcceptorOut = absl::Minutes(1);
constexpr absl::Duration kAttemptUnderWay = absl::Minutes(1);

bool HasStream(const std::string& queue) {
  const auto kind = QueueKindOf(queue);
  return kind == QueueKind::kLocal || kind == QueueKind::kRemote || kind == QueueKind::kRelay;
}

}  // namespace

bool Dispatcher::State::TakesDigests(const std::string& queue) const {
  if (QueueKindOf(queue) != QueueKind::kRemote) return false;
  const auto destination = rules->destinations.find(std::string(QueueTarget(queue)));
  return destination != rules->destinations.end() &&
         destination->second == DestinationKind::kLetters;
}

Dispatcher::State::Stream* Dispatcher::State::StreamOf(const std::string& queue) {
  const auto found = streams.find(queue);
  return found == streams.end() ? nullptr : found->second.get();
}

void Dispatcher::State::PumpAll() {
  if (!MayDeliver()) return;
  for (const QueueRow& row : picture.rows) {
    if (row.messages > 0 && !row.suspended && HasStream(row.name)) Pump(row.name);
  }
}

void Dispatcher::State::Pump(const std::string& queue) {
  if (!MayDeliver()) return;
  if (is_ready.insert(queue).second) ready.push_back(queue);
  if (pump_posted) return;  // Asked also of one that is ready: a pause may have left it there.
  pump_posted = true;
  parts.loop.Post([self = weak_from_this()] {
    if (const auto state = self.lock()) state->PumpNext();
  });
}

// As many streams as may be busy; the others keep their turn.
void Dispatcher::State::PumpNext() {
  pump_posted = false;
  while (!ready.empty() && active < kActiveMax && MayDeliver()) {
    const std::string queue = std::move(ready.front());
    ready.pop_front();
    is_ready.erase(queue);
    std::unique_ptr<Stream>& stream = streams[queue];
    if (stream == nullptr) {
      stream = std::make_unique<Stream>();
      stream->queue = queue;
      stream->not_before = parts.loop.Now();
      if (const auto digest = resumed_digests.extract(queue); !digest.empty()) {
        stream->composition = digest.mapped();
      }
      if (const auto single = resumed_singles.extract(queue); !single.empty()) {
        stream->single_upto = single.mapped();
      }
    }
    Begin(*stream);
  }
}

void Dispatcher::State::Begin(Stream& stream) {
  if (stream.busy) {
    stream.again = true;
    return;
  }
  const Instant now = parts.loop.Now();
  if (stream.not_before > now) return WakeAt(stream, stream.not_before);
  const bool takes_digests = TakesDigests(stream.queue);
  if (takes_digests) {
    const Instant room = stream.window.RoomAt(now, rules->digest_after, rules->digest_window);
    if (room > now) {
      stream.collecting = true;
      return WakeAt(stream, room);
    }
  }
  parts.loop.CancelTimer(std::exchange(stream.timer, TimerId::kNone));
  stream.timer_at = Instant::InfiniteFuture();
  stream.busy = true;
  stream.again = false;
  ++active;
  QueueDesk::Order order{.queue = stream.queue,
                         .digest = takes_digests && stream.collecting,
                         .composition = takes_digests ? stream.composition : std::vector<int64_t>(),
                         .single_upto = stream.single_upto};
  const bool digest = order.digest || !order.composition.empty();
  Run([order = std::move(order)](QueueDesk& desk) { return desk.Pick(order); },
      [this, queue = stream.queue, digest](absl::StatusOr<QueueDesk::Picked> picked) {
        OnPicked(queue, std::move(picked), digest);
      });
}

void Dispatcher::State::OnPicked(const std::string& queue, absl::StatusOr<QueueDesk::Picked> picked,
                                 bool digest) {
  Stream& stream = *StreamOf(queue);
  if (!picked.ok()) {
    stream.last_error = std::string(picked.status().message());
    Free(stream);
    return Wait(stream, kStoreRetry);
  }
  stream.unconfirmed = picked->unconfirmed;
  if (picked->messages.empty()) {
    stream.composition.clear();
    // Nothing is left that would have to be collected.
    if (!picked->next_due.has_value() && !picked->more) stream.collecting = false;
    Free(stream);
    if (picked->more) return Pump(queue);
    if (picked->next_due.has_value()) {
      WakeAt(stream,
             parts.loop.Now() + std::max(*picked->next_due - WallNow(), absl::Milliseconds(1)));
    } else if (!stream.again && stream.failures == 0 && stream.timer == TimerId::kNone &&
               QueueKindOf(queue) != QueueKind::kRemote) {
      streams.erase(queue);  // There may be as many as resources.
    }
    return;
  }
  if (digest && !picked->more) stream.collecting = false;
  for (const StoredMessage& row : picked->messages) stream.sequences.push_back(row.sequence);
  // While it was picked a reload may have made another kind of place of it, which takes no digest.
  const bool is_misfit = picked->messages.size() > 1 && !TakesDigests(queue);
  if (stopping || is_misfit) {
    if (is_misfit) stream.composition.clear();
    QueueDesk::Settlement settlement{.queue = queue, .sequences = stream.sequences};
    settlement.result.kind = DeliveryResult::Kind::kNotReached;
    settlement.interrupted = true;
    return Settle(queue, std::move(settlement));
  }
  Deliver(stream, picked->messages);
}

void Dispatcher::State::Deliver(Stream& stream, const std::vector<StoredMessage>& messages) {
  const auto kind = *QueueKindOf(stream.queue);
  absl::Duration timeout = kTransferTimeout;
  Deliverer* deliverer = &parts.relays;
  if (kind == QueueKind::kLocal) {
    const auto known =
        parts.attempt_of ? parts.attempt_of(messages.front().message.mid()) : std::nullopt;
    if (known.has_value()) {
      // It has begun before, and its effect runs at most once.
      DeliveryResult result{
          .kind = DeliveryResult::Kind::kFailed, .detail = "crashed", .attempt_id = known->id};
      if (known->in_progress) {
        result.kind = DeliveryResult::Kind::kWait;
        result.detail = "its attempt is still under way";
        result.again_in = kAttemptUnderWay;
      } else if (!known->crashed) {
        if (known->result == "Succeeded") result.kind = DeliveryResult::Kind::kDelivered;
        result.detail = known->result;
      }
      return OnDelivered(stream.queue, std::move(result));
    }
    deliverer = &parts.actions;
    timeout = kActionTimeout;
  } else if (kind == QueueKind::kRemote) {
    if (messages.size() == 1 && !messages.front().message.handed_to().empty() &&
        !stream.asked_acceptor) {
      return AskAcceptor(stream, messages.front());
    }
    const bool letters = TakesDigests(stream.queue);
    deliverer = letters ? &parts.letters : &parts.forwards;
    if (letters) {
      timeout = rules->letter_timeout;
      stream.window.Add(parts.loop.Now());
    }
  }
  std::vector<queue::Message> cargo;
  std::vector<std::string> mids;
  for (const StoredMessage& row : messages) {
    mids.push_back(row.message.mid());
    cargo.push_back(row.message);
  }
  if (mids.size() > 1) {
    stream.digest_id = DigestId(mids);
    stream.composition = stream.sequences;
  }
  stream.deliverer = deliverer;
  FaultPoint("queue.deliver.begin");
  stream.delivery =
      deliverer->Start(stream.queue, cargo, parts.loop.Now() + timeout,
                       [self = weak_from_this(), queue = stream.queue](DeliveryResult result) {
                         if (const auto state = self.lock())
                           state->OnDelivered(queue, std::move(result));
                       });
}

void Dispatcher::State::OnDelivered(const std::string& queue, DeliveryResult result) {
  FaultPoint("queue.deliver.ended");
  using Kind = DeliveryResult::Kind;
  Stream& stream = *StreamOf(queue);
  stream.deliverer = nullptr;
  const bool is_relay = QueueKindOf(queue) == QueueKind::kRelay;
  // Only an acceptor has a neighbour.
  if (result.kind == Kind::kElsewhere && !is_relay) result.kind = Kind::kNotReached;
  QueueDesk::Settlement settlement{.queue = queue,
                                   .sequences = stream.sequences,
                                   .result = std::move(result),
                                   .digest_id = stream.digest_id,
                                   .is_at_acceptor = stream.is_at_acceptor};
  const DeliveryResult& said = settlement.result;
  if (said.kind == Kind::kNotReached) {
    settlement.retry_in = said.again_in > absl::ZeroDuration()
                              ? said.again_in
                              : RetryWait(rules->queue, stream.failures + 1);
  }
  if (is_relay && (said.kind == Kind::kNotReached || said.kind == Kind::kFailedOn ||
                   said.kind == Kind::kElsewhere)) {
    OnAcceptorFailed(std::string(QueueTarget(queue)));
  }
  Settle(queue, std::move(settlement));
}

// It has been delivered, or not: that must be kept, however long it takes.
void Dispatcher::State::Settle(const std::string& queue, QueueDesk::Settlement settlement) {
  auto shared = std::make_shared<const QueueDesk::Settlement>(std::move(settlement));
  Run([shared](QueueDesk& desk) { return desk.Settle(*shared); },
      [this, queue, shared](const absl::Status& settled) {
        if (settled.ok()) {
          DeliveryResult result = shared->result;
          if (result.kind == DeliveryResult::Kind::kNotReached) result.again_in = shared->retry_in;
          if (shared->interrupted) result.again_in = absl::Seconds(1);
          return OnSettled(queue, result, shared->sequences.size());
        }
        Stream& stream = *StreamOf(queue);
        stream.last_error = std::string(settled.message());
        // At the end of a stop nothing waits for the disk: it stays in flight, as after a crash.
        if (stopping && stop_deadline == TimerId::kNone) return Free(stream);
        stream.unsettled = true;
        stream.timer = parts.loop.CallAfter(kStoreRetry, [this, queue, shared] {
          StreamOf(queue)->timer = TimerId::kNone;
          StreamOf(queue)->unsettled = false;
          Settle(queue, *shared);
        });
      });
}

void Dispatcher::State::OnSettled(const std::string& queue, const DeliveryResult& result,
                                  size_t count) {
  using Kind = DeliveryResult::Kind;
  Stream& stream = *StreamOf(queue);
  const bool is_digest = count > 1;
  if (is_digest && result.kind == Kind::kRefused) {
    // It may be one of them: they go one by one.
    stream.single_upto = *std::max_element(stream.composition.begin(), stream.composition.end());
    stream.composition.clear();
  }
  if (result.kind == Kind::kDelivered) stream.composition.clear();
  Free(stream);
  if (result.kind == Kind::kNotReached) {
    ++stream.failures;
    stream.last_error = result.detail;
    // What waits for an acceptor goes elsewhere by itself.
    if (QueueKindOf(queue) != QueueKind::kRelay) Wait(stream, result.again_in);
  } else {
    stream.failures = 0;
    stream.is_late_told = false;
    if (result.kind == Kind::kDelivered)
      stream.last_error.clear();
    else
      stream.last_error = result.detail;
    if (is_digest && result.kind == Kind::kFailedOn) Wait(stream, RetryWait(rules->queue, 1));
  }
  // Back here from an acceptor, or the next one of this stream.
  if (QueueKindOf(queue) == QueueKind::kRelay) PumpAll();
  Pump(queue);
}

void Dispatcher::State::Free(Stream& stream) {
  stream.busy = false;
  stream.sequences.clear();
  stream.digest_id.clear();
  stream.asked_acceptor = false;
  stream.is_at_acceptor = false;
  --active;
  if (stream.again) Pump(stream.queue);
  if (!ready.empty() && !pump_posted) {
    pump_posted = true;
    parts.loop.Post([self = weak_from_this()] {
      if (const auto state = self.lock()) state->PumpNext();
    });
  }
}

void Dispatcher::State::Wait(Stream& stream, absl::Duration wait) {
  stream.not_before = parts.loop.Now() + wait;
  WakeAt(stream, stream.not_before);
}

void Dispatcher::State::WakeAt(Stream& stream, Instant when) {
  if (stream.timer != TimerId::kNone && stream.timer_at <= when) return;
  parts.loop.CancelTimer(stream.timer);
  stream.timer_at = when;
  stream.timer = parts.loop.CallAt(when, [this, queue = stream.queue] {
    Stream& woken = *StreamOf(queue);
    woken.timer = TimerId::kNone;
    woken.timer_at = Instant::InfiniteFuture();
    Pump(queue);
  });
}

// What waits for it goes to the next one, or is processed here.
void Dispatcher::State::OnAcceptorFailed(const std::string& acceptor) {
  acceptors_out[acceptor] = parts.loop.Now() + kAcceptorOut;
  MakeRules();
  Reroute(false, false, [](int64_t) {});
}

}  // namespace salve
