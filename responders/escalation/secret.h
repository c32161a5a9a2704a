// A password or token in a file: read when it is used and then forgotten, so that it never stands
// in the configuration, an argument, a channel or a log.
#ifndef SALVE_RESPONDERS_ESCALATION_SECRET_H_
#define SALVE_RESPONDERS_ESCALATION_SECRET_H_

#include <string>

#include "absl/status/statusor.h"

namespace salve {

struct Secret {
  std::string text;     // The first line.
  std::string warning;  // "… can be read by everybody"; empty when all is well.
};

// `file`: a path, or "credential:NAME" in `credentials_dir` (systemd's $CREDENTIALS_DIRECTORY).
// Never blocks on what is no file. Errors, naming the file and never what is in it:
//   kNotFound, kPermissionDenied, kUnavailable: it can't be read;
//   kInvalidArgument: no regular file; its first line is empty, has a control character or more
//   than 4 KiB; there is no folder of credentials.
absl::StatusOr<Secret> ReadSecret(const std::string& file, const std::string& credentials_dir);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ESCALATION_SECRET_H_
