#include "agent/listening_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace salve {
namespace {

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
};

SocketAddress AddressOf(const ListenAddress& address) {
  SocketAddress result;
  if (address.is_ipv6) {
    auto* six = reinterpret_cast<sockaddr_in6*>(&result.storage);
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(address.port);
    inet_pton(AF_INET6, address.address.c_str(), &six->sin6_addr);
    result.size = sizeof(*six);
  } else {
    auto* four = reinterpret_cast<sockaddr_in*>(&result.storage);
    four->sin_family = AF_INET;
    four->sin_port = htons(address.port);
    inet_pton(AF_INET, address.address.c_str(), &four->sin_addr);
    result.size = sizeof(*four);
  }
  return result;
}

}  // namespace

absl::StatusOr<UniqueFd> ListenAt(const ListenAddress& address, int backlog) {
  const SocketAddress where = AddressOf(address);
  const int on = 1;
  UniqueFd listener(socket(where.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.is_open() ||
      setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      bind(listener.get(), reinterpret_cast<const sockaddr*>(&where.storage), where.size) != 0 ||
      listen(listener.get(), backlog) != 0) {
    return absl::UnavailableError(strerror(errno));
  }
  return listener;
}

int PortOf(int fd) {
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                           : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
}

}  // namespace salve
