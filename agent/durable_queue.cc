#include "agent/durable_queue.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "config/rules.h"
#include "queue/adopt.h"
#include "queue/crash_set.h"
#include "queue/message_store.h"

namespace salve {
namespace {

constexpr int kCrashSet = 40011;
constexpr int kTrouble = 40017;
constexpr int kDirectMax = 2;  // Of a destination, so that one that hangs holds up no other.

// What a person can do, by the kind of trouble.
std::string WayOut(const absl::Status& status) {
  if (!absl::IsDataLoss(status)) return "it is opened again when salved starts";
  return "nothing was changed; stop salved and use 'salvectl queue db recover', 'repair' or "
         "'reset' (docs/QUEUE.md)";
}

// Runs what was posted before, and comes back.
void Drain(Worker& worker) {
  Mutex mu;
  CondVar done;
  bool is_done = false;
  worker.Post([&] {
    MutexLock lock(&mu);
    is_done = true;
    done.SignalAll();
  });
  MutexLock lock(&mu);
  while (!is_done) done.WaitFor(&mu, absl::Seconds(1));
}

}  // namespace

DurableQueue::DurableQueue(Parts parts) : parts_(std::move(parts)) {}

// Without Close the file stays dirty, as after a crash; but no task may be left on the worker.
DurableQueue::~DurableQueue() {
  *alive_ = false;
  if (worker_ != nullptr) Drain(*worker_);
}

void DurableQueue::Open(const AgentDefinition& agent) {
  server_ = agent.server;
  peers_ = NewPeerClient(parts_.loop, parts_.resolver);
  letters_ = std::make_unique<LetterDeliverer>(parts_.loop, parts_.transport);
  forwards_ = std::make_unique<ForwardDeliverer>(parts_.loop, *peers_, server_);
  relays_ = std::make_unique<RelayDeliverer>(parts_.loop, *peers_, parts_.acceptors, server_);
  actions_ = std::make_unique<DeferredActions>(parts_.loop, parts_.ledger);
  const absl::Status status = OpenStore(agent);
  if (status.ok()) return;
  dispatcher_.reset();
  off_ = absl::StrCat(status.message(), "; ", WayOut(status));
  Say(kTrouble, v1::Error,
      absl::StrCat("the queue is off: ", off_,
                   "; until then nothing is deferred, and escalations are sent without it"));
}

absl::Status DurableQueue::OpenStore(const AgentDefinition& agent) {
  const config::Queue& settings = agent.config.queue();
  const absl::Time now = parts_.loop.clock().WallNow();
  CrashSetOptions crash;
  crash.state_dir = parts_.state_dir;
  crash.server = server_;
  crash.boot_id = parts_.boot_id;
  crash.agent_version = parts_.agent_version;
  crash.recovery = settings.recovery();
  crash.journal = settings.recovery_journal() == config::Queue::ON;
  crash.now = now;
  held_attempts_ = HeldAttempts(parts_.state_dir);  // Also when the queue stays off.
  ASSIGN_OR_RETURN(CrashFinding finding, SecureCrash(crash, parts_.ledger.Unfinished()));
  held_attempts_ = std::move(finding.held_attempts);
  for (const std::string& warning : finding.warnings) {
    warnings_.push_back(absl::StrCat("queue: ", warning));
    Say(kTrouble, v1::Warning, warning);
  }
  if (!finding.set.empty()) {
    Say(kCrashSet, v1::Warning,
        absl::StrCat("the agent had died; what was under way is kept in ", parts_.state_dir,
                     "/crash/", finding.set));
  }

  StoreOptions options;
  options.path = parts_.state_dir + "/queue.db";
  options.server = server_;
  options.group = agent.group;
  options.now = now;
  ASSIGN_OR_RETURN(std::unique_ptr<MessageStore> store, MessageStore::Open(options));
  if (const std::string news = store->Setting(kAnnounceSetting); !news.empty()) {
    LogInfo(news);  // Its event is the dispatcher's, which forgets it once that is on disk.
  }
  worker_ = parts_.new_worker();
  dispatcher_ = std::make_unique<Dispatcher>(Dispatcher::Parts{
      .loop = parts_.loop,
      .worker = *worker_,
      .store = std::move(store),
      .events = parts_.events,
      .server = server_,
      .letters = *letters_,
      .forwards = *forwards_,
      .relays = *relays_,
      .actions = *actions_,
      .acceptors = parts_.acceptors,
      .attempt_of = [this](const std::string& mid) { return KnownAttemptOf(parts_.ledger, mid); },
      .crashes_of =
          [this](const queue::Deferred& deferred) {
            return CrashesOf(parts_.ledger, deferred, parts_.loop.clock().WallNow(), !reconciled_);
          },
      .check_arrival =
          [this](const std::string& queue, const queue::Message& message, auto done) {
            const bool is_relay = QueueKindOf(queue) == QueueKind::kRelay;
            if (is_relay) return relays_->CheckArrival(queue, message, std::move(done));
            forwards_->CheckArrival(queue, message, std::move(done));
          },
      .end_transfers =
          [this](const std::string& acceptor, const v1::EndTransfersRequest& request, auto done) {
            relays_->EndTransfers(acceptor, request, std::move(done));
          },
      .probe_acceptor =
          [this](const std::string& server, absl::AnyInvocable<void(absl::Status)> done) {
            relays_->Probe(server, std::move(done));
          },
      .events_on_disk = parts_.events_on_disk,
  });
  // HOLD is for what a crash found; after a clean end there is only what tools have left in flight.
  const bool hold = finding.unclean && settings.recovery() == config::Queue::HOLD;
  RETURN_IF_ERROR(
      dispatcher_->Recover(hold ? config::Queue::HOLD : config::Queue::REVALIDATE, finding.set));
  if (!hold && !finding.set.empty()) {
    const absl::Status noted = MarkInFlightRecovered(parts_.state_dir, finding.set);
    if (!noted.ok()) LogWarning(absl::StrCat("crash set ", finding.set, ": ", noted.message()));
  }
  return absl::OkStatus();
}

void DurableQueue::SetEngine(Engine* engine) {
  reconciled_ = true;
  actions_->SetEngine(engine);
}

void DurableQueue::Configure(const AgentDefinition& agent) {
  agent_ = agent.config;
  timeout_ = DurationOf(agent.config.escalation(), "timeout");
  letters_->Configure(agent);
  forwards_->Configure(agent);
  relays_->Configure(agent);
  if (dispatcher_ != nullptr) dispatcher_->Configure(agent);
}

void DurableQueue::Accept(Submission submission, Dispatcher::Accepted done) {
  if (dispatcher_ != nullptr) return dispatcher_->Accept(std::move(submission), std::move(done));
  TellDirectly(std::move(submission), std::move(done));
}

void DurableQueue::TellDirectly(Submission submission, Dispatcher::Accepted done) {
  Deliverer* way = nullptr;
  for (const config::Destination& destination : agent_.destination()) {
    if (destination.name() != submission.destination) continue;
    way = destination.has_forward() ? static_cast<Deliverer*>(forwards_.get()) : letters_.get();
  }
  if (way == nullptr || direct_[submission.destination] >= kDirectMax) {
    parts_.loop.Post([done = std::move(done), why = off_]() mutable {
      done(absl::UnavailableError(absl::StrCat("the queue is off: ", why)));
    });
    return;
  }
  ++direct_[submission.destination];
  const absl::Time now = parts_.loop.clock().WallNow();
  queue::Message message;
  // Not of the queue's line: no message of it is ever called so.
  message.set_mid(absl::StrCat(server_, "-direct-", absl::ToUnixMicros(now), "-", ++direct_count_));
  message.set_origin_server(server_);
  message.set_origin_mid(message.mid());
  message.set_type(submission.type);
  message.set_created_ns(absl::ToUnixNanos(now));
  message.set_destination(submission.destination);
  message.set_subject(submission.subject);
  *message.mutable_letter() = submission.letter;
  message.set_correlation(submission.correlation);
  const std::string queue = "remote/" + submission.destination;
  const std::string mid = message.mid();
  way->Start(queue, {std::move(message)}, parts_.loop.Now() + timeout_,
             [this, alive = alive_, mid, subject = submission.subject,
              destination = submission.destination,
              done = std::move(done)](DeliveryResult result) mutable {
               if (!*alive) return;
               --direct_[destination];
               if (result.kind == DeliveryResult::Kind::kDelivered) return done(mid);
               LogWarning(absl::StrCat("'", subject, "' was not delivered: ", result.detail));
               done(absl::UnavailableError(absl::StrCat(
                   "the queue is off, and it was not delivered directly: ", result.detail)));
             });
}

void DurableQueue::Defer(const v1::RunActionRequest& request, const std::string& resource,
                         std::function<void(absl::StatusOr<std::string>)> done) {
  absl::StatusOr<Submission> submission = DeferredSubmission(request, resource);
  if (!submission.ok()) return done(submission.status());
  if (dispatcher_ == nullptr) {
    return done(absl::UnavailableError(absl::StrCat("the queue is off: ", off_)));
  }
  dispatcher_->Accept(*std::move(submission), std::move(done));
}

std::vector<std::string> DurableQueue::warnings() const {
  std::vector<std::string> all = warnings_;
  if (dispatcher_ == nullptr) {
    all.push_back(absl::StrCat("the queue is off: ", off_));
    return all;
  }
  if (const std::string trouble = dispatcher_->trouble(); !trouble.empty()) {
    all.push_back(absl::StrCat("queue: ", trouble));
  }
  if (const int64_t poisoned = dispatcher_->poisoned(); poisoned > 0) {
    all.push_back(absl::StrCat("queue: ", poisoned,
                               " messages killed the agent and are in poison: "
                               "'salvectl queue message list poison'"));
  }
  return all;
}

void DurableQueue::Stop(std::function<void()> done) {
  if (dispatcher_ == nullptr) return done();
  dispatcher_->Stop(parts_.loop.Now() + kStopTime, std::move(done));
}

void DurableQueue::Close() {
  if (dispatcher_ == nullptr) return;
  Drain(*worker_);
  const absl::Status status = Dispatcher::Close(std::move(dispatcher_));
  worker_.reset();
  if (!status.ok()) {
    LogError(absl::StrCat("queue.db was not closed: ", status.message()));
    return;
  }
  // What an adoption has replaced is kept until the new file has ended well once.
  const absl::Status finished = FinishAdopt(parts_.state_dir);
  if (!finished.ok()) LogWarning(absl::StrCat("queue.db: ", finished.message()));
}

void DurableQueue::Say(int event_id, v1::Level level, const std::string& message) {
  if (level == v1::Error) {
    LogError(message);
  } else if (level == v1::Warning) {
    LogWarning(message);
  } else {
    LogInfo(message);
  }
  v1::Event event;
  event.set_channel(v1::Queue);
  event.set_event_id(event_id);
  event.set_level(level);
  event.mutable_queue()->set_message(message);
  parts_.events.Append(std::move(event));
}

}  // namespace salve
