#include "probes/numeric_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

namespace salve {

bool IsNumericAddress(const std::string& host) {
  in6_addr address;
  return inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &address) == 1;
}

std::string NameInCertificates(const std::string& host) {
  if (IsNumericAddress(host)) return host.substr(0, host.find('%'));
  return !host.empty() && host.back() == '.' ? host.substr(0, host.size() - 1) : host;
}

}  // namespace salve
