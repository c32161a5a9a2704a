// ForwardDeliverer: brings the messages of remote/<destination> to another Salve's inbox, where the
// destination is one of `forward`. Lives on the loop's thread.
#ifndef SALVE_QUEUE_FORWARD_DELIVERER_H_
#define SALVE_QUEUE_FORWARD_DELIVERER_H_

#include <map>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "config/definition.h"
#include "queue/deliverer.h"
#include "queue/peer_client.h"
#include "queue/transfer_calls.h"

namespace salve {

class ForwardDeliverer final : public Deliverer {
 public:
  // Requires: both outlive it. `server`: this one's name.
  ForwardDeliverer(EventLoop& loop, PeerClient& client, const std::string& server);

  // Takes up the forward destinations and files; again after a reload. What is under way goes on.
  void Configure(const AgentDefinition& agent);

  // One message. Accepted, or there before: kDelivered. "Another": kNotReached, tried later.
  // A destination that forwards no more: kNotReached.
  Id Start(const std::string& queue, const std::vector<queue::Message>& messages, Instant deadline,
           Done done) override;
  void Cancel(Id id) override;

  // Asks the destination of `queue` whether the message arrived. Calls `done` once, within 4 s,
  // never inside this call. Errors of `done`: kNotFound: no such forward destination; as
  // PeerClient.
  void CheckArrival(const std::string& queue, const queue::Message& message,
                    TransferCalls::Arrival done);

 private:
  const Peer* Find(const std::string& queue) const;

  EventLoop& loop_;
  std::map<std::string, Peer> peers_;  // By destination.
  TransferCalls calls_;
};

}  // namespace salve

#endif  // SALVE_QUEUE_FORWARD_DELIVERER_H_
