#include "probes/socket_address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "base/check.h"

namespace salve {

const size_t kUnixPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;

SocketAddress IpAddress(const std::string& text, uint16_t port) {
  SocketAddress address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof *v4;
    return address;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  const size_t zone = text.find('%');
  inet_pton(AF_INET6, text.substr(0, zone).c_str(), &v6->sin6_addr);
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  if (zone != std::string::npos) v6->sin6_scope_id = if_nametoindex(text.c_str() + zone + 1);
  address.size = sizeof *v6;
  return address;
}

SocketAddress UnixAddress(const std::string& path) {
  CHECK(path.size() <= kUnixPathBytesMax);
  SocketAddress address;
  auto* at = reinterpret_cast<sockaddr_un*>(&address.storage);
  at->sun_family = AF_UNIX;
  memcpy(at->sun_path, path.data(), path.size());
  address.size = sizeof *at;
  return address;
}

bool IsLoopback(const std::string& address) {
  in_addr v4;
  if (inet_pton(AF_INET, address.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6;
  if (inet_pton(AF_INET6, address.substr(0, address.find('%')).c_str(), &v6) != 1) return false;
  return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

}  // namespace salve
