#include "config/xml_text.h"

#include "absl/strings/str_cat.h"

namespace salve {

std::string ResultTime(absl::Time time) {
  // The first moment of the year 10000.
  static constexpr int64_t kFirstBeyond = 253402300800;
  if (time >= absl::FromUnixSeconds(kFirstBeyond)) return "9999-12-31T23:59:59.9999999Z";
  return absl::FormatTime("%E4Y-%m-%dT%H:%M:%E7SZ", time, absl::UTCTimeZone());
}

std::string XmlEscape(absl::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const unsigned char first = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      escaped += '?';
    } else if (length > 1) {
      escaped.append(text.data(), length);
    } else if (first == '&') {
      escaped += "&amp;";
    } else if (first == '<') {
      escaped += "&lt;";
    } else if (first == '>') {
      escaped += "&gt;";
    } else if (first == '"') {
      escaped += "&quot;";
    } else if (first == '\t' || first == '\n' || first == '\r') {
      absl::StrAppend(&escaped, "&#", int{first}, ";");
    } else {
      escaped += first < 0x20 ? '?' : text[0];
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return escaped;
}

size_t Utf8Length(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  if (length == 0 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and what lies beyond U+10FFFF.
  if (first == 0xe0 && byte(1) < 0xa0) return 0;
  if (first == 0xed && byte(1) > 0x9f) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) > 0x8f) return 0;
  return length;
}

}  // namespace salve
