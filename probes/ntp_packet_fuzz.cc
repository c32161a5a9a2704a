// Whatever comes as an answer, what is taken from it is bounded and finite.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "probes/ntp_packet.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view packet(reinterpret_cast<const char*>(bytes), size);
  const uint64_t origin = salve::NtpOriginOf(packet);
  const auto answer = salve::ParseNtpAnswer(packet);
  if (!answer.ok()) return 0;
  CHECK(size >= salve::kNtpPacketBytes && answer->origin == origin);
  CHECK(answer->leap >= 0 && answer->leap <= 3);
  CHECK(answer->stratum >= 0 && answer->stratum <= 255);
  CHECK(answer->kiss_code.size() <= 4);
  const absl::Time sent = absl::FromUnixSeconds(1'800'000'000);
  const absl::Duration elapsed = absl::Milliseconds(100);
  const auto difference = salve::DifferenceOf(*answer, sent, sent + elapsed);
  CHECK(difference.delay >= absl::ZeroDuration() && difference.delay <= elapsed);
  CHECK(absl::AbsDuration(difference.offset) < absl::Hours(70 * 366 * 24));
  return 0;
}
