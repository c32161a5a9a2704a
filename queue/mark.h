// The mark beside queue.db: how many commits the file has at least, and whether it was closed
// cleanly. SQLite cannot tell that commits are missing (a log that was forgotten or cut), the mark
// can. Two slots are written in turn, so that one that is torn leaves the other.
#ifndef SALVE_QUEUE_MARK_H_
#define SALVE_QUEUE_MARK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace salve {

struct Mark {
  bool clean = false;
  // On the way to clean: all commits are in the file, its log is there or gone.
  bool closing = false;
  int64_t commits = 0;    // At least 0.
  std::string signature;  // Of the database, 32 hex digits in lower case.
  // Of the other good slot, where it is of another database: one that this one replaces, or that
  // replaces it, with one rename (swap.h).
  std::string other_signature = {};
  int64_t other_commits = 0;
  friend bool operator==(const Mark&, const Mark&) = default;
};

// The mark in the bytes of its file: of two good slots the later one.
// Errors: kDataLoss: neither slot can be read.
absl::StatusOr<Mark> ParseMark(absl::string_view bytes);

// Errors: kNotFound; kDataLoss, as ParseMark; kPermissionDenied, kUnavailable; all name the path.
absl::StatusOr<Mark> ReadMark(const std::string& path);

// Writes a mark's file. For one thread at a time.
class MarkFile {
 public:
  // Opens or makes it and goes on behind what it holds. Errors: kResourceExhausted,
  // kPermissionDenied, kUnavailable; all name the path.
  static absl::StatusOr<std::unique_ptr<MarkFile>> Open(const std::string& path);

  // Into the older slot, without a sync: seen by whoever reads it even if this process is killed.
  absl::Status Write(const Mark& mark);
  // Into both slots, each synced before the next is touched.
  absl::Status WriteSynced(const Mark& mark);

 private:
  MarkFile(std::string path, UniqueFd file) : path_(std::move(path)), file_(std::move(file)) {}

  const std::string path_;
  const UniqueFd file_;
  uint64_t serial_ = 0;  // Of the slot written last; its last bit names the slot.
};

}  // namespace salve

#endif  // SALVE_QUEUE_MARK_H_
