// Acceptors of the group's etcd: each that accepts has a key below …/groups/GROUP/acceptors/ under
// a lease of its own, which it keeps alive.
#ifndef SALVE_QUEUE_ETCD_ACCEPTORS_H_
#define SALVE_QUEUE_ETCD_ACCEPTORS_H_

#include <memory>
#include <string>

#include "base/event_loop.h"
#include "queue/acceptors.h"
#include "throttling/etcd_client.h"

namespace salve {

struct EtcdAcceptorsOptions {
  std::string prefix = "/salve";
  std::string group;
  std::string server;
};

// The key of an agent that died goes so long after its last sign of life.
inline constexpr absl::Duration kAcceptorLease = absl::Seconds(60);
// More are not listed.
inline constexpr int kAcceptorsListedMax = 1000;

// Reads and watches at once and goes on trying; until etcd has answered the list is empty, and
// while it is away the last one stands. What can't be read there is passed over. Offers nothing
// before Offer; an offer of an earlier life ends with it, or with Offer(""). Requires: both outlive
// it.
std::unique_ptr<Acceptors> NewEtcdAcceptors(EtcdAcceptorsOptions options, EventLoop& loop,
                                            EtcdClient& etcd);

}  // namespace salve

#endif  // SALVE_QUEUE_ETCD_ACCEPTORS_H_
