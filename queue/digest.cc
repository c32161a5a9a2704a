#include "queue/digest.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "channels/event_text.h"

namespace salve {
namespace {

constexpr size_t kLineBytesMax = 400;

}  // namespace

std::string DigestLine(const queue::Message& message) {
  const absl::Time time = absl::FromUnixNanos(
      message.letter().time_ns() != 0 ? message.letter().time_ns() : message.created_ns());
  std::string line = absl::StrCat(
      absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone()), "  ", message.subject(),
      message.letter().message().empty() ? "" : ": ", message.letter().message());
  std::replace_if(line.begin(), line.end(), absl::ascii_iscntrl, ' ');
  return CleanText(line, kLineBytesMax) + "\n";
}

std::string DigestId(const std::vector<std::string>& mids) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a: the same in every life and on every server.
  for (const std::string& mid : mids) {
    for (const char c : mid + "\n") hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return absl::StrFormat("digest-%016x", hash);
}

}  // namespace salve
