#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "config/names.h"
#include "google/protobuf/text_format.h"
#include "queue/desk.h"
#include "queue/parcel.h"
#include "queue/queue_events.h"

namespace salve {
namespace {

constexpr int kLimitDefault = 100;
constexpr int kLimitMax = 1000;
constexpr size_t kNamesMax = 1000;  // Among which a mistyped id is looked for.

void SetTime(int64_t nanos, google::protobuf::Timestamp* time) {
  constexpr int64_t kSecond = 1'000'000'000;
  time->set_seconds(nanos / kSecond);
  time->set_nanos(static_cast<int32_t>(nanos % kSecond));
}

std::string StateOf(const StoredMessage& row) {
  if (row.removing) return "removing";
  if (row.delivering) return "delivering";
  if (row.suspended) return "suspended";
  const bool is_unconfirmed =
      row.message.unconfirmed_ns() != 0 && QueueKindOf(row.queue) == QueueKind::kRemote;
  return is_unconfirmed ? "unconfirmed" : "waiting";
}

v1::QueueMessage Shown(const StoredMessage& row) {
  const queue::Message& message = row.message;
  v1::QueueMessage shown;
  shown.set_mid(message.mid());
  shown.set_type(queue::Type_Name(message.type()));
  shown.set_queue(row.queue);
  shown.set_state(StateOf(row));
  shown.set_origin_server(message.origin_server());
  shown.set_origin_mid(message.origin_mid());
  shown.set_destination(message.type() == queue::UP ? message.deferred().resource()
                                                    : message.destination());
  shown.set_subject(message.subject());
  shown.set_priority(message.priority());
  shown.set_correlation(message.correlation());
  SetTime(message.created_ns(), shown.mutable_created());
  SetTime(message.expires_ns(), shown.mutable_expires());
  const absl::Time due = std::max(row.due, absl::FromUnixNanos(message.unconfirmed_ns()));
  if (!row.suspended && row.queue != "dead" && due > absl::UnixEpoch()) {
    SetTime(absl::ToUnixNanos(due), shown.mutable_next_attempt());
  }
  shown.set_attempts(message.attempts());
  shown.set_deliveries(message.deliveries());
  shown.set_crash_count(message.crash_count());
  shown.set_last_error(message.last_error());
  shown.set_reason(message.has_dead()                 ? message.dead().reason()
                   : !message.poison_reason().empty() ? message.poison_reason()
                                                      : message.unreachable_reason());
  shown.set_requester(message.deferred().requester());
  shown.set_action(message.deferred().action());
  shown.set_responder(message.deferred().responder());
  if (message.has_dead()) {
    shown.set_dmid(message.dead().dmid());
    shown.set_former_queue(message.dead().former_queue());
    SetTime(message.dead().moved_at_ns(), shown.mutable_moved_at());
  }
  shown.set_internal_id(row.sequence);
  shown.set_handed_to(message.handed_to());
  return shown;
}

v1::QueueMessage Shown(const Ended& ended) {
  v1::QueueMessage shown;
  shown.set_mid(ended.mid);
  shown.set_type(queue::Type_Name(ended.type));
  shown.set_queue(ended.queue);
  shown.set_state(std::string(FinalName(ended.final)));
  shown.set_origin_server(ended.origin_server);
  shown.set_origin_mid(ended.origin_mid);
  shown.set_destination(std::string(QueueTarget(ended.queue)));
  shown.set_subject(ended.subject);
  shown.set_correlation(ended.correlation);
  shown.set_reason(ended.reason);
  return shown;
}

std::string BodyOf(const queue::Message& message) {
  std::string text;
  if (message.type() == queue::UP) {
    google::protobuf::TextFormat::PrintToString(message.deferred(), &text);
  } else {
    google::protobuf::TextFormat::PrintToString(message.letter(), &text);
  }
  return text;
}

std::string By(const std::string& user, const std::string& reason) {
  return absl::StrCat(user.empty() ? "" : absl::StrCat("by ", user), reason.empty() ? "" : ": ",
                      reason);
}

}  // namespace

absl::Status QueueDesk::NoMessage(const std::string& id) const {
  std::vector<std::string> known;
  const auto rows = store_.List("", kNamesMax);
  if (rows.ok()) {
    for (const StoredMessage& row : *rows) {
      known.push_back(row.message.has_dead() ? row.message.dead().dmid() : row.message.mid());
    }
  }
  return absl::NotFoundError(
      absl::StrCat("no message '", id, "' here, nor one that ended", DidYouMean(id, known)));
}

absl::StatusOr<StoredMessage> QueueDesk::Find(const std::string& id) const {
  auto row = store_.Find(id);
  if (!absl::IsNotFound(row.status())) return row;
  const auto ended = store_.FindEnded(id);
  RETURN_IF_ERROR(ended.status());
  if (!ended->has_value()) return NoMessage(id);
  const Ended& end = **ended;
  return absl::FailedPreconditionError(absl::StrCat("message '", id,
                                                    "' has ended: ", FinalName(end.final),
                                                    end.reason.empty() ? "" : ": ", end.reason));
}

absl::StatusOr<v1::ListMessagesResponse> QueueDesk::List(const v1::ListMessagesRequest& request) {
  const int limit = request.limit() == 0 ? kLimitDefault : request.limit();
  if (limit < 1 || limit > kLimitMax || request.offset() < 0) {
    return absl::InvalidArgumentError("limit must be in [1, 1000], offset at least 0");
  }
  ASSIGN_OR_RETURN(const std::vector<StoredMessage> rows,
                   store_.List(request.queue(), static_cast<size_t>(limit), request.offset()));
  v1::ListMessagesResponse response;
  for (const StoredMessage& row : rows) *response.add_messages() = Shown(row);
  int64_t total = 0;
  for (const QueueRow& queue : store_.Queues()) {
    if (request.queue().empty() || queue.name == request.queue()) total += queue.messages;
  }
  response.set_total(total);
  return response;
}

absl::StatusOr<v1::QueueMessage> QueueDesk::Show(const v1::GetMessageRequest& request) {
  StoredMessage row;
  if (!request.id().empty()) {
    auto found = store_.Find(request.id());
    if (absl::IsNotFound(found.status())) {
      const auto ended = store_.FindEnded(request.id());
      RETURN_IF_ERROR(ended.status());
      if (!ended->has_value()) return NoMessage(request.id());
      return Shown(**ended);
    }
    RETURN_IF_ERROR(found.status());
    row = *std::move(found);
  } else {
    if (request.position() < 1) return absl::InvalidArgumentError("positions begin at 1");
    ASSIGN_OR_RETURN(const std::vector<StoredMessage> rows,
                     store_.List(request.queue(), 1, request.position() - 1));
    if (rows.empty()) {
      return absl::NotFoundError(absl::StrCat("queue '", request.queue(), "' has ",
                                              CountOf(request.queue()), " messages, none at ",
                                              request.position()));
    }
    row = rows.front();
  }
  v1::QueueMessage shown = Shown(row);
  if (request.with_body()) shown.set_body(BodyOf(row.message));
  return shown;
}

absl::Status QueueDesk::SuspendQueues(const std::vector<std::string>& queues, bool suspended,
                                      const std::string& who, const std::string& why) {
  Changes changes;
  for (const std::string& queue : queues) changes.suspend_queues.emplace_back(queue, suspended);
  RETURN_IF_ERROR(Apply(std::move(changes)).status());
  for (const std::string& queue : queues) {
    events_.push_back(QueueNews(40010, v1::Information,
                                absl::StrCat("queue ", queue, suspended ? " suspended" : " resumed",
                                             why.empty() ? "" : ": ", why),
                                who));
    events_.back().mutable_queue()->set_queue(queue);
  }
  return absl::OkStatus();
}

absl::Status QueueDesk::Remember(const std::string& key, const std::string& value) {
  Changes changes;
  changes.settings.emplace_back(key, value);
  return Apply(std::move(changes)).status();
}

absl::Status QueueDesk::Set(const std::string& key, const std::string& value, v1::Event event) {
  RETURN_IF_ERROR(Remember(key, value));
  events_.push_back(std::move(event));
  return absl::OkStatus();
}

// Out of poison it is routed anew; its next crash makes it poison again.
absl::StatusOr<StoredMessage> QueueDesk::Resume(StoredMessage row, const std::string& why) {
  row.suspended = false;
  Changes::Update update{.sequence = row.sequence, .suspended = false, .due = Now()};
  const std::string former = row.queue;
  if (row.queue == "poison") {
    queue::Message& message = row.message;
    message.clear_poison_reason();
    message.set_crash_count(1);
    // There it had no end of time.
    message.set_expires_ns(
        std::max(message.expires_ns(), absl::ToUnixNanos(Now() + absl::Hours(1))));
    const Route route = RouteOf(message, *rules_);
    message.set_unreachable_reason(route.unreachable_reason);
    row.queue = route.queue;
    update.message = message;
    update.queue = row.queue;
  }
  Changes changes;
  changes.updates.push_back(std::move(update));
  RETURN_IF_ERROR(Apply(std::move(changes)).status());
  Tell(40010, row, absl::StrCat("resumed ", why));
  if (former != row.queue) events_.back().mutable_queue()->set_former_queue(former);
  return row;
}

absl::Status QueueDesk::NotifyOthers(const StoredMessage& row, const std::string& why) {
  std::vector<Submission> notices;
  for (const auto& [name, kind] : rules_->destinations) {
    if (name == row.message.destination()) continue;
    Submission notice;
    notice.type = queue::AR;
    notice.destination = name;
    notice.correlation = row.message.correlation();
    notice.subject = absl::StrCat("removed without delivery: ", row.message.subject());
    notice.letter = row.message.letter();
    notice.letter.set_kind(queue::Letter::LATE);
    notice.letter.set_message(
        absl::StrCat("message ", row.message.mid(), " in ", row.queue, " was removed ", why));
    notice.letter.set_time_ns(absl::ToUnixNanos(Now()));
    notices.push_back(std::move(notice));
  }
  if (notices.empty()) return absl::OkStatus();
  std::vector<std::vector<Submission>> group;
  group.push_back(std::move(notices));
  return Accept(std::move(group))[0].status();
}

absl::StatusOr<v1::ControlMessageResponse> QueueDesk::Control(
    const v1::ControlMessageRequest& request) {
  using Request = v1::ControlMessageRequest;
  ASSIGN_OR_RETURN(StoredMessage row, Find(request.id()));
  const std::string why = By(request.user(), request.reason());
  v1::ControlMessageResponse response;
  if (row.delivering) response.set_note("it is being delivered: takes effect only if this fails");
  Changes changes;
  size_t told = 0;  // Events, of which the last one says who.
  switch (request.verb()) {
    case Request::SUSPEND:
      if (row.suspended) {
        response.set_note("it is suspended already");
        break;
      }
      row.suspended = true;
      changes.updates.push_back({.sequence = row.sequence, .suspended = true});
      RETURN_IF_ERROR(Apply(std::move(changes)).status());
      Tell(40010, row, absl::StrCat("suspended ", why));
      told = events_.size();
      break;
    case Request::RESUME: {
      if (!row.suspended) {
        return absl::FailedPreconditionError(absl::StrCat("message '", request.id(),
                                                          "' is not suspended: it is ",
                                                          StateOf(row), " in ", row.queue));
      }
      ASSIGN_OR_RETURN(row, Resume(std::move(row), why));
      told = events_.size();
      break;
    }
    case Request::REMOVE: {
      std::vector<Step> steps;
      if (row.delivering) {
        row.removing = true;
        changes.updates.push_back({.sequence = row.sequence, .removing = true});
      } else {
        AddEnd(row, Final::kRemoved, absl::StrCat("removed ", why), changes, steps);
      }
      RETURN_IF_ERROR(ApplyAndTell(std::move(changes), std::move(steps)));
      told = events_.size();
      if (request.notify()) RETURN_IF_ERROR(NotifyOthers(row, why));
      break;
    }
    default:
      return absl::InvalidArgumentError("verb: suspend, resume or remove");
  }
  if (told > 0) events_[told - 1].mutable_queue()->set_who(request.user());
  *response.mutable_message() = Shown(row);
  if (request.verb() == Request::REMOVE && !row.delivering) {
    response.mutable_message()->set_state(std::string(FinalName(Final::kRemoved)));
  }
  return response;
}

absl::StatusOr<v1::ExportMessageResponse> QueueDesk::Export(
    const v1::ExportMessageRequest& request) {
  ASSIGN_OR_RETURN(const StoredMessage row, Find(request.id()));
  if ((!row.suspended && row.queue != "dead") || row.delivering) {
    return absl::FailedPreconditionError(absl::StrCat(
        "message '", request.id(), "' is not suspended: it is ", StateOf(row), " in ", row.queue));
  }
  v1::ExportMessageResponse response;
  ASSIGN_OR_RETURN(*response.mutable_parcel(), MakeParcel(row.message));
  response.set_internal_id(row.sequence);
  Tell(40018, row, "exported");
  events_.back().mutable_queue()->set_who(request.user());
  return response;
}

absl::StatusOr<v1::ImportMessageResponse> QueueDesk::Import(
    const v1::ImportMessageRequest& request) {
  auto opened = OpenParcel(request.parcel());
  if (!opened.ok()) return absl::InvalidArgumentError(opened.status().message());
  queue::Message message = *std::move(opened);
  ASSIGN_OR_RETURN(const auto known, FindKnown(message));
  if (known.has_value()) {
    return absl::AlreadyExistsError(
        absl::StrCat("message '", known->mid, "' is here or has ended"));
  }
  RETURN_IF_ERROR(WhyFull(Live() + 1, store_.bytes()));
  message.clear_dead();
  message.clear_poison_reason();
  message.clear_submission_key();
  message.set_expires_ns(std::max(message.expires_ns(), absl::ToUnixNanos(Now() + absl::Hours(1))));
  const Route route = RouteOf(message, *rules_);
  message.set_unreachable_reason(route.unreachable_reason);
  Changes changes;
  changes.puts.push_back({message, route.queue, false, Now()});
  ASSIGN_OR_RETURN(const std::vector<int64_t> sequences, Apply(std::move(changes)));
  Tell(40018, {sequences.front(), message, route.queue}, "imported");
  events_.back().mutable_queue()->set_who(request.user());
  v1::ImportMessageResponse response;
  response.set_mid(message.mid());
  response.set_queue(route.queue);
  return response;
}

}  // namespace salve
