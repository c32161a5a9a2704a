// RelayDeliverer: hands the messages of relay/<acceptor> over to that member of the group, which
// delivers them from its own queue. Lives on the loop's thread.
#ifndef SALVE_QUEUE_RELAY_DELIVERER_H_
#define SALVE_QUEUE_RELAY_DELIVERER_H_

#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "config/definition.h"
#include "queue/acceptors.h"
#include "queue/deliverer.h"
#include "queue/peer_client.h"
#include "queue/transfer_calls.h"

namespace salve {

class RelayDeliverer final : public Deliverer {
 public:
  // Requires: all outlive it. `server`: this one's name.
  RelayDeliverer(EventLoop& loop, PeerClient& client, const Acceptors& acceptors,
                 const std::string& server);

  // Takes up the files of queue.peer; again after a reload. What is under way goes on.
  void Configure(const AgentDefinition& agent);

  // One message, an AF or AR that has not been handed over yet; the acceptor counts the hop.
  // Accepted, or there before: kDelivered. "Another", or it is no acceptor any more: kElsewhere.
  // Refused: kRefused. Whatever comes before an answer: kNotReached; the acceptor may have it, and
  // drops a second one.
  Id Start(const std::string& queue, const std::vector<queue::Message>& messages, Instant deadline,
           Done done) override;
  void Cancel(Id id) override;

  // Asks the acceptor of `queue` whether the message arrived. Calls `done` once, within 4 s, never
  // inside this call. Errors of `done`: kNotFound: it is no acceptor now; as PeerClient.
  void CheckArrival(const std::string& queue, const queue::Message& message,
                    TransferCalls::Arrival done);
  // Tells an acceptor what became of messages that it took, or may have. Calls `done` as
  // CheckArrival does. Errors of `done`: kNotFound: it is no acceptor now; kUnimplemented: it is
  // older than this call, and holds nothing back; as PeerClient.
  void EndTransfers(const std::string& server, const v1::EndTransfersRequest& request,
                    TransferCalls::Ended done);
  // Whether an acceptor can be reached and would take a message: OK. Errors of `done`: kNotFound:
  // it is no acceptor now; kUnavailable: it takes none, with its reason; as PeerClient.
  void Probe(const std::string& server, TransferCalls::Probed done);

 private:
  std::optional<Peer> Find(absl::string_view server) const;

  EventLoop& loop_;
  const Acceptors& acceptors_;
  Peer files_;  // Without an address.
  TransferCalls calls_;
};

}  // namespace salve

#endif  // SALVE_QUEUE_RELAY_DELIVERER_H_
