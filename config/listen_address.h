// Where a server listens: "ADDRESS:PORT", "[ADDRESS]:PORT" for IPv6. Numbers, no names.
#ifndef SALVE_CONFIG_LISTEN_ADDRESS_H_
#define SALVE_CONFIG_LISTEN_ADDRESS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace salve {

struct ListenAddress {
  std::string address;  // "0.0.0.0", "::1"
  uint16_t port = 0;
  bool is_ipv6 = false;
};

// Errors: kInvalidArgument, with the form that is wanted.
absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text);

}  // namespace salve

#endif  // SALVE_CONFIG_LISTEN_ADDRESS_H_
