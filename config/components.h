// Components: what of a server can be in service or not. Their checks, and whether a responder
// names one that is there.
#ifndef SALVE_CONFIG_COMPONENTS_H_
#define SALVE_CONFIG_COMPONENTS_H_

#include "config/config.pb.h"
#include "config/item_faults.h"

namespace salve {

// Adds what is wrong with the agent's components and its ready_listen to `faults`.
void CheckComponents(const config::Agent& agent, ItemFaults& faults);

// Adds to `faults` when the responder names a component that `agent` does not have.
void CheckComponentOf(const config::Responder& responder, const config::Agent& agent,
                      ItemFaults& faults);

}  // namespace salve

#endif  // SALVE_CONFIG_COMPONENTS_H_
