// The manifest of a pack: which files it is made of and what is in them.
#ifndef SALVE_QUEUE_MANIFEST_H_
#define SALVE_QUEUE_MANIFEST_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "queue/manifest.pb.h"

namespace salve {

inline constexpr char kManifestFile[] = "manifest.textproto";
inline constexpr char kRepairing[] = "repair";  // As `under_change_by`.

// Null: the folder has none, and is no pack. Errors: kDataLoss: it can't be read as one, or was
//   changed; kFailedPrecondition: of a newer version.
absl::StatusOr<std::optional<queue::Manifest>> ReadManifest(const std::string& folder);
// Replaces it as one step, with its digest.
absl::Status WriteManifest(const std::string& folder, queue::Manifest manifest);

// One line for each file that is not as the manifest says; none while a tool changes them.
absl::StatusOr<std::vector<std::string>> ManifestFaults(const std::string& folder,
                                                        const queue::Manifest& manifest);
// The files of the database as they are now. Errors: kNotFound: there is none, or no mark of it.
absl::Status SetManifestFiles(const std::string& folder, queue::Manifest& manifest);

// For tools that change the files of a pack: says so in its manifest before anything is changed, so
// that one that was killed can be run again. RefreshManifest (pack.h) ends it. Does nothing in a
// folder that is no pack. Errors: kDataLoss: the files are not the manifest's.
absl::Status BeginChange(const std::string& folder, const std::string& tool);
// As BeginChange, by kRepairing, of files that are damaged: they are not compared. A manifest that
// is damaged too stays so until RefreshManifest.
absl::Status BeginRepair(const std::string& folder);

}  // namespace salve

#endif  // SALVE_QUEUE_MANIFEST_H_
