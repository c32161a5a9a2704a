// The packets of SNTP (RFC 4330, of NTP version 4), and what two clocks differ by. Pure.
#ifndef SALVE_PROBES_NTP_PACKET_H_
#define SALVE_PROBES_NTP_PACKET_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace salve {

inline constexpr size_t kNtpPacketBytes = 48;
inline constexpr int kNtpStratumUnsynchronised = 16;

struct NtpAnswer {
  int leap = 0;  // 3: the server's clock is not synchronised.
  int stratum = 0;
  std::string kiss_code;  // With stratum 0, why it does not serve: "RATE", "DENY"; else empty.
  uint64_t origin = 0;    // The number that was sent. What tells an answer from a forgery.
  uint64_t receive = 0;   // When the question came, by the server's clock, as on the wire.
  uint64_t transmit = 0;  // When the answer left.
};

// A question. `cookie` stands where our time would: the server gives it back, and learns nothing.
std::string NtpQuestion(uint64_t cookie);

// The `origin` of what may be an answer, without a look at the rest; 0 when it is too short.
uint64_t NtpOriginOf(absl::string_view packet);

// Reads an answer; what follows the first 48 bytes is left. Errors: kInvalidArgument: what is
// wrong with it. A server that is not synchronised is no error here.
absl::StatusOr<NtpAnswer> ParseNtpAnswer(absl::string_view packet);

// A time as on the wire: 32 bits of seconds since 1900, 32 of their fraction. They begin anew
// every 136 years: of all moments that look alike, the one next to `near` is meant.
absl::Time TimeOfNtp(uint64_t wire, absl::Time near);
uint64_t NtpOfTime(absl::Time time);

struct ClockDifference {
  absl::Duration offset;  // Ours ahead: positive.
  absl::Duration delay;   // On the way there and back: the offset is exact to its half.
};

// `sent` and `received` by our clock. The delay is never less than nothing, nor more than what
// went by here: a server that lies about its own times gains no allowance by it.
ClockDifference DifferenceOf(const NtpAnswer& answer, absl::Time sent, absl::Time received);

}  // namespace salve

#endif  // SALVE_PROBES_NTP_PACKET_H_
