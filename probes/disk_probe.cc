#include "probes/disk_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "probes/field_checks.h"
#include "probes/measures.h"
#include "probes/mount_table.h"

namespace salve {
namespace {

constexpr int kFileSystemsMax = 64;
constexpr size_t kMountTableBytesMax = 4 << 20;
constexpr double kMinFreePercent = 5;

double Percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 100 : static_cast<double>(part) / static_cast<double>(whole) * 100;
}

struct Bounds {
  double min_free_percent;
  uint64_t min_free_bytes;
  double min_free_inodes_percent;
  bool read_only_ok;
};

// The least of what was seen.
struct Least {
  double free_percent = std::numeric_limits<double>::infinity();
  uint64_t free_bytes = std::numeric_limits<uint64_t>::max();
  std::optional<double> free_inodes_percent;
  uint64_t total_bytes = 0;  // Of the one with the least share free, as the next two.
  std::string path;
  std::optional<Mount> mount;
};

class DiskProbe final : public Probe {
 public:
  DiskProbe(const config::DiskProbe& config, Host& host, BlockingCalls& blocking, AskForRoom ask)
      : paths_(config.path().begin(), config.path().end()),
        bounds_{.min_free_percent =
                    config.has_min_free_percent() ? config.min_free_percent() : kMinFreePercent,
                .min_free_bytes = config.min_free_bytes(),
                .min_free_inodes_percent = config.has_min_free_inodes_percent()
                                               ? config.min_free_inodes_percent()
                                               : kMinFreePercent,
                .read_only_ok = config.read_only_ok()},
        host_(host),
        blocking_(blocking),
        ask_(std::move(ask)) {}

  ~DiskProbe() override {
    for (BlockingCallId id : calls_) blocking_.Cancel(id);
  }

  void Start(Instant deadline, ObservationDone done) override {
    const std::string table = host_.proc() + "/self/mountinfo";
    const absl::StatusOr<std::string> text = ReadFile(table, kMountTableBytesMax);
    if (!text.ok()) return done(Rejected(std::string(text.status().message())));
    mounts_ = ParseMountTable(*text);
    std::vector<std::string> paths = paths_;
    if (paths.empty()) {
      for (const Mount& mount : LocalFileSystems(mounts_, kFileSystemsMax)) {
        paths.push_back(mount.point);
      }
      if (paths.empty()) {
        return done(Rejected(absl::StrCat(table, ": no file system of a local block device")));
      }
    }
    done_ = std::move(done);
    findings_.clear();
    least_ = Least();
    measured_ = 0;
    calls_.clear();
    left_ = paths.size();
    for (const std::string& path : paths) {
      calls_.push_back(blocking_.Run(
          absl::StrCat("statvfs of ", path), deadline, [ask = ask_, path] { return ask(path); },
          [this, path](absl::StatusOr<FileSystemRoom> room) { Take(path, room); }));
    }
  }

 private:
  void Take(const std::string& path, const absl::StatusOr<FileSystemRoom>& room) {
    if (room.ok() && room->total_bytes == 0) {
      // /proc, or a mount point that is not mounted yet: nothing was seen of any room.
      findings_.push_back(
          {Outcome::kRejected, absl::StrCat(path, ": the file system there has no size")});
    } else if (room.ok()) {
      Judge(path, *room);
      ++measured_;
    } else if (IsExpected(room.status())) {
      unseen_ = std::string(room.status().message());
    } else {
      Observation error = FileError(room.status());
      findings_.push_back({error.outcome, std::move(error.error)});
    }
    if (--left_ == 0) Finish();
  }

  // Of those that nobody named, one may be unmounted meanwhile, or be no business of ours.
  bool IsExpected(const absl::Status& error) const {
    return paths_.empty() && (absl::IsNotFound(error) || absl::IsPermissionDenied(error));
  }

  void Judge(const std::string& path, const FileSystemRoom& room) {
    const Mount* mount = FindMount(mounts_, room.mount_id, path);
    const double free_percent = Percent(room.free_bytes, room.used_bytes + room.free_bytes);
    std::optional<double> inodes;
    if (room.total_inodes > 0) inodes = Percent(room.free_inodes, room.total_inodes);
    if (free_percent < least_.free_percent) {
      least_.free_percent = free_percent;
      least_.total_bytes = room.total_bytes;
      least_.path = path;
      least_.mount = mount == nullptr ? std::nullopt : std::optional(*mount);
    }
    least_.free_bytes = std::min(least_.free_bytes, room.free_bytes);
    if (inodes.has_value()) {
      least_.free_inodes_percent = std::min(least_.free_inodes_percent.value_or(100), *inodes);
    }
    // What can't be written has no use for room.
    if (mount != nullptr && IsReadOnlyByNature(*mount)) return;
    if (mount != nullptr && mount->is_read_only && !bounds_.read_only_ok) {
      Fail(absl::StrCat(path, ": the file system ", mount->device, " is read-only"));
    }
    if (free_percent < bounds_.min_free_percent) {
      Fail(absl::StrCat(path, " has ", PercentText(free_percent), " (", BytesText(room.free_bytes),
                        ") free, expected ", PercentText(bounds_.min_free_percent)));
    }
    if (room.free_bytes < bounds_.min_free_bytes) {
      Fail(absl::StrCat(path, " has ", BytesText(room.free_bytes), " free, expected ",
                        BytesText(bounds_.min_free_bytes)));
    }
    if (inodes.has_value() && *inodes < bounds_.min_free_inodes_percent) {
      Fail(absl::StrCat(path, " has ", PercentText(*inodes), " (", room.free_inodes,
                        ") of its inodes free, expected ",
                        PercentText(bounds_.min_free_inodes_percent)));
    }
  }

  void Fail(std::string text) { findings_.push_back({Outcome::kFailed, std::move(text)}); }

  void Finish() {
    calls_.clear();
    // The one with the least room first: its text must not be cut off.
    std::stable_partition(findings_.begin(), findings_.end(), [this](const Finding& finding) {
      return finding.text.compare(0, least_.path.size() + 1, least_.path + " ") == 0;
    });
    if (measured_ == 0 && findings_.empty()) findings_.push_back({Outcome::kRejected, unseen_});
    Observation observation = JoinFindings(std::move(findings_));
    if (measured_ > 0) AddValues(observation);
    std::exchange(done_, nullptr)(std::move(observation));
  }

  void AddValues(Observation& observation) const {
    observation.values = {{"free_percent", least_.free_percent, "percent"},
                          {"free_bytes", static_cast<double>(least_.free_bytes), "bytes"}};
    if (least_.free_inodes_percent.has_value()) {
      observation.values.push_back({"free_inodes_percent", *least_.free_inodes_percent, "percent"});
    }
    if (paths_.size() == 1) {
      observation.values.push_back(
          {"total_bytes", static_cast<double>(least_.total_bytes), "bytes"});
    }
    if (least_.mount.has_value()) {
      observation.attributes = {{"mount", least_.mount->point},
                                {"device", least_.mount->device},
                                {"fs_type", least_.mount->fs_type}};
    }
  }

  const std::vector<std::string> paths_;
  const Bounds bounds_;
  Host& host_;
  BlockingCalls& blocking_;
  const AskForRoom ask_;

  // Of the running look.
  ObservationDone done_;
  std::vector<Mount> mounts_;
  std::vector<BlockingCallId> calls_;
  size_t left_ = 0;
  size_t measured_ = 0;
  std::string unseen_;  // Why one was passed over.
  std::vector<Finding> findings_;
  Least least_;
};

}  // namespace

absl::StatusOr<FileSystemRoom> AskKernelForRoom(const std::string& path) {
  struct statvfs seen;
  if (statvfs(path.c_str(), &seen) != 0) return ErrnoStatus(errno, path);
  FileSystemRoom room{
      .total_bytes = seen.f_blocks * seen.f_frsize,
      .used_bytes = (seen.f_blocks - std::min(seen.f_bfree, seen.f_blocks)) * seen.f_frsize,
      .free_bytes = seen.f_bavail * seen.f_frsize,
      .total_inodes = seen.f_files,
      .free_inodes = seen.f_favail};
#ifdef STATX_MNT_ID
  // Follows links, as statvfs does: the mount table alone knows nothing of them.
  struct statx mount;
  if (statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, STATX_MNT_ID, &mount) == 0 &&
      (mount.stx_mask & STATX_MNT_ID) != 0) {
    room.mount_id = mount.stx_mnt_id;
  }
#endif
  return room;
}

absl::Status CheckDiskProbe(const config::DiskProbe& config) {
  if (config.path_size() > kFileSystemsMax) {
    return BadField("disk.path",
                    absl::StrCat(config.path_size(), " are more than ", kFileSystemsMax));
  }
  for (int i = 0; i < config.path_size(); ++i) {
    RETURN_IF_ERROR(CheckFullPath(absl::StrCat("disk.path[", i, "]"), config.path(i)));
  }
  RETURN_IF_ERROR(CheckNumber("disk.min_free_percent", config.min_free_percent(), 0, 100));
  return CheckNumber("disk.min_free_inodes_percent", config.min_free_inodes_percent(), 0, 100);
}

absl::StatusOr<std::unique_ptr<Probe>> NewDiskProbe(const config::DiskProbe& config, Host& host,
                                                    BlockingCalls& blocking, AskForRoom ask) {
  RETURN_IF_ERROR(CheckDiskProbe(config));
  return std::make_unique<DiskProbe>(config, host, blocking, std::move(ask));
}

}  // namespace salve
