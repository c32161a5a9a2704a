#include "queue/routing.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "config/listen_address.h"
#include "config/queue.h"
#include "config/rules.h"
#include "queue/transition.h"

namespace salve {
namespace {

// Where this server's API can be reached over TCP; empty: nowhere.
std::string OwnAddress(const AgentDefinition& agent) {
  const config::Agent& config = agent.config;
  if (!config.queue().accept_address().empty()) return config.queue().accept_address();
  const auto listen = ParseListenAddress(config.remote().listen());
  if (config.remote().listen().empty() || !listen.ok()) return "";
  return absl::StrCat(agent.server, ":", listen->port);
}

bool IsThisServer(const std::string& address, const AgentDefinition& agent) {
  if (address == OwnAddress(agent)) return true;
  const auto target = ParseHostPort(address);
  const auto listen = ParseListenAddress(agent.config.remote().listen());
  if (!target.ok() || !listen.ok() || target->port != listen->port) return false;
  for (const std::string& name : {agent.server, listen->address, std::string("localhost"),
                                  std::string("127.0.0.1"), std::string("::1")}) {
    if (absl::EqualsIgnoreCase(target->host, name)) return true;
  }
  return false;
}

}  // namespace

QueueRules RulesOf(const AgentDefinition& agent) {
  QueueRules rules;
  rules.server = agent.server;
  rules.group = agent.group;
  for (const config::Destination& destination : agent.config.destination()) {
    rules.destinations[destination.name()] = !destination.has_forward() ? DestinationKind::kLetters
                                             : IsThisServer(destination.forward().address(), agent)
                                                 ? DestinationKind::kThisServer
                                                 : DestinationKind::kForward;
  }
  rules.queue = agent.config.queue();
  rules.mode = rules.queue.queue_processing();
  rules.expire = DurationOf(rules.queue, "expire");
  rules.expire_deferred = DurationOf(rules.queue, "expire_deferred");
  rules.late_after = DurationOf(rules.queue, "late_after");
  const config::Escalation& escalation = agent.config.escalation();
  rules.letter_timeout = DurationOf(escalation, "timeout");
  rules.digest_window = DurationOf(escalation, "digest_window");
  rules.digest_after = static_cast<size_t>(NumberOf(escalation, "digest_after"));
  rules.deliveries_max = DeliveriesMax(rules.queue);
  rules.messages_max = NumberOf(rules.queue, "messages_max");
  rules.bytes_max = NumberOf(rules.queue, "bytes_max");
  rules.dead_max = NumberOf(rules.queue, "dead_max");
  rules.accept_address = OwnAddress(agent);
  return rules;
}

bool MayBeRelayed(const queue::Message& message) {
  return message.type() != queue::UP && message.hops() == 0;
}

Route RouteOf(const queue::Message& message, const QueueRules& rules) {
  if (message.type() == queue::UP) {
    if (message.origin_server() != rules.server) {
      return {"unreachable", absl::StrCat("host-bound:", message.origin_server())};
    }
    return {absl::StrCat("local/", message.deferred().resource()), ""};
  }
  const auto destination = rules.destinations.find(message.destination());
  if (destination == rules.destinations.end()) {
    return {"unreachable", absl::StrCat("no-destination:", message.destination())};
  }
  if (destination->second == DestinationKind::kThisServer) return {"inbox", ""};
  if (rules.mode == config::Queue::REMOTELY && MayBeRelayed(message)) {
    // An acceptor that may have it already is the only one that can drop the second.
    const std::string& handed_to = message.handed_to();
    for (const std::string& acceptor : rules.acceptors) {
      if (handed_to.empty() || handed_to == acceptor) {
        return {absl::StrCat("relay/", acceptor), ""};
      }
    }
  }
  return {absl::StrCat("remote/", message.destination()), ""};
}

bool MayStayIn(const queue::Message& message, const std::string& queue, const QueueRules& rules) {
  const auto kind = QueueKindOf(queue);
  if (!kind) return false;
  if (*kind == QueueKind::kLocal) return message.origin_server() == rules.server;
  if (*kind == QueueKind::kRelay) {
    return rules.mode == config::Queue::REMOTELY && MayBeRelayed(message) &&
           std::find(rules.acceptors.begin(), rules.acceptors.end(), QueueTarget(queue)) !=
               rules.acceptors.end();
  }
  if (*kind != QueueKind::kRemote) return false;
  const auto destination = rules.destinations.find(message.destination());
  return destination != rules.destinations.end() &&
         destination->second != DestinationKind::kThisServer;
}

std::string ActionKey(const queue::Deferred& deferred) {
  if (!deferred.responder().empty()) return deferred.responder();
  return absl::StrCat(deferred.action(), " ", deferred.resource());
}

}  // namespace salve
