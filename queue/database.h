// What the tools for a queue database that nobody uses share: the folder's lock, which keeps the
// agent and other tools away, and copies whose bytes are known. Blocks on files; any thread.
#ifndef SALVE_QUEUE_DATABASE_H_
#define SALVE_QUEUE_DATABASE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace salve {

inline constexpr char kQueueDatabase[] = "queue.db";

// The file that is meant: DIR/queue.db of a folder, or the file itself.
std::string DatabaseFileOf(const std::string& folder_or_file);
// "/var/lib/salve" of "/var/lib/salve/queue.db", "." without a slash.
std::string FolderOf(const std::string& file);
bool FileExists(const std::string& path);

// Held as long as it lives: no agent starts with this folder, and no other tool changes it.
class FolderLock {
 public:
  enum class For {
    kLook,    // Others may look at the same time. Makes no file.
    kChange,  // Alone. Makes no file either, for a pack or a disk of another server.
    kState,   // Alone, and of a state folder: makes salved.lock, so that no agent begins meanwhile.
  };
  // Errors: kFailedPrecondition: an agent runs there, or another tool is at work; kNotFound: no
  //   such folder; kPermissionDenied, kUnavailable.
  static absl::StatusOr<FolderLock> Take(const std::string& folder, For purpose);

 private:
  UniqueFd folder_;
  UniqueFd file_;
};

struct FileFacts {
  int64_t bytes = 0;
  std::string sha256;  // 64 hex digits.
};
absl::StatusOr<FileFacts> HashFile(const std::string& path);
// Copies to a new file, synced. Errors, naming the path: kAlreadyExists: `to` is there;
//   kNotFound, kPermissionDenied, kResourceExhausted, kUnavailable.
absl::StatusOr<FileFacts> CopyFile(const std::string& from, const std::string& to);

absl::Status SyncFile(const std::string& path);
absl::Status SyncFolder(const std::string& folder);
// As one step; the folder is not synced. Errors: as CopyFile.
absl::Status RenameFile(const std::string& from, const std::string& to);
// A file that is not there is no error.
absl::Status RemoveFile(const std::string& path);
// Gives `path` the owner and rights of `like`, as far as one may.
void MakeLike(const std::string& path, const std::string& like);
// What may still be written in that folder.
absl::StatusOr<int64_t> FreeBytes(const std::string& folder);

}  // namespace salve

#endif  // SALVE_QUEUE_DATABASE_H_
