// ApiListener: serves gRPC services at one Unix socket, or at one TCP address with TLS, to those
// whom a door lets in. grpc.health.v1 and reflection are on. Any thread may start and end it.
#ifndef SALVE_AGENT_API_LISTENER_H_
#define SALVE_AGENT_API_LISTENER_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/api_door.h"
#include "agent/remote_certificates.h"
#include "config/listen_address.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace salve {

// What one listener takes on. The rest waits or is refused as each line says.
struct ApiLimits {
  int message_bytes_max = 4 << 20;    // Of a request; a larger one is RESOURCE_EXHAUSTED.
  int threads_max = 24;               // Calls at once; more are RESOURCE_EXHAUSTED.
  int streams_max = 100;              // Calls of one connection; further ones wait in the client.
  int metadata_bytes_max = 16 << 10;  // Of a call; more is RESOURCE_EXHAUSTED.
  // TCP only.
  int connections_max = 64;                      // Further ones are closed at once.
  absl::Duration handshake = absl::Seconds(10);  // Then it is closed.
  absl::Duration idle = absl::Minutes(2);        // Without a call: closed; clients reopen it.
  absl::Duration keepalive = absl::Seconds(60);  // Pings a silent client with a call;
  absl::Duration answer = absl::Seconds(20);     // no answer: closed.
  absl::Duration age = absl::Hours(1);           // Takes no new call: the client connects
                                                 // anew, with the certificate of then.
};

struct SocketPlace {
  std::string path;  // At most 107 bytes.
  mode_t mode = 0600;
  std::string group;  // Owner group of the socket, if there is one of that name.
};

class ApiListener {
 public:
  // `services` and the other references must outlive the listener.
  struct Parts {
    ApiDoor& door;
    std::vector<grpc::Service*> services;
    ApiLimits limits = {};
  };

  // Binds and serves. A lock file beside the socket (PATH.lock) keeps a second agent off.
  // Errors: kAlreadyExists: another agent has it; kUnavailable, kInvalidArgument: it can't be
  // bound.
  static absl::StatusOr<std::unique_ptr<ApiListener>> OnSocket(const SocketPlace& place,
                                                               const Parts& parts);
  // Errors: kUnavailable: it can't be bound. Requires: `certificates` holds a set.
  static absl::StatusOr<std::unique_ptr<ApiListener>> OnTcp(const ListenAddress& address,
                                                            RemoteCertificates& certificates,
                                                            const Parts& parts);
  // Ends the calls that run (at most a second) and removes the socket.
  ~ApiListener();

  int port() const;         // Of TCP; else 0.
  int connections() const;  // Of TCP, now; else 0.

 private:
  struct State;
  explicit ApiListener(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace salve

#endif  // SALVE_AGENT_API_LISTENER_H_
