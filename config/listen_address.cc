#include "config/listen_address.h"

#include <arpa/inet.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "config/errors.h"

namespace salve {

absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text) {
  const absl::Status wrong = absl::InvalidArgumentError(
      absl::StrCat(Quoted(text), " is no ADDRESS:PORT, as 0.0.0.0:7443 or [::]:7443"));
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return wrong;
  const absl::string_view port = text.substr(colon + 1);
  absl::string_view address = text.substr(0, colon);
  ListenAddress listen;
  listen.is_ipv6 = absl::StartsWith(address, "[") && absl::EndsWith(address, "]");
  if (listen.is_ipv6) address = address.substr(1, address.size() - 2);
  listen.address = std::string(address);
  in6_addr parsed;
  if (address.find('\0') != absl::string_view::npos ||
      inet_pton(listen.is_ipv6 ? AF_INET6 : AF_INET, listen.address.c_str(), &parsed) != 1) {
    return wrong;
  }
  uint32_t number = 0;
  if (port.empty() || !absl::ascii_isdigit(port[0]) || port.size() > 5 ||
      !absl::SimpleAtoi(port, &number) || number == 0 || number > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("the port ", Quoted(port), " is not in [1, 65535]"));
  }
  listen.port = static_cast<uint16_t>(number);
  return listen;
}

}  // namespace salve
