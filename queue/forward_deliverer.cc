#include "queue/forward_deliverer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "config/queue.h"
#include "queue/transition.h"

namespace salve {
namespace {

DeliveryResult::Kind MeaningOf(v1::TransferResponse::Answer answer) {
  switch (answer) {
    case v1::TransferResponse::ACCEPTED:
    case v1::TransferResponse::DUPLICATE:
      return DeliveryResult::Kind::kDelivered;
    case v1::TransferResponse::ANOTHER:
      return DeliveryResult::Kind::kNotReached;  // For an inbox there is no other: later.
    case v1::TransferResponse::REFUSED:
      return DeliveryResult::Kind::kRefused;
    default:
      return DeliveryResult::Kind::kFailedOn;
  }
}

std::string NoSuch(const std::string& queue) {
  return absl::StrCat("no destination forwards for ", queue);
}

}  // namespace

ForwardDeliverer::ForwardDeliverer(EventLoop& loop, PeerClient& client, const std::string& server)
    : loop_(loop), calls_(loop, client, server) {}

void ForwardDeliverer::Configure(const AgentDefinition& agent) {
  peers_.clear();
  for (const config::Destination& destination : agent.config.destination()) {
    if (!destination.has_forward()) continue;
    peers_[destination.name()] = PeerOf(WithFilesOf(agent.config.remote(), destination.forward()));
  }
}

const Peer* ForwardDeliverer::Find(const std::string& queue) const {
  const auto found = peers_.find(std::string(QueueTarget(queue)));
  return found == peers_.end() ? nullptr : &found->second;
}

Deliverer::Id ForwardDeliverer::Start(const std::string& queue,
                                      const std::vector<queue::Message>& messages, Instant deadline,
                                      Done done) {
  CHECK(messages.size() == 1);  // An inbox takes no digests.
  const Peer* peer = Find(queue);
  if (peer == nullptr) {
    return calls_.Answer({.kind = DeliveryResult::Kind::kNotReached, .detail = NoSuch(queue)},
                         std::move(done));
  }
  return calls_.Start(*peer, v1::TransferRequest::FORWARD, messages[0], deadline, MeaningOf,
                      std::move(done));
}

void ForwardDeliverer::Cancel(Id id) { calls_.Cancel(id); }

void ForwardDeliverer::CheckArrival(const std::string& queue, const queue::Message& message,
                                    TransferCalls::Arrival done) {
  if (const Peer* peer = Find(queue)) {
    return calls_.CheckArrival(*peer, message, std::move(done));
  }
  loop_.Post(
      [queue, done = std::move(done)]() mutable { done(absl::NotFoundError(NoSuch(queue))); });
}

}  // namespace salve
