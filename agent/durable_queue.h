// DurableQueue: the durable queue with all that the agent gives it: its file and the thread that
// writes it, the crash set, the ways on which messages leave. A queue that can't be opened stays
// off, is said as loudly as can be, and stops nothing else: healing goes on, and notices are
// delivered directly, one attempt after another, out of the notifier's memory. Lives on the loop's
// thread.
#ifndef SALVE_AGENT_DURABLE_QUEUE_H_
#define SALVE_AGENT_DURABLE_QUEUE_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/deferred_actions.h"
#include "base/event_loop.h"
#include "base/worker.h"
#include "channels/event_log.h"
#include "config/definition.h"
#include "probes/resolver.h"
#include "queue/acceptors.h"
#include "queue/dispatcher.h"
#include "queue/forward_deliverer.h"
#include "queue/letter_deliverer.h"
#include "queue/peer_client.h"
#include "queue/relay_deliverer.h"
#include "responders/escalation/transport.h"
#include "throttling/ledger.h"

namespace salve {

class DurableQueue {
 public:
  // All must outlive it.
  struct Parts {
    EventLoop& loop;
    EventLog& events;
    const Ledger& ledger;
    Resolver& resolver;
    Transport& transport;
    Acceptors& acceptors;
    std::string state_dir;
    std::string boot_id;
    std::string agent_version;
    std::function<std::unique_ptr<Worker>()> new_worker;  // Of a thread that may wait for the disk.
    std::function<bool()> events_on_disk;                 // As Dispatcher::Parts.
  };

  explicit DurableQueue(Parts parts);
  ~DurableQueue();  // Blocks until the worker is idle.
  DurableQueue(const DurableQueue&) = delete;
  DurableQueue& operator=(const DurableQueue&) = delete;

  // Makes the crash set, opens the file and settles what a crash has left. Blocks: once, before the
  // loop runs, and before Engine::Reconcile. What goes wrong is in off() and warnings().
  void Open(const AgentDefinition& agent);
  // Attempts that wait in a crash set for a person: for Engine::Reconcile.
  const std::set<std::string>& held_attempts() const { return held_attempts_; }
  // The engine has closed what an earlier life left, and runs deferred actions from now on; null:
  // no more.
  void SetEngine(Engine* engine);
  // Takes up destinations and rules: after Open, and after a reload.
  void Configure(const AgentDefinition& agent);

  // As Dispatcher::Accept; delivers directly while the queue is off.
  void Accept(Submission submission, Dispatcher::Accepted done);
  // As EngineParts::defer. Errors: also kUnavailable: the queue is off.
  void Defer(const v1::RunActionRequest& request, const std::string& resource,
             std::function<void(absl::StatusOr<std::string>)> done);

  Dispatcher* dispatcher() { return dispatcher_.get(); }  // Null: off().
  const std::string& off() const { return off_; }         // Why, and the way out; "": it is on.
  std::vector<std::string> warnings() const;

  // Ends what is under way, within kStopTime, then calls `done`.
  static constexpr absl::Duration kStopTime = absl::Seconds(10);
  void Stop(std::function<void()> done);
  // Marks the file clean. Blocks; after Stop, when the loop runs no more.
  void Close();

 private:
  absl::Status OpenStore(const AgentDefinition& agent);
  void TellDirectly(Submission submission, Dispatcher::Accepted done);
  void Say(int event_id, v1::Level level, const std::string& message);

  const Parts parts_;
  std::unique_ptr<PeerClient> peers_;
  std::unique_ptr<LetterDeliverer> letters_;
  std::unique_ptr<ForwardDeliverer> forwards_;
  std::unique_ptr<RelayDeliverer> relays_;
  std::unique_ptr<DeferredActions> actions_;
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::string server_;
  std::string off_;
  std::vector<std::string> warnings_;  // Of the start.
  std::set<std::string> held_attempts_;
  bool reconciled_ = false;

  // While it is off.
  config::Agent agent_;
  absl::Duration timeout_;
  std::map<std::string, int> direct_;  // Deliveries under way, by destination.
  uint64_t direct_count_ = 0;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace salve

#endif  // SALVE_AGENT_DURABLE_QUEUE_H_
