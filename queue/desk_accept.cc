#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "queue/desk.h"
#include "queue/parcel.h"
#include "queue/pressure.h"
#include "queue/queue_events.h"

namespace salve {
namespace {

constexpr int64_t kReservePercent = 110;
constexpr size_t kInboxPage = 1000;

v1::TransferResponse Answer(v1::TransferResponse::Answer answer, const std::string& reason,
                            const std::string& mid = "") {
  v1::TransferResponse response;
  response.set_answer(answer);
  response.set_reason(reason);
  response.set_mid(mid);
  return response;
}

const char* ArrivalOf(const Ended& ended) {
  if (IsWithdrawn(ended)) return "not-arrived";
  return ended.final == Final::kDone           ? "arrived-done"
         : ended.final == Final::kReregistered ? "arrived-queued"
                                               : "arrived-dead";
}

}  // namespace

absl::Status QueueDesk::WhyFull(int64_t messages, int64_t bytes) const {
  if (messages * 100 > rules_->messages_max * kReservePercent) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the queue is full: messages_max is ", rules_->messages_max));
  }
  // In parts of a hundred, as bytes_max * 110 may be beyond an int64.
  if (bytes / kReservePercent > rules_->bytes_max / 100) {
    return absl::ResourceExhaustedError(absl::StrCat("the queue is full: it has ", bytes,
                                                     " bytes, bytes_max is ", rules_->bytes_max));
  }
  return absl::OkStatus();
}

queue::Message QueueDesk::MessageOf(const Submission& submission) {
  queue::Message message;
  message.set_mid(store_.NewMid(Now()));
  message.set_origin_server(rules_->server);
  message.set_origin_mid(message.mid());
  message.set_type(submission.type);
  const absl::Duration expire = submission.expire.value_or(
      submission.type == queue::UP ? rules_->expire_deferred : rules_->expire);
  message.set_created_ns(absl::ToUnixNanos(Now()));
  message.set_expires_ns(absl::ToUnixNanos(Now() + expire));
  message.set_destination(submission.destination);
  message.set_subject(submission.subject);
  if (submission.type == queue::UP) {
    *message.mutable_deferred() = submission.deferred;
  } else {
    *message.mutable_letter() = submission.letter;
  }
  message.set_priority(submission.priority);
  message.set_correlation(submission.correlation);
  message.set_submission_key(submission.key);
  return message;
}

absl::Status QueueDesk::ApplyPuts(std::vector<Changes::Put> puts) {
  if (puts.empty()) return absl::OkStatus();
  Changes changes;
  changes.puts = std::move(puts);
  std::vector<StoredMessage> rows;
  for (const Changes::Put& put : changes.puts) rows.push_back({0, put.message, put.queue});
  ASSIGN_OR_RETURN(const std::vector<int64_t> sequences, Apply(std::move(changes)));
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].sequence = sequences[i];
    Tell(40001, rows[i], rows[i].message.unreachable_reason());
  }
  return absl::OkStatus();
}

std::vector<absl::StatusOr<QueueDesk::Mids>> QueueDesk::Accept(
    std::vector<std::vector<Submission>> groups) {
  std::vector<absl::StatusOr<Mids>> answers;
  std::vector<std::vector<Changes::Put>> puts(groups.size());
  std::map<std::string, std::string> keys;  // Of this transaction.
  int64_t count = Live();                   // With what this transaction adds.
  const int64_t bytes = store_.bytes();
  for (size_t i = 0; i < groups.size(); ++i) {
    Mids mids;
    absl::Status why = WhyFull(count + static_cast<int64_t>(groups[i].size()), bytes);
    for (const Submission& submission : groups[i]) {
      if (!why.ok()) break;
      if (!submission.key.empty()) {
        const auto known = store_.FindKey(submission.key);
        if (!known.ok()) {
          why = known.status();
          break;
        }
        const auto here = keys.find(submission.key);
        if (known->has_value() || here != keys.end()) {
          mids.push_back(known->has_value() ? **known : here->second);
          continue;
        }
      }
      queue::Message message = MessageOf(submission);
      const Route route = RouteOf(message, *rules_);
      message.set_unreachable_reason(route.unreachable_reason);
      if (!submission.key.empty()) keys[submission.key] = message.mid();
      mids.push_back(message.mid());
      puts[i].push_back({std::move(message), route.queue, false, Now()});
    }
    if (!why.ok()) puts[i].clear();
    count += static_cast<int64_t>(puts[i].size());
    answers.push_back(why.ok() ? absl::StatusOr<Mids>(std::move(mids)) : why);
  }
  std::vector<Changes::Put> all;
  for (auto& group : puts) {
    all.insert(all.end(), std::make_move_iterator(group.begin()),
               std::make_move_iterator(group.end()));
  }
  absl::Status kept = ApplyPuts(std::move(all));
  if (kept.ok()) return answers;
  if (groups.size() == 1) {
    answers[0] = kept;
    return answers;
  }
  // One of them may be to blame: each for itself.
  answers.clear();
  for (std::vector<Submission>& group : groups) {
    std::vector<std::vector<Submission>> one;
    one.push_back(std::move(group));
    answers.push_back(std::move(Accept(std::move(one))[0]));
  }
  return answers;
}

absl::StatusOr<std::optional<QueueDesk::Known>> QueueDesk::FindKnown(
    const queue::Message& message) const {
  ASSIGN_OR_RETURN(const auto here,
                   store_.FindOrigin(message.origin_server(), message.origin_mid()));
  if (here.has_value()) return Known{here->message.mid()};
  ASSIGN_OR_RETURN(const auto ended,
                   store_.FindEndedOrigin(message.origin_server(), message.origin_mid()));
  if (!ended.has_value()) return std::optional<Known>();
  return Known{ended->mid, IsWithdrawn(*ended) ? ended->reason : ""};
}

absl::StatusOr<v1::TransferResponse> QueueDesk::Transfer(const v1::TransferRequest& request,
                                                         const std::string& closed) {
  using Response = v1::TransferResponse;
  if (request.purpose() != v1::TransferRequest::PROBE) {
    const auto opened = OpenParcel(request.parcel());
    if (!opened.ok()) return Answer(Response::REFUSED, std::string(opened.status().message()));
    // What was taken before is said also when no more is taken.
    ASSIGN_OR_RETURN(const auto known, FindKnown(*opened));
    // One that was withdrawn is not "here before": a copy that lives on elsewhere would count as
    // told. Nor is it taken: this may be the transfer that was withdrawn, late.
    if (known.has_value() && !known->withdrawn.empty()) {
      return Answer(Response::ANOTHER, known->withdrawn);
    }
    if (known.has_value()) return Answer(Response::DUPLICATE, "it was here before", known->mid);
    if (request.purpose() == v1::TransferRequest::RELAY) {
      if (opened->hops() >= 1) return Answer(Response::REFUSED, "it was handed over once already");
      if (opened->type() == queue::UP) {
        return Answer(Response::REFUSED, "a deferred action runs on its own server alone");
      }
    } else if (opened->type() == queue::UP) {
      return Answer(Response::REFUSED, "an inbox takes no deferred action");
    }
  }
  if (!closed.empty()) return Answer(Response::ANOTHER, closed);
  if (request.purpose() != v1::TransferRequest::FORWARD &&
      rules_->mode != config::Queue::LOCALLY_FOR_OTHERS) {
    return Answer(Response::ANOTHER, "this server does not accept for others");
  }
  switch (PressureOf({Live() + 1, store_.bytes(), store_.disk_room()}, *rules_)) {
    case Pressure::kForeignRefused:
      return absl::ResourceExhaustedError("the queue is full: nothing is taken from others");
    case Pressure::kForeignWait:
      return Answer(Response::ANOTHER, "the queue is filling up: not now");
    case Pressure::kNone:
      break;
  }
  if (request.purpose() == v1::TransferRequest::PROBE) return Answer(Response::ACCEPTED, "");
  ASSIGN_OR_RETURN(queue::Message message, OpenParcel(request.parcel()));
  message.clear_unconfirmed_ns();
  if (request.confirms()) message.set_unconfirmed_ns(absl::ToUnixNanos(Now() + kConfirmWithin));
  return Take(std::move(message), request.sender(), request.purpose());
}

absl::StatusOr<v1::TransferResponse> QueueDesk::Take(queue::Message message,
                                                     const std::string& sender,
                                                     v1::TransferRequest::Purpose purpose) {
  message.set_mid(store_.NewMid(Now()));
  message.set_attempts(0);
  message.set_deliveries(0);
  message.set_crash_count(0);
  for (std::string* text :
       {message.mutable_last_error(), message.mutable_handed_to(), message.mutable_poison_reason(),
        message.mutable_submission_key(), message.mutable_unreachable_reason()}) {
    text->clear();
  }
  message.clear_dead();
  std::string queue = "inbox";
  if (purpose == v1::TransferRequest::RELAY) {
    message.set_hops(message.hops() + 1);
    const Route route = RouteOf(message, *rules_);
    if (route.queue == "unreachable") {
      return Answer(v1::TransferResponse::ANOTHER, route.unreachable_reason);
    }
    queue = route.queue;
  }
  Changes changes;
  changes.puts.push_back({message, queue, false, Now()});
  StoredMessage row{0, message, queue};
  const auto kept = Apply(std::move(changes), /*own=*/false);
  if (absl::IsResourceExhausted(kept.status())) {
    return Answer(v1::TransferResponse::ANOTHER, std::string(kept.status().message()));
  }
  if (absl::IsInvalidArgument(kept.status()) || absl::IsFailedPrecondition(kept.status())) {
    return Answer(v1::TransferResponse::REFUSED, std::string(kept.status().message()));
  }
  RETURN_IF_ERROR(kept.status());
  row.sequence = kept->front();
  Tell(40001, row, absl::StrCat("from ", sender.empty() ? message.origin_server() : sender));
  return Answer(v1::TransferResponse::ACCEPTED, "", message.mid());
}

absl::StatusOr<v1::CheckArrivalResponse> QueueDesk::CheckArrival(
    const v1::CheckArrivalRequest& request) {
  v1::CheckArrivalResponse response;
  const auto here = store_.FindOrigin(request.origin_server(), request.origin_mid());
  RETURN_IF_ERROR(here.status());
  if (here->has_value()) {
    const StoredMessage& row = **here;
    response.set_arrival(row.queue == "dead"    ? "arrived-dead"
                         : row.queue == "inbox" ? "arrived-done"
                                                : "arrived-queued");
    response.set_detail(absl::StrCat(row.message.mid(), " in ", row.queue));
    return response;
  }
  const auto ended = store_.FindEndedOrigin(request.origin_server(), request.origin_mid());
  RETURN_IF_ERROR(ended.status());
  if (!ended->has_value()) {
    response.set_arrival("not-arrived");
    return response;
  }
  const Ended& end = **ended;
  response.set_arrival(ArrivalOf(end));
  response.set_detail(absl::StrCat(end.mid, ": ", FinalName(end.final),
                                   end.reason.empty() ? "" : ": ", end.reason));
  return response;
}

absl::StatusOr<std::vector<int64_t>> QueueDesk::ShowInbox() {
  if (IsSuspended("inbox")) return std::vector<int64_t>();
  ASSIGN_OR_RETURN(const std::vector<StoredMessage> rows, store_.Unsuspended("inbox", kInboxPage));
  std::vector<int64_t> sequences;
  for (const StoredMessage& row : rows) {
    sequences.push_back(row.sequence);
    Tell(40009, row, "");
    events_.back().mutable_queue()->set_message(row.message.letter().message());
  }
  return sequences;
}

absl::Status QueueDesk::EndInbox(const std::vector<int64_t>& sequences) {
  Changes changes;
  std::vector<Step> steps;
  for (const int64_t sequence : sequences) {
    const auto row = store_.Get(sequence);
    if (absl::IsNotFound(row.status())) continue;  // Removed meanwhile.
    RETURN_IF_ERROR(row.status());
    if (row->queue != "inbox") continue;
    AddEnd(*row, Final::kDone, "received", changes, steps);
    steps.back().letter_event_id = 0;
  }
  return ApplyAndTell(std::move(changes), std::move(steps));
}

}  // namespace salve
