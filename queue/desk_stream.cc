#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "channels/event_text.h"
#include "config/duration.h"
#include "config/queue.h"
#include "queue/desk.h"
#include "queue/digest.h"
#include "queue/queue_events.h"

namespace salve {
namespace {

// Beyond so many that wait for a time of their own, the stream waits for the first of them.
constexpr size_t kWindow = 300;
constexpr size_t kErrorBytesMax = 1024;
constexpr absl::Duration kWaitMax = absl::Hours(24);  // Then it is asked again, whatever was said.

// What must not overtake each other: letters of an incident, deferred actions of a key.
std::string OrderKey(const queue::Message& message) {
  if (message.type() == queue::UP) return ActionKey(message.deferred());
  return message.correlation();
}

bool HasExpired(const queue::Message& message, absl::Time now) {
  return message.expires_ns() <= absl::ToUnixNanos(now);
}

std::string Text(const std::string& detail) { return CleanText(detail, kErrorBytesMax); }

std::string TriedAgain(const std::string& why, absl::Duration in) {
  return absl::StrCat(why, "; tried again in ", absl::FormatDuration(in));
}

}  // namespace

// The messages of a digest that are still to be sent.
absl::StatusOr<std::vector<StoredMessage>> QueueDesk::Composition(const Order& order) const {
  std::vector<StoredMessage> rows;
  for (const int64_t sequence : order.composition) {
    auto row = store_.Get(sequence);
    if (absl::IsNotFound(row.status())) continue;
    RETURN_IF_ERROR(row.status());
    if (row->queue != order.queue || row->suspended || row->delivering ||
        HasExpired(row->message, Now())) {
      continue;
    }
    // An acceptor may have it by now: that one is asked first, and it goes alone.
    if (!row->message.handed_to().empty()) continue;
    rows.push_back(*std::move(row));
  }
  return rows;
}

// `rows`: the first ones of the queue.
std::vector<StoredMessage> QueueDesk::Choose(const Order& order,
                                             const std::vector<StoredMessage>& rows,
                                             Picked& picked) const {
  const absl::Time now = Now();
  std::map<std::string, int64_t> earliest;  // By what must not be overtaken.
  for (const StoredMessage& row : rows) {
    const std::string key = OrderKey(row.message);
    const auto [at, is_new] = earliest.emplace(key, row.sequence);
    if (!is_new) at->second = std::min(at->second, row.sequence);
  }
  std::vector<const StoredMessage*> open;
  for (const StoredMessage& row : rows) {
    if (row.delivering) continue;
    const std::string key = OrderKey(row.message);
    if (!order.digest && !key.empty() && earliest[key] != row.sequence) continue;
    if (row.due > now) {
      picked.next_due = std::min(picked.next_due.value_or(row.due), row.due);
      if (!order.digest) continue;
    }
    open.push_back(&row);
  }
  if (open.empty()) return {};
  if (!order.digest) {
    picked.more = open.size() > 1 || rows.size() > 1;
    return {*open.front()};
  }
  std::sort(open.begin(), open.end(),
            [](const auto* a, const auto* b) { return a->sequence < b->sequence; });
  std::vector<StoredMessage> chosen;
  std::set<std::string> blocked;
  size_t bytes = 0;
  for (const StoredMessage* row : open) {
    // Before one that an acceptor may have, that one is asked: it goes alone.
    const bool asks_first = !row->message.handed_to().empty();
    const std::string key = OrderKey(row->message);
    if (row->due > now || blocked.contains(key)) {
      if (!key.empty()) blocked.insert(key);
      continue;
    }
    bytes += DigestLine(row->message).size();
    if (chosen.size() == kDigestMessagesMax ||
        (!chosen.empty() && (bytes > kDigestBytesMax || asks_first))) {
      picked.more = true;
      break;
    }
    chosen.push_back(*row);
    if (asks_first) {
      picked.more = true;
      break;
    }
  }
  picked.more |= !chosen.empty() && rows.size() == kWindow;  // Else the next due one wakes it.
  return chosen;
}

absl::StatusOr<QueueDesk::Picked> QueueDesk::Pick(const Order& order) {
  auto picked = PickNow(order);
  if (absl::IsDataLoss(picked.status())) {
    trouble_ = absl::StrCat("queue ", order.queue, " stands still: ", picked.status().message());
  }
  return picked;
}

absl::StatusOr<QueueDesk::Picked> QueueDesk::PickNow(const Order& order) {
  Picked picked;
  if (IsSuspended(order.queue)) return picked;
  std::vector<StoredMessage> chosen;
  if (!order.composition.empty()) {
    ASSIGN_OR_RETURN(chosen, Composition(order));
    picked.more = true;
  }
  if (chosen.empty()) {
    const auto hold = [this](std::vector<StoredMessage>& rows) {
      for (StoredMessage& row : rows) row.due = std::max(row.due, HeldUntil(row.message));
    };
    Order asked = order;
    // What has expired and can't be buried, as dead is full, holds up nobody.
    ASSIGN_OR_RETURN(std::vector<StoredMessage> rows, store_.Unsuspended(order.queue, 2, Now()));
    hold(rows);
    const bool head_alone = !rows.empty() && rows.front().sequence <= order.single_upto;
    asked.digest = order.digest && !head_alone;
    // The head alone is enough unless it waits, or an earlier one of it may stand behind it.
    if (rows.size() == 2 && (asked.digest || rows.front().due > Now() || rows.front().delivering ||
                             rows.front().message.priority() > 0)) {
      ASSIGN_OR_RETURN(rows, store_.Unsuspended(order.queue, kWindow, Now()));
      hold(rows);
    }
    chosen = Choose(asked, rows, picked);
    picked.unconfirmed =
        chosen.empty() && std::any_of(rows.begin(), rows.end(), [](const auto& row) {
          return row.message.unconfirmed_ns() != 0;
        });
  }
  if (chosen.empty()) return picked;
  Changes changes;
  std::vector<Step> steps;
  const std::string relay(QueueTarget(order.queue));
  const bool is_relay = QueueKindOf(order.queue) == QueueKind::kRelay;
  for (StoredMessage& row : chosen) {
    if (!MayStayIn(row.message, order.queue, *rules_)) {
      AddMove(row, RouteOf(row.message, *rules_), changes, steps, "routed anew");
      continue;
    }
    row.message.set_attempts(row.message.attempts() + 1);
    row.message.clear_unconfirmed_ns();
    if (is_relay) row.message.set_handed_to(relay);
    row.delivering = true;
    changes.updates.push_back(
        {.sequence = row.sequence, .message = row.message, .delivering = true});
    picked.messages.push_back(row);
  }
  if (!steps.empty()) picked.more = true;
  RETURN_IF_ERROR(ApplyAndTell(std::move(changes), std::move(steps)));
  return picked;
}

void QueueDesk::SettleRow(const Settlement& settlement, StoredMessage row, Changes& changes,
                          std::vector<Step>& steps) {
  using Kind = DeliveryResult::Kind;
  const int merged =
      static_cast<int>(settlement.digest_id.empty() ? 0 : settlement.sequences.size());
  if (settlement.is_at_acceptor) {  // It ends as if its answer had come.
    row.queue = absl::StrCat("relay/", row.message.handed_to());
    changes.updates.push_back({.sequence = row.sequence, .queue = row.queue});
  }
  const bool is_relay = QueueKindOf(row.queue) == QueueKind::kRelay;
  const std::string detail = Text(settlement.result.detail);
  switch (settlement.result.kind) {
    case Kind::kDelivered: {
      std::string reason = detail;
      if (is_relay) {
        reason = absl::StrCat("handed over to ", QueueTarget(row.queue));
        steps.push_back({40014, row, reason});
      } else if (merged > 0) {
        reason =
            absl::StrCat("in digest ", settlement.digest_id, detail.empty() ? "" : ": ", detail);
      }
      AddEnd(row, Final::kDone, reason, changes, steps, merged);
      steps.back().attempt_id = settlement.result.attempt_id;
      return;
    }
    case Kind::kFailed:
      AddEnd(row, Final::kFailed, detail, changes, steps);
      steps.back().attempt_id = settlement.result.attempt_id;
      return;
    case Kind::kObsolete:
      return AddEnd(row, Final::kObsolete, detail, changes, steps);
    default:
      break;
  }
  row.delivering = false;
  row.message.set_last_error(settlement.interrupted ? row.message.last_error() : detail);
  if (row.removing) return AddEnd(row, Final::kRemoved, "removed; " + detail, changes, steps);
  GoesOn(settlement, std::move(row), changes, steps);
}

// What is not at its end goes on: here, elsewhere, or in dead.
void QueueDesk::GoesOn(const Settlement& settlement, StoredMessage row, Changes& changes,
                       std::vector<Step>& steps) {
  using Kind = DeliveryResult::Kind;
  const Kind kind = settlement.result.kind;
  const int merged =
      static_cast<int>(settlement.digest_id.empty() ? 0 : settlement.sequences.size());
  const std::string why = row.message.last_error();
  const bool is_relay = QueueKindOf(row.queue) == QueueKind::kRelay;
  absl::Time due = Now();
  absl::Duration wait = settlement.retry_in;
  if (settlement.interrupted || kind == Kind::kWait) {
    row.message.set_attempts(row.message.attempts() - 1);
  }
  if (kind == Kind::kRefused && merged == 0) {
    if (is_relay) row.message.clear_handed_to();
    if (AddDeath(row, why.empty() ? "the peer refuses it" : why, changes, steps)) return;
    due = Now() + (wait = RetryWait(rules_->queue, 1'000'000));
  } else if (is_relay && !settlement.interrupted) {
    // Nobody but this server is sure to have it: it is processed here.
    if (kind == Kind::kElsewhere) row.message.clear_handed_to();
    Route route = RouteOf(row.message, *rules_);
    if (kind != Kind::kElsewhere || route.queue == row.queue) {
      QueueRules here = *rules_;
      here.mode = config::Queue::LOCALLY;
      route = RouteOf(row.message, here);
    }
    return AddMove(std::move(row), route, changes, steps, absl::StrCat("not handed over: ", why));
  } else if (kind == Kind::kFailedOn || kind == Kind::kRefused) {
    row.message.set_deliveries(row.message.deliveries() + 1);
    const int deliveries = row.message.deliveries();
    due = Now() + (wait = RetryWait(rules_->queue, deliveries));
    if (rules_->deliveries_max > 0 && deliveries >= rules_->deliveries_max &&
        AddDeath(row, absl::StrCat("failed ", deliveries, " times: ", why), changes, steps)) {
      return;
    }
  } else if (kind == Kind::kWait) {
    wait = settlement.result.again_in > absl::ZeroDuration()
               ? std::min(settlement.result.again_in, kWaitMax)
               : RetryWait(rules_->queue, row.message.attempts() + 1);
    due = Now() + wait;
  }
  if (!MayStayIn(row.message, row.queue, *rules_)) {
    return AddMove(std::move(row), RouteOf(row.message, *rules_), changes, steps, "routed anew");
  }
  changes.updates.push_back(
      {.sequence = row.sequence, .message = row.message, .delivering = false, .due = due});
  // Of a digest it is said once.
  if (settlement.interrupted || (merged > 0 && row.sequence != settlement.sequences.front()))
    return;
  steps.push_back({40003, row, TriedAgain(why, wait), 6, merged});
}

absl::Status QueueDesk::Settle(const Settlement& settlement) {
  Changes changes;
  std::vector<Step> steps;
  for (const int64_t sequence : settlement.sequences) {
    auto row = store_.Get(sequence);
    if (absl::IsNotFound(row.status())) continue;
    RETURN_IF_ERROR(row.status());
    if (!row->delivering || row->queue != settlement.queue) continue;
    SettleRow(settlement, *std::move(row), changes, steps);
  }
  return ApplyAndTell(std::move(changes), std::move(steps));
}

absl::Status QueueDesk::TellLate(const std::string& queue, const std::string& last_error) {
  ASSIGN_OR_RETURN(const std::vector<StoredMessage> rows, store_.Unsuspended(queue, kWindow));
  const absl::Time before = Now() - rules_->late_after;
  const auto late = std::find_if(rows.begin(), rows.end(), [&](const StoredMessage& row) {
    return row.message.letter().kind() != queue::Letter::LATE &&
           absl::FromUnixNanos(row.message.created_ns()) <= before;
  });
  if (late == rows.end()) return absl::NotFoundError("nothing is late");
  const queue::Message& message = late->message;
  std::vector<Submission> notices;
  for (const auto& [name, kind] : rules_->destinations) {
    if (name == message.destination()) continue;
    Submission notice;
    notice.type = queue::AR;
    notice.destination = name;
    notice.subject =
        absl::StrCat(message.destination(), " has not been reached for ",
                     DurationText(absl::Trunc(Now() - absl::FromUnixNanos(message.created_ns()),
                                              absl::Minutes(1))));
    notice.letter.set_kind(queue::Letter::LATE);
    notice.letter.set_message(absl::StrCat(CountOf(queue), " messages wait for it; the oldest is '",
                                           message.subject(),
                                           "'; the last error is: ", last_error));
    notice.letter.set_group(rules_->group);
    notice.letter.set_time_ns(absl::ToUnixNanos(Now()));
    notice.key = absl::StrCat("late/", message.mid(), "/", name);
    notices.push_back(std::move(notice));
  }
  Tell(40016, *late, last_error);
  if (notices.empty()) return absl::OkStatus();
  std::vector<std::vector<Submission>> group;
  group.push_back(std::move(notices));
  return Accept(std::move(group))[0].status();
}

}  // namespace salve
