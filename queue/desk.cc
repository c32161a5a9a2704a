#include "queue/desk.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "queue/queue_events.h"

namespace salve {
namespace {

constexpr size_t kReasonBytesMax = 1024;

int64_t LiveIn(const std::vector<QueueRow>& rows) {
  int64_t sum = 0;
  for (const QueueRow& row : rows) {
    const auto kind = QueueKindOf(row.name);
    if (kind != QueueKind::kDead && kind != QueueKind::kHeld) sum += row.messages;
  }
  return sum;
}

}  // namespace

int64_t QueuePicture::MessagesIn(const std::string& queue) const {
  for (const QueueRow& row : rows) {
    if (row.name == queue) return row.messages;
  }
  return 0;
}

int64_t QueuePicture::messages() const { return LiveIn(rows); }

QueuePicture QueueDesk::Picture() const {
  QueuePicture picture{store_.Queues(), store_.bytes(), store_.disk_room(),
                       trouble_,        is_dead_full_,  OwedEver()};
  picture.is_dead_full &= picture.MessagesIn("dead") >= rules_->dead_max;
  return picture;
}

int64_t QueueDesk::CountOf(const std::string& queue) const {
  for (const QueueRow& row : store_.Queues()) {
    if (row.name == queue) return row.messages;
  }
  return 0;
}

int64_t QueueDesk::Live() const { return LiveIn(store_.Queues()); }

bool QueueDesk::IsSuspended(const std::string& queue) const {
  for (const QueueRow& row : store_.Queues()) {
    if (row.name == queue) return row.suspended;
  }
  return false;
}

absl::StatusOr<std::vector<int64_t>> QueueDesk::Apply(Changes changes, bool own) {
  changes.now = Now();
  for (Changes::End& end : changes.ends)
    end.reason.resize(std::min(end.reason.size(), kReasonBytesMax));
  auto applied = store_.Apply(changes, own);
  const absl::StatusCode code = applied.status().code();
  if (applied.ok()) {
    trouble_.clear();
  } else if (code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kDataLoss ||
             code == absl::StatusCode::kResourceExhausted) {
    trouble_ = absl::StrCat("the queue can't be written: ", applied.status().message());
  }
  return applied;
}

void QueueDesk::Tell(int event_id, const StoredMessage& row, const std::string& reason) {
  events_.push_back(StepEvent(event_id, row, reason));
}

void QueueDesk::TellLetter(int event_id, const StoredMessage& row, const std::string& text,
                           int merged) {
  if (!row.message.has_letter()) return;
  events_.push_back(LetterEvent(event_id, row.message, text, merged));
}

void QueueDesk::TellStep(const Step& step) {
  Tell(step.event_id, step.row, step.reason);
  if (!step.former_queue.empty()) {
    events_.back().mutable_queue()->set_former_queue(step.former_queue);
  }
  if (!step.attempt_id.empty()) events_.back().mutable_queue()->set_attempt_id(step.attempt_id);
  if (step.letter_event_id != 0) {
    TellLetter(step.letter_event_id, step.row, step.reason, step.merged);
  }
}

absl::Status QueueDesk::ApplyAndTell(Changes changes, std::vector<Step> steps) {
  buried_ = 0;
  if (changes.puts.empty() && changes.updates.empty() && changes.ends.empty() &&
      changes.rename_queues.empty()) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(ApplyOwing(std::move(changes), steps));
  for (const Step& step : steps) TellStep(step);
  return absl::OkStatus();
}

void QueueDesk::AddEnd(const StoredMessage& row, Final final, const std::string& reason,
                       Changes& changes, std::vector<Step>& steps, int merged) {
  changes.ends.push_back({row.sequence, final, reason, RememberedUntil(row.message, Now())});
  steps.push_back({EndEventId(final), row, reason, final == Final::kDone ? 5 : 0, merged});
  steps.back().final = final;
}

void QueueDesk::AddMove(StoredMessage row, const Route& route, Changes& changes,
                        std::vector<Step>& steps, const std::string& why) {
  const std::string former = row.queue;
  row.queue = route.queue;
  row.message.set_unreachable_reason(route.unreachable_reason);
  changes.updates.push_back({.sequence = row.sequence,
                             .message = row.message,
                             .queue = row.queue,
                             .delivering = false,
                             .due = Now()});
  steps.push_back({40008, row, route.unreachable_reason.empty() ? why : route.unreachable_reason, 0,
                   0, former});
}

bool QueueDesk::AddDeath(StoredMessage row, const std::string& reason, Changes& changes,
                         std::vector<Step>& steps) {
  is_dead_full_ = CountOf("dead") + buried_ >= rules_->dead_max;
  if (is_dead_full_) return false;
  ++buried_;
  queue::Dead& dead = *row.message.mutable_dead();
  dead.set_dmid(store_.NewDmid(Now()));
  dead.set_former_queue(row.queue);
  dead.set_reason(reason);
  dead.set_moved_at_ns(absl::ToUnixNanos(Now()));
  row.message.clear_unreachable_reason();
  row.message.clear_unconfirmed_ns();
  row.queue = "dead";
  changes.updates.push_back({.sequence = row.sequence,
                             .message = row.message,
                             .queue = row.queue,
                             .delivering = false,
                             .suspended = false,
                             .removing = false});
  steps.push_back({40012, row, reason, 7, 0});
  return true;
}

void QueueDesk::AddPoison(StoredMessage row, const std::string& reason, Changes& changes,
                          std::vector<Step>& steps) {
  const std::string former = row.queue;
  row.message.set_poison_reason(reason);
  row.queue = "poison";
  changes.updates.push_back({.sequence = row.sequence,
                             .message = row.message,
                             .queue = row.queue,
                             .delivering = false,
                             .suspended = true,
                             .removing = false});
  steps.push_back({40008, row, reason, 0, 0, former});
}

}  // namespace salve
