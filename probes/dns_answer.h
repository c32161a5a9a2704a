// DnsAnswer: what a name server answered (RFC 1035), as text. Own parsing, as c-ares follows
// compressed names without a bound on their length: a hostile answer could cost seconds. Pure.
#ifndef SALVE_PROBES_DNS_ANSWER_H_
#define SALVE_PROBES_DNS_ANSWER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace salve {

enum class DnsType : uint16_t {  // The numbers of the protocol.
  kA = 1,
  kNs = 2,
  kCname = 5,
  kSoa = 6,
  kPtr = 12,
  kMx = 15,
  kTxt = 16,
  kAaaa = 28,
  kSrv = 33,
  kCaa = 257,
};

inline constexpr int kRcodeNoError = 0;
inline constexpr int kRcodeNameError = 3;  // NXDOMAIN: there is no such name.
inline constexpr size_t kDnsRecordsMax = 1000;

struct DnsAnswer {
  int rcode = kRcodeNoError;
  // Those of the asked type in the answer section, whoever owns them (an alias is followed by the
  // server), the first kDnsRecordsMax: "192.0.2.1", "10 mx.example", "0 issue ca.example". Only
  // printable ASCII, all else as \DDD; names without the dot at their end.
  std::vector<std::string> records;
};

// Reads a whole message. Errors: kInvalidArgument: what is wrong with it.
absl::StatusOr<DnsAnswer> ParseDnsAnswer(absl::string_view message, DnsType type);

// "NOERROR", "SERVFAIL", "NXDOMAIN", …, "rcode 11".
std::string RcodeName(int rcode);

// The name that is asked for an address's PTR: "1.2.0.192.in-addr.arpa".
// Requires: IsNumericAddress(address), and no zone.
std::string ReverseName(const std::string& address);

}  // namespace salve

#endif  // SALVE_PROBES_DNS_ANSWER_H_
