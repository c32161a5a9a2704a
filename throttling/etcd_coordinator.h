// A group whose attempts are kept in etcd (docs/GROUP.md): registration and liveness of this
// server, check and reservation in one transaction, the group's time.
#ifndef SALVE_THROTTLING_ETCD_COORDINATOR_H_
#define SALVE_THROTTLING_ETCD_COORDINATOR_H_

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/ids.h"
#include "throttling/coordinator.h"
#include "throttling/etcd_client.h"
#include "throttling/ledger.h"

namespace salve {

struct EtcdCoordinatorOptions {
  std::string prefix = "/salve";
  std::string group;
  std::string server;
  std::string machine_id;  // Tells a cloned image that took the name along.
  std::string boot_id;
  std::string agent_version;
  // Told once of each trouble that a person should know, and again when it is over.
  std::function<void(const std::string& message, bool is_error)> say;
};

inline constexpr int kGroupProtocolVersion = 1;

// Registers at once and goes on trying. Requires: all outlive it.
std::unique_ptr<Coordinator> NewEtcdCoordinator(EtcdCoordinatorOptions options, EventLoop& loop,
                                                EtcdClient& etcd, const Ledger& ledger,
                                                RandomSource& random);

}  // namespace salve

#endif  // SALVE_THROTTLING_ETCD_COORDINATOR_H_
