#include "queue/adoption.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "queue/queue_events.h"
#include "queue/routing.h"
#include "queue/transition.h"

namespace salve {
namespace {

// A message that ended so may well be somewhere else, and come back from there. One that was
// withdrawn was never told of here: it was the other server's again.
bool MayComeBack(const Ended& ended) {
  switch (ended.final) {
    case Final::kReregistered:
    case Final::kHeldInSet:
      return true;
    case Final::kDone:
      return QueueKindOf(ended.queue) == QueueKind::kRelay;
    case Final::kRemoved:
      return IsWithdrawn(ended);
    default:
      return false;
  }
}

Ended EndIn(const SqliteStatement& row) {
  Ended ended;
  ended.final = static_cast<Final>(row.Integer(0));
  ended.queue = std::string(row.Bytes(1));
  ended.reason = std::string(row.Bytes(2));
  return ended;
}

// What a database knows of a message, by where it came from or by its MID.
struct Known {
  bool is_live = false;
  bool has_ended = false;
  bool has_ended_for_good = false;
};

class Memory {
 public:
  static absl::StatusOr<Memory> Of(SqliteConnection& db) {
    ASSIGN_OR_RETURN(SqliteStatement live,
                     db.Prepare("SELECT 1 FROM messages WHERE mid=?1 UNION ALL "
                                "SELECT 1 FROM messages WHERE mid=?2 AND origin_mid IS NULL "
                                "UNION ALL SELECT 1 FROM messages WHERE origin_mid=?2 AND "
                                "origin_server=?3 LIMIT 1"));
    ASSIGN_OR_RETURN(
        SqliteStatement ended,
        db.Prepare("SELECT final, queue, reason FROM ended WHERE mid=?1 UNION ALL "
                   "SELECT final, queue, reason FROM ended WHERE mid=?2 AND origin_mid IS NULL "
                   "UNION ALL SELECT final, queue, reason FROM ended WHERE origin_mid=?2 AND "
                   "origin_server=?3"));
    return Memory(std::move(live), std::move(ended));
  }

  absl::StatusOr<Known> Find(const std::string& mid, const std::string& origin_server,
                             const std::string& origin_mid) {
    for (SqliteStatement* statement : {&live_, &ended_}) {
      statement->BindText(1, mid);
      statement->BindText(2, origin_mid);
      statement->BindText(3, origin_server);
    }
    Known known;
    ASSIGN_OR_RETURN(known.is_live, live_.Step());
    live_.Reset();
    for (;;) {
      ASSIGN_OR_RETURN(const bool found, ended_.Step());
      if (!found) return known;
      known.has_ended = true;
      if (!MayComeBack(EndIn(ended_))) known.has_ended_for_good = true;
    }
  }

 private:
  Memory(SqliteStatement live, SqliteStatement ended)
      : live_(std::move(live)), ended_(std::move(ended)) {}
  SqliteStatement live_;
  SqliteStatement ended_;
};

class Adoption {
 public:
  // `target` may be null.
  static absl::StatusOr<Adoption> Of(const AdoptOptions& options, const DatabaseSource& pack,
                                     const DatabaseSource* target, StoreBuilder& builder) {
    Adoption adoption(options, pack, target, builder);
    ASSIGN_OR_RETURN(adoption.there_, Memory::Of(*pack.db));
    if (target != nullptr) {
      ASSIGN_OR_RETURN(adoption.here_, Memory::Of(*target->db));
    }
    return adoption;
  }

  absl::Status Run() {
    if (target_ != nullptr) RETURN_IF_ERROR(KeepTarget());
    builder_.ReserveIds(pack_.tables.meta.ids_reserved);
    for (const bool told : {true, false}) {
      if (target_ != nullptr) RETURN_IF_ERROR(KeepEnds(told));
      RETURN_IF_ERROR(TakeEnds(told));
    }
    RETURN_IF_ERROR(ForEachMessage(*pack_.db, pack_.tables.queues, [this](StoredMessage stored) {
      return Take(std::move(stored));
    }));
    return SuspendQueues();
  }

  const std::vector<std::string>& known() const { return known_; }

  void Fill(queue::AdoptReport& report) const {
    report.set_messages(taken_);
    report.set_known_already(known_already_);
    report.set_ended(ends_taken_);
    report.set_host_bound(host_bound_);
    for (const auto& [name, state] : builder_.queues()) {
      queue::QueueCount& count = *report.add_queues();
      count.set_name(name);
      count.set_messages(state.row.messages);
      count.set_bytes(state.row.bytes);
      count.set_suspended(state.row.suspended);
    }
  }

 private:
  Adoption(const AdoptOptions& options, const DatabaseSource& pack, const DatabaseSource* target,
           StoreBuilder& builder)
      : options_(options),
        rules_(RulesOf(options.agent)),
        pack_(pack),
        target_(target),
        builder_(builder) {}

  absl::Status KeepTarget() {
    builder_.ReserveIds(target_->tables.meta.ids_reserved);
    for (const auto& [key, value] : target_->tables.settings) {
      if (key != kPreparingSetting) builder_.SetSetting(key, value);
    }
    for (const auto& [number, state] : target_->tables.queues) {
      if (state.row.suspended) RETURN_IF_ERROR(builder_.SuspendQueue(state.row.name));
    }
    return ForEachMessage(*target_->db, target_->tables.queues, [this](StoredMessage stored) {
      stored.sequence = 0;
      return builder_.AddMessage(stored);
    });
  }

  absl::StatusOr<Known> FindHere(const std::string& mid, const std::string& origin_server,
                                 const std::string& origin_mid) {
    if (!here_.has_value()) return Known();
    return here_->Find(mid, origin_server, origin_mid);
  }

  absl::Status KeepEnds(bool told) {
    return ForEachEnded(*target_->db, [&](EndedRow row) -> absl::Status {
      const Ended& ended = row.ended;
      if ((ended.number <= target_->tables.meta.told) != told) return absl::OkStatus();
      if (MayComeBack(ended)) {
        ASSIGN_OR_RETURN(const Known known,
                         there_->Find(ended.mid, ended.origin_server, ended.origin_mid));
        if (known.is_live || known.has_ended_for_good) return absl::OkStatus();
      }
      return builder_.AddEnded(std::move(row), told);
    });
  }

  absl::Status TakeEnds(bool told) {
    return ForEachEnded(*pack_.db, [&](EndedRow row) -> absl::Status {
      const Ended& ended = row.ended;
      if ((ended.number <= pack_.tables.meta.told) != told) return absl::OkStatus();
      ASSIGN_OR_RETURN(const Known known,
                       FindHere(ended.mid, ended.origin_server, ended.origin_mid));
      const bool is_more = !known.has_ended_for_good && !MayComeBack(ended);
      if (known.is_live || (known.has_ended && !is_more)) return absl::OkStatus();
      ++ends_taken_;
      return builder_.AddEnded(std::move(row), told);
    });
  }

  absl::Status Take(StoredMessage stored) {
    ASSIGN_OR_RETURN(const Known known,
                     FindHere(stored.message.mid(), stored.message.origin_server(),
                              stored.message.origin_mid()));
    if (known.is_live || known.has_ended_for_good) {
      ++known_already_;
      if (known_.size() < kNamedMax) known_.push_back(stored.message.mid());
      return absl::OkStatus();
    }
    ++taken_;
    const std::optional<EndedRow> end = EndOfUnfinished(stored);
    if (end.has_value()) return builder_.AddEnded(*end, /*told=*/false);
    if (IsWaiting(stored)) RouteAnew(stored);
    stored.sequence = 0;
    stored.delivering = false;
    stored.removing = false;
    return builder_.AddMessage(stored);
  }

  // What was in flight when its server ended, and must not go on: an action that may have had its
  // effect on this very host, and what somebody has removed meanwhile.
  std::optional<EndedRow> EndOfUnfinished(const StoredMessage& stored) const {
    if (!stored.delivering) return std::nullopt;
    if (stored.removing) {
      return EndOf(stored, Final::kRemoved, "removed while it was in flight; its server ended",
                   options_.now);
    }
    const bool is_own_action = stored.message.type() == queue::UP &&
                               stored.message.origin_server() == options_.agent.server;
    if (!is_own_action) return std::nullopt;
    return EndOf(stored, Final::kFailed, "crashed: it was in flight when its server ended",
                 options_.now);
  }

  void RouteAnew(StoredMessage& stored) {
    queue::Message& message = stored.message;
    // It was to wait for a person.
    if (HeldQueueOf(stored.queue)) stored.suspended = true;
    // A transfer to this server that it knows nothing of has not arrived.
    if (message.handed_to() == options_.agent.server) message.clear_handed_to();
    if (stored.delivering) {
      message.set_last_error(absl::StrCat("in flight when ", pack_.info.server(), " ended"));
    }
    const Route route = RouteOf(message, rules_);
    stored.queue = route.queue;
    message.set_unreachable_reason(route.unreachable_reason);
    if (absl::StartsWith(route.unreachable_reason, "host-bound:")) ++host_bound_;
    stored.due = options_.now;
    if (ExpiresAtOnce(stored, options_.now)) {
      message.set_expires_ns(absl::ToUnixNanos(options_.now + options_.extend));
    }
  }

  // What a person has stopped stays stopped.
  absl::Status SuspendQueues() {
    for (const auto& [number, state] : pack_.tables.queues) {
      const bool is_used_here = builder_.queues().contains(state.row.name);
      if (state.row.suspended && is_used_here) {
        RETURN_IF_ERROR(builder_.SuspendQueue(state.row.name));
      }
    }
    return absl::OkStatus();
  }

  const AdoptOptions& options_;
  const QueueRules rules_;
  const DatabaseSource& pack_;
  const DatabaseSource* const target_;
  StoreBuilder& builder_;
  std::optional<Memory> there_;
  std::optional<Memory> here_;
  int64_t taken_ = 0;
  int64_t known_already_ = 0;
  std::vector<std::string> known_;  // The first of them.
  int64_t ends_taken_ = 0;
  int64_t host_bound_ = 0;
};

}  // namespace

bool IsWaiting(const StoredMessage& stored) {
  const std::optional<QueueKind> kind = QueueKindOf(stored.queue);
  return kind.has_value() && *kind != QueueKind::kPoison && *kind != QueueKind::kDead &&
         *kind != QueueKind::kInbox;
}

bool ExpiresAtOnce(const StoredMessage& stored, absl::Time now) {
  return IsWaiting(stored) && stored.message.expires_ns() <= absl::ToUnixNanos(now + kAtOnce);
}

absl::StatusOr<std::vector<std::string>> MergeQueues(const AdoptOptions& options,
                                                     const DatabaseSource& pack,
                                                     const DatabaseSource* target,
                                                     StoreBuilder& builder,
                                                     queue::AdoptReport& report) {
  ASSIGN_OR_RETURN(Adoption adoption, Adoption::Of(options, pack, target, builder));
  RETURN_IF_ERROR(adoption.Run());
  adoption.Fill(report);
  return adoption.known();
}

}  // namespace salve
