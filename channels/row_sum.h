// RowSum: a check sum over the columns of a row, one after the other (FNV-1a of 64 bits). SQLite's
// own check sees the structure of a file, not a flipped bit in a value.
#ifndef SALVE_CHANNELS_ROW_SUM_H_
#define SALVE_CHANNELS_ROW_SUM_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace salve {

class RowSum {
 public:
  RowSum& Add(int64_t value) {
    for (int shift = 0; shift < 64; shift += 8) AddByte(static_cast<uint64_t>(value) >> shift);
    return *this;
  }
  RowSum& Add(absl::string_view text) {
    Add(static_cast<int64_t>(text.size()));
    for (const char c : text) AddByte(static_cast<unsigned char>(c));
    return *this;
  }
  int64_t value() const { return static_cast<int64_t>(hash_); }

 private:
  void AddByte(uint64_t byte) {
    hash_ ^= byte & 0xff;
    hash_ *= 0x100000001b3;
  }
  uint64_t hash_ = 0xcbf29ce484222325;
};

}  // namespace salve

#endif  // SALVE_CHANNELS_ROW_SUM_H_
