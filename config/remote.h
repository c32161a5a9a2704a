// The checks of salve.textproto's `remote`.
#ifndef SALVE_CONFIG_REMOTE_H_
#define SALVE_CONFIG_REMOTE_H_

#include "config/config.pb.h"
#include "config/item_faults.h"

namespace salve {

// `faults` is of the agent. The files need not be there: the agent says that of them which can't
// be used, and tries again.
void CheckRemote(const config::Remote& remote, ItemFaults& faults);

}  // namespace salve

#endif  // SALVE_CONFIG_REMOTE_H_
