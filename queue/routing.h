// Routing: into which queue a message belongs, by the configuration. Plain values and a pure
// function; a dispatcher makes new rules at each reload and each change of mode or acceptors.
#ifndef SALVE_QUEUE_ROUTING_H_
#define SALVE_QUEUE_ROUTING_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "config/config.pb.h"
#include "config/definition.h"
#include "queue/message.pb.h"

namespace salve {

enum class DestinationKind { kLetters, kForward, kThisServer };

struct QueueRules {
  std::string server;
  std::string group;
  std::map<std::string, DestinationKind> destinations;  // By name.
  config::Queue::Processing mode = config::Queue::LOCALLY;
  std::vector<std::string> acceptors;  // That can be used now, the first one first.
  config::Queue queue;
  absl::Duration expire;           // Of AF and AR.
  absl::Duration expire_deferred;  // Of UP.
  absl::Duration late_after;       // Zero: nobody is told.
  absl::Duration letter_timeout;
  absl::Duration digest_window;
  size_t digest_after = 10;
  int deliveries_max = 10;  // 0: without end.
  int64_t messages_max = 1'000'000;
  int64_t bytes_max = 1 << 30;
  int64_t dead_max = 100'000;
  std::string accept_address;  // Under which others reach this server; may be empty.
};

// Without acceptors, in the mode of the configuration. Requires: it was loaded.
QueueRules RulesOf(const AgentDefinition& agent);

struct Route {
  std::string queue;
  std::string unreachable_reason;  // Of `unreachable`.
};
Route RouteOf(const queue::Message& message, const QueueRules& rules);

// Whether it may be handed to an acceptor: one hop only, and never a UP.
bool MayBeRelayed(const queue::Message& message);

// Whether it may be delivered from there, by these rules: after a reload or a move it may not.
bool MayStayIn(const queue::Message& message, const std::string& queue, const QueueRules& rules);

// "SET/RESPONDER" or "RestartService nginx.service": what the ledger counts a deferred action by.
std::string ActionKey(const queue::Deferred& deferred);

}  // namespace salve

#endif  // SALVE_QUEUE_ROUTING_H_
