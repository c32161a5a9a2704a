// ApiServer: the gRPC services on one Unix socket, for one role. Handlers run on gRPC's threads;
// what concerns the engine they ask on the loop, and wait for the answer with a deadline.
#ifndef SALVE_AGENT_API_SERVER_H_
#define SALVE_AGENT_API_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/engine.h"
#include "base/event_loop.h"
#include "channels/event_query.h"

namespace salve {

enum class Role { kOperator, kAdmin };

// All must outlive the server.
struct ApiParts {
  EventLoop& loop;
  Engine& engine;
  EventReader& reader;
  // Reads the configuration again and answers on any thread.
  std::function<void(std::string user, std::function<void(absl::Status)>)> reload;
  // Fills what the engine does not know. On the loop.
  std::function<void(v1::GetInfoResponse&)> info;
};

struct ApiSocket {
  std::string path;  // At most 107 bytes.
  Role role = Role::kAdmin;
  mode_t mode = 0600;
  std::string group;  // Owner group of the socket, if there is one of that name.
};

class ApiServer {
 public:
  // Binds and serves. A lock file beside the socket (PATH.lock) keeps a second agent off.
  // Errors: kAlreadyExists: another agent has it; kUnavailable, kInvalidArgument: it can't be
  // bound.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(const ApiSocket& socket, ApiParts parts);
  // Ends the calls that run (at most a second) and removes the socket.
  ~ApiServer();

 private:
  struct State;
  explicit ApiServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace salve

#endif  // SALVE_AGENT_API_SERVER_H_
