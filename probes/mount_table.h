// What is mounted, as /proc/self/mountinfo tells it. Pure.
#ifndef SALVE_PROBES_MOUNT_TABLE_H_
#define SALVE_PROBES_MOUNT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace salve {

struct Mount {
  uint64_t id = 0;        // As statx tells it of a path.
  std::string device_id;  // "8:1": the same for all mounts of one file system.
  bool is_whole = false;  // Shows the root of the file system, not a folder in it.
  std::string point;      // Where it is mounted.
  std::string fs_type;    // "ext4"
  std::string device;     // "/dev/sda1"
  // Of the file system itself. A mount may be read-only and its file system not: the agent's own
  // are, by ProtectSystem=strict.
  bool is_read_only = false;
};

// Mounts beyond them are left out.
inline constexpr size_t kMountsMax = 20'000;

// In the table's order: of two at one point the later one hides the other. Lines that do not read
// like a mount are passed over.
std::vector<Mount> ParseMountTable(absl::string_view mountinfo);

// Squashfs, iso9660 and the like: they are full and read-only from the beginning.
bool IsReadOnlyByNature(const Mount& mount);

// The file systems of local block devices, and an overlay that is the root, each once, at the
// point nearest to /; without those that are read-only by nature. At most `max`.
std::vector<Mount> LocalFileSystems(const std::vector<Mount>& mounts, size_t max);

// The mount that `path` is on: by its id, or, with an id of 0, by the names of the points. Null
// when there is none.
const Mount* FindMount(const std::vector<Mount>& mounts, uint64_t id, absl::string_view path);

}  // namespace salve

#endif  // SALVE_PROBES_MOUNT_TABLE_H_
