// Dispatcher: the living queue. It accepts messages, routes them, has one delivery stream a
// destination, and moves what can't be delivered: to be tried again, unreachable, poison, dead.
// The file is the store's, which it reaches through a worker; it itself keeps of each stream no
// more than the head. Lives on the loop's thread; no call blocks.
//
// Routes: a UP of this server to local/<resource>, of another to unreachable (host-bound:ORIGIN).
// AF and AR to remote/<destination>, or, in REMOTELY, to relay/<acceptor> while there is one; to
// inbox, when the destination forwards to this server; to unreachable (no-destination:NAME), when
// there is no such destination. Routed anew after a reload and at start.
//
// Order of writes: what is tried is marked in flight before (one synced commit), its end is one
// commit after. A crash between the two counts against the message; at the second it is poison.
//
// What an acceptor took waits there for its sender's word, CONFIRM or WITHDRAW, which the sender
// owes it from the commit with its own end on; but for no longer than a minute (desk_words.cc).
#ifndef SALVE_QUEUE_DISPATCHER_H_
#define SALVE_QUEUE_DISPATCHER_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/queue.pb.h"
#include "base/event_loop.h"
#include "base/worker.h"
#include "channels/event_log.h"
#include "config/definition.h"
#include "queue/acceptors.h"
#include "queue/deliverer.h"
#include "queue/known_attempt.h"
#include "queue/message_store.h"
#include "queue/submission.h"

namespace salve {

class Dispatcher {
 public:
  struct Parts {
    EventLoop& loop;
    Worker& worker;  // Runs all that touches the store. Its tasks end before `store` does.
    std::unique_ptr<MessageStore> store;
    EventLog& events;
    std::string server;
    Deliverer& letters;   // For SMTP and webhook destinations.
    Deliverer& forwards;  // For forward destinations.
    Deliverer& relays;    // For relay/<acceptor>.
    Deliverer& actions;   // For local/<resource>.
    Acceptors& acceptors;
    // Of a UP in flight at a crash, and of every UP that is to start: what the ledger knows of it.
    // Null when no attempt of it was ever begun.
    using KnownAttempt = salve::KnownAttempt;
    std::function<std::optional<KnownAttempt>(const std::string& mid)> attempt_of;
    // How often attempts of deferred actions on this key crashed within a day.
    std::function<int(const queue::Deferred&)> crashes_of;
    // Asks the peer of a dead or relayed message whether it arrived (CheckArrival).
    using Arrival = absl::StatusOr<v1::CheckArrivalResponse>;
    std::function<void(const std::string& queue, const queue::Message&,
                       absl::AnyInvocable<void(Arrival)>)>
        check_arrival;
    // Tells an acceptor what became of messages that it took or may have (EndTransfers). Null: it
    // can't be told.
    using Ended = absl::StatusOr<v1::EndTransfersResponse>;
    std::function<void(const std::string& acceptor, const v1::EndTransfersRequest&,
                       absl::AnyInvocable<void(Ended)>)>
        end_transfers;
    // Reaches an acceptor without a message, for `cluster test`: OK when it would take one. Ends
    // within 5 s. Null: can't be asked.
    std::function<void(const std::string& server, absl::AnyInvocable<void(absl::Status)>)>
        probe_acceptor;
    // Blocks, for a bounded time: whether all events that were appended are on disk and outlive a
    // power loss. Called on the worker, and by Close. Null: they are.
    std::function<bool()> events_on_disk;
  };

  explicit Dispatcher(Parts parts);
  ~Dispatcher();
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  // After the crash set was made (crash_set.h), before Configure. HOLD: what waits leaves the queue
  // for the set, named `set`; else what was in flight is settled: a UP that had begun ends failed
  // ("crashed"), one that had not waits again; AF and AR wait again; what was in flight at two
  // crashes is poison. Blocks: before the loop runs. Tells again what may be untold.
  absl::Status Recover(config::Queue::Recovery recovery, const std::string& set);
  // Takes up destinations, rules and mode; routes anew; begins to deliver. Again after a reload.
  void Configure(const AgentDefinition& agent);

  // Accepts: `done` gets the MID when it is committed and synced. Errors of `done`:
  //   kResourceExhausted: back pressure, the reserve too is used up; kUnavailable: the store can't
  //   be written; kFailedPrecondition: the service is paused; kInvalidArgument: too large, expiry
  //   outside "5s".."2160h". A key that is known: OK, with the MID that it has.
  using Accepted = absl::AnyInvocable<void(absl::StatusOr<std::string>)>;
  void Accept(Submission submission, Accepted done);

  // The requests of QueueService (api/queue.proto), with their errors. `who` is in request.user.
  template <typename Response>
  using Reply = std::function<void(absl::StatusOr<Response>)>;
  void ListQueues(const v1::ListQueuesRequest& request, Reply<v1::ListQueuesResponse> reply);
  void ControlQueue(const v1::ControlQueueRequest& request, Reply<v1::ControlQueueResponse> reply);
  void ListMessages(const v1::ListMessagesRequest& request, Reply<v1::ListMessagesResponse> reply);
  void GetMessage(const v1::GetMessageRequest& request, Reply<v1::GetMessageResponse> reply);
  void ControlMessage(const v1::ControlMessageRequest& request,
                      Reply<v1::ControlMessageResponse> reply);
  void ExportMessage(const v1::ExportMessageRequest& request,
                     Reply<v1::ExportMessageResponse> reply);
  void ImportMessage(const v1::ImportMessageRequest& request,
                     Reply<v1::ImportMessageResponse> reply);
  void CheckDead(const v1::CheckDeadRequest& request, Reply<v1::CheckDeadResponse> reply);
  void Reregister(const v1::ReregisterRequest& request, Reply<v1::ReregisterResponse> reply);
  void Prepare(const v1::PrepareRequest& request, Reply<v1::PrepareResponse> reply);
  void GetCluster(const v1::GetClusterRequest& request, Reply<v1::GetClusterResponse> reply);
  void SetMode(const v1::SetModeRequest& request, Reply<v1::SetModeResponse> reply);
  // From a peer: answered after commit and sync.
  void Transfer(const v1::TransferRequest& request, Reply<v1::TransferResponse> reply);
  void CheckArrival(const v1::CheckArrivalRequest& request, Reply<v1::CheckArrivalResponse> reply);
  void EndTransfers(const v1::EndTransfersRequest& request, Reply<v1::EndTransfersResponse> reply);

  // Messages that wait or are on their way, in all queues but inbox and dead.
  int64_t waiting() const;
  int64_t poisoned() const;
  std::string trouble() const;  // For GetInfo's warnings; "": none.

  // New deliveries begin no more; what is under way may end until `deadline`, then `done`. The
  // store is closed by Close, off the loop, when the dispatcher is gone.
  void Stop(Instant deadline, absl::AnyInvocable<void()> done);
  // Requires: stopped; the worker has no task of it. Marks the file clean. Events that may not be
  // on disk are told again by the next start. Errors: as the store's.
  static absl::Status Close(std::unique_ptr<Dispatcher> dispatcher);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace salve

#endif  // SALVE_QUEUE_DISPATCHER_H_
