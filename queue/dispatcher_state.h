// Private to the dispatcher: its streams and timers on the loop. What touches the store is a task
// for the worker, which gets the desk (desk.h) and answers with a turn of the loop.
#ifndef SALVE_QUEUE_DISPATCHER_STATE_H_
#define SALVE_QUEUE_DISPATCHER_STATE_H_

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "queue/desk.h"
#include "queue/dispatcher.h"
#include "queue/rate_window.h"
#include "queue/routing.h"

namespace salve {

struct Dispatcher::State : std::enable_shared_from_this<Dispatcher::State> {
  // One delivery at a time, in order. Lives while there are messages or something to remember.
  struct Stream {
    std::string queue;
    bool busy = false;   // Being picked, delivered or settled.
    bool again = false;  // Something came while it was.
    // Under way.
    std::vector<int64_t> sequences;
    Deliverer* deliverer = nullptr;
    Deliverer::Id delivery = Deliverer::Id::kNone;
    std::string digest_id;
    bool unsettled = false;       // How it ended could not be kept yet.
    bool asked_acceptor = false;  // Whether it has what was handed to it once.
    bool is_at_acceptor = false;
    bool unconfirmed = false;  // Waits for the word of one that handed over.
    // The peer is not reached: the stream waits.
    int failures = 0;
    Instant not_before;
    std::string last_error;
    bool is_late_told = false;
    TimerId timer = TimerId::kNone;
    Instant timer_at = Instant::InfiniteFuture();
    // Of places that take digests.
    RateWindow window;
    bool collecting = false;
    std::vector<int64_t> composition;
    int64_t single_upto = 0;
  };

  struct Acceptance {
    std::vector<std::vector<Submission>> groups;
    std::vector<Accepted> dones;
  };

  explicit State(Parts given);
  ~State();

  absl::Time WallNow() const { return parts.loop.clock().WallNow(); }

  // ---- The way to the store and back (dispatcher.cc)
  // Runs `work(desk)` on the worker, then `then(result)` on the loop, after the events and the
  // picture were taken. Not when the dispatcher is gone by then.
  template <typename Work, typename Then>
  void Run(Work work, Then then) {
    ++tasks;
    parts.worker.Post([desk = desk.get(), rules = rules, loop = &parts.loop,
                       self = weak_from_this(), work = std::move(work),
                       then = std::move(then)]() mutable {
      desk->SetRules(rules);
      auto result = std::make_shared<decltype(work(*desk))>(work(*desk));
      auto news = std::make_shared<std::pair<std::vector<v1::Event>, QueuePicture>>(
          desk->TakeEvents(), desk->Picture());
      loop->Post([self, result, news, then = std::move(then)]() mutable {
        const std::shared_ptr<State> state = self.lock();
        if (state == nullptr) return;
        --state->tasks;
        state->Take(std::move(news->first), std::move(news->second));
        then(*std::move(result));
        state->CheckStopped();
      });
    });
  }
  void Take(std::vector<v1::Event> events, QueuePicture picture);
  void JudgePressure();
  void MakeRules();
  void WatchAcceptors();
  void CheckStopped();
  bool MayDeliver() const;
  std::string WhyNotAccepting() const;

  // Blocks; on the worker.
  bool AreEventsOnDisk() const { return parts.events_on_disk == nullptr || parts.events_on_disk(); }

  // ---- Accept (dispatcher_accept.cc)
  void Accept(Submission submission, Accepted done);
  void AcceptNext();
  void ReadInbox();
  void EndInbox(std::vector<int64_t> shown);

  // ---- Streams (dispatcher_stream.cc)
  Stream* StreamOf(const std::string& queue);
  void PumpAll();
  void Pump(const std::string& queue);
  void PumpNext();
  void Begin(Stream& stream);
  void OnPicked(const std::string& queue, absl::StatusOr<QueueDesk::Picked> picked, bool digest);
  void Deliver(Stream& stream, const std::vector<StoredMessage>& messages);
  void OnDelivered(const std::string& queue, DeliveryResult result);
  void Settle(const std::string& queue, QueueDesk::Settlement settlement);
  void OnSettled(const std::string& queue, const DeliveryResult& result, size_t count);
  void Free(Stream& stream);
  void WakeAt(Stream& stream, Instant when);
  void Wait(Stream& stream, absl::Duration wait);
  void OnAcceptorFailed(const std::string& acceptor);
  bool TakesDigests(const std::string& queue) const;

  // ---- Words to acceptors (dispatcher_words.cc)
  void AskAcceptor(Stream& stream, const StoredMessage& row);
  void TellOwed();
  void TellAcceptor(const std::string& acceptor);
  void OnTold(const std::string& acceptor, const v1::EndTransfersRequest& told,
              const Parts::Ended& answer);

  // ---- Upkeep (dispatcher_upkeep.cc)
  void OnAcceptorBack();  // One that was out is asked again.
  void Reroute(bool all, bool handed_over, std::function<void(int64_t moved)> done);
  void RerouteFrom(std::shared_ptr<std::vector<std::string>> queues, QueuePlace after,
                   int64_t moved, std::function<void(int64_t)> done);
  void MakeDue(std::shared_ptr<std::vector<std::string>> queues, QueuePlace after, int64_t count,
               std::function<void(int64_t)> done);
  void Tick();
  void ExpireSoon(absl::Time when);
  void Expire();
  void ReleaseHeld();
  void TellLate();

  // ---- Requests (dispatcher_requests.cc)
  absl::StatusOr<std::vector<std::string>> Matching(const std::string& pattern) const;
  std::vector<std::string> KnownQueues() const;
  v1::QueueStatus StatusOf(const QueueRow& row) const;
  std::string ModeName() const;
  void SetSetting(const std::string& key, const std::string& value, v1::Event event,
                  std::function<void(absl::Status)> done);
  void CheckDead(const std::string& dmid,
                 std::function<void(absl::StatusOr<v1::CheckDeadResponse>)> done);
  v1::GetClusterResponse Cluster() const;
  std::vector<std::string> Troubles() const;

  Parts parts;
  std::unique_ptr<QueueDesk> desk;  // The worker's.
  std::shared_ptr<const QueueRules> rules;
  config::Queue::Processing configured_mode = config::Queue::LOCALLY;
  QueuePicture picture;
  int tasks = 0;  // On the worker, or on their way back.
  // As they are kept.
  std::string mode_setting;
  std::string routed_for;  // The server by whose name the messages were routed last.
  bool paused = false;
  bool preparing = false;

  bool configured = false;
  Acceptance accepting;  // What waits for the worker.
  bool accept_posted = false;
  bool reading_inbox = false;
  bool releasing = false;

  std::map<std::string, std::unique_ptr<Stream>> streams;  // By queue.
  std::deque<std::string> ready;                           // To be looked at.
  std::set<std::string> is_ready;
  bool pump_posted = false;
  int active = 0;                                // Streams that are busy.
  std::map<std::string, Instant> acceptors_out;  // Not tried until then.
  // That are owed words, one call at a time.
  struct Owing {
    int64_t ever = 0;  // Of the picture that was acted upon.
    bool busy = false;
    bool again = false;  // More is owed since.
    int failures = 0;
    TimerId timer = TimerId::kNone;
  };
  std::map<std::string, Owing> owing;

  TimerId tick = TimerId::kNone;
  TimerId expiry = TimerId::kNone;
  Instant expiry_at = Instant::InfiniteFuture();
  std::map<std::string, std::vector<int64_t>> resumed_digests;
  std::map<std::string, int64_t> resumed_singles;

  std::string pressure;  // Why foreign messages wait or are refused; "": they don't.
  std::string held;      // What a person must see to after a crash.

  bool stopping = false;
  bool stopped = false;
  absl::AnyInvocable<void()> on_stopped;
  TimerId stop_deadline = TimerId::kNone;
};

}  // namespace salve

#endif  // SALVE_QUEUE_DISPATCHER_STATE_H_
