// LoopbackSockets: TCP sockets that are used again and again for connections to this machine,
// which saves making and closing one each time. Lives on one thread.
#ifndef SALVE_PROBES_LOOPBACK_SOCKETS_H_
#define SALVE_PROBES_LOOPBACK_SOCKETS_H_

#include <sys/socket.h>

#include <cstddef>
#include <vector>

#include "base/unique_fd.h"

namespace salve {

class LoopbackSockets {
 public:
  // How many are kept of a family; more are closed. As many looks as end within one turn of the
  // loop, before others begin.
  static constexpr size_t kKeptMax = 32;

  // Whether a socket connected to `address` may be kept: 127.0.0.0/8 and ::1. Each connection ends
  // in a reset then, which on the way to others firewalls and load balancers count as a fault of
  // the client. Not ::ffff:127.0.0.1: an IPv6 socket that has spoken IPv4 never speaks IPv6 again.
  static bool Serve(const sockaddr& address);

  // One of those that are kept, as good as a new one; -1: there is none.
  int Take(int family);

  // Takes a connected, non-blocking socket on which all has been said: disconnects it and keeps it.
  // Closes it instead, as CloseQuietly does, when it is one too many, has an error or unread bytes,
  // or cannot be disconnected.
  void Give(int fd, int family);

 private:
  std::vector<UniqueFd>& kept(int family) { return family == AF_INET ? v4_ : v6_; }

  std::vector<UniqueFd> v4_;
  std::vector<UniqueFd> v6_;
};

}  // namespace salve

#endif  // SALVE_PROBES_LOOPBACK_SOCKETS_H_
