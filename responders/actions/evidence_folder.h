// EvidenceFolder: one collection of evidence, STATE_DIR/evidence/NAME, for its owner alone. It
// follows no symbolic link below the state folder and replaces nothing. Blocks on the disk: for a
// worker.
#ifndef SALVE_RESPONDERS_ACTIONS_EVIDENCE_FOLDER_H_
#define SALVE_RESPONDERS_ACTIONS_EVIDENCE_FOLDER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace salve {

class EvidenceFolder {
 public:
  // Makes the folder; with "-2" to "-9" behind the name when it is taken.
  // Errors: kNotFound, kPermissionDenied, kUnavailable, kResourceExhausted (the disk is full),
  //   with the path; kFailedPrecondition: "evidence" is no folder of ours.
  static absl::StatusOr<std::unique_ptr<EvidenceFolder>> Make(const std::string& state_dir,
                                                              const std::string& name);

  // From the root on.
  const std::string& path() const { return path_; }

  // Errors: as of Make, kAlreadyExists; what was written so far stays.
  absl::Status Write(const std::string& file, absl::string_view content);

  // Removes the oldest collections by name, so that `keep` stay; this one always does. Other
  // things in the folder are left alone. Errors: the first thing that could not be removed.
  absl::Status Prune(size_t keep);

 private:
  EvidenceFolder(UniqueFd parent, UniqueFd folder, std::string name, std::string path);

  const UniqueFd parent_;
  const UniqueFd folder_;
  const std::string name_;
  const std::string path_;
};

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_EVIDENCE_FOLDER_H_
