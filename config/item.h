// Single items of a health set: from the message to the definition, with the checks that need
// nothing but the item. What names refer to is for health_set.h.
#ifndef SALVE_CONFIG_ITEM_H_
#define SALVE_CONFIG_ITEM_H_

#include <string>

#include "config/config.pb.h"
#include "config/definition.h"
#include "config/item_faults.h"
#include "config/kind_checks.h"

namespace salve {

// Each fills in all but `health_set` and `target`, defaults included, and adds what is wrong to
// `faults`: ranges, a missing kind, and what the kind's own check says when all else is right.
ProbeDefinition ReadProbe(config::Probe probe, const KindChecks& checks, ItemFaults& faults);
MonitorDefinition ReadMonitor(config::Monitor monitor, const KindChecks& checks,
                              ItemFaults& faults);
ResponderDefinition ReadResponder(config::Responder responder, const KindChecks& checks,
                                  ItemFaults& faults);

// Why a probe's timeout does not fit its interval: "10s is longer than the interval of 5s"; "" when
// it does.
std::string FaultOfTimeout(const ProbeDefinition& definition);

}  // namespace salve

#endif  // SALVE_CONFIG_ITEM_H_
