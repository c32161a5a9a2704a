#include "probes/ntp_packet.h"

#include <algorithm>

#include "absl/numeric/int128.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace salve {
namespace {

constexpr int kVersion = 4;
constexpr int kModeClient = 3;
constexpr int kModeServer = 4;
constexpr size_t kReferenceAt = 12, kOriginAt = 24, kReceiveAt = 32, kTransmitAt = 40;
constexpr int64_t kSecondsFrom1900To1970 = 2'208'988'800;
constexpr uint64_t kNanosPerSecond = 1'000'000'000;

uint64_t NumberAt(absl::string_view packet, size_t at) {
  uint64_t number = 0;
  for (size_t i = at; i < at + 8; ++i) number = number << 8 | static_cast<unsigned char>(packet[i]);
  return number;
}

// Four letters, filled up with NUL. Of something else only what can be shown.
std::string KissCodeAt(absl::string_view packet, size_t at) {
  std::string code;
  for (const char c : packet.substr(at, 4)) {
    if (absl::ascii_isgraph(static_cast<unsigned char>(c))) code += c;
  }
  return code;
}

absl::Status Bad(absl::string_view what) { return absl::InvalidArgumentError(what); }

}  // namespace

std::string NtpQuestion(uint64_t cookie) {
  std::string packet(kNtpPacketBytes, '\0');
  packet[0] = static_cast<char>(kVersion << 3 | kModeClient);
  for (size_t i = 0; i < 8; ++i) {
    packet[kTransmitAt + i] = static_cast<char>(cookie >> (56 - 8 * i));
  }
  return packet;
}

uint64_t NtpOriginOf(absl::string_view packet) {
  return packet.size() < kNtpPacketBytes ? 0 : NumberAt(packet, kOriginAt);
}

absl::StatusOr<NtpAnswer> ParseNtpAnswer(absl::string_view packet) {
  if (packet.size() < kNtpPacketBytes) {
    return Bad(absl::StrCat("it has ", packet.size(), " bytes, expected ", kNtpPacketBytes));
  }
  const int first = static_cast<unsigned char>(packet[0]);
  const int mode = first & 7, version = first >> 3 & 7;
  if (mode != kModeServer) return Bad(absl::StrCat("its mode is ", mode, ", expected 4"));
  if (version < 1 || version > kVersion) return Bad(absl::StrCat("its version is ", version));
  NtpAnswer answer;
  answer.leap = first >> 6;
  answer.stratum = static_cast<unsigned char>(packet[1]);
  answer.origin = NumberAt(packet, kOriginAt);
  answer.receive = NumberAt(packet, kReceiveAt);
  answer.transmit = NumberAt(packet, kTransmitAt);
  if (answer.stratum == 0) {
    answer.kiss_code = KissCodeAt(packet, kReferenceAt);
    return answer;  // Its times mean nothing.
  }
  if (answer.transmit == 0) return Bad("it tells no time");
  return answer;
}

absl::Time TimeOfNtp(uint64_t wire, absl::Time near) {
  // The distance to `near`, of all that are 2^32 seconds apart the shortest: by wrapping.
  const auto distance = static_cast<int64_t>(wire - NtpOfTime(near));
  const absl::int128 nanos = absl::int128(distance) * kNanosPerSecond / (int64_t{1} << 32);
  return near + absl::Nanoseconds(static_cast<int64_t>(nanos));
}

uint64_t NtpOfTime(absl::Time time) {
  const absl::Duration since = time - absl::UnixEpoch();
  const int64_t seconds = absl::ToInt64Seconds(absl::Floor(since, absl::Seconds(1)));
  const auto nanos =
      static_cast<uint64_t>(absl::ToInt64Nanoseconds(since - absl::Seconds(seconds)));
  // Of the seconds the lowest 32 bits: the others fall out to the left.
  return static_cast<uint64_t>(seconds + kSecondsFrom1900To1970) << 32 |
         ((nanos << 32) / kNanosPerSecond);
}

ClockDifference DifferenceOf(const NtpAnswer& answer, absl::Time sent, absl::Time received) {
  const absl::Time there = TimeOfNtp(answer.receive, received);
  const absl::Time back = TimeOfNtp(answer.transmit, received);
  const absl::Duration elapsed = received - sent;
  return {.offset = -((there - sent) + (back - received)) / 2,
          .delay = std::clamp(elapsed - (back - there), absl::ZeroDuration(),
                              std::max(elapsed, absl::ZeroDuration()))};
}

}  // namespace salve
