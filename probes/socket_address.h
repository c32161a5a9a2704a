// Addresses as the kernel wants them.
#ifndef SALVE_PROBES_SOCKET_ADDRESS_H_
#define SALVE_PROBES_SOCKET_ADDRESS_H_

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace salve {

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// Requires: IsNumericAddress(text).
SocketAddress IpAddress(const std::string& text, uint16_t port);

// The most bytes that the path of a Unix socket can have.
extern const size_t kUnixPathBytesMax;
// Requires: no more bytes than that.
SocketAddress UnixAddress(const std::string& path);

// Whether `address`, a numeric one, never leaves this machine; false for any other text.
bool IsLoopback(const std::string& address);

}  // namespace salve

#endif  // SALVE_PROBES_SOCKET_ADDRESS_H_
