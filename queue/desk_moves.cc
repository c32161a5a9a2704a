#include <algorithm>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "queue/desk.h"
#include "queue/queue_events.h"

namespace salve {
namespace {

constexpr size_t kPage = 500;
constexpr size_t kEndsMax = 1000;
constexpr size_t kUntoldMax = 5000;
// Longer than any action may take.
constexpr absl::Duration kAttemptKnownWithin = absl::Hours(2);
constexpr absl::Duration kToldAfter = absl::Seconds(10);  // Events are on disk long before.
constexpr absl::Duration kLookAgain = absl::Seconds(10);  // For what has expired and stays.
constexpr int kPoisonAt = 2;
constexpr char kKilledTwice[] = "its action killed the agent twice";
constexpr int64_t kLast = std::numeric_limits<int64_t>::max();  // Sequence.

std::optional<QueuePlace> NextPage(const std::vector<StoredMessage>& rows) {
  if (rows.size() < kPage) return std::nullopt;
  return QueuePlace{-rows.back().message.priority(), rows.back().sequence};
}

}  // namespace

absl::StatusOr<std::optional<absl::Time>> QueueDesk::Expire() {
  auto next = ExpireBy(Now());
  if (absl::IsDataLoss(next.status())) {
    trouble_ = absl::StrCat("what has expired stays: ", next.status().message());
  }
  return next;
}

absl::StatusOr<std::optional<absl::Time>> QueueDesk::ExpireBy(absl::Time now) {
  ASSIGN_OR_RETURN(const std::vector<StoredMessage> rows,
                   store_.ExpiringBy(now, kPage, expired_upto_));
  const bool is_first = expired_upto_.sequence == 0;
  const bool is_last = rows.size() < kPage;
  Changes changes;
  std::vector<Step> steps;
  bool stays = false;
  for (const StoredMessage& row : rows) {
    if (row.delivering || HeldQueueOf(row.queue)) {  // Its attempt decides, or a person.
      stays = true;
      continue;
    }
    const std::string& why = row.message.last_error();
    const bool refused = QueueKindOf(row.queue) == QueueKind::kLocal && !why.empty();
    if (refused) {
      AddEnd(row, Final::kRejected, why, changes, steps);
    } else if (!AddDeath(row, absl::StrCat("expired", why.empty() ? "" : ": ", why), changes,
                         steps)) {
      stays = true;
    }
  }
  RETURN_IF_ERROR(ApplyAndTell(std::move(changes), std::move(steps)));
  if (!is_last) {
    expired_upto_ = {rows.back().message.expires_ns(), rows.back().sequence};
    return std::optional(now);
  }
  expired_upto_ = {};
  std::optional<absl::Time> next;
  ASSIGN_OR_RETURN(const std::vector<StoredMessage> first,
                   store_.ExpiringBy(absl::InfiniteFuture(), 1, {absl::ToUnixNanos(now), kLast}));
  if (!first.empty()) next = absl::FromUnixNanos(first.front().message.expires_ns());
  // When many stay, looking at them again and again costs more than it brings: the tick does.
  if (stays && is_first) next = std::min(next.value_or(absl::InfiniteFuture()), now + kLookAgain);
  return next;
}

std::vector<std::string> QueueDesk::QueuesToReroute(bool all, bool handed_over) const {
  std::vector<std::string> queues;
  for (const QueueRow& row : store_.Queues()) {
    const auto kind = QueueKindOf(row.name);
    if (!kind || row.messages == 0) continue;
    const std::string target(QueueTarget(row.name));
    bool asks = all && IsOnItsWay(row.name);
    if (*kind == QueueKind::kUnreachable || *kind == QueueKind::kSubmission) asks = true;
    if (*kind == QueueKind::kRelay) {
      asks |= rules_->mode != config::Queue::REMOTELY ||
              std::find(rules_->acceptors.begin(), rules_->acceptors.end(), target) ==
                  rules_->acceptors.end();
    }
    if (*kind == QueueKind::kRemote) {
      const auto destination = rules_->destinations.find(target);
      asks |=
          destination == rules_->destinations.end() ||
          destination->second == DestinationKind::kThisServer ||
          (handed_over && rules_->mode == config::Queue::REMOTELY && !rules_->acceptors.empty());
    }
    if (asks) queues.push_back(row.name);
  }
  return queues;
}

absl::StatusOr<QueueDesk::Page> QueueDesk::Reroute(const std::string& queue,
                                                   const QueuePlace& after) {
  ASSIGN_OR_RETURN(const std::vector<StoredMessage> rows, store_.ListAfter(queue, kPage, after));
  Changes changes;
  std::vector<Step> steps;
  for (const StoredMessage& row : rows) {
    if (row.delivering) continue;
    const Route route = RouteOf(row.message, *rules_);
    if (route.queue == row.queue && route.unreachable_reason == row.message.unreachable_reason()) {
      continue;
    }
    if (route.queue == row.queue) {
      StoredMessage changed = row;
      changed.message.set_unreachable_reason(route.unreachable_reason);
      changes.updates.push_back({.sequence = row.sequence, .message = changed.message});
      continue;
    }
    AddMove(row, route, changes, steps, "routed anew");
  }
  Page page;
  page.moved = static_cast<int64_t>(steps.size());
  page.next = NextPage(rows);
  RETURN_IF_ERROR(ApplyAndTell(std::move(changes), std::move(steps)));
  return page;
}

absl::StatusOr<QueueDesk::Page> QueueDesk::MakeDue(const std::string& queue,
                                                   const QueuePlace& after) {
  ASSIGN_OR_RETURN(const std::vector<StoredMessage> rows, store_.ListAfter(queue, kPage, after));
  Changes changes;
  for (const StoredMessage& row : rows) {
    if (!row.delivering && row.due > Now()) {
      changes.updates.push_back({.sequence = row.sequence, .due = Now()});
    }
  }
  Page page;
  page.moved = static_cast<int64_t>(rows.size());
  page.next = NextPage(rows);
  RETURN_IF_ERROR(ApplyAndTell(std::move(changes), {}));
  return page;
}

absl::Status QueueDesk::PoisonKey(const std::string& key) {
  for (const QueueRow& queue : store_.Queues()) {
    if (QueueKindOf(queue.name) != QueueKind::kLocal) continue;
    for (std::optional<QueuePlace> place = QueuePlace(); place;) {
      ASSIGN_OR_RETURN(const std::vector<StoredMessage> rows,
                       store_.ListAfter(queue.name, kPage, *place));
      Changes changes;
      std::vector<Step> steps;
      for (const StoredMessage& row : rows) {
        if (!row.delivering && ActionKey(row.message.deferred()) == key) {
          AddPoison(row, kKilledTwice, changes, steps);
        }
      }
      place = NextPage(rows);
      RETURN_IF_ERROR(ApplyAndTell(std::move(changes), std::move(steps)));
    }
  }
  return absl::OkStatus();
}

absl::Status QueueDesk::SettleCrashed(const Recovery& recovery, bool dirty, Resumed& resumed) {
  ASSIGN_OR_RETURN(const std::vector<StoredMessage> in_flight, store_.Delivering());
  std::map<std::string, std::vector<int64_t>> together;
  for (const StoredMessage& row : in_flight) together[row.queue].push_back(row.sequence);
  Changes changes;
  std::vector<Step> steps;
  std::set<std::string> poisoned_keys;
  for (const StoredMessage& found : in_flight) {
    StoredMessage row = found;
    row.delivering = false;
    queue::Message& message = row.message;
    if (message.type() == queue::UP) {
      if (dirty && recovery.crashes_of && recovery.crashes_of(message.deferred()) >= kPoisonAt) {
        poisoned_keys.insert(ActionKey(message.deferred()));
        if (row.removing) {
          AddEnd(row, Final::kRemoved, "removed", changes, steps);
        } else {
          AddPoison(row, kKilledTwice, changes, steps);
        }
        continue;
      }
      const auto known = recovery.attempt_of ? recovery.attempt_of(message.mid()) : std::nullopt;
      if (known && (dirty || !known->in_progress)) {
        const bool succeeded = !known->crashed && known->result == "Succeeded";
        const bool has_result = !known->crashed && !known->in_progress && !known->result.empty();
        AddEnd(row, succeeded ? Final::kDone : Final::kFailed,
               has_result ? known->result : "crashed", changes, steps);
        steps.back().attempt_id = known->id;
        continue;
      }
      if (known) {
        // It had its effect, and its end is known only when the engine has looked: so long it must
        // not expire, or it would seem never to have run.
        message.set_expires_ns(
            std::max(message.expires_ns(), absl::ToUnixNanos(Now() + kAttemptKnownWithin)));
        changes.updates.push_back(
            {.sequence = row.sequence, .message = message, .delivering = false, .due = Now()});
        continue;
      }
    }
    if (row.removing) {
      AddEnd(row, Final::kRemoved, "removed", changes, steps);
      continue;
    }
    if (!dirty) {
      changes.updates.push_back({.sequence = row.sequence, .delivering = false});
      continue;
    }
    // Of a digest nobody knows which of them it was: at the second crash they go one by one.
    const bool in_digest = together[row.queue].size() > 1;
    message.set_crash_count(in_digest ? 1 : message.crash_count() + 1);
    if (in_digest && found.message.crash_count() == 0) {
      resumed.digests[row.queue].push_back(row.sequence);
    } else if (in_digest) {
      int64_t& upto = resumed.singles[row.queue];
      upto = std::max(upto, row.sequence);
    }
    steps.push_back({40021, row, "the agent died while it handled this"});
    if (message.crash_count() >= kPoisonAt) {
      AddPoison(row, absl::StrCat("the agent died ", message.crash_count(), " times at it"),
                changes, steps);
      continue;
    }
    changes.updates.push_back(
        {.sequence = row.sequence, .message = message, .delivering = false, .due = Now()});
  }
  // Before the rest: as long as one is in flight, the next start does it again.
  for (const std::string& key : poisoned_keys) RETURN_IF_ERROR(PoisonKey(key));
  return ApplyAndTell(std::move(changes), std::move(steps));
}

absl::Status QueueDesk::Hold(const std::string& set) {
  ASSIGN_OR_RETURN(HoldStep step, HoldAll(store_, set, Now()));
  RETURN_IF_ERROR(ApplyHeld(std::move(step)));
  if (step.held == 0) return absl::OkStatus();
  const std::string where = set.empty() ? "suspended in the queue, as no crash set could be made"
                                        : absl::StrCat("held in the crash set ", set);
  events_.push_back(QueueNews(set.empty() ? 40017 : 40011, v1::Warning,
                              absl::StrCat(step.held, " messages are ", where), "", step.held));
  return absl::OkStatus();
}

absl::StatusOr<bool> QueueDesk::ReleaseHeld() {
  absl::StatusOr<HoldStep> read = salve::ReleaseHeld(store_, Now());
  if (!read.ok()) {
    trouble_ =
        absl::StrCat("what a crash has held can't leave the queue: ", read.status().message());
    return read.status();
  }
  HoldStep step = *std::move(read);
  const bool has_page = !step.leaving.empty();
  RETURN_IF_ERROR(ApplyHeld(std::move(step)));
  return has_page;
}

absl::Status QueueDesk::ApplyHeld(HoldStep step) {
  std::vector<Step> steps;
  for (size_t i = 0; i < step.changes.ends.size() && held_told_ < kUntoldMax; ++i, ++held_told_) {
    steps.push_back(
        {EndEventId(Final::kHeldInSet), std::move(step.leaving[i]), step.changes.ends[i].reason});
  }
  for (const StoredMessage& row : step.removed) {
    AddEnd(row, Final::kRemoved, "removed", step.changes, steps);
  }
  return ApplyAndTell(std::move(step.changes), std::move(steps));
}

// A portion: the event log takes no more at once.
absl::Status QueueDesk::TellUntold() {
  ASSIGN_OR_RETURN(const std::vector<Ended> untold, store_.Untold(kUntoldMax));
  is_telling_ = false;
  for (const Ended& ended : untold) {
    if (ended.number > ended_before_) break;  // Of this life: told when it ended.
    events_.push_back(EndEvent(ended));
    told_upto_ = ended.number;
    is_telling_ = true;
  }
  return absl::OkStatus();
}

absl::Status QueueDesk::MarkTold(absl::FunctionRef<bool()> events_on_disk) {
  if (!is_announced_) {
    // A queue with nothing to say asks for no sync each minute.
    ASSIGN_OR_RETURN(const std::vector<Ended> first, store_.Untold(1));
    if (first.empty()) return absl::OkStatus();
  }
  if (!events_on_disk()) return absl::OkStatus();
  RETURN_IF_ERROR(ForgetAnnounced());
  if (is_telling_) {
    RETURN_IF_ERROR(store_.MarkTold(told_upto_));
    RETURN_IF_ERROR(TellUntold());
  }
  while (!is_telling_) {
    ASSIGN_OR_RETURN(const std::vector<Ended> untold, store_.Untold(kEndsMax));
    int64_t told = 0;
    for (const Ended& ended : untold) {
      if (ended.at > Now() - kToldAfter) break;
      told = ended.number;
    }
    if (told == 0) break;
    RETURN_IF_ERROR(store_.MarkTold(told));
  }
  return absl::OkStatus();
}

absl::Status QueueDesk::MarkAllTold() {
  RETURN_IF_ERROR(ForgetAnnounced());
  if (is_telling_) return store_.MarkTold(told_upto_);  // Of an earlier life, and more than these.
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<Ended> untold, store_.Untold(kEndsMax));
    if (untold.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(store_.MarkTold(untold.back().number));
  }
}

absl::StatusOr<QueueDesk::Resumed> QueueDesk::Recover(const Recovery& recovery) {
  began_ = Now();
  ended_before_ = store_.last_ended();
  RETURN_IF_ERROR(TellUntold());
  const bool dirty = store_.was_dirty();
  Resumed resumed;
  if (dirty && recovery.mode == config::Queue::HOLD) {
    RETURN_IF_ERROR(Hold(recovery.set));
  } else {
    RETURN_IF_ERROR(SettleCrashed(recovery, dirty, resumed));
  }
  const std::string announce = store_.Setting(kAnnounceSetting);
  is_announced_ = !announce.empty();
  if (is_announced_) events_.push_back(QueueNews(40019, v1::Information, announce));
  return resumed;
}

// Once its event is on disk: it says which messages a repair has lost, and nothing else does.
absl::Status QueueDesk::ForgetAnnounced() {
  if (!is_announced_) return absl::OkStatus();
  Changes changes;
  changes.settings.emplace_back(kAnnounceSetting, "");
  RETURN_IF_ERROR(Apply(std::move(changes)).status());
  is_announced_ = false;
  return absl::OkStatus();
}

absl::Status QueueDesk::Keep(absl::FunctionRef<bool()> events_on_disk) {
  absl::Status kept = MarkTold(events_on_disk);
  kept.Update(KeepOwed());
  kept.Update(store_.Keep(Now(), kEndsMax));
  if (absl::IsDataLoss(kept)) {
    trouble_ = absl::StrCat("the queue can't be kept in order: ", kept.message());
  }
  return kept;
}

}  // namespace salve
