// A TCP socket that listens at one address.
#ifndef SALVE_AGENT_LISTENING_SOCKET_H_
#define SALVE_AGENT_LISTENING_SOCKET_H_

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "config/listen_address.h"

namespace salve {

// Non-blocking. Port 0: any; PortOf tells which. Errors: kUnavailable: the system's reason alone.
absl::StatusOr<UniqueFd> ListenAt(const ListenAddress& address, int backlog);

// The port that a socket is bound to; 0: it is bound to none.
int PortOf(int fd);

}  // namespace salve

#endif  // SALVE_AGENT_LISTENING_SOCKET_H_
