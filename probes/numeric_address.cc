#include "probes/numeric_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

namespace salve {

bool IsNumericAddress(const std::string& host) {
  in6_addr address;
  return inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &address) == 1;
}

}  // namespace salve
