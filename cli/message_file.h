// Files of single messages: `queue message export` and `import`. A message on its way is worth no
// less than one in the queue: a file is on disk before it is told, and never written over.
#ifndef SALVE_CLI_MESSAGE_FILE_H_
#define SALVE_CLI_MESSAGE_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace salve {

// Of a file to import: a message has at most 256 KiB (queue/message_store.h).
inline constexpr size_t kMessageFileBytesMax = 1 << 20;

// "DIR/<internal id>.msg"
std::string MessageFileOf(const std::string& dir, int64_t internal_id);

// Makes a file for its owner alone, with this content, synced with its folder. What could not be
// written whole is taken away again.
// Errors: kFailedPrecondition: it is there already; kNotFound: no such folder; kPermissionDenied;
//   kResourceExhausted: the disk is full; kInternal: another I/O error. All name the path.
absl::Status WriteMessageFile(const std::string& path, absl::string_view content);

// Errors: kInvalidArgument: empty, too large, or no regular file; kNotFound; kPermissionDenied;
//   kInternal: another I/O error. All name the path.
absl::StatusOr<std::string> ReadMessageFile(const std::string& path);

}  // namespace salve

#endif  // SALVE_CLI_MESSAGE_FILE_H_
