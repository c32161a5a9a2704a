// ApiServer: all services of the API at one listener: a Unix socket for one role, or TCP with
// mutual TLS, where the client's certificate gives the role.
#ifndef SALVE_AGENT_API_SERVER_H_
#define SALVE_AGENT_API_SERVER_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agent/api_door.h"
#include "agent/api_parts.h"
#include "agent/remote_certificates.h"
#include "config/listen_address.h"

namespace salve {

struct ApiSocket {
  std::string path;  // At most 107 bytes.
  Role role = Role::kAdmin;
  mode_t mode = 0600;
  std::string group;  // Owner group of the socket, if there is one of that name.
};

class ApiServer {
 public:
  // Binds and serves. Errors: as ApiListener::OnSocket.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(const ApiSocket& socket, ApiParts parts);
  // The same over TCP, for whom `door` lets in. Both must outlive the server.
  // Errors: as ApiListener::OnTcp. Requires: `certificates` holds a set.
  static absl::StatusOr<std::unique_ptr<ApiServer>> StartRemote(const ListenAddress& address,
                                                                RemoteCertificates& certificates,
                                                                ApiDoor& door, ApiParts parts);
  // Ends the calls that run (at most a second).
  ~ApiServer();

 private:
  struct State;
  explicit ApiServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace salve

#endif  // SALVE_AGENT_API_SERVER_H_
