#include "agent/deferred_actions.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "channels/event_text.h"
#include "throttling/attempt.h"

namespace salve {
namespace {

constexpr char kPrefix[] = "deferred:";
constexpr int kPriorityMax = 10;
constexpr int64_t kExpireMin = 5;
constexpr int64_t kExpireMax = 90 * 24 * 3600;
constexpr size_t kReasonBytesMax = 1000;
constexpr size_t kWhoBytesMax = 200;

using Kind = DeliveryResult::Kind;

// Ended before anything was done: a pause or a stop came between the decision and the effect.
bool HadNoEffect(const Attempt& attempt) {
  return attempt.state == AttemptState::kFinished && attempt.result == AttemptResult::kFailed &&
         attempt.effect.empty();
}

const Attempt* AttemptOf(const Ledger& ledger, const std::string& mid) {
  const std::string prefix = absl::StrCat(kPrefix, mid, ":");
  const std::vector<const Attempt*> all = ledger.OfRequester(prefix);
  const auto found = std::find_if(all.rbegin(), all.rend(),
                                  [](const Attempt* attempt) { return !HadNoEffect(*attempt); });
  return found == all.rend() ? nullptr : *found;
}

DeliveryResult ResultOf(const v1::RunActionResponse& response, absl::Time now) {
  const v1::RecoveryActionResultEvent& result = response.result();
  if (response.allowed()) {
    DeliveryResult ended{.kind = Kind::kDelivered,
                         .detail = result.instance_id(),
                         .attempt_id = result.instance_id()};
    if (result.result() == "Succeeded") return ended;
    ended.kind = Kind::kFailed;
    ended.detail =
        absl::StrCat("attempt ", result.instance_id(), ": ", result.result(),
                     result.exception_message().empty() ? "" : ": ", result.exception_message());
    return ended;
  }
  if (!response.refused_because().empty()) {
    return {Kind::kWait, response.refused_because(), DeferredActions::kAgain};
  }
  if (!response.has_time_to_retry_after()) {
    return {Kind::kWait, response.verdict().exception_message(), DeferredActions::kAgainUnlimited};
  }
  const absl::Time again = absl::FromUnixSeconds(response.time_to_retry_after().seconds()) +
                           absl::Nanoseconds(response.time_to_retry_after().nanos());
  return {Kind::kWait, response.verdict().exception_message(),
          std::max(again - now, absl::Seconds(1))};
}

}  // namespace

absl::StatusOr<Submission> DeferredSubmission(const v1::RunActionRequest& request,
                                              const std::string& resource) {
  if (request.expire_seconds() != 0 &&
      (request.expire_seconds() < kExpireMin || request.expire_seconds() > kExpireMax)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "it can expire in ", kExpireMin, "s..90 days: ", request.expire_seconds(), " s are not"));
  }
  if (request.priority() < -kPriorityMax || request.priority() > kPriorityMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a priority is -", kPriorityMax, "..", kPriorityMax, ": ", request.priority(), " is none"));
  }
  Submission submission;
  submission.type = queue::UP;
  submission.subject = request.responder().empty() ? absl::StrCat(request.action(), " ", resource)
                                                   : request.responder();
  submission.priority = request.priority();
  if (request.expire_seconds() != 0) submission.expire = absl::Seconds(request.expire_seconds());
  queue::Deferred& deferred = submission.deferred;
  deferred.set_responder(request.responder());
  if (request.responder().empty()) deferred.set_action(request.action());
  deferred.set_resource(resource);
  deferred.set_requester(
      CleanText(request.user().empty() ? "unknown" : request.user(), kWhoBytesMax));
  deferred.set_reason(CleanText(request.reason(), kReasonBytesMax));
  return submission;
}

std::string DeferredRequester(const queue::Message& message) {
  return absl::StrCat(kPrefix, message.mid(), ":", message.deferred().requester());
}

std::optional<KnownAttempt> KnownAttemptOf(const Ledger& ledger, const std::string& mid) {
  const Attempt* attempt = AttemptOf(ledger, mid);
  if (attempt == nullptr) return std::nullopt;
  KnownAttempt known;
  known.id = attempt->id;
  known.in_progress = attempt->state == AttemptState::kInProgress;
  known.crashed = !known.in_progress && attempt->result == AttemptResult::kCrashed;
  known.result = std::string(known.in_progress ? AttemptStateName(attempt->state)
                                               : AttemptResultName(attempt->result));
  return known;
}

int CrashesOf(const Ledger& ledger, const queue::Deferred& deferred, absl::Time now,
              bool at_start) {
  const std::vector<const Attempt*> on_it =
      ledger.List(nullptr, deferred.resource(), now - absl::Hours(24), Ledger::kAttemptsMax);
  return static_cast<int>(std::count_if(on_it.begin(), on_it.end(), [&](const Attempt* attempt) {
    const bool crashed = attempt->state == AttemptState::kFinished
                             ? attempt->result == AttemptResult::kCrashed
                             : at_start;
    return crashed && absl::StartsWith(attempt->requester, kPrefix) &&
           (deferred.action().empty() || ActionName(attempt->action) == deferred.action());
  }));
}

Deliverer::Id DeferredActions::Start(const std::string&,
                                     const std::vector<queue::Message>& messages, Instant,
                                     Done done) {
  const Id id{++last_id_};
  running_.emplace(id, std::move(done));
  loop_.Post([this, alive = alive_, id, message = messages.at(0)] {
    if (*alive && running_.contains(id)) Run(id, message);
  });
  return id;
}

void DeferredActions::Run(Id id, const queue::Message& message) {
  if (const Attempt* before = AttemptOf(ledger_, message.mid())) {
    if (before->state == AttemptState::kInProgress) {
      return Finish(id, {Kind::kWait, "its attempt is still under way", kAgain});
    }
    DeliveryResult ended{.kind = Kind::kDelivered, .detail = before->id, .attempt_id = before->id};
    if (before->result != AttemptResult::kSucceeded) {
      ended.kind = Kind::kFailed;
      ended.detail = absl::StrCat("attempt ", before->id,
                                  " had begun before: ", AttemptResultName(before->result),
                                  "; it is not run again");
    }
    return Finish(id, std::move(ended));
  }
  if (engine_ == nullptr) {
    return Finish(id, {Kind::kWait, "the agent does not act now", kAgain});
  }
  v1::RunActionRequest request;
  request.set_responder(message.deferred().responder());
  request.set_action(message.deferred().action());
  request.set_resource(message.deferred().resource());
  request.set_reason(message.deferred().reason());
  engine_->RunDeferred(
      request, DeferredRequester(message),
      [this, alive = alive_, id](absl::StatusOr<v1::RunActionResponse> response) {
        if (!*alive) return;
        // May be inside Start's turn of the engine, but never inside Start itself.
        if (absl::IsAborted(response.status())) {
          return Finish(id, {Kind::kObsolete, std::string(response.status().message())});
        }
        if (!response.ok()) {
          const bool gone = absl::IsNotFound(response.status());
          return Finish(id, {Kind::kFailed, absl::StrCat(gone ? "what was to be run is gone: " : "",
                                                         response.status().message())});
        }
        Finish(id, ResultOf(*response, loop_.clock().WallNow()));
      });
}

void DeferredActions::Finish(Id id, DeliveryResult result) {
  auto found = running_.extract(id);
  if (!found.empty()) found.mapped()(std::move(result));
}

}  // namespace salve
