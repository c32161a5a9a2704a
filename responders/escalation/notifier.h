// Notifier: where notices go. It never says no: what it is given reaches its destinations, or waits
// where it outlives the agent. Lives on the loop's thread. The agent's is agent/queue_notifier.h.
#ifndef SALVE_RESPONDERS_ESCALATION_NOTIFIER_H_
#define SALVE_RESPONDERS_ESCALATION_NOTIFIER_H_

#include <string>
#include <vector>

#include "config/definition.h"
#include "responders/notice.h"

namespace salve {

class Notifier {
 public:
  virtual ~Notifier() = default;

  // Takes up other destinations.
  virtual void Configure(const AgentDefinition& agent) = 0;

  // Takes a notice for its destinations. Returns their names: those that there are. One of a key
  // that is known is not told again.
  virtual std::vector<std::string> Send(const Notice& notice) = 0;
};

}  // namespace salve

#endif  // SALVE_RESPONDERS_ESCALATION_NOTIFIER_H_
