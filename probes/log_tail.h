// LogTail: reads the lines that are appended to a file, across rotation (another inode at its
// path) and truncation (also copytruncate). Begins at the end of what is there when it is made;
// a file that appears later is read from its beginning. What was written to a rotated file
// before its writer let go of it is read for one more pass. Positions are kept in memory.
#ifndef SALVE_PROBES_LOG_TAIL_H_
#define SALVE_PROBES_LOG_TAIL_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace salve {

class LogTail {
 public:
  // Of each line the first `line_bytes_max` bytes are kept.
  LogTail(std::string path, size_t line_bytes_max);
  ~LogTail();

  // Fixes what this pass reads: what is there now, so that a pass ends however fast the file
  // grows. Errors: kNotFound: there is no such file; kPermissionDenied, kResourceExhausted,
  // kUnavailable (not a regular file, I/O error). Rotated files are read all the same.
  absl::Status BeginPass();

  // Reads at most `bytes_max` and calls `line` with each line that its newline has ended, which
  // is not part of it. The last line of a rotated file needs none. False when the pass is done.
  bool ReadSome(size_t bytes_max, absl::FunctionRef<void(absl::string_view)> line);

  // What this pass has not read yet.
  uint64_t unread_bytes() const;

 private:
  struct File;

  absl::Status OpenNew(bool at_end);
  size_t ReadFrom(File& file, size_t bytes_max, absl::FunctionRef<void(absl::string_view)> line);

  const std::string path_;
  const size_t line_bytes_max_;
  bool begin_at_end_ = true;  // Until the file was once open, or not there.
  std::unique_ptr<File> current_;
  std::unique_ptr<File> rotated_;
  bool rotated_before_this_pass_ = false;
};

}  // namespace salve

#endif  // SALVE_PROBES_LOG_TAIL_H_
