// QueueDesk: what the dispatcher does with the store. Each step is one blocking function: it reads,
// decides and writes one transaction, and leaves the events of what has happened to be taken.
// Knows nothing of loops, timers and deliverers. Belongs to the queue's worker.
#ifndef SALVE_QUEUE_DESK_H_
#define SALVE_QUEUE_DESK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/events.pb.h"
#include "api/queue.pb.h"
#include "base/clock.h"
#include "config/config.pb.h"
#include "queue/deliverer.h"
#include "queue/hold.h"
#include "queue/known_attempt.h"
#include "queue/message_store.h"
#include "queue/routing.h"
#include "queue/submission.h"

namespace salve {

// What the loop shows of the store, after each step.
struct QueuePicture {
  std::vector<QueueRow> rows;
  int64_t bytes = 0;
  MessageStore::DiskRoom disk;
  std::string trouble;  // Why the last step could not be kept; "": it was.
  bool is_dead_full = false;
  std::map<std::string, int64_t> owed;  // By acceptor that is owed words: how many ever.

  int64_t MessagesIn(const std::string& queue) const;
  int64_t messages() const;  // In all queues but dead, and those that leave for a crash set.
};

class QueueDesk {
 public:
  using Mids = std::vector<std::string>;

  // Both must outlive it.
  QueueDesk(MessageStore& store, const Clock& clock);

  // By which rules the next steps go. Requires: before any of them.
  void SetRules(std::shared_ptr<const QueueRules> rules) { rules_ = std::move(rules); }
  std::vector<v1::Event> TakeEvents() { return std::exchange(events_, {}); }
  QueuePicture Picture() const;

  // ---- Acceptance (desk_accept.cc)
  // Each group all or none; all that can in one transaction. Errors of a group: Dispatcher::Accept.
  std::vector<absl::StatusOr<Mids>> Accept(std::vector<std::vector<Submission>> groups);
  // An answer for a peer, after commit and sync. `closed`: why nothing is accepted; "": it is.
  absl::StatusOr<v1::TransferResponse> Transfer(const v1::TransferRequest& request,
                                                const std::string& closed);
  absl::StatusOr<v1::CheckArrivalResponse> CheckArrival(const v1::CheckArrivalRequest& request);
  // What came into the inbox is told (event 40009), at most 1000, and ended when those events are
  // on disk: a crash between tells them again.
  absl::StatusOr<std::vector<int64_t>> ShowInbox();
  absl::Status EndInbox(const std::vector<int64_t>& sequences);

  // ---- What became of transfers (desk_words.cc)
  // Taken from another member it waits so long for its sender's word, in each life of this server.
  static constexpr absl::Duration kConfirmWithin = absl::Minutes(1);
  absl::StatusOr<v1::EndTransfersResponse> EndTransfers(const v1::EndTransfersRequest& request);
  // What an acceptor is owed; and that it was told so, with what it said of each.
  v1::EndTransfersRequest Owed(const std::string& acceptor);
  void OnTold(const std::string& acceptor, const v1::EndTransfersRequest& told,
              const v1::EndTransfersResponse& answer);

  // ---- Delivery (desk_stream.cc)
  struct Order {
    std::string queue;
    bool digest = false;               // As many as fit.
    std::vector<int64_t> composition;  // Of a digest that is tried again.
    int64_t single_upto = 0;           // Up to this sequence no digest.
  };
  struct Picked {
    std::vector<StoredMessage> messages;  // Marked in flight.
    std::optional<absl::Time> next_due;   // When there is none now.
    bool more = false;                    // Others wait behind them.
    bool unconfirmed = false;             // There is none now as a sender's word is waited for.
  };
  absl::StatusOr<Picked> Pick(const Order& order);
  struct Settlement {
    std::string queue;
    std::vector<int64_t> sequences;
    DeliveryResult result;
    std::string digest_id;  // Of several.
    // The acceptor to which it was handed once has it, as it said before the attempt.
    bool is_at_acceptor = false;
    absl::Duration retry_in = {};  // Of kNotReached: when the stream tries again.
    bool interrupted = false;      // The agent stops: nothing counts.
  };
  absl::Status Settle(const Settlement& settlement);
  // Tells the other destinations that this queue's is not reached, once for its oldest message.
  absl::Status TellLate(const std::string& queue, const std::string& last_error);

  // ---- Moves (desk_moves.cc)
  // Ends or buries what has expired, of the next 500. When to go on, or the next expires; null:
  // none.
  absl::StatusOr<std::optional<absl::Time>> Expire();
  // Routes a page of a queue anew. `next`: where to go on; null at the queue's end.
  struct Page {
    std::optional<QueuePlace> next;
    int64_t moved = 0;
  };
  absl::StatusOr<Page> Reroute(const std::string& queue, const QueuePlace& after);
  // Queues that may hold what belongs elsewhere by the rules. `all`: the local ones too.
  std::vector<std::string> QueuesToReroute(bool all, bool handed_over) const;
  // Makes what waits due now; as Reroute.
  absl::StatusOr<Page> MakeDue(const std::string& queue, const QueuePlace& after);
  // After an unclean end, or with messages in flight after a clean one (Dispatcher::Recover).
  struct Recovery {
    config::Queue::Recovery mode = config::Queue::REVALIDATE;
    std::string set;
    std::function<std::optional<KnownAttempt>(const std::string& mid)> attempt_of;
    std::function<int(const queue::Deferred&)> crashes_of;
  };
  // By queue: the digests that were in flight, and up to which sequence none is to be made again.
  struct Resumed {
    std::map<std::string, std::vector<int64_t>> digests;
    std::map<std::string, int64_t> singles;
  };
  absl::StatusOr<Resumed> Recover(const Recovery& recovery);
  // A page of what a crash under HOLD found leaves the queue (hold.h). Whether there was one.
  absl::StatusOr<bool> ReleaseHeld();
  // Marks the ends as told that are older than 10 s, when their events are on disk (which is asked
  // only if there is something to mark, as it may take a sync), tells on what
  // an earlier life may not have told, and lets the store keep house. One that fails does not keep
  // the others from it.
  absl::Status Keep(absl::FunctionRef<bool()> events_on_disk);
  // For a clean end: every event that was given out is on disk.
  absl::Status MarkAllTold();

  // ---- Requests (desk_requests.cc, desk_dead.cc)
  absl::StatusOr<v1::ListMessagesResponse> List(const v1::ListMessagesRequest& request);
  absl::StatusOr<v1::QueueMessage> Show(const v1::GetMessageRequest& request);
  absl::Status SuspendQueues(const std::vector<std::string>& queues, bool suspended,
                             const std::string& who, const std::string& why);
  // Of an ended message: kFailedPrecondition, how it ended.
  absl::StatusOr<v1::ControlMessageResponse> Control(const v1::ControlMessageRequest& request);
  absl::StatusOr<v1::ExportMessageResponse> Export(const v1::ExportMessageRequest& request);
  absl::StatusOr<v1::ImportMessageResponse> Import(const v1::ImportMessageRequest& request);
  // A setting that a person changed, with its event.
  absl::Status Set(const std::string& key, const std::string& value, v1::Event event);
  // The same of which nobody needs to know.
  absl::Status Remember(const std::string& key, const std::string& value);
  // The dead message itself. Errors: kNotFound; kFailedPrecondition: not dead.
  absl::StatusOr<StoredMessage> FindDead(const std::string& dmid);
  absl::StatusOr<v1::ReregisterResponse> Reregister(const v1::ReregisterRequest& request,
                                                    const std::string& arrival);
  // The points of Prepare, of the messages; `in_flight` deliveries.
  absl::StatusOr<std::vector<v1::PreparationPoint>> Points(bool preparing, int64_t in_flight);

 private:
  struct Counts;

  absl::Time Now() const { return clock_.WallNow(); }
  // Applies and remembers how it went, for Picture.
  absl::StatusOr<std::vector<int64_t>> Apply(Changes changes, bool own = true);
  absl::Status NoMessage(const std::string& id) const;
  bool IsSuspended(const std::string& queue) const;
  int64_t CountOf(const std::string& queue) const;
  int64_t Live() const;  // Messages in all queues but dead, and those that leave for a set.
  void Tell(int event_id, const StoredMessage& row, const std::string& reason);
  void TellLetter(int event_id, const StoredMessage& row, const std::string& text, int merged);

  absl::Status WhyFull(int64_t messages, int64_t bytes) const;
  queue::Message MessageOf(const Submission& submission);
  absl::Status ApplyPuts(std::vector<Changes::Put> puts);
  absl::StatusOr<v1::TransferResponse> Take(queue::Message message, const std::string& sender,
                                            v1::TransferRequest::Purpose purpose);
  // What is here or has ended of the same origin.
  struct Known {
    std::string mid;
    std::string withdrawn;  // By whom and why; "": it was not.
  };
  absl::StatusOr<std::optional<Known>> FindKnown(const queue::Message& message) const;

  absl::StatusOr<Picked> PickNow(const Order& order);
  std::vector<StoredMessage> Choose(const Order& order, const std::vector<StoredMessage>& rows,
                                    Picked& picked) const;
  absl::StatusOr<std::vector<StoredMessage>> Composition(const Order& order) const;
  // One row of a delivery that did not succeed, into `changes`; events go after it is kept.
  struct Step {
    int event_id = 0;
    StoredMessage row;
    std::string reason;
    int letter_event_id = 0;
    int merged = 0;
    std::string former_queue = {};
    std::string attempt_id = {};
    std::optional<Final> final = {};  // Of an end.
  };
  void SettleRow(const Settlement& settlement, StoredMessage row, Changes& changes,
                 std::vector<Step>& steps);
  void GoesOn(const Settlement& settlement, StoredMessage row, Changes& changes,
              std::vector<Step>& steps);
  void AddMove(StoredMessage row, const Route& route, Changes& changes, std::vector<Step>& steps,
               const std::string& why);
  // False: there is no room in dead; it stays.
  bool AddDeath(StoredMessage row, const std::string& reason, Changes& changes,
                std::vector<Step>& steps);
  void AddEnd(const StoredMessage& row, Final final, const std::string& reason, Changes& changes,
              std::vector<Step>& steps, int merged = 0);
  void AddPoison(StoredMessage row, const std::string& reason, Changes& changes,
                 std::vector<Step>& steps);
  absl::Status ApplyAndTell(Changes changes, std::vector<Step> steps);
  // With the words that the ends among the steps owe to acceptors.
  absl::Status ApplyOwing(Changes changes, const std::vector<Step>& steps);
  absl::Status KeepOwed();
  void TellDoubt(const queue::OwedWord& word);
  absl::Status PutToEnd(const v1::TransferEnd& withdrawn);
  std::map<std::string, int64_t> OwedEver() const;
  // Until when its sender's word is waited for; the past: it is not.
  absl::Time HeldUntil(const queue::Message& message) const;
  void TellStep(const Step& step);

  absl::Status SettleCrashed(const Recovery& recovery, bool dirty, Resumed& resumed);
  absl::Status PoisonKey(const std::string& key);
  absl::Status Hold(const std::string& set);
  absl::Status ApplyHeld(HoldStep step);
  absl::StatusOr<std::optional<absl::Time>> ExpireBy(absl::Time now);
  absl::Status TellUntold();
  absl::Status ForgetAnnounced();
  absl::Status MarkTold(absl::FunctionRef<bool()> events_on_disk);
  absl::StatusOr<StoredMessage> Find(const std::string& id) const;
  absl::StatusOr<StoredMessage> Resume(StoredMessage row, const std::string& why);
  absl::Status NotifyOthers(const StoredMessage& row, const std::string& why);

  MessageStore& store_;
  const Clock& clock_;
  std::shared_ptr<const QueueRules> rules_;
  std::vector<v1::Event> events_;
  std::string trouble_;
  bool is_dead_full_ = false;
  ExpiryPlace expired_upto_;   // Where Expire goes on; none: from the first.
  int64_t told_upto_ = 0;      // Of the ends of earlier lives: told again so far.
  bool is_announced_ = false;  // What a tool had to say is told, and not yet forgotten.
  bool is_telling_ = false;    // There are more of them.
  absl::Time began_ = absl::InfiniteFuture();
  int64_t ended_before_ = 0;  // The last end of earlier lives.
  int64_t buried_ = 0;        // Put into dead by the transaction that is being made.
  queue::OwedWords owed_;
  bool is_owed_kept_ = true;  // As it is on disk.
  std::map<std::string, int64_t> owed_ever_;
  size_t held_told_ = 0;
};

}  // namespace salve

#endif  // SALVE_QUEUE_DESK_H_
