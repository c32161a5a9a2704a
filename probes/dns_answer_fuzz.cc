// Whatever a name server sends, what is taken from it is bounded and plain text.
#include <cstddef>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "base/check.h"
#include "probes/dns_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using salve::DnsType;
  const absl::string_view message(reinterpret_cast<const char*>(bytes), size);
  for (const DnsType type :
       {DnsType::kA, DnsType::kNs, DnsType::kCname, DnsType::kSoa, DnsType::kPtr, DnsType::kMx,
        DnsType::kTxt, DnsType::kAaaa, DnsType::kSrv, DnsType::kCaa}) {
    const auto answer = salve::ParseDnsAnswer(message, type);
    if (!answer.ok()) continue;
    CHECK(answer->rcode >= 0 && answer->rcode <= 15);
    CHECK(answer->records.size() <= salve::kDnsRecordsMax);
    for (const std::string& record : answer->records) {
      CHECK(record.size() <= 4 * size + 4 * 2 * 255 + 64);
      for (const char c : record) CHECK(absl::ascii_isprint(static_cast<unsigned char>(c)));
    }
  }
  return 0;
}
