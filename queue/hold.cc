#include "queue/hold.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "queue/transition.h"

namespace salve {
namespace {

constexpr size_t kPage = 500;
// Begins the name of what stands in for a set; no set is called so.
constexpr char kNoSet[] = ".";

void Leave(StoredMessage row, const HeldQueue& held, HoldStep& step) {
  if (absl::StartsWith(held.set, kNoSet)) {
    step.changes.updates.push_back(
        {.sequence = row.sequence, .queue = held.former, .delivering = false, .suspended = true});
  } else {
    step.changes.ends.push_back({row.sequence, Final::kHeldInSet, held.set,
                                 RememberedUntil(row.message, step.changes.now)});
  }
  row.queue = held.former;
  step.leaving.push_back(std::move(row));
}

}  // namespace

absl::StatusOr<HoldStep> HoldAll(const MessageStore& store, const std::string& set,
                                 absl::Time now) {
  HoldStep step;
  step.changes.now = now;
  // One that is not used: an earlier hold may not be at its end.
  const std::string name = set.empty() ? absl::StrCat(kNoSet, store.commits()) : set;
  ASSIGN_OR_RETURN(std::vector<StoredMessage> in_flight, store.Delivering());
  for (StoredMessage& row : in_flight) {
    if (!IsOnItsWay(row.queue)) continue;
    if (row.removing) {
      step.removed.push_back(std::move(row));
      continue;
    }
    const std::string former = row.queue;
    Leave(std::move(row), {name, former}, step);
  }
  step.held = -static_cast<int64_t>(step.removed.size());
  for (const QueueRow& queue : store.Queues()) {
    if (!IsOnItsWay(queue.name) || queue.messages == 0) continue;
    step.held += queue.messages;
    step.changes.rename_queues.emplace_back(queue.name,
                                            absl::StrCat("held/", name, "/", queue.name));
    // That a person suspended it is said of its name.
    if (queue.suspended) step.changes.suspend_queues.emplace_back(queue.name, true);
  }
  return step;
}

absl::StatusOr<HoldStep> ReleaseHeld(const MessageStore& store, absl::Time now) {
  HoldStep step;
  step.changes.now = now;
  for (const QueueRow& queue : store.Queues()) {
    const std::optional<HeldQueue> held = HeldQueueOf(queue.name);
    if (!held || queue.messages == 0) continue;
    ASSIGN_OR_RETURN(std::vector<StoredMessage> rows, store.List(queue.name, kPage));
    for (StoredMessage& row : rows) Leave(std::move(row), *held, step);
    return step;
  }
  return step;
}

bool HasHeld(const std::vector<QueueRow>& queues) {
  return std::any_of(queues.begin(), queues.end(), [](const QueueRow& queue) {
    return queue.messages > 0 && HeldQueueOf(queue.name).has_value();
  });
}

}  // namespace salve
