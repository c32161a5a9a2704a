#include "cli/hex_dump.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"

namespace salve {
namespace {

constexpr size_t kPerLine = 16;

std::string Line(size_t offset, absl::string_view bytes) {
  std::string line = absl::StrFormat("%08x ", offset);
  std::string text;
  for (size_t i = 0; i < kPerLine; ++i) {
    if (i % 8 == 0) line += ' ';
    if (i >= bytes.size()) {
      line += "   ";
      continue;
    }
    const unsigned char byte = bytes[i];
    absl::StrAppendFormat(&line, "%02x ", byte);
    text += absl::ascii_isprint(byte) ? static_cast<char>(byte) : '.';
  }
  return absl::StrFormat("%s |%s|\n", line, text);
}

}  // namespace

std::string HexDump(absl::string_view bytes) {
  std::string dump;
  if (bytes.empty()) return dump;
  for (size_t offset = 0; offset < bytes.size(); offset += kPerLine) {
    dump += Line(offset, bytes.substr(offset, kPerLine));
  }
  absl::StrAppendFormat(&dump, "%08x\n", bytes.size());
  return dump;
}

}  // namespace salve
