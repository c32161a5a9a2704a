// TransferCalls: what deliveries to other Salves have in common: a message becomes a transfer, its
// answer or its failure the result of a delivery. Lives on the loop's thread.
#ifndef SALVE_QUEUE_TRANSFER_CALLS_H_
#define SALVE_QUEUE_TRANSFER_CALLS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/queue.pb.h"
#include "base/event_loop.h"
#include "config/config.pb.h"
#include "queue/deliverer.h"
#include "queue/message.pb.h"
#include "queue/peer_client.h"

namespace salve {

// Of a forward destination, or of the files for acceptors, whose address is set later.
Peer PeerOf(const config::Forward& forward);

class TransferCalls {
 public:
  using Arrival = absl::AnyInvocable<void(absl::StatusOr<v1::CheckArrivalResponse>)>;
  using Probed = absl::AnyInvocable<void(absl::Status)>;
  using Ended = absl::AnyInvocable<void(absl::StatusOr<v1::EndTransfersResponse>)>;
  // What the answers of a peer mean for the delivery.
  using Meaning = std::function<DeliveryResult::Kind(v1::TransferResponse::Answer)>;

  // `server`: who sends. Requires: both outlive it. Its end drops what is under way.
  TransferCalls(EventLoop& loop, PeerClient& client, std::string server);
  ~TransferCalls();
  TransferCalls(const TransferCalls&) = delete;
  TransferCalls& operator=(const TransferCalls&) = delete;

  // Hands a message over. What comes before an answer, and whatever is said about the caller
  // instead of the message (no role, no such call, busy, paused), is kNotReached; only a peer that
  // failed (kInternal, kInvalidArgument, …) is kFailedOn. A message of which no parcel can be made
  // is kRefused. `done` is called once, never inside this call.
  Deliverer::Id Start(const Peer& peer, v1::TransferRequest::Purpose purpose,
                      queue::Message message, Instant deadline, const Meaning& meaning,
                      Deliverer::Done done);
  // Gives a result that is known without asking.
  Deliverer::Id Answer(DeliveryResult result, Deliverer::Done done);
  void Cancel(Deliverer::Id id);

  // Asks within kAskTime. Calls `done` once, never inside this call; not when this ends before.
  static constexpr absl::Duration kAskTime = absl::Seconds(4);
  void CheckArrival(const Peer& peer, const queue::Message& message, Arrival done);
  // Errors of `done`: kUnimplemented: the peer is older than this call; as PeerClient.
  void EndTransfers(const Peer& peer, v1::EndTransfersRequest request, Ended done);
  // OK: it would take a message. Errors of `done`: kUnavailable: it would not, with its reason; as
  // PeerClient.
  void Probe(const Peer& peer, Probed done);

 private:
  struct Delivery {
    PeerClient::Id call = PeerClient::Id::kNone;
    Deliverer::Done done;
  };
  void End(Deliverer::Id id, DeliveryResult result);

  EventLoop& loop_;
  PeerClient& client_;
  const std::string server_;
  uint64_t last_id_ = 0;
  std::map<Deliverer::Id, Delivery> deliveries_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace salve

#endif  // SALVE_QUEUE_TRANSFER_CALLS_H_
