#include "probes/mount_table.h"

#include <algorithm>
#include <map>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace salve {
namespace {

bool IsOctal(char c) { return c >= '0' && c <= '7'; }

// The kernel writes a blank, tab, line feed and backslash as "\040" and so on.
std::string Unescape(absl::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] <= '3' && IsOctal(text[i + 1]) &&
        IsOctal(text[i + 2]) && IsOctal(text[i + 3])) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

bool HasReadOnlyOption(absl::string_view options) {
  for (absl::string_view option : absl::StrSplit(options, ',')) {
    // ext4 of newer kernels says the second when it has given up after an error.
    if (option == "ro" || option == "emergency_ro") return true;
  }
  return false;
}

// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"; there may be
// any number of fields before the "-".
std::optional<Mount> ParseLine(absl::string_view line) {
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
  constexpr size_t kFixedFields = 6;
  if (fields.size() < kFixedFields) return std::nullopt;
  const auto dash = std::find(fields.begin() + kFixedFields, fields.end(), "-");
  if (fields.end() - dash < 4) return std::nullopt;
  Mount mount;
  if (!absl::SimpleAtoi(fields[0], &mount.id) || mount.id == 0) return std::nullopt;
  mount.device_id = std::string(fields[2]);
  mount.is_whole = fields[3] == "/";
  mount.point = Unescape(fields[4]);
  if (mount.point.empty() || mount.point[0] != '/') return std::nullopt;
  mount.fs_type = std::string(dash[1]);
  mount.device = Unescape(dash[2]);
  mount.is_read_only = HasReadOnlyOption(dash[3]);
  return mount;
}

bool IsLocal(const Mount& mount) {
  // "fuseblk" is one of a block device, "fuse.sshfs" is what some program makes up.
  if (mount.fs_type == "fuse" || absl::StartsWith(mount.fs_type, "fuse.")) return false;
  // The root of a container. Other overlays are of containers that this server runs.
  if (mount.fs_type == "overlay") return mount.point == "/";
  return absl::StartsWith(mount.device, "/dev/") || mount.fs_type == "zfs";
}

// Whether `a` shows the file system better than `b`: whole, then nearer to /.
bool ShowsBetter(const Mount& a, const Mount& b) {
  if (a.is_whole != b.is_whole) return a.is_whole;
  return a.point.size() < b.point.size();
}

bool IsBelow(absl::string_view path, absl::string_view point) {
  if (point == "/") return true;
  return absl::StartsWith(path, point) &&
         (path.size() == point.size() || path[point.size()] == '/');
}

}  // namespace

std::vector<Mount> ParseMountTable(absl::string_view mountinfo) {
  std::vector<Mount> mounts;
  for (absl::string_view line : absl::StrSplit(mountinfo, '\n')) {
    if (mounts.size() == kMountsMax) break;
    std::optional<Mount> mount = ParseLine(line);
    if (mount.has_value()) mounts.push_back(*std::move(mount));
  }
  return mounts;
}

bool IsReadOnlyByNature(const Mount& mount) {
  static constexpr absl::string_view kTypes[] = {"squashfs", "iso9660", "erofs", "cramfs", "romfs"};
  return std::find(std::begin(kTypes), std::end(kTypes), mount.fs_type) != std::end(kTypes);
}

std::vector<Mount> LocalFileSystems(const std::vector<Mount>& mounts, size_t max) {
  // Who is mounted over cannot be asked by its path any more.
  std::map<absl::string_view, const Mount*> visible;
  for (const Mount& mount : mounts) visible[mount.point] = &mount;
  std::map<absl::string_view, const Mount*> best;  // By file system.
  for (const Mount& mount : mounts) {
    if (visible[mount.point] != &mount || !IsLocal(mount) || IsReadOnlyByNature(mount)) continue;
    const Mount*& known = best[mount.device_id];
    if (known == nullptr || ShowsBetter(mount, *known)) known = &mount;
  }
  std::vector<Mount> local;
  for (const Mount& mount : mounts) {
    if (local.size() == max) break;
    const auto it = best.find(mount.device_id);
    if (it != best.end() && it->second == &mount) local.push_back(mount);
  }
  return local;
}

const Mount* FindMount(const std::vector<Mount>& mounts, uint64_t id, absl::string_view path) {
  const Mount* found = nullptr;
  for (const Mount& mount : mounts) {
    if (id != 0) {
      if (mount.id == id) return &mount;
    } else if (IsBelow(path, mount.point) &&
               (found == nullptr || mount.point.size() >= found->point.size())) {
      found = &mount;
    }
  }
  return found;
}

}  // namespace salve
