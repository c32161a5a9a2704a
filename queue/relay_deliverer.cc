#include "queue/relay_deliverer.h"

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
      return DeliveryResult::Kind::kElsewhere;
    case v1::TransferResponse::REFUSED:
      return DeliveryResult::Kind::kRefused;
    default:
      return DeliveryResult::Kind::kNotReached;  // No answer that is known here is none.
  }
}

std::string NoAcceptor(absl::string_view server) {
  return absl::StrCat(server, " is no acceptor now");
}

}  // namespace

RelayDeliverer::RelayDeliverer(EventLoop& loop, PeerClient& client, const Acceptors& acceptors,
                               const std::string& server)
    : loop_(loop), acceptors_(acceptors), calls_(loop, client, server) {}

void RelayDeliverer::Configure(const AgentDefinition& agent) {
  files_ = PeerOf(WithFilesOf(agent.config.remote(), agent.config.queue().peer()));
}

std::optional<Peer> RelayDeliverer::Find(absl::string_view server) const {
  for (const Acceptor& acceptor : acceptors_.List()) {
    if (acceptor.server != server) continue;
    Peer peer = files_;
    peer.address = acceptor.address;
    return peer;
  }
  return std::nullopt;
}

Deliverer::Id RelayDeliverer::Start(const std::string& queue,
                                    const std::vector<queue::Message>& messages, Instant deadline,
                                    Done done) {
  CHECK(messages.size() == 1);  // An acceptor takes no digests.
  const queue::Message& message = messages[0];
  if (message.type() == queue::UP || message.hops() > 0) {
    return calls_.Answer({.kind = DeliveryResult::Kind::kNotReached,
                          .detail = "it may not be handed over: that is for notifications, once"},
                         std::move(done));
  }
  const std::optional<Peer> peer = Find(QueueTarget(queue));
  if (!peer.has_value()) {
    return calls_.Answer(
        {.kind = DeliveryResult::Kind::kElsewhere, .detail = NoAcceptor(QueueTarget(queue))},
        std::move(done));
  }
  return calls_.Start(*peer, v1::TransferRequest::RELAY, message, deadline, MeaningOf,
                      [done = std::move(done)](DeliveryResult result) mutable {
                        // The message goes into this server's own queue: that the acceptor failed
                        // on it is no reason to count it there.
                        if (result.kind == DeliveryResult::Kind::kFailedOn) {
                          result.kind = DeliveryResult::Kind::kNotReached;
                        }
                        done(std::move(result));
                      });
}

void RelayDeliverer::Cancel(Id id) { calls_.Cancel(id); }

void RelayDeliverer::CheckArrival(const std::string& queue, const queue::Message& message,
                                  TransferCalls::Arrival done) {
  const std::string server(QueueTarget(queue));
  if (const std::optional<Peer> peer = Find(server)) {
    return calls_.CheckArrival(*peer, message, std::move(done));
  }
  loop_.Post([server, done = std::move(done)]() mutable {
    done(absl::NotFoundError(NoAcceptor(server)));
  });
}

void RelayDeliverer::EndTransfers(const std::string& server, const v1::EndTransfersRequest& request,
                                  TransferCalls::Ended done) {
  if (const std::optional<Peer> peer = Find(server)) {
    return calls_.EndTransfers(*peer, request, std::move(done));
  }
  loop_.Post([server, done = std::move(done)]() mutable {
    done(absl::NotFoundError(NoAcceptor(server)));
  });
}

void RelayDeliverer::Probe(const std::string& server, TransferCalls::Probed done) {
  if (const std::optional<Peer> peer = Find(server)) return calls_.Probe(*peer, std::move(done));
  loop_.Post([server, done = std::move(done)]() mutable {
    done(absl::NotFoundError(NoAcceptor(server)));
  });
}

}  // namespace salve
