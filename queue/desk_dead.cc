#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "config/duration.h"
#include "queue/desk.h"
#include "queue/queue_events.h"

namespace salve {
namespace {

constexpr absl::Duration kLifeLeft = absl::Hours(1);  // For a message that moves to another server.

v1::PreparationPoint Point(const std::string& name, bool ready, const std::string& state) {
  v1::PreparationPoint point;
  point.set_name(name);
  point.set_ready(ready);
  point.set_state(state);
  return point;
}

}  // namespace

absl::StatusOr<StoredMessage> QueueDesk::FindDead(const std::string& dmid) {
  ASSIGN_OR_RETURN(StoredMessage row, Find(dmid));
  if (row.queue != "dead") {
    return absl::FailedPreconditionError(
        absl::StrCat("message '", dmid, "' is not dead: it is in ", row.queue));
  }
  return row;
}

absl::StatusOr<v1::ReregisterResponse> QueueDesk::Reregister(const v1::ReregisterRequest& request,
                                                             const std::string& arrival) {
  ASSIGN_OR_RETURN(const StoredMessage row, FindDead(request.dmid()));
  const queue::Message& old = row.message;
  queue::Message message;
  message.set_mid(store_.NewMid(Now()));
  message.set_origin_server(old.origin_server());
  message.set_origin_mid(old.origin_mid());
  message.set_type(old.type());
  message.set_created_ns(absl::ToUnixNanos(Now()));
  message.set_expires_ns(absl::ToUnixNanos(
      Now() + (old.type() == queue::UP ? rules_->expire_deferred : rules_->expire)));
  message.set_destination(old.destination());
  message.set_subject(old.subject());
  if (old.has_letter()) *message.mutable_letter() = old.letter();
  if (old.has_deferred()) *message.mutable_deferred() = old.deferred();
  message.set_priority(old.priority());
  message.set_correlation(old.correlation());
  message.set_hops(old.hops());
  message.set_handed_to(old.handed_to());
  const Route route = RouteOf(message, *rules_);
  message.set_unreachable_reason(route.unreachable_reason);
  Changes changes;
  changes.puts.push_back({message, route.queue, false, Now()});
  changes.ends.push_back({row.sequence, Final::kReregistered, ReregisteredAs(message.mid()),
                          RememberedUntil(message, Now())});
  ASSIGN_OR_RETURN(const std::vector<int64_t> sequences, Apply(std::move(changes)));
  Tell(40013, row, ReregisteredAs(message.mid()));
  v1::QueueEvent& lineage = *events_.back().mutable_queue();
  lineage.set_new_mid(message.mid());
  lineage.set_who(request.user());
  Tell(40001, {sequences.front(), message, route.queue}, absl::StrCat("before: ", old.mid()));
  v1::ReregisterResponse response;
  response.set_mid(message.mid());
  response.set_queue(route.queue);
  response.set_arrival(arrival);
  return response;
}

absl::StatusOr<std::vector<v1::PreparationPoint>> QueueDesk::Points(bool preparing,
                                                                    int64_t in_flight) {
  int64_t waiting = 0;
  for (const QueueRow& queue : store_.Queues()) {
    if (queue.name == "dead" || queue.name == "poison" || queue.name == "unreachable") continue;
    waiting += queue.messages;
  }
  ASSIGN_OR_RETURN(const std::vector<StoredMessage> short_lived,
                   store_.ExpiringBy(Now() + kLifeLeft, 1000));
  const int64_t unreachable = CountOf("unreachable");
  const int64_t poison = CountOf("poison");
  std::vector<v1::PreparationPoint> points;
  points.push_back(
      Point("new work stopped", preparing,
            preparing ? "nothing is accepted" : "salvectl queue db prepare begins it"));
  points.push_back(
      Point("deliveries drained", waiting == 0 && in_flight == 0,
            absl::StrCat(waiting, " messages wait, ", in_flight, " deliveries are under way",
                         waiting == 0 ? "" : ": salvectl queue wait-empty waits")));
  points.push_back(
      Point("nothing unreachable", unreachable == 0,
            absl::StrCat(unreachable, " messages",
                         unreachable == 0 ? "" : ": resubmit, export or remove them")));
  points.push_back(Point(
      "no poison", poison == 0,
      absl::StrCat(poison, " messages", poison == 0 ? "" : ": resume, export or remove them")));
  points.push_back(
      Point("expiry far enough", short_lived.empty(),
            absl::StrCat(short_lived.size(), " messages expire within ", DurationText(kLifeLeft))));
  return points;
}

}  // namespace salve
