#include "queue/mark.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "channels/row_sum.h"

namespace salve {
namespace {

// A slot: magic, state, serial, commits, signature, check sum; numbers in little endian. Each on a
// page of its own, so that no torn write touches both.
constexpr absl::string_view kMagic = "SLVMARK1";
constexpr absl::string_view kClean = "CLEAN   ", kDirty = "DIRTY   ", kClosing = "CLOSING ";
constexpr size_t kSignatureBytes = 32;
constexpr size_t kStateAt = 8, kSerialAt = 16, kCommitsAt = 24, kSignatureAt = 32, kSumAt = 64;
constexpr size_t kSlotBytes = 72;
constexpr size_t kSlotsApart = 4096;
constexpr size_t kFileBytesMax = kSlotsApart + kSlotBytes;

struct Slot {
  uint64_t serial = 0;
  Mark mark;
};

uint64_t Number(absl::string_view bytes, size_t at) {
  uint64_t value = 0;
  for (size_t i = 8; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

void AppendNumber(std::string& bytes, uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) bytes.push_back(static_cast<char>(value >> shift));
}

std::optional<Slot> ParseSlot(absl::string_view file, size_t at) {
  if (file.size() < at + kSlotBytes) return std::nullopt;
  const absl::string_view slot = file.substr(at, kSlotBytes);
  const absl::string_view state = slot.substr(kStateAt, 8);
  const absl::string_view signature = slot.substr(kSignatureAt, kSignatureBytes);
  const uint64_t sum = static_cast<uint64_t>(RowSum().Add(slot.substr(0, kSumAt)).value());
  const auto commits = static_cast<int64_t>(Number(slot, kCommitsAt));
  const auto is_hex = [](char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); };
  if (slot.substr(0, 8) != kMagic || (state != kClean && state != kDirty && state != kClosing) ||
      sum != Number(slot, kSumAt) || commits < 0 ||
      !std::all_of(signature.begin(), signature.end(), is_hex)) {
    return std::nullopt;
  }
  return Slot{Number(slot, kSerialAt),
              {.clean = state == kClean,
               .closing = state == kClosing,
               .commits = commits,
               .signature = std::string(signature)}};
}

std::optional<Slot> LaterSlot(absl::string_view file) {
  std::optional<Slot> later = ParseSlot(file, 0), earlier = ParseSlot(file, kSlotsApart);
  if (!later || (earlier && earlier->serial > later->serial)) later.swap(earlier);
  if (later && earlier && earlier->mark.signature != later->mark.signature) {
    later->mark.other_signature = earlier->mark.signature;
    later->mark.other_commits = earlier->mark.commits;
  }
  return later;
}

std::string FormatSlot(const Slot& slot) {
  const Mark& mark = slot.mark;
  std::string bytes = absl::StrCat(kMagic, mark.clean ? kClean : mark.closing ? kClosing : kDirty);
  AppendNumber(bytes, slot.serial);
  AppendNumber(bytes, static_cast<uint64_t>(slot.mark.commits));
  bytes += slot.mark.signature;
  bytes.resize(kSumAt, '0');
  AppendNumber(bytes, static_cast<uint64_t>(RowSum().Add(absl::string_view(bytes)).value()));
  return bytes;
}

}  // namespace

absl::StatusOr<Mark> ParseMark(absl::string_view bytes) {
  const std::optional<Slot> slot = LaterSlot(bytes);
  if (!slot) return absl::DataLossError("the mark can't be read: both of its slots are damaged");
  return slot->mark;
}

absl::StatusOr<Mark> ReadMark(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kFileBytesMax));
  absl::StatusOr<Mark> mark = ParseMark(bytes);
  if (mark.ok()) return mark;
  return absl::Status(mark.status().code(), absl::StrCat(path, ": ", mark.status().message()));
}

absl::StatusOr<std::unique_ptr<MarkFile>> MarkFile::Open(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
  if (file.get() < 0) return ErrnoStatus(errno, path);
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kFileBytesMax));
  std::unique_ptr<MarkFile> opened(new MarkFile(path, std::move(file)));
  if (const std::optional<Slot> slot = LaterSlot(bytes)) opened->serial_ = slot->serial;
  return opened;
}

absl::Status MarkFile::Write(const Mark& mark) {
  const std::string bytes = FormatSlot({serial_ + 1, mark});
  const off_t at = (serial_ + 1) % 2 == 0 ? 0 : static_cast<off_t>(kSlotsApart);
  const ssize_t written = pwrite(file_.get(), bytes.data(), bytes.size(), at);
  if (written < 0) return ErrnoStatus(errno, path_);
  if (written != static_cast<ssize_t>(bytes.size())) return ErrnoStatus(ENOSPC, path_);
  ++serial_;
  return absl::OkStatus();
}

absl::Status MarkFile::WriteSynced(const Mark& mark) {
  for (int slot = 0; slot < 2; ++slot) {
    RETURN_IF_ERROR(Write(mark));
    if (fsync(file_.get()) != 0) return ErrnoStatus(errno, path_);
  }
  return absl::OkStatus();
}

}  // namespace salve
