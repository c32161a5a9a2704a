#include "probes/dialogue.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace salve {
namespace {

constexpr size_t kLookedAtMax = 16 * 1024;

// Bytes of the valid UTF-8 sequence at the start of `text`; 0 when there is none.
size_t SequenceLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and what is beyond Unicode.
  if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
      (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) {
    return 0;
  }
  return length;
}

}  // namespace

std::string PeerWords(absl::string_view text, const std::vector<std::string>& secrets,
                      size_t bytes_max) {
  std::string clean(text.substr(0, kLookedAtMax));
  // Before anything is changed or cut: else a part of a secret would stay.
  for (const std::string& secret : secrets) {
    if (!secret.empty()) absl::StrReplaceAll({{secret, "***"}}, &clean);
  }
  std::string words;
  absl::string_view left = absl::StripAsciiWhitespace(clean);
  while (!left.empty() && words.size() < bytes_max) {
    const size_t length = SequenceLength(left);
    if (length == 0 || (length == 1 && absl::ascii_iscntrl(static_cast<unsigned char>(left[0])))) {
      words += '?';
    } else if (words.size() + length > bytes_max) {
      break;
    } else {
      words.append(left.data(), length);
    }
    left.remove_prefix(std::max<size_t>(length, 1));
  }
  return words;
}

}  // namespace salve
