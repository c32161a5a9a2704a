// Sees the room of mounted file systems, and whether one has become read-only. Each is asked off
// the loop by itself, so that one that hangs is named and holds up no other.
#ifndef SALVE_PROBES_DISK_PROBE_H_
#define SALVE_PROBES_DISK_PROBE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/blocking_calls.h"
#include "base/host.h"
#include "config/config.pb.h"
#include "probes/probe.h"

namespace salve {

// What the kernel says of the file system at a path.
struct FileSystemRoom {
  uint64_t mount_id = 0;  // 0: it does not say.
  uint64_t total_bytes = 0;
  uint64_t used_bytes = 0;
  uint64_t free_bytes = 0;    // For users other than root.
  uint64_t total_inodes = 0;  // 0: it has none.
  uint64_t free_inodes = 0;
};

// Asks for it; may block, and is called on any thread. Errors: as ReadFile (base/host.h).
using AskForRoom = std::function<absl::StatusOr<FileSystemRoom>(const std::string& path)>;
absl::StatusOr<FileSystemRoom> AskKernelForRoom(const std::string& path);

// Errors: kInvalidArgument: "disk.FIELD: …".
absl::Status CheckDiskProbe(const config::DiskProbe& config);
absl::StatusOr<std::unique_ptr<Probe>> NewDiskProbe(const config::DiskProbe& config, Host& host,
                                                    BlockingCalls& blocking,
                                                    AskForRoom ask = AskKernelForRoom);

}  // namespace salve

#endif  // SALVE_PROBES_DISK_PROBE_H_
