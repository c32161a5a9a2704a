// Destinations of escalations in salve.textproto: what is wrong with them as written.
#ifndef SALVE_CONFIG_DESTINATIONS_H_
#define SALVE_CONFIG_DESTINATIONS_H_

#include "config/config.pb.h"
#include "config/item_faults.h"

namespace salve {

void CheckDestinations(const config::Agent& agent, ItemFaults& faults);

// `escalate.to` must name destinations of the agent.
void CheckDestinationsOf(const config::Escalate& escalate, const config::Agent& agent,
                         ItemFaults& faults);

}  // namespace salve

#endif  // SALVE_CONFIG_DESTINATIONS_H_
