#include "agent/set_run.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/fault.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "config/duration.h"
#include "queue/transition.h"

namespace salve {
namespace {

constexpr absl::Duration kLetterTime = absl::Seconds(30);
// The agent itself gives an action up after two hours.
constexpr absl::Duration kActionTime = absl::Minutes(125);
constexpr char kDeferred[] = "deferred:";
constexpr int kCrashesMax = 2;    // Then it is poison.
constexpr int kCrashSet = 40011;  // An event of the Queue channel.
constexpr char kWhyPoison[] = "the agent died more than once while it handled this";
constexpr char kIsPoison[] = "it is in poison: the agent died twice while it handled this";

absl::Time ExpiryOf(const queue::Message& message) {
  return absl::FromUnixNanos(message.expires_ns());
}

// How an entry stands whose message has ended in the live queue.
EntryState StateOf(Final final) {
  return final == Final::kFailed || final == Final::kRejected ? EntryState::kActError
                                                              : EntryState::kActExec;
}

// "x" of "deferred:x:who"; empty when it is none.
std::string MidOf(absl::string_view requester) {
  if (!absl::StartsWith(requester, kDeferred)) return "";
  const absl::string_view rest = requester.substr(sizeof(kDeferred) - 1);
  return std::string(rest.substr(0, rest.find(':')));
}

// Ended before anything was done: a pause or a stop came between the decision and the effect.
bool HadNoEffect(const Attempt& attempt) {
  return attempt.state == AttemptState::kFinished && attempt.result == AttemptResult::kFailed &&
         attempt.effect.empty();
}

// Where it belongs on this server, whatever is configured now.
std::string QueueOf(const queue::Message& message) {
  return message.type() == queue::UP ? absl::StrCat("local/", message.deferred().resource())
                                     : absl::StrCat("remote/", message.destination());
}

// What lets a suspended message or queue go.
std::string ResumesMessage(const std::string& mid) {
  return absl::StrCat("once salved runs, 'salvectl queue message resume ", mid, "' lets it go");
}
std::string ResumesQueue(const std::string& queue) {
  return absl::StrCat("once salved runs, 'salvectl queue resume ", queue, "' lets it go");
}

// How a message ended, for people.
std::string HowItEnded(const Ended& ended) {
  return absl::StrCat("it had ended: ", FinalName(ended.final), ended.reason.empty() ? "" : ": ",
                      ended.reason);
}

}  // namespace

SetRun::SetRun(Parts parts, std::unique_ptr<CrashSet> set, SetRunOptions options, bool resumes)
    : parts_(std::move(parts)),
      set_(std::move(set)),
      options_(std::move(options)),
      resumes_(resumes),
      definitions_(DefinitionsOf(parts_.configuration)),
      live_(parts_.store, parts_.events, parts_.loop.clock()) {}

SetRun::~SetRun() { *alive_ = false; }

void SetRun::Start(std::function<void(absl::Status)> done) {
  done_ = std::move(done);
  const absl::Status planned = Plan();
  parts_.loop.Post([this, alive = alive_, planned] {
    if (!*alive) return;
    if (!planned.ok()) return End(planned);
    Next();
  });
}

absl::Status SetRun::Plan() {
  for (const Attempt* attempt :
       parts_.ledger.List(nullptr, "", absl::InfinitePast(), Ledger::kAttemptsMax)) {
    const std::string mid = MidOf(attempt->requester);
    if (!mid.empty() && !HadNoEffect(*attempt)) attempts_[mid] = attempt->id;
  }
  for (const QueueRow& queue : parts_.store.Queues()) {
    if (queue.suspended) suspended_queues_.insert(queue.name);
  }
  std::map<queue::Type, std::deque<Step>> by_type;
  std::deque<Step> recovery;
  RETURN_IF_ERROR(set_->ForEach([&](const CrashEntry& entry) {
    const Step step{entry.in_flight, entry.id, entry.action.has_value()};
    if (!IsOpen(entry.state)) return true;
    if (entry.in_flight) {
      recovery.push_back(step);
    } else {
      by_type[entry.message.type()].push_back(step);
    }
    return true;
  }));
  for (const queue::Type type : {queue::AR, queue::AF, queue::UP}) {
    const bool wanted =
        options_.types.empty() ||
        std::find(options_.types.begin(), options_.types.end(), type) != options_.types.end();
    if (!options_.execute || !wanted) continue;
    steps_.insert(steps_.end(), by_type[type].begin(), by_type[type].end());
  }
  if (options_.recover) steps_.insert(steps_.end(), recovery.begin(), recovery.end());
  return absl::OkStatus();
}

// Each step ends in a call of Continue, or of End.
void SetRun::Next() {
  if (stopping_) {
    for (const Step& left : steps_)
      ++(left.recovers ? outcome_.not_recovered : outcome_.not_executed);
    steps_.clear();
  }
  if (steps_.empty()) return End(absl::OkStatus());
  const Step step = std::move(steps_.front());
  steps_.pop_front();
  if (step.is_action) return RecoverAction(step.id);
  // An attempt of it that a crash left: nothing is decided before it is closed.
  const Attempt* attempt = AttemptOf(step.id);
  const bool is_ours = resumes_ || absl::IsNotFound(parts_.store.Find(step.id).status());
  if (is_ours && attempt != nullptr && attempt->state == AttemptState::kInProgress) {
    if (StillRuns(*attempt)) {
      const absl::Status said =
          Say(step.id, step.recovers ? EntryState::kErrNoRec : EntryState::kActNoExe,
              absl::StrCat("its action still runs: ", attempt->effect));
      return said.ok() ? Continue() : End(said);
    }
    return CloseAttempt(std::string(attempt->id), [this, step] {
      steps_.push_front(step);
      return absl::OkStatus();
    });
  }
  const absl::StatusOr<bool> under_way = step.recovers ? RecoverMessage(step.id) : Execute(step.id);
  if (!under_way.ok()) return End(under_way.status());
  if (!*under_way) Continue();
}

void SetRun::Continue() {
  parts_.loop.Post([this, alive = alive_] {
    if (*alive) Next();
  });
}

void SetRun::RecoverAction(const std::string& attempt_id) {
  const Attempt* attempt = parts_.ledger.Find(attempt_id);
  absl::Status said;
  if (attempt == nullptr) {
    said = Say(attempt_id, EntryState::kErrRecov, "the ledger knows it no more");
  } else if (attempt->state == AttemptState::kFinished) {
    said = Say(attempt_id, EntryState::kErrRecov,
               absl::StrCat("it had ended: ", AttemptResultName(attempt->result)));
  } else if (StillRuns(*attempt)) {
    said = Say(attempt_id, EntryState::kErrNoRec, absl::StrCat("it still runs: ", attempt->effect));
  } else {
    return CloseAttempt(attempt_id, [this, attempt_id] {
      return Say(attempt_id, EntryState::kErrRecov, "closed as crashed");
    });
  }
  said.ok() ? Continue() : End(said);
}

void SetRun::CloseAttempt(const std::string& attempt_id, std::function<absl::Status()> then) {
  parts_.close_attempt(attempt_id, [this, alive = alive_, then](absl::Status status) {
    if (!*alive) return;
    if (status.ok()) status = then();
    status.ok() ? Continue() : End(status);
  });
}

void SetRun::End(absl::Status status) {
  v1::Event event;
  event.set_channel(v1::Queue);
  event.set_event_id(kCrashSet);
  event.set_level(v1::Information);
  event.mutable_queue()->set_message(absl::StrCat(
      "crash set ", set_->manifest().name(), " (", options_.dir, "): ", outcome_.executed,
      " executed, ", outcome_.failed, " failed, ", outcome_.not_executed, " not executed, ",
      outcome_.recovered, " recovered, ", outcome_.not_recovered, " not recovered"));
  parts_.events.Append(std::move(event));
  done_(std::move(status));
}

absl::Status SetRun::Say(const std::string& id, EntryState state, absl::string_view detail) {
  switch (state) {
    case EntryState::kErrNoRec:
      ++outcome_.not_recovered;
      break;
    case EntryState::kErrRecov:
      ++outcome_.recovered;
      break;
    case EntryState::kActNoExe:
      ++outcome_.not_executed;
      break;
    case EntryState::kActExec:
      ++outcome_.executed;
      break;
    case EntryState::kActError:
      ++outcome_.failed;
      break;
  }
  FaultPoint("queue.set.state");
  return set_->SetState(id, state, detail, Now());
}

const Attempt* SetRun::AttemptOf(const std::string& mid) const {
  const auto found = attempts_.find(mid);
  if (found == attempts_.end()) return nullptr;
  const Attempt* attempt = parts_.ledger.Find(found->second);
  return attempt == nullptr || HadNoEffect(*attempt) ? nullptr : attempt;
}

bool SetRun::IsOfKilledRun(const CrashEntry& entry, const StoredMessage& live) const {
  // Under HOLD all that was on its way left the queue for the set. What is elsewhere than in its
  // own queue (unreachable, poison), or suspended there, waits for a person and not for a run.
  return resumes_ && set_->manifest().recovery() == config::Queue::HOLD &&
         live.queue == QueueOf(entry.message) && !live.suspended;
}

SetRun::Suspension SetRun::SuspensionOf(const CrashEntry& entry, const std::string& queue,
                                        bool is_known) const {
  if (entry.suspended) return Suspension::kMessage;
  if (suspended_queues_.contains(queue)) return Suspension::kQueue;
  // A queue stays suspended while its messages are in the set: when it is not any more, a person
  // has resumed it since. A database that never had this message knows nothing of that.
  const bool is_still = !is_known || suspended_queues_.contains(entry.queue);
  return entry.queue_suspended && is_still ? Suspension::kMessage : Suspension::kNone;
}

std::string SetRun::WhyItStays(Suspension suspension, const std::string& mid,
                               const std::string& queue) {
  switch (suspension) {
    case Suspension::kMessage:
      return absl::StrCat("a person had suspended it, and so it is in the queue ", queue, ": ",
                          ResumesMessage(mid));
    case Suspension::kQueue:
      return absl::StrCat("a person has suspended its queue, and so it is in ", queue, ": ",
                          ResumesQueue(queue));
    case Suspension::kNone:
      break;
  }
  return "";
}

absl::StatusOr<std::string> SetRun::RouteOf(const CrashEntry& entry) const {
  const queue::Message& message = entry.message;
  const std::string& server = parts_.configuration.agent.server;
  if (message.type() == queue::UP && message.origin_server() != server) {
    return absl::FailedPreconditionError(absl::StrCat("host-bound:", message.origin_server()));
  }
  if (const std::string missing = MissingDefinition(entry, definitions_); !missing.empty()) {
    return absl::NotFoundError(
        absl::StrCat("Trigger(", missing, ") not found: it is no longer in the configuration"));
  }
  return QueueOf(message);
}

absl::StatusOr<bool> SetRun::Execute(const std::string& mid) {
  ASSIGN_OR_RETURN(const CrashEntry entry, set_->FindMessage(mid));
  std::optional<int64_t> live;
  const absl::StatusOr<StoredMessage> found = parts_.store.Find(mid);
  if (found.ok()) {
    if (!IsOfKilledRun(entry, *found)) {
      RETURN_IF_ERROR(SettleLive(mid, *found));
      return false;
    }
    live = found->sequence;
  } else if (!absl::IsNotFound(found.status())) {
    return found.status();
  }
  ASSIGN_OR_RETURN(const std::optional<Ended> ended, parts_.store.FindEnded(mid));
  const bool is_held = ended.has_value() && ended->final == Final::kHeldInSet;
  if (ended.has_value() && !is_held) {
    RETURN_IF_ERROR(Say(mid, StateOf(ended->final), HowItEnded(*ended)));
    return false;
  }
  if (const Attempt* attempt = AttemptOf(mid)) {
    RETURN_IF_ERROR(SettleBegun(entry, *attempt, live));
    return false;
  }
  if (ExpiryOf(entry.message) <= Now()) {
    RETURN_IF_ERROR(SettleExpired(entry, is_held, live));
    return false;
  }
  return Route(entry, is_held, live);
}

absl::StatusOr<bool> SetRun::Route(const CrashEntry& entry, bool is_held,
                                   std::optional<int64_t> live) {
  const absl::StatusOr<std::string> queue = RouteOf(entry);
  if (!queue.ok()) {
    if (live.has_value()) {
      RETURN_IF_ERROR(live_.End(*live, Final::kHeldInSet, entry.message, set_->manifest().name()));
    }
    RETURN_IF_ERROR(Say(entry.id, EntryState::kActNoExe, queue.status().message()));
    return false;
  }
  const Suspension suspension = SuspensionOf(entry, *queue, is_held || live.has_value());
  if (suspension == Suspension::kNone && entry.message.handed_to().empty()) {
    return Deliver(entry, *queue, live);
  }
  RETURN_IF_ERROR(LeaveToSalved(entry, *queue, suspension, live));
  return false;
}

absl::Status SetRun::SettleLive(const std::string& mid, const StoredMessage& live) {
  if (live.queue == "dead" && set_->manifest().recovery() == config::Queue::HOLD) {
    // A run was killed before it could say so here.
    const queue::Dead& dead = live.message.dead();
    return Say(mid, EntryState::kActError,
               absl::StrCat("it is dead, as ", dead.dmid(), ": ", dead.reason()));
  }
  std::string why = absl::StrCat("left to salved: it is in its queue ", live.queue);
  if (suspended_queues_.contains(live.queue)) {
    absl::StrAppend(&why, ", which is suspended: ", ResumesQueue(live.queue));
  } else if (live.suspended) {
    absl::StrAppend(&why, ", suspended: ", ResumesMessage(mid));
  }
  return Say(mid, EntryState::kActNoExe, why);
}

absl::Status SetRun::LeaveToSalved(const CrashEntry& entry, const std::string& queue,
                                   Suspension suspension, std::optional<int64_t> live) {
  if (!live.has_value()) {
    // Not kept in the set: there nobody could ever resume it.
    RETURN_IF_ERROR(
        live_.PutBack(entry.message, queue, suspension == Suspension::kMessage).status());
  }
  const std::string why =
      suspension == Suspension::kNone
          ? absl::StrCat("left to salved, which asks ", entry.message.handed_to(),
                         " first: its answer to the transfer was lost")
          : WhyItStays(suspension, entry.id, queue);
  return Say(entry.id, EntryState::kActNoExe, why);
}

// It was begun, by a run that was killed or before this set was copied, and runs at most once.
absl::Status SetRun::SettleBegun(const CrashEntry& entry, const Attempt& attempt,
                                 std::optional<int64_t> live) {
  const bool succeeded = attempt.result == AttemptResult::kSucceeded;
  const std::string why = absl::StrCat("its action had begun and does not run again (attempt ",
                                       attempt.id, ": ", AttemptResultName(attempt.result), ")");
  if (!live.has_value()) {
    ASSIGN_OR_RETURN(live, live_.PutBack(entry.message, QueueOf(entry.message)));
  }
  RETURN_IF_ERROR(live_.End(*live, succeeded ? Final::kDone : Final::kFailed, entry.message, why));
  return Say(entry.id, succeeded ? EntryState::kActExec : EntryState::kActError, why);
}

absl::Status SetRun::SettleExpired(const CrashEntry& entry, bool is_held,
                                   std::optional<int64_t> live) {
  // Without a memory of it nobody knows whether it was delivered meanwhile.
  if (!is_held && !live.has_value()) {
    return Say(entry.id, EntryState::kActError,
               "expired, and so long ago that the queue no longer knows what became of it");
  }
  const std::string queue = QueueOf(entry.message);
  if (!live.has_value()) {
    ASSIGN_OR_RETURN(live, live_.PutBack(entry.message, queue));
  }
  ASSIGN_OR_RETURN(const std::string dmid, live_.Bury(*live, entry.message, queue,
                                                      "expired while it waited in a crash set"));
  return Say(entry.id, EntryState::kActError, absl::StrCat("expired: it is dead, as ", dmid));
}

absl::StatusOr<bool> SetRun::Deliver(const CrashEntry& entry, const std::string& queue,
                                     std::optional<int64_t> live) {
  const queue::Message& message = entry.message;
  if (!live.has_value()) {
    ASSIGN_OR_RETURN(live, live_.PutBack(message, queue));
  }
  RETURN_IF_ERROR(live_.BeginDelivery(*live, queue));
  Deliverer* deliverer = &parts_.actions;
  absl::Duration time = kActionTime;
  if (message.type() != queue::UP) {
    const config::Agent& agent = parts_.configuration.agent.config;
    time = agent.escalation().timeout().empty()
               ? kLetterTime
               : ParseDuration(agent.escalation().timeout()).value_or(kLetterTime);
    const auto& all = agent.destination();
    const auto destination = std::find_if(all.begin(), all.end(), [&](const auto& one) {
      return one.name() == message.destination();
    });
    deliverer = destination->has_forward() ? &parts_.forwards : &parts_.letters;
  }
  deliverer->Start(queue, {message}, parts_.loop.Now() + time,
                   [this, alive = alive_, entry, sequence = *live](DeliveryResult result) {
                     if (*alive) OnDelivered(entry, sequence, std::move(result));
                   });
  return true;
}

void SetRun::OnDelivered(const CrashEntry& entry, int64_t sequence, DeliveryResult result) {
  FaultPoint("queue.set.delivered");
  const absl::Status status = Conclude(entry, sequence, result);
  status.ok() ? Continue() : End(status);
}

absl::Status SetRun::Conclude(const CrashEntry& entry, int64_t sequence,
                              const DeliveryResult& result) {
  using Kind = DeliveryResult::Kind;
  const queue::Message& message = entry.message;
  switch (result.kind) {
    case Kind::kDelivered:
      RETURN_IF_ERROR(live_.End(sequence, Final::kDone, message, result.detail));
      return Say(entry.id, EntryState::kActExec, result.detail);
    case Kind::kObsolete:
      RETURN_IF_ERROR(live_.End(sequence, Final::kObsolete, message, result.detail));
      return Say(entry.id, EntryState::kActExec, absl::StrCat("obsolete: ", result.detail));
    case Kind::kFailed:
      if (message.type() == queue::UP) {
        RETURN_IF_ERROR(live_.End(sequence, Final::kFailed, message, result.detail));
        return Say(entry.id, EntryState::kActError, result.detail);
      }
      [[fallthrough]];
    case Kind::kRefused: {
      ASSIGN_OR_RETURN(const StoredMessage live, parts_.store.Get(sequence));
      ASSIGN_OR_RETURN(const std::string dmid,
                       live_.Bury(sequence, live.message, live.queue,
                                  result.detail.empty() ? "refused" : result.detail));
      return Say(entry.id, EntryState::kActError,
                 absl::StrCat("it is dead, as ", dmid, ": ", result.detail));
    }
    case Kind::kWait:
    case Kind::kNotReached:
    case Kind::kFailedOn:
    case Kind::kElsewhere:
      RETURN_IF_ERROR(live_.End(sequence, Final::kHeldInSet, message, set_->manifest().name()));
      return Say(entry.id, EntryState::kActNoExe, result.detail);
  }
  return absl::OkStatus();
}

// A message that was in flight: as the agent settles it under REVALIDATE.
absl::StatusOr<bool> SetRun::RecoverMessage(const std::string& mid) {
  ASSIGN_OR_RETURN(const CrashEntry entry, set_->FindMessage(mid));
  ASSIGN_OR_RETURN(const std::string detail, Requeue(entry));
  RETURN_IF_ERROR(Say(mid, EntryState::kErrRecov, detail));
  return false;
}

absl::StatusOr<std::string> SetRun::Requeue(const CrashEntry& entry) {
  queue::Message message = entry.message;
  const absl::StatusOr<StoredMessage> found = parts_.store.Find(entry.id);
  if (found.ok()) return RequeueLive(*found);
  if (!absl::IsNotFound(found.status())) return found.status();
  ASSIGN_OR_RETURN(const std::optional<Ended> ended, parts_.store.FindEnded(entry.id));
  const bool is_held = ended.has_value() && ended->final == Final::kHeldInSet;
  if (ended.has_value() && !is_held) return HowItEnded(*ended);
  const bool expired = ExpiryOf(message) <= Now();
  if (expired && !is_held) {
    return std::string("expired, and the queue no longer knows what became of it");
  }
  const std::string queue = QueueOf(message);
  if (const Attempt* attempt = AttemptOf(entry.id)) {
    const bool succeeded = attempt->result == AttemptResult::kSucceeded;
    ASSIGN_OR_RETURN(const int64_t live, live_.PutBack(message, queue));
    RETURN_IF_ERROR(live_.End(live, succeeded ? Final::kDone : Final::kFailed, message, "crashed"));
    return std::string("its action had begun and does not run again");
  }
  message.set_crash_count(message.crash_count() + 1);
  if (expired) {
    ASSIGN_OR_RETURN(const int64_t live, live_.PutBack(message, queue));
    ASSIGN_OR_RETURN(const std::string dmid,
                     live_.Bury(live, message, queue, "expired while it waited in a crash set"));
    return absl::StrCat("expired: it is dead, as ", dmid);
  }
  if (message.crash_count() >= kCrashesMax) {
    // Nothing enters poison from outside. Between these two commits it is suspended, so that
    // salved does not deliver it a third time, and its reason says so to the next run.
    message.set_poison_reason(kWhyPoison);
    ASSIGN_OR_RETURN(const int64_t live, live_.PutBack(message, queue, /*suspended=*/true));
    RETURN_IF_ERROR(live_.Poison(live, message, queue));
    return std::string(kIsPoison);
  }
  const Suspension suspension = SuspensionOf(entry, queue, is_held);
  RETURN_IF_ERROR(live_.PutBack(message, queue, suspension == Suspension::kMessage).status());
  if (suspension != Suspension::kNone) return WhyItStays(suspension, entry.id, queue);
  return std::string("it waits in the queue, for the start of salved");
}

absl::StatusOr<std::string> SetRun::RequeueLive(const StoredMessage& live) {
  const bool is_poison = live.suspended && !live.message.poison_reason().empty();
  if (is_poison && live.queue == QueueOf(live.message)) {
    // A run was killed between its two commits.
    RETURN_IF_ERROR(live_.Poison(live.sequence, live.message, live.queue));
    return std::string(kIsPoison);
  }
  return absl::StrCat("it is in the queue ", live.queue, " of salved",
                      live.suspended ? ", suspended" : "");
}

bool SetRun::StillRuns(const Attempt& attempt) const {
  if (attempt.boot_id != parts_.boot_id) return false;
  ProcessIdentity process;
  for (const absl::string_view part : absl::StrSplit(attempt.effect, ' ')) {
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    int pid;
    if (field.first == "pid" && absl::SimpleAtoi(field.second, &pid)) process.pid = pid;
    uint64_t start;
    if (field.first == "start" && absl::SimpleAtoi(field.second, &start)) {
      process.start_ticks = start;
    }
  }
  if (process.pid <= 0) return false;
  const absl::StatusOr<ProcessIdentity> running = IdentifyProcess(parts_.proc, process.pid);
  return running.ok() && *running == process;
}

}  // namespace salve
