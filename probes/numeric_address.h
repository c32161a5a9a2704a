// Tells addresses from names: an address never reaches a Resolver.
#ifndef SALVE_PROBES_NUMERIC_ADDRESS_H_
#define SALVE_PROBES_NUMERIC_ADDRESS_H_

#include <string>

namespace salve {

// Whether `host` is an IPv4 or IPv6 address, without brackets; an IPv6 one may name its
// interface ("fe80::1%eth0").
bool IsNumericAddress(const std::string& host);

// As certificates have it: an address without its interface, a name without its final dot.
std::string NameInCertificates(const std::string& host);

}  // namespace salve

#endif  // SALVE_PROBES_NUMERIC_ADDRESS_H_
