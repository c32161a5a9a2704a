// A PeerClient for tests that answers as it is told, on the loop.
#ifndef SALVE_QUEUE_FAKE_PEER_CLIENT_H_
#define SALVE_QUEUE_FAKE_PEER_CLIENT_H_

#include <set>
#include <utility>
#include <vector>

#include "queue/peer_client.h"

namespace salve {

class FakePeerClient final : public PeerClient {
 public:
  explicit FakePeerClient(EventLoop& loop) : loop_(loop) {}

  absl::StatusOr<v1::TransferResponse> transfer = v1::TransferResponse();
  absl::StatusOr<v1::CheckArrivalResponse> arrival = v1::CheckArrivalResponse();
  absl::StatusOr<v1::EndTransfersResponse> ended = v1::EndTransfersResponse();
  bool hangs = false;  // Until the deadline.

  // What was asked.
  std::vector<Peer> peers;
  std::vector<v1::TransferRequest> transfers;
  std::vector<v1::CheckArrivalRequest> checks;
  std::vector<v1::EndTransfersRequest> ends;
  std::vector<Instant> deadlines;
  std::set<Id> open;

  Id Transfer(const Peer& peer, v1::TransferRequest request, Instant deadline,
              Transferred done) override {
    transfers.push_back(std::move(request));
    return Answer(peer, deadline, transfer, std::move(done));
  }
  Id CheckArrival(const Peer& peer, v1::CheckArrivalRequest request, Instant deadline,
                  Checked done) override {
    checks.push_back(std::move(request));
    return Answer(peer, deadline, arrival, std::move(done));
  }
  Id EndTransfers(const Peer& peer, v1::EndTransfersRequest request, Instant deadline,
                  Ended done) override {
    ends.push_back(std::move(request));
    return Answer(peer, deadline, ended, std::move(done));
  }
  void Cancel(Id id) override { open.erase(id); }

 private:
  template <typename Response, typename Done>
  Id Answer(const Peer& peer, Instant deadline, const absl::StatusOr<Response>& response,
            Done done) {
    peers.push_back(peer);
    deadlines.push_back(deadline);
    const Id id{++last_id_};
    open.insert(id);
    loop_.CallAt(hangs ? deadline : loop_.Now(),
                 [this, id, response, hangs = hangs, done = std::move(done)]() mutable {
                   if (open.erase(id) == 0) return;
                   if (hangs) return done(absl::DeadlineExceededError("did not answer in time"));
                   done(response);
                 });
    return id;
  }

  EventLoop& loop_;
  uint64_t last_id_ = 0;
};

}  // namespace salve

#endif  // SALVE_QUEUE_FAKE_PEER_CLIENT_H_
