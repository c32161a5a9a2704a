// A group of one, answered from this server's ledger.
#ifndef SALVE_THROTTLING_LOCAL_COORDINATOR_H_
#define SALVE_THROTTLING_LOCAL_COORDINATOR_H_

#include <memory>

#include "base/event_loop.h"
#include "throttling/coordinator.h"
#include "throttling/ledger.h"

namespace salve {

// Requires: `loop` and `ledger` outlive it.
std::unique_ptr<Coordinator> NewLocalCoordinator(EventLoop& loop, const Ledger& ledger);

}  // namespace salve

#endif  // SALVE_THROTTLING_LOCAL_COORDINATOR_H_
