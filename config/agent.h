// salve.textproto: the agent's own settings, from what was written to what holds.
#ifndef SALVE_CONFIG_AGENT_H_
#define SALVE_CONFIG_AGENT_H_

#include <string>

#include "config/config.pb.h"
#include "config/definition.h"
#include "config/errors.h"
#include "config/text_file.h"

namespace salve {

// Adds what is wrong to `errors`; without faults the result is whole, defaults included.
// `host_name` is the default of `server`, and must be a valid name if it is used.
AgentDefinition ReadAgent(config::Agent agent, const Place& place, const std::string& host_name,
                          ErrorList& errors);

}  // namespace salve

#endif  // SALVE_CONFIG_AGENT_H_
