#include "channels/wal_check.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/host.h"

namespace salve {
namespace {

// https://www.sqlite.org/fileformat2.html#walformat
constexpr size_t kHeaderBytes = 32;
constexpr size_t kFrameHeaderBytes = 24;
constexpr uint32_t kMagic = 0x377f0682;  // The last bit: big-endian sums.
constexpr size_t kLogBytesMax = size_t{1} << 30;

uint32_t BigEndian(absl::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// The sum runs on from the header through all frames.
class WalSum {
 public:
  explicit WalSum(bool big_endian) : big_endian_(big_endian) {}

  // Requires: a multiple of 8 bytes.
  void Add(absl::string_view bytes) {
    for (size_t at = 0; at < bytes.size(); at += 8) {
      first_ += Word(bytes, at) + second_;
      second_ += Word(bytes, at + 4) + first_;
    }
  }
  bool Is(absl::string_view bytes, size_t at) const {
    return BigEndian(bytes, at) == first_ && BigEndian(bytes, at + 4) == second_;
  }

 private:
  uint32_t Word(absl::string_view bytes, size_t at) const {
    const uint32_t value = BigEndian(bytes, at);
    return big_endian_ ? value : __builtin_bswap32(value);
  }

  const bool big_endian_;
  uint32_t first_ = 0;
  uint32_t second_ = 0;
};

bool IsAllZero(absl::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; });
}

absl::Status Damaged(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what));
}

absl::Status CheckFrames(const std::string& path, absl::string_view log, WalSum sum) {
  const size_t page_bytes = BigEndian(log, 8);
  const size_t frame_bytes = kFrameHeaderBytes + page_bytes;
  const absl::string_view salts = log.substr(16, 8);
  bool fits = true;
  bool commit_lost = false;
  size_t number = 0;
  for (size_t at = kHeaderBytes; at + frame_bytes <= log.size(); at += frame_bytes) {
    ++number;
    const absl::string_view frame = log.substr(at, frame_bytes);
    const bool is_of_this_log = frame.substr(8, 8) == salts;
    if (fits) {
      sum.Add(frame.substr(0, 8));
      sum.Add(frame.substr(kFrameHeaderBytes));
      fits = is_of_this_log && sum.Is(frame, 16);
      if (fits) continue;
    }
    if (!is_of_this_log) continue;
    // A commit was written only when the one before it had been synced.
    if (commit_lost) {
      return Damaged(path, absl::StrCat("frame ", number,
                                        " stands behind a commit that can't be read any more"));
    }
    commit_lost = BigEndian(frame, 4) != 0;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckWal(const std::string& path) {
  const absl::StatusOr<std::string> log = ReadFile(path, kLogBytesMax);
  if (absl::IsNotFound(log.status())) return absl::OkStatus();
  if (!log.ok()) return log.status();
  if (log->size() < kHeaderBytes || IsAllZero(*log)) return absl::OkStatus();
  const absl::string_view header = absl::string_view(*log).substr(0, kHeaderBytes);
  const uint32_t magic = BigEndian(header, 0);
  const uint32_t page_bytes = BigEndian(header, 8);
  WalSum sum((magic & 1) != 0);
  sum.Add(header.substr(0, 24));
  const bool is_page_size =
      page_bytes >= 512 && page_bytes <= 65536 && (page_bytes & (page_bytes - 1)) == 0;
  if ((magic & ~1u) != kMagic || !is_page_size || !sum.Is(header, 24)) {
    return Damaged(path, "its header does not fit its check sum");
  }
  return CheckFrames(path, *log, sum);
}

}  // namespace salve
