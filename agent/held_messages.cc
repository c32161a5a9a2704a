#include "agent/held_messages.h"

#include <utility>
#include <vector>

#include "base/fault.h"
#include "base/status_macros.h"

namespace salve {
namespace {

constexpr int kDead = 40012;  // Events of the Queue channel.
constexpr int kMoved = 40008;

v1::Event QueueEventOf(int id, v1::Level level, const queue::Message& message) {
  v1::Event event;
  event.set_channel(v1::Queue);
  event.set_event_id(id);
  event.set_level(level);
  v1::QueueEvent& content = *event.mutable_queue();
  content.set_mid(message.mid());
  content.set_type(queue::Type_Name(message.type()));
  content.set_destination(message.type() == queue::UP ? message.deferred().resource()
                                                      : message.destination());
  content.set_subject(message.subject());
  content.set_origin_server(message.origin_server());
  content.set_origin_mid(message.origin_mid());
  content.set_group_id(message.correlation());
  return event;
}

}  // namespace

absl::StatusOr<int64_t> HeldMessages::PutBack(const queue::Message& message,
                                              const std::string& queue, bool suspended) {
  Changes changes;
  changes.now = Now();
  changes.puts.push_back(
      {.message = message, .queue = queue, .suspended = suspended, .due = changes.now});
  ASSIGN_OR_RETURN(const std::vector<int64_t> sequences, store_.Apply(changes));
  FaultPoint("queue.set.put");
  return sequences.front();
}

absl::Status HeldMessages::End(int64_t sequence, Final final, const queue::Message& message,
                               std::string reason) {
  Changes changes;
  changes.now = Now();
  const absl::Time until = RememberedUntil(message, changes.now);
  changes.updates.push_back({.sequence = sequence, .delivering = false});
  changes.ends.push_back(
      {.sequence = sequence, .final = final, .reason = std::move(reason), .until = until});
  const absl::Status status = store_.Apply(changes).status();
  FaultPoint("queue.set.ended");
  return status;
}

absl::StatusOr<std::string> HeldMessages::Bury(int64_t sequence, queue::Message message,
                                               const std::string& queue,
                                               const std::string& reason) {
  Changes changes;
  changes.now = Now();
  queue::Dead& dead = *message.mutable_dead();
  dead.set_dmid(store_.NewDmid(changes.now));
  dead.set_former_queue(queue);
  dead.set_reason(reason);
  dead.set_moved_at_ns(absl::ToUnixNanos(changes.now));
  const std::string dmid = dead.dmid();
  v1::Event event = QueueEventOf(kDead, v1::Error, message);
  changes.updates.push_back(
      {.sequence = sequence, .message = std::move(message), .queue = "dead", .delivering = false});
  RETURN_IF_ERROR(store_.Apply(changes).status());
  v1::QueueEvent& content = *event.mutable_queue();
  content.set_queue("dead");
  content.set_former_queue(queue);
  content.set_reason(reason);
  content.set_dmid(dmid);
  content.set_sequence(sequence);
  events_.Append(std::move(event));
  return dmid;
}

absl::Status HeldMessages::Poison(int64_t sequence, const queue::Message& message,
                                  const std::string& queue) {
  Changes changes;
  changes.now = Now();
  changes.updates.push_back({.sequence = sequence,
                             .message = message,
                             .queue = "poison",
                             .delivering = false,
                             .suspended = true});
  RETURN_IF_ERROR(store_.Apply(changes).status());
  v1::Event event = QueueEventOf(kMoved, v1::Error, message);
  event.mutable_queue()->set_queue("poison");
  event.mutable_queue()->set_former_queue(queue);
  event.mutable_queue()->set_reason(message.poison_reason());
  events_.Append(std::move(event));
  return absl::OkStatus();
}

absl::Status HeldMessages::BeginDelivery(int64_t sequence, const std::string& queue) {
  Changes changes;
  changes.now = Now();
  changes.updates.push_back({.sequence = sequence, .queue = queue, .delivering = true});
  const absl::Status status = store_.Apply(changes).status();
  FaultPoint("queue.set.delivering");
  return status;
}

}  // namespace salve
