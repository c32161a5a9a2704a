// The kinds of queues and the one table of steps that a message may make. What is not in the table
// is refused by the store, whoever asks for it.
#ifndef SALVE_QUEUE_TRANSITION_H_
#define SALVE_QUEUE_TRANSITION_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "queue/message.pb.h"

namespace salve {

// Of `submission`, `local/<resource>`, `remote/<destination>`, `relay/<acceptor>`, `inbox`,
// `unreachable`, `poison`, `dead`, `held/<set>/<former queue>`.
enum class QueueKind {
  kSubmission,
  kLocal,
  kRemote,
  kRelay,
  kInbox,
  kUnreachable,
  kPoison,
  kDead,
  kHeld,
};

// Null: no name of a queue.
std::optional<QueueKind> QueueKindOf(absl::string_view queue);
// Whether it holds what is on its way to its end: what a crash touches. The rest (unreachable,
// inbox, poison, dead) stays as it is under every mode.
bool IsOnItsWay(absl::string_view queue);
// "nginx.service" of "local/nginx.service"; "" of those without one.
absl::string_view QueueTarget(absl::string_view queue);

// What a crash found in `former` and is on its way into a crash set (hold.h).
struct HeldQueue {
  std::string set;
  std::string former;
};
// Null: none of the kind kHeld.
std::optional<HeldQueue> HeldQueueOf(absl::string_view queue);

// Whether a message of this type may be accepted into a queue, and move from one to another.
bool MayEnter(queue::Type type, QueueKind to);
bool MayMove(queue::Type type, QueueKind from, QueueKind to);
// Why it may not stay as it is there: dead attributes only in `dead`, only suspended ones in
// `poison`, a reason in `unreachable`. "": all is well.
std::string WhyNotIn(const queue::Message& message, bool suspended, QueueKind queue);

// How a message ended.
enum class Final { kDone, kFailed, kRejected, kObsolete, kRemoved, kReregistered, kHeldInSet };
absl::string_view FinalName(Final final);  // "done", …

bool MayEnd(queue::Type type, QueueKind from, Final final);

}  // namespace salve

#endif  // SALVE_QUEUE_TRANSITION_H_
