// Lines and columns of a text: as Protobuf's tokenizer counts them, and as people do.
#ifndef SALVE_CONFIG_LINE_INDEX_H_
#define SALVE_CONFIG_LINE_INDEX_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace salve {

class LineIndex {
 public:
  // `text` must outlive the index.
  explicit LineIndex(absl::string_view text);

  // The byte at the tokenizer's `line` and `column`: both from 0, a column is a byte and a tab
  // goes on to the next multiple of 8. What is beyond the line or the text is cut to its end.
  // A text that was tokenized from byte `from` on counts from there.
  size_t OffsetOf(int line, int column, size_t from = 0) const;

  // "line:column" of a byte for people: both from 1, a column is a character, a tab is one.
  std::string Describe(size_t offset) const;

 private:
  size_t LineOf(size_t offset) const;

  absl::string_view text_;
  std::vector<size_t> starts_;  // Of the lines; never empty.
};

// The first byte of `text` that is no part of valid UTF-8, or text.size().
size_t EndOfUtf8(absl::string_view text);

}  // namespace salve

#endif  // SALVE_CONFIG_LINE_INDEX_H_
