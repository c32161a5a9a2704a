// PeerClient: calls other agents' QueueService from the loop, with mutual TLS. It asks once;
// whether to ask again is its caller's. Lives on the loop's thread; no call blocks: names go to the
// Resolver, files and gRPC to a thread of its own, which is started with the first call.
#ifndef SALVE_QUEUE_PEER_CLIENT_H_
#define SALVE_QUEUE_PEER_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/queue.pb.h"
#include "base/certificate_files.h"
#include "base/event_loop.h"
#include "probes/resolver.h"

namespace salve {

struct Peer {
  std::string address;      // "HOST:PORT", "[ADDRESS]:PORT".
  std::string server_name;  // In its certificate. Empty: the host of the address.
  CertificateFiles files;   // Read again for a call after they have changed.
  friend bool operator==(const Peer&, const Peer&) = default;
};

class PeerClient {
 public:
  enum class Id : uint64_t { kNone = 0 };
  using Transferred = absl::AnyInvocable<void(absl::StatusOr<v1::TransferResponse>)>;
  using Checked = absl::AnyInvocable<void(absl::StatusOr<v1::CheckArrivalResponse>)>;
  using Ended = absl::AnyInvocable<void(absl::StatusOr<v1::EndTransfersResponse>)>;

  virtual ~PeerClient() = default;

  // Calls `done` once, at the latest at `deadline`, never inside this call. Errors of `done`,
  // beside those that the peer answers with (api/queue.proto):
  //   kUnavailable: not reached, no trust between it and us, or the connection broke: whether it
  //   took the message is not known; kDeadlineExceeded: no answer in time: neither is it;
  //   kInvalidArgument: the address is none, or no files that could be used; kNotFound,
  //   kPermissionDenied: a file; kResourceExhausted: too many calls or peers at once.
  virtual Id Transfer(const Peer& peer, v1::TransferRequest request, Instant deadline,
                      Transferred done) = 0;
  virtual Id CheckArrival(const Peer& peer, v1::CheckArrivalRequest request, Instant deadline,
                          Checked done) = 0;
  virtual Id EndTransfers(const Peer& peer, v1::EndTransfersRequest request, Instant deadline,
                          Ended done) = 0;
  // Ends a call without `done`; the peer may have taken it. An ended one, or kNone, is ignored.
  virtual void Cancel(Id id) = 0;
};

struct PeerClientOptions {
  size_t peers_max = 64;   // With a connection; beyond it the longest unused one goes.
  size_t calls_max = 256;  // At once.
  absl::Duration idle_after = absl::Minutes(5);  // Without a call: its connection is closed.
};

// Requires: both outlive it. Its end drops what is under way, without `done`.
std::unique_ptr<PeerClient> NewPeerClient(EventLoop& loop, Resolver& resolver,
                                          PeerClientOptions options = {});

}  // namespace salve

#endif  // SALVE_QUEUE_PEER_CLIENT_H_
