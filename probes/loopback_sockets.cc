#include "probes/loopback_sockets.h"

#include <errno.h>
#include <netinet/in.h>

#include "probes/quiet_close.h"

namespace salve {
namespace {

// What a socket keeps over this is what was set on it (the client sets nothing but O_NONBLOCK and
// FD_CLOEXEC), how large its buffers may have grown, and where its sequence numbers stand. The
// kernel forgets the rest: addresses and port, both ends' FIN, unread and unsent bytes, timers,
// round-trip times, the state of the congestion control. The ECONNRESET that it leaves in SO_ERROR
// the next connect clears.
bool Disconnect(int fd) {
  char byte;
  const ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n > 0 || (n < 0 && errno != EAGAIN)) return false;
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) return false;
  sockaddr nobody = {};
  nobody.sa_family = AF_UNSPEC;
  return connect(fd, &nobody, sizeof nobody) == 0;
}

}  // namespace

bool LoopbackSockets::Serve(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return ntohl(v4.sin_addr.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
  }
  return address.sa_family == AF_INET6 &&
         IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
}

int LoopbackSockets::Take(int family) {
  std::vector<UniqueFd>& from = kept(family);
  if (from.empty()) return -1;
  const int fd = from.back().release();
  from.pop_back();
  return fd;
}

void LoopbackSockets::Give(int fd, int family) {
  std::vector<UniqueFd>& to = kept(family);
  if (to.size() < kKeptMax && Disconnect(fd)) {
    to.emplace_back(fd);
  } else {
    CloseQuietly(fd);
  }
}

}  // namespace salve
