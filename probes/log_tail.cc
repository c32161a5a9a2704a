#include "probes/log_tail.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace salve {
namespace {

constexpr size_t kChunkBytes = 64 * 1024;
constexpr size_t kFingerprintBytes = 64;

}  // namespace

struct LogTail::File {
  UniqueFd fd;
  dev_t device = 0;
  ino_t inode = 0;
  uint64_t position = 0;
  uint64_t end = 0;         // Of this pass.
  std::string line;         // The begun line, cut.
  bool in_line = false;     // A line has begun, perhaps cut to nothing.
  std::string fingerprint;  // The bytes before `position`.

  bool IsAt(const struct stat& status) const {
    return status.st_dev == device && status.st_ino == inode;
  }

  // Whether what was read is still there. A file that was truncated and has already grown
  // beyond the old position can only be told by its content.
  bool IsIntact(uint64_t size) const {
    if (size < position) return false;
    char bytes[kFingerprintBytes];
    const ssize_t n = pread(fd.get(), bytes, fingerprint.size(), position - fingerprint.size());
    return n == static_cast<ssize_t>(fingerprint.size()) &&
           std::memcmp(bytes, fingerprint.data(), fingerprint.size()) == 0;
  }

  void Remember(absl::string_view read) {
    position += read.size();
    if (read.size() < kFingerprintBytes) {
      fingerprint.append(read.data(), read.size());
      if (fingerprint.size() > kFingerprintBytes) {
        fingerprint.erase(0, fingerprint.size() - kFingerprintBytes);
      }
    } else {
      fingerprint = std::string(read.substr(read.size() - kFingerprintBytes));
    }
  }

  void SeekToEnd(uint64_t size) {
    char bytes[kFingerprintBytes];
    const uint64_t begin = size - std::min<uint64_t>(size, kFingerprintBytes);
    const ssize_t n = pread(fd.get(), bytes, size - begin, begin);
    position = begin;
    if (n > 0) Remember(absl::string_view(bytes, static_cast<size_t>(n)));
  }

  void StartOver() {
    position = 0;
    fingerprint.clear();
    line.clear();
    in_line = false;
  }
};

LogTail::LogTail(std::string path, size_t line_bytes_max)
    : path_(std::move(path)), line_bytes_max_(line_bytes_max) {
  const absl::Status status = OpenNew(/*at_end=*/true);
  if (status.ok() || absl::IsNotFound(status)) begin_at_end_ = false;
}

LogTail::~LogTail() = default;

absl::Status LogTail::OpenNew(bool at_end) {
  // O_NONBLOCK: a FIFO at this path must not hold the loop.
  UniqueFd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status;
  if (!fd.is_open() || fstat(fd.get(), &status) != 0) return ErrnoStatus(errno, path_);
  if (!S_ISREG(status.st_mode)) {
    return absl::UnavailableError(absl::StrCat(path_, ": not a regular file"));
  }
  auto file = std::make_unique<File>();
  file->fd = std::move(fd);
  file->device = status.st_dev;
  file->inode = status.st_ino;
  if (at_end) file->SeekToEnd(static_cast<uint64_t>(status.st_size));
  current_ = std::move(file);
  return absl::OkStatus();
}

absl::Status LogTail::BeginPass() {
  rotated_before_this_pass_ = rotated_ != nullptr;
  absl::Status result = absl::OkStatus();
  struct stat at_path;
  if (stat(path_.c_str(), &at_path) != 0) {
    // The writer may go on in the old file, which stays open here until a new one is there.
    result = ErrnoStatus(errno, path_);
    if (absl::IsNotFound(result)) begin_at_end_ = false;
  } else if (current_ == nullptr || !current_->IsAt(at_path)) {
    std::unique_ptr<File> old = std::move(current_);
    result = OpenNew(begin_at_end_);
    if (result.ok()) {
      begin_at_end_ = false;
      // Two rotations between passes: the older file has had its second chance by now.
      if (old != nullptr) {
        rotated_ = std::move(old);
        rotated_before_this_pass_ = false;
      }
    } else {
      current_ = std::move(old);
    }
  }
  for (File* file : {rotated_.get(), current_.get()}) {
    struct stat status;
    if (file == nullptr || fstat(file->fd.get(), &status) != 0) continue;
    file->end = static_cast<uint64_t>(status.st_size);
    if (!file->IsIntact(file->end)) file->StartOver();
  }
  return result;
}

bool LogTail::ReadSome(size_t bytes_max, absl::FunctionRef<void(absl::string_view)> line) {
  if (rotated_ != nullptr) {
    bytes_max -= ReadFrom(*rotated_, bytes_max, line);
    if (rotated_->position < rotated_->end) return true;
    if (rotated_before_this_pass_) {
      if (rotated_->in_line) line(rotated_->line);
      rotated_.reset();
    }
  }
  if (current_ == nullptr) return false;
  ReadFrom(*current_, bytes_max, line);
  return current_->position < current_->end;
}

uint64_t LogTail::unread_bytes() const {
  uint64_t bytes = 0;
  for (const File* file : {rotated_.get(), current_.get()}) {
    if (file != nullptr && file->end > file->position) bytes += file->end - file->position;
  }
  return bytes;
}

size_t LogTail::ReadFrom(File& file, size_t bytes_max,
                         absl::FunctionRef<void(absl::string_view)> line) {
  char chunk[kChunkBytes];
  size_t total = 0;
  while (total < bytes_max && file.position < file.end) {
    const size_t wanted =
        std::min<uint64_t>({kChunkBytes, bytes_max - total, file.end - file.position});
    const ssize_t n = pread(file.fd.get(), chunk, wanted, static_cast<off_t>(file.position));
    if (n <= 0) {
      file.end = file.position;  // Truncated this moment, or unreadable: the pass is done.
      break;
    }
    absl::string_view rest(chunk, static_cast<size_t>(n));
    file.Remember(rest);
    total += rest.size();
    while (!rest.empty()) {
      const size_t newline = rest.find('\n');
      const absl::string_view part = rest.substr(0, newline);
      const size_t room = line_bytes_max_ - std::min(line_bytes_max_, file.line.size());
      if (newline != absl::string_view::npos && !file.in_line) {
        line(part.substr(0, room));  // The usual case: a whole line, not copied.
      } else {
        file.line.append(part.data(), std::min(part.size(), room));
        file.in_line = true;
        if (newline != absl::string_view::npos) {
          line(file.line);
          file.line.clear();
          file.in_line = false;
        }
      }
      if (newline == absl::string_view::npos) break;
      rest.remove_prefix(newline + 1);
    }
  }
  return total;
}

}  // namespace salve
