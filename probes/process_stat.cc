#include "probes/process_stat.h"

#include <dirent.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace salve {
namespace {

constexpr size_t kCommBytesMax = 15;
constexpr uint64_t kIsKernelThread = 0x00200000;  // PF_KTHREAD of the kernel's sched.h.
constexpr uint64_t kCountedDescriptorsMax = 65536;

// Places in what follows the ')' of PROC/PID/stat; proc(5) counts from pid = 1.
enum Field {
  kState = 3,
  kParent = 4,
  kFlags = 9,
  kUserTicks = 14,
  kSystemTicks = 15,
  kStartTicks = 22,
  kRssPages = 24
};

std::string PathOf(const std::string& proc, pid_t pid, absl::string_view file) {
  return absl::StrCat(proc, "/", pid, "/", file);
}

absl::string_view LastPart(absl::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

absl::StatusOr<ProcessStat> ReadProcessStat(const std::string& proc, pid_t pid) {
  const std::string path = PathOf(proc, pid, "stat");
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 4096));
  // The name may hold blanks and parentheses of its own: it ends at the last one.
  const size_t open = text.find('('), close = text.rfind(')');
  const auto unreadable = [&] { return absl::UnavailableError(path + ": not as expected"); };
  if (open == std::string::npos || close == std::string::npos || close < open) return unreadable();
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(text).substr(close + 1), ' ', absl::SkipEmpty());
  if (fields.size() <= kRssPages - kState) return unreadable();

  ProcessStat stat;
  stat.identity.pid = pid;
  stat.comm = text.substr(open + 1, close - open - 1);
  stat.is_zombie = fields[0] == "Z" || fields[0] == "X";
  uint64_t flags, user, system, rss;
  if (!absl::SimpleAtoi(fields[kParent - kState], &stat.parent) ||
      !absl::SimpleAtoi(fields[kFlags - kState], &flags) ||
      !absl::SimpleAtoi(fields[kUserTicks - kState], &user) ||
      !absl::SimpleAtoi(fields[kSystemTicks - kState], &system) ||
      !absl::SimpleAtoi(fields[kStartTicks - kState], &stat.identity.start_ticks) ||
      !absl::SimpleAtoi(fields[kRssPages - kState], &rss)) {
    return unreadable();
  }
  stat.is_kernel_thread = (flags & kIsKernelThread) != 0;
  stat.cpu_time = absl::Seconds(1) * static_cast<int64_t>(user + system) / sysconf(_SC_CLK_TCK);
  stat.rss_bytes = rss * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return stat;
}

bool ProcessHasName(const std::string& proc, pid_t pid, absl::string_view name) {
  const auto comm = ReadFile(PathOf(proc, pid, "comm"), 64);
  if (!comm.ok()) return false;
  if (name.size() <= kCommBytesMax && absl::StripSuffix(*comm, "\n") == name) return true;
  const auto command_line = ReadFile(PathOf(proc, pid, "cmdline"), 1024);
  if (!command_line.ok() || command_line->empty()) return false;
  const absl::string_view argv0 =
      absl::string_view(*command_line).substr(0, command_line->find('\0'));
  return LastPart(argv0) == name;
}

std::string ProcessTitle(const std::string& proc, pid_t pid) {
  std::string title = ReadFile(PathOf(proc, pid, "cmdline"), 1024).value_or("");
  std::replace(title.begin(), title.end(), '\0', ' ');
  title.erase(title.find_last_not_of(' ') + 1);
  return title;
}

std::optional<uint64_t> CountDescriptors(const std::string& proc, pid_t pid) {
  const std::string path = PathOf(proc, pid, "fd");
  DIR* folder = opendir(path.c_str());
  if (folder == nullptr) return std::nullopt;
  // Linux 6.2 and later say the number at once, as the size of the folder.
  struct statfs filesystem;
  struct stat status;
  uint64_t count = 0;
  if (fstatfs(dirfd(folder), &filesystem) == 0 && filesystem.f_type == PROC_SUPER_MAGIC &&
      fstat(dirfd(folder), &status) == 0 && status.st_size > 0) {
    count = static_cast<uint64_t>(status.st_size);
  } else {
    while (const dirent* entry = readdir(folder)) {
      if (entry->d_name[0] != '.' && ++count == kCountedDescriptorsMax) break;
    }
  }
  closedir(folder);
  return count;
}

}  // namespace salve
