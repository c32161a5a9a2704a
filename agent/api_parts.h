// What the services of the API work with.
#ifndef SALVE_AGENT_API_PARTS_H_
#define SALVE_AGENT_API_PARTS_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "agent/components.h"
#include "agent/engine.h"
#include "agent/overrides.h"
#include "base/event_loop.h"
#include "channels/event_query.h"
#include "queue/dispatcher.h"

namespace salve {

// All must outlive the servers.
struct ApiParts {
  EventLoop& loop;
  Engine& engine;
  EventReader& reader;
  Overrides& overrides;
  Components& components;
  // Reads the configuration again and answers on any thread. `who`: for the records.
  std::function<void(std::string who, std::function<void(absl::Status)>)> reload;
  // Fills what the engine does not know. On the loop.
  std::function<void(v1::GetInfoResponse&)> info;
  Dispatcher* queue = nullptr;  // Null: the queue is off, because:
  std::string queue_off = "this agent has none";
};

}  // namespace salve

#endif  // SALVE_AGENT_API_PARTS_H_
