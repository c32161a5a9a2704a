#include "config/line_index.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace salve {
namespace {

bool ContinuesCharacter(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

size_t LengthByFirstByte(unsigned char first) {
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;
  return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

// The length of the UTF-8 character that `text` begins with; 0 if it begins with none.
size_t CharacterLength(absl::string_view text) {
  const unsigned char first = text[0];
  const size_t length = LengthByFirstByte(first);
  if (length <= 1) return length;
  if (text.size() < length) return 0;
  if (!std::all_of(text.begin() + 1, text.begin() + length, ContinuesCharacter)) return 0;
  const unsigned char second = text[1];
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool surrogate = first == 0xED && second >= 0xA0;
  const bool beyond = first == 0xF4 && second >= 0x90;
  return overlong || surrogate || beyond ? 0 : length;
}

}  // namespace

LineIndex::LineIndex(absl::string_view text) : text_(text), starts_{0} {
  for (size_t at = text.find('\n'); at != absl::string_view::npos; at = text.find('\n', at + 1)) {
    starts_.push_back(at + 1);
  }
}

size_t LineIndex::OffsetOf(int line, int column, size_t from) const {
  size_t offset = from;
  if (line > 0) {
    const size_t wanted = LineOf(from) + line;
    if (wanted >= starts_.size()) return text_.size();
    offset = starts_[wanted];
  }
  for (int at = 0; at < column && offset < text_.size() && text_[offset] != '\n'; ++offset) {
    at += text_[offset] == '\t' ? 8 - at % 8 : 1;
  }
  return offset;
}

std::string LineIndex::Describe(size_t offset) const {
  offset = std::min(offset, text_.size());
  const size_t line = LineOf(offset);
  const auto characters = std::count_if(text_.begin() + starts_[line], text_.begin() + offset,
                                        [](char byte) { return !ContinuesCharacter(byte); });
  return absl::StrCat(line + 1, ":", characters + 1);
}

size_t LineIndex::LineOf(size_t offset) const {
  return std::upper_bound(starts_.begin(), starts_.end(), offset) - starts_.begin() - 1;
}

size_t EndOfUtf8(absl::string_view text) {
  size_t offset = 0;
  while (offset < text.size()) {
    const size_t length = CharacterLength(text.substr(offset));
    if (length == 0) break;
    offset += length;
  }
  return offset;
}

}  // namespace salve
