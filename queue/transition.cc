#include "queue/transition.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace salve {
namespace {

constexpr size_t kQueueNameBytesMax = 512;
constexpr size_t kHeldNameBytesMax = 1024;  // With the set before a name.
constexpr absl::string_view kHeldPrefix = "held/";
constexpr size_t kDmidBytesMax = 39;

constexpr struct {
  absl::string_view name;
  QueueKind kind;
} kWhole[] =
    {
        {"submission", QueueKind::kSubmission},
        {"inbox", QueueKind::kInbox},
        {"unreachable", QueueKind::kUnreachable},
        {"poison", QueueKind::kPoison},
        {"dead", QueueKind::kDead},
},
  kPrefixes[] = {
      {"local/", QueueKind::kLocal},
      {"remote/", QueueKind::kRemote},
      {"relay/", QueueKind::kRelay},
};

constexpr unsigned Bit(QueueKind kind) { return 1u << static_cast<unsigned>(kind); }
template <typename... Kinds>
constexpr unsigned SetOf(Kinds... kinds) {
  return (Bit(kinds) | ...);
}
bool IsIn(QueueKind kind, unsigned set) { return (set & Bit(kind)) != 0; }

// Where routing brings a message; which of them depends on its type.
constexpr unsigned kRouted = SetOf(QueueKind::kLocal, QueueKind::kRemote, QueueKind::kRelay,
                                   QueueKind::kInbox, QueueKind::kUnreachable);
constexpr unsigned kEntered = kRouted | Bit(QueueKind::kSubmission);

// Beside the same kind under another name (another acceptor), which is routing too.
unsigned GoesTo(QueueKind from) {
  switch (from) {
    case QueueKind::kSubmission:
    case QueueKind::kUnreachable:
      return kEntered | Bit(QueueKind::kDead);
    case QueueKind::kLocal:
    case QueueKind::kRemote:
    case QueueKind::kRelay:
      return kEntered | SetOf(QueueKind::kPoison, QueueKind::kDead);
    case QueueKind::kInbox:  // Arrived: it does not die any more.
      return kEntered | Bit(QueueKind::kPoison);
    case QueueKind::kPoison:  // Never expires: only a person takes it out, to be routed anew.
    case QueueKind::kHeld:    // When there is no set that has it.
      return kEntered;
    case QueueKind::kDead:  // Comes back as a new message only.
      return 0;
  }
  return 0;
}

bool Holds(queue::Type type, QueueKind kind) {
  switch (kind) {
    case QueueKind::kLocal:
      return type == queue::UP;
    case QueueKind::kRemote:
    case QueueKind::kRelay:
    case QueueKind::kInbox:
      return type == queue::AF || type == queue::AR;
    default:
      return type == queue::AF || type == queue::AR || type == queue::UP;
  }
}

bool IsDmid(absl::string_view text) {
  return !text.empty() && text.size() <= kDmidBytesMax &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
         });
}

}  // namespace

std::optional<HeldQueue> HeldQueueOf(absl::string_view queue) {
  if (!absl::ConsumePrefix(&queue, kHeldPrefix) || queue.size() > kHeldNameBytesMax) {
    return std::nullopt;
  }
  const size_t slash = queue.find('/');
  if (slash == 0 || slash == absl::string_view::npos) return std::nullopt;
  const absl::string_view former = queue.substr(slash + 1);
  if (absl::StartsWith(former, kHeldPrefix) || !QueueKindOf(former)) return std::nullopt;
  return HeldQueue{std::string(queue.substr(0, slash)), std::string(former)};
}

std::optional<QueueKind> QueueKindOf(absl::string_view queue) {
  if (HeldQueueOf(queue)) return QueueKind::kHeld;
  if (queue.size() > kQueueNameBytesMax) return std::nullopt;
  for (const auto& whole : kWhole) {
    if (queue == whole.name) return whole.kind;
  }
  if (std::any_of(queue.begin(), queue.end(),
                  [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; })) {
    return std::nullopt;
  }
  for (const auto& prefix : kPrefixes) {
    if (absl::StartsWith(queue, prefix.name) && queue.size() > prefix.name.size()) {
      return prefix.kind;
    }
  }
  return std::nullopt;
}

bool IsOnItsWay(absl::string_view queue) {
  const std::optional<QueueKind> kind = QueueKindOf(queue);
  return kind == QueueKind::kSubmission || kind == QueueKind::kLocal ||
         kind == QueueKind::kRemote || kind == QueueKind::kRelay;
}

absl::string_view QueueTarget(absl::string_view queue) {
  for (const auto& prefix : kPrefixes) {
    if (absl::StartsWith(queue, prefix.name)) return queue.substr(prefix.name.size());
  }
  return {};
}

bool MayEnter(queue::Type type, QueueKind to) { return IsIn(to, kEntered) && Holds(type, to); }

bool MayMove(queue::Type type, QueueKind from, QueueKind to) {
  return Holds(type, from) && Holds(type, to) && IsIn(to, GoesTo(from));
}

std::string WhyNotIn(const queue::Message& message, bool suspended, QueueKind queue) {
  if (!Holds(message.type(), queue)) {
    return absl::StrCat("a queue that holds no ", queue::Type_Name(message.type()));
  }
  if (queue == QueueKind::kDead) {
    const queue::Dead& dead = message.dead();
    if (!IsDmid(dead.dmid())) return "a dead message needs a DMID of 1 to 39 of A-Z 0-9 -";
    if (!QueueKindOf(dead.former_queue())) return "a dead message needs its former queue";
    if (dead.reason().empty()) return "a dead message needs a reason";
  } else if (message.has_dead()) {
    return "only a dead message has the attributes of one";
  }
  if (queue == QueueKind::kPoison && !suspended) return "in poison it must be suspended";
  if (queue == QueueKind::kUnreachable && message.unreachable_reason().empty()) {
    return "an unreachable message needs a reason";
  }
  return "";
}

absl::string_view FinalName(Final final) {
  switch (final) {
    case Final::kDone:
      return "done";
    case Final::kFailed:
      return "failed";
    case Final::kRejected:
      return "rejected";
    case Final::kObsolete:
      return "obsolete";
    case Final::kRemoved:
      return "removed";
    case Final::kReregistered:
      return "reregistered";
    case Final::kHeldInSet:
      return "held-in-set";
  }
  return "?";
}

bool MayEnd(queue::Type type, QueueKind from, Final final) {
  if (!Holds(type, from)) return false;
  constexpr unsigned kWaiting = SetOf(QueueKind::kSubmission, QueueKind::kLocal, QueueKind::kRemote,
                                      QueueKind::kRelay, QueueKind::kUnreachable);
  switch (final) {
    case Final::kDone:
      return IsIn(
          from, SetOf(QueueKind::kLocal, QueueKind::kRemote, QueueKind::kRelay, QueueKind::kInbox));
    case Final::kFailed:  // What else is not delivered is dead.
    case Final::kRejected:
      return type == queue::UP && IsIn(from, SetOf(QueueKind::kSubmission, QueueKind::kLocal));
    case Final::kObsolete:
      return IsIn(from, kWaiting);
    case Final::kHeldInSet:
      return IsIn(from, kWaiting | Bit(QueueKind::kHeld));
    case Final::kRemoved:
      return true;
    case Final::kReregistered:
      return from == QueueKind::kDead;
  }
  return false;
}

}  // namespace salve
