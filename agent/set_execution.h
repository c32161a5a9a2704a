// SetExecution: `salved --recover-set`: the live queue's file and the ways on which messages leave,
// with a SetRun that works on one crash set, in place of the DurableQueue. Lives on the loop's
// thread.
#ifndef SALVE_AGENT_SET_EXECUTION_H_
#define SALVE_AGENT_SET_EXECUTION_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/deferred_actions.h"
#include "agent/set_run.h"
#include "base/event_loop.h"
#include "channels/event_log.h"
#include "config/definition.h"
#include "probes/resolver.h"
#include "queue/forward_deliverer.h"
#include "queue/letter_deliverer.h"
#include "queue/message_store.h"
#include "queue/peer_client.h"
#include "responders/escalation/transport.h"
#include "throttling/gate.h"
#include "throttling/ledger.h"

namespace salve {

class SetExecution {
 public:
  // All must outlive it.
  struct Parts {
    EventLoop& loop;
    EventLog& events;
    Ledger& ledger;
    Gate& gate;
    Resolver& resolver;
    Transport& transport;
    std::string state_dir;
    std::string boot_id;
  };

  // Opens the set and the live queue; blocks. Requires: the state folder is locked.
  // Errors: those of CrashSet::Open, BeginSetRun and MessageStore::Open.
  static absl::StatusOr<std::unique_ptr<SetExecution>> Open(Parts parts, SetRunOptions options,
                                                            const AgentDefinition& agent);
  ~SetExecution();

  // Begins. `done`: whether everything that was to be done is.
  void Start(Engine& engine, std::function<void(absl::StatusOr<bool>)> done);
  // The entry under way ends, then `done` follows; before Start: then nothing is begun.
  void Stop();
  // Blocks; when the loop runs no more.
  absl::Status Close();

 private:
  SetExecution(Parts parts, SetRunOptions options);
  // What a start under HOLD has not yet put into its set (hold.h) leaves the queue.
  absl::Status FillSets();

  const Parts parts_;
  const SetRunOptions options_;
  bool resumes_ = false;
  bool stopping_ = false;
  std::unique_ptr<CrashSet> set_;
  std::unique_ptr<MessageStore> store_;
  std::unique_ptr<PeerClient> peers_;
  std::unique_ptr<LetterDeliverer> letters_;
  std::unique_ptr<ForwardDeliverer> forwards_;
  std::unique_ptr<DeferredActions> actions_;
  std::unique_ptr<SetRun> run_;
};

}  // namespace salve

#endif  // SALVE_AGENT_SET_EXECUTION_H_
