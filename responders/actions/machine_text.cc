#include "responders/actions/machine_text.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/host.h"

namespace salve {
namespace {

constexpr size_t kProcessesMax = 100'000;
constexpr size_t kCommandBytesMax = 1024;
constexpr size_t kDescriptorsMax = 10'000;  // Of one process.

// The numbers that a folder's entries are, in order.
std::vector<int> NumbersIn(const std::string& path, size_t max) {
  std::vector<int> numbers;
  DIR* dir = opendir(path.c_str());
  if (dir == nullptr) return numbers;
  while (numbers.size() < max) {
    const dirent* entry = readdir(dir);
    if (entry == nullptr) break;
    int number = 0;
    if (absl::SimpleAtoi(entry->d_name, &number)) numbers.push_back(number);
  }
  closedir(dir);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::string Read(const std::string& path, size_t bytes_max = 4096) {
  return ReadFile(path, bytes_max).value_or("");
}

std::string OnOneLine(std::string text) {
  while (!text.empty() && absl::ascii_iscntrl(text.back())) text.pop_back();
  std::replace_if(text.begin(), text.end(), absl::ascii_iscntrl, ' ');
  return text;
}

// Which of the units the process is of; "" for none.
std::string UnitOf(const MachineView& view, const std::string& folder) {
  if (view.units.empty()) return "";
  for (absl::string_view part : absl::StrSplit(Read(folder + "/cgroup"), absl::ByAnyChar("/\n"))) {
    for (const std::string& unit : view.units) {
      if (part == unit) return unit;
    }
  }
  return "";
}

std::string ProcessLine(int pid, const std::string& folder, const std::string& unit) {
  const std::string stat = Read(folder + "/stat");
  const size_t open = stat.find('(');
  const size_t close = stat.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close + 2 > stat.size()) return "";
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(close + 2), ' ');
  if (fields.size() < 22) return "";
  int64_t user = 0;
  int64_t system = 0;
  int64_t pages = 0;
  if (!absl::SimpleAtoi(fields[11], &user) || !absl::SimpleAtoi(fields[12], &system) ||
      !absl::SimpleAtoi(fields[21], &pages)) {
    return "";
  }
  std::string command = OnOneLine(Read(folder + "/cmdline", kCommandBytesMax));
  if (command.empty()) command = absl::StrCat("[", stat.substr(open + 1, close - open - 1), "]");
  return absl::StrFormat("%7d %7s %s %10d %10.2f %5s %s%s%s\n", pid, fields[1], fields[0],
                         pages * (sysconf(_SC_PAGESIZE) / 1024),
                         static_cast<double>(user + system) / sysconf(_SC_CLK_TCK), fields[17],
                         unit, unit.empty() ? "" : ": ", command);
}

}  // namespace

std::string CutText(std::string text, size_t bytes_max) {
  static constexpr absl::string_view kNote = "# more was left out\n";
  if (text.size() <= bytes_max) return text;
  text.resize(bytes_max - std::min(bytes_max, kNote.size()));
  const size_t end = text.rfind('\n');
  text.resize(end == std::string::npos ? 0 : end + 1);
  return absl::StrCat(text, kNote);
}

std::string ProcessesText(const MachineView& view) {
  std::string of_units;
  std::string others;
  bool is_whole = true;
  for (const int pid : NumbersIn(view.proc, kProcessesMax)) {
    // Those of the units come first: others are kept only as far as there may be room.
    if (view.stop && view.stop()) {
      is_whole = false;
      break;
    }
    const std::string folder = absl::StrCat(view.proc, "/", pid);
    const std::string unit = UnitOf(view, folder);
    std::string& text = unit.empty() ? others : of_units;
    if (text.size() <= view.bytes_max) text += ProcessLine(pid, folder, unit);
  }
  return CutText(absl::StrCat("    pid  parent s    rss_kib      cpu_s threads command\n", of_units,
                              others, is_whole ? "" : "# time was over\n"),
                 view.bytes_max);
}

std::string DescriptorsText(const MachineView& view) {
  std::string text;
  for (const int pid : NumbersIn(view.proc, kProcessesMax)) {
    if (text.size() > view.bytes_max) break;
    if (view.stop && view.stop()) {
      text += "# time was over\n";
      break;
    }
    const std::string folder = absl::StrCat(view.proc, "/", pid);
    const std::string unit = UnitOf(view, folder);
    if (!view.units.empty() && unit.empty()) continue;
    const std::vector<int> open = NumbersIn(folder + "/fd", kDescriptorsMax);
    absl::StrAppend(&text, pid, " ", OnOneLine(Read(folder + "/comm")), unit.empty() ? "" : " of ",
                    unit, ": ", open.size(), " open\n");
    if (unit.empty()) continue;
    for (const int fd : open) {
      char target[512];
      const ssize_t n = readlink(absl::StrCat(folder, "/fd/", fd).c_str(), target, sizeof(target));
      if (n <= 0) continue;
      absl::StrAppend(&text, "  ", fd, " -> ",
                      OnOneLine(std::string(target, static_cast<size_t>(n))), "\n");
      if (text.size() > view.bytes_max) break;
    }
  }
  return CutText(std::move(text), view.bytes_max);
}

std::string PressureText(const MachineView& view) {
  std::string text;
  for (const char* file :
       {"loadavg", "uptime", "pressure/cpu", "pressure/io", "pressure/memory", "meminfo"}) {
    const absl::StatusOr<std::string> content = ReadFile(absl::StrCat(view.proc, "/", file), 65536);
    absl::StrAppend(&text, "# ", view.proc, "/", file, "\n",
                    content.ok() ? *content : absl::StrCat("# ", content.status().message(), "\n"),
                    "\n");
  }
  return CutText(std::move(text), view.bytes_max);
}

std::string SocketsText(const MachineView& view) {
  std::string text;
  for (const char* file : {"tcp", "tcp6", "udp", "udp6", "unix"}) {
    const absl::StatusOr<std::string> content =
        ReadFile(absl::StrCat(view.proc, "/net/", file), view.bytes_max / 2);
    absl::StrAppend(&text, "# ", view.proc, "/net/", file, "\n",
                    content.ok() ? *content : absl::StrCat("# ", content.status().message(), "\n"));
  }
  return CutText(std::move(text), view.bytes_max);
}

}  // namespace salve
