#include "probes/mail_file.h"

#include <cstdint>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace salve {
namespace {

constexpr int kRecordsMax = 16;

// The first number of a text.
std::optional<absl::Time> ParseSeconds(absl::string_view text) {
  while (!text.empty() && text[0] == ' ') text.remove_prefix(1);
  int64_t seconds = 0;
  if (!absl::SimpleAtoi(text.substr(0, text.find_first_of(" .")), &seconds)) return std::nullopt;
  if (seconds <= 0 || seconds > (int64_t{1} << 40)) return std::nullopt;
  return absl::FromUnixSeconds(seconds);
}

// Takes a record off `head`: a byte that says its kind, its length in groups of 7 bits, the low
// ones first, and so many bytes. False when it is cut off.
bool TakeRecord(absl::string_view& head, char& kind, absl::string_view& body) {
  if (head.empty()) return false;
  kind = head[0];
  size_t length = 0, at = 1;
  for (int shift = 0;; shift += 7) {
    if (at == head.size() || shift > 28) return false;
    const auto byte = static_cast<uint8_t>(head[at++]);
    length |= static_cast<size_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) break;
  }
  if (length > head.size() - at) return false;
  body = head.substr(at, length);
  head.remove_prefix(at + length);
  return true;
}

}  // namespace

MailFile ParsePostfixFile(absl::string_view head) {
  char kind = 0;
  absl::string_view body;
  for (int i = 0; i < kRecordsMax && TakeRecord(head, kind, body); ++i) {
    if (kind == 'T') return {.arrived = ParseSeconds(body)};
    if (kind == 'M') break;  // Here the mail itself begins.
  }
  return {};
}

// Its own name, the user, the sender, the time of arrival, then lines that begin with "-".
MailFile ParseEximFile(absl::string_view head) {
  const std::vector<absl::string_view> lines = absl::StrSplit(head, '\n');
  if (lines.size() < 5 || !absl::EndsWith(lines[0], "-H")) return {};
  MailFile file{.arrived = ParseSeconds(lines[3])};
  for (size_t i = 4; i < lines.size() && absl::StartsWith(lines[i], "-"); ++i) {
    if (lines[i] == "-frozen" || absl::StartsWith(lines[i], "-frozen ")) file.is_frozen = true;
  }
  return file;
}

}  // namespace salve
