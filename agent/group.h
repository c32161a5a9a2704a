// Group: this server's part in its group, as salve.textproto has it: the coordinator, the servers
// that accept messages for others and, where servers share a coordinator, the texts of the global
// overrides and of the kill switch.
#ifndef SALVE_AGENT_GROUP_H_
#define SALVE_AGENT_GROUP_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/ids.h"
#include "config/definition.h"
#include "probes/http_client.h"
#include "queue/acceptors.h"
#include "queue/list_acceptors.h"
#include "throttling/coordinator.h"
#include "throttling/etcd_client.h"
#include "throttling/ledger.h"
#include "throttling/shared_text.h"

namespace salve {

struct GroupParts {
  EventLoop& loop;
  HttpClient& http;
  const Ledger& ledger;
  RandomSource& random;
  std::string machine_id;
  std::string boot_id;
  std::string agent_version;
  // As EtcdCoordinatorOptions::say.
  std::function<void(const std::string& message, bool is_error)> say;
};

class Group {
 public:
  // Requires: all parts outlive it. Errors: kInvalidArgument: an endpoint that is none.
  static absl::StatusOr<std::unique_ptr<Group>> Join(const AgentDefinition& agent,
                                                     GroupParts parts);

  // Takes up a reloaded configuration of the same group: the list of acceptors.
  void Configure(const AgentDefinition& agent);

  Coordinator& coordinator() { return *coordinator_; }
  // Of queue.acceptor; without any, those in etcd, where there is one.
  Acceptors& acceptors() { return *acceptors_; }
  // Null: no shared coordinator.
  SharedText* overrides() { return overrides_.get(); }
  SharedText* pause() { return pause_.get(); }  // The kill switch.

 private:
  std::unique_ptr<EtcdClient> etcd_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<ListAcceptors> acceptors_;
  std::unique_ptr<SharedText> overrides_;
  std::unique_ptr<SharedText> pause_;
};

// Whether a reload may change one into the other; else the agent must be restarted.
bool IsSameGroup(const AgentDefinition& a, const AgentDefinition& b);

}  // namespace salve

#endif  // SALVE_AGENT_GROUP_H_
