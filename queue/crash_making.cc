// How a crash set is made: crash_set.h.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/fault.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "queue/crash_set.h"

namespace salve {
namespace {

namespace fs = std::filesystem;

constexpr char kPartial[] = ".partial";
constexpr const char* kQueueFiles[] = {"queue.db", "queue.db-wal", "queue.db.mark"};
// What a set leaves free on the disk: the ledger and the queue must go on.
constexpr uint64_t kSpareBytes = 16 << 20;
constexpr uint64_t kCopiedMax = 256 << 20;  // Unless a person must decide on it (HOLD).

std::string SetRunMark(const std::string& state_dir) { return state_dir + "/recover.running"; }

std::string CrashDir(const CrashSetOptions& options) { return options.state_dir + "/crash"; }

absl::Status SyncFolder(const std::string& dir) {
  const UniqueFd file(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file.is_open() || fsync(file.get()) != 0) return ErrnoStatus(errno, dir);
  return absl::OkStatus();
}

absl::Status CopyAll(int from, int to, const std::string& path) {
  static constexpr size_t kChunk = 8 << 20;
  bool by_kernel = true;  // Which shares the blocks where the file system can.
  std::string buffer;
  for (off_t at = 0;;) {
    ssize_t n = -1;
    if (by_kernel) {
      n = copy_file_range(from, nullptr, to, nullptr, kChunk, 0);
      if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)) {
        by_kernel = false;
        buffer.resize(kChunk);
        continue;
      }
    } else {
      n = read(from, buffer.data(), buffer.size());
      for (ssize_t done = 0; done < n;) {
        const ssize_t written = write(to, buffer.data() + done, n - done);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return ErrnoStatus(errno, path);
        done += written;
      }
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path);
    if (n == 0) return absl::OkStatus();
    // On its way to the disk while the rest is copied: the sync at the end finds little left, in
    // half the time for a large file. A hint: what goes wrong is the sync's to say.
    sync_file_range(to, at, n, SYNC_FILE_RANGE_WRITE);
    at += n;
  }
}

absl::Status CopyFile(const std::string& from, const std::string& to) {
  const UniqueFd source(open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!source.is_open()) return ErrnoStatus(errno, from);
  const UniqueFd target(open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
  if (!target.is_open()) return ErrnoStatus(errno, to);
  RETURN_IF_ERROR(CopyAll(source.get(), target.get(), to));
  if (fsync(target.get()) != 0) return ErrnoStatus(errno, to);
  return absl::OkStatus();
}

absl::Status WriteText(const std::string& path, const google::protobuf::Message& message) {
  std::string text;
  google::protobuf::TextFormat::PrintToString(message, &text);
  return WriteFileAtomically(path, text, 0640);
}

// A name that may stand in a path, whatever the server is called.
std::string FileName(std::string text) {
  for (char& c : text) {
    if (!absl::ascii_isalnum(c) && c != '.' && c != '_' && c != '-') c = '_';
  }
  if (absl::StartsWith(text, ".")) text[0] = '_';
  return text.substr(0, 64);
}

std::vector<crashset::File> QueueFilesOf(const std::string& state_dir) {
  std::vector<crashset::File> files;
  for (const char* name : kQueueFiles) {
    struct stat there;
    if (stat(absl::StrCat(state_dir, "/", name).c_str(), &there) != 0) continue;
    crashset::File& file = files.emplace_back();
    file.set_name(name);
    file.set_bytes(there.st_size);
  }
  return files;
}

// The whole sets, the oldest first.
std::vector<std::string> SetsIn(const std::string& crash_dir) {
  std::vector<std::pair<int64_t, std::string>> found;
  std::error_code error;
  // Not as a range: that throws when the folder can't be read to its end.
  fs::directory_iterator entry(crash_dir, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string path = entry->path().string();
    if (absl::EndsWith(path, kPartial)) continue;
    const auto set = CrashSet::Open(path);
    if (set.ok()) found.emplace_back((*set)->manifest().time_ns(), path);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> paths;
  for (auto& [time, path] : found) paths.push_back(std::move(path));
  return paths;
}

void RemovePartialSets(const std::string& crash_dir) {
  std::error_code error;
  fs::directory_iterator entry(crash_dir, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code ignored;  // It is made anew beside it, or its making says what is wrong.
    if (absl::EndsWith(entry->path().string(), kPartial)) fs::remove_all(entry->path(), ignored);
  }
}

// A person has nothing left to do there. One that can't be read is not known to be so.
bool MayGo(const std::string& path) {
  auto set = CrashSet::Open(path);
  if (!set.ok()) return false;
  if ((*set)->manifest().recovery() != config::Queue::HOLD) return true;
  const absl::StatusOr<bool> open = (*set)->HasOpenEntry();
  return open.ok() && !*open;
}

// Removed by its partial name, so that a kill leaves no half of a set behind.
bool RemoveSet(const std::string& path) {
  std::error_code error;
  fs::rename(path, path + kPartial, error);
  if (!error) fs::remove_all(path + kPartial, error);
  return !error;
}

// Removes the oldest set that may go. False: there is none.
bool RemoveOne(std::vector<std::string>& sets) {
  const auto found = std::find_if(sets.begin(), sets.end(), MayGo);
  if (found == sets.end() || !RemoveSet(*found)) return false;
  sets.erase(found);
  return true;
}

bool HasRoom(const std::string& dir, uint64_t bytes) {
  struct statvfs disk;
  if (statvfs(dir.c_str(), &disk) != 0) return true;  // The copy will say what is wrong.
  return uint64_t{disk.f_bavail} * disk.f_frsize >= bytes + kSpareBytes;
}

crashset::Action ActionOf(const Attempt& attempt) {
  crashset::Action action;
  action.set_attempt_id(attempt.id);
  action.set_action(std::string(ActionName(attempt.action)));
  action.set_resource(attempt.resource);
  action.set_requester(attempt.requester);
  action.set_health_set(attempt.health_set);
  action.set_incident(attempt.incident_id);
  action.set_server(attempt.server);
  action.set_boot_id(attempt.boot_id);
  action.set_start_ns(absl::ToUnixNanos(attempt.start_wall));
  action.set_effect(attempt.effect);
  return action;
}

// Whether this set was made of the very same state: a start that died after it and before its first
// write. The mark rises with each commit.
bool IsOf(const std::string& path, const CrashSetOptions& options,
          const crashset::InFlight& in_flight) {
  const std::vector<crashset::File> files = QueueFilesOf(options.state_dir);
  const auto set = CrashSet::Open(path);
  if (!set.ok() || (*set)->manifest().recovery() != options.recovery ||
      (*set)->manifest().file_size() != static_cast<int>(files.size()) ||
      !google::protobuf::util::MessageDifferencer::Equals((*set)->in_flight(), in_flight)) {
    return false;
  }
  for (size_t i = 0; i < files.size(); ++i) {
    const crashset::File& had = (*set)->manifest().file(static_cast<int>(i));
    if (had.name() != files[i].name() || had.bytes() != files[i].bytes()) return false;
  }
  const auto mark = ReadFile(options.state_dir + "/queue.db.mark");
  const auto copy = ReadFile(path + "/queue.db.mark");
  return files.empty() || (mark.ok() && copy.ok() && *mark == *copy);
}

crashset::Manifest ManifestOf(const CrashSetOptions& options,
                              const std::vector<crashset::File>& files) {
  crashset::Manifest manifest;
  manifest.set_version(1);
  manifest.set_host(options.server);
  manifest.set_boot_id(options.boot_id);
  manifest.set_time_ns(absl::ToUnixNanos(options.now));
  manifest.set_time(absl::FormatTime(absl::RFC3339_sec, options.now, absl::UTCTimeZone()));
  manifest.set_agent_version(options.agent_version);
  manifest.set_recovery(options.recovery);
  for (const crashset::File& file : files) *manifest.add_file() = file;
  const std::string base =
      absl::StrCat(FileName(options.server), "-", FileName(options.boot_id).substr(0, 8), "-",
                   absl::FormatTime("%Y%m%dT%H%M%SZ", options.now, absl::UTCTimeZone()));
  manifest.set_name(base);
  for (int i = 2; access(absl::StrCat(CrashDir(options), "/", manifest.name()).c_str(), F_OK) == 0;
       ++i) {
    manifest.set_name(absl::StrCat(base, "-", i));
  }
  return manifest;
}

absl::Status FillSet(const std::string& dir, const CrashSetOptions& options,
                     const crashset::Manifest& manifest, const crashset::InFlight& in_flight) {
  if (mkdir(dir.c_str(), 0750) != 0) return ErrnoStatus(errno, dir);
  FaultPoint("queue.set.begun");
  for (const crashset::File& file : manifest.file()) {
    RETURN_IF_ERROR(CopyFile(absl::StrCat(options.state_dir, "/", file.name()),
                             absl::StrCat(dir, "/", file.name())));
    FaultPoint("queue.set.copied");
  }
  RETURN_IF_ERROR(WriteText(dir + "/in_flight.textproto", in_flight));
  RETURN_IF_ERROR(WriteText(dir + "/set.textproto", manifest));
  return SyncFolder(dir);
}

absl::StatusOr<std::string> MakeSet(const CrashSetOptions& options,
                                    const crashset::InFlight& in_flight,
                                    std::vector<std::string>& warnings) {
  const std::string crash_dir = CrashDir(options);
  if (mkdir(crash_dir.c_str(), 0750) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, crash_dir);
  }
  RemovePartialSets(crash_dir);
  const std::vector<crashset::File> files = QueueFilesOf(options.state_dir);
  std::vector<std::string> sets = SetsIn(crash_dir);
  while (sets.size() >= kCrashSetsMax && RemoveOne(sets)) {
  }
  if (sets.size() >= kCrashSetsMax) {
    warnings.push_back(absl::StrCat(
        "there are ", sets.size() + 1, " crash sets in ", crash_dir, ", more than ", kCrashSetsMax,
        ", and each waits for a person: decide on them with 'salvectl recover', or remove them"));
  }
  uint64_t bytes = in_flight.ByteSizeLong();
  for (const crashset::File& file : files) bytes += file.bytes();
  // Healing does not wait for a large copy that nobody needs: what waits goes on by itself.
  if (options.recovery != config::Queue::HOLD && bytes > kCopiedMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("its ", bytes, " bytes are more than are copied at a start, ", kCopiedMax));
  }
  while (!HasRoom(crash_dir, bytes) && RemoveOne(sets)) {
  }
  if (!HasRoom(crash_dir, bytes)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("there is no room for its ", bytes, " bytes in ", crash_dir));
  }
  const crashset::Manifest manifest = ManifestOf(options, files);
  const std::string path = absl::StrCat(crash_dir, "/", manifest.name());
  absl::Status status = FillSet(path + kPartial, options, manifest, in_flight);
  FaultPoint("queue.set.complete");
  if (status.ok() && rename((path + kPartial).c_str(), path.c_str()) != 0) {
    status = ErrnoStatus(errno, path);
  }
  FaultPoint("queue.set.renamed");
  if (status.ok()) status = SyncFolder(crash_dir);
  if (status.ok()) status = SyncFolder(options.state_dir);
  if (status.ok()) return manifest.name();
  RemoveSet(path);  // One that nobody is told of must not wait for a person.
  RemovePartialSets(crash_dir);
  return status;
}

// What waits for a person in the sets of HOLD, but for one of them.
std::set<std::string> HeldAttempts(const std::vector<std::string>& sets, const std::string& but,
                                   std::vector<std::string>& warnings) {
  std::set<std::string> held;
  for (const std::string& path : sets) {
    const auto set = CrashSet::Open(path);
    if (path == but || !set.ok() || (*set)->manifest().recovery() != config::Queue::HOLD) continue;
    const auto open = (*set)->OpenAttempts();
    if (open.ok()) {
      held.insert(open->begin(), open->end());
    } else {
      warnings.push_back(std::string(open.status().message()));
    }
  }
  return held;
}

// A reboot that was asked for ends with the next boot; nothing crashed.
bool IsRebootUnderWay(const Attempt& attempt) {
  return attempt.action == RecoveryAction::kRebootServer && !attempt.effect.empty();
}

std::string WhatHappensWithout(const CrashSetOptions& options) {
  return options.recovery == config::Queue::HOLD
             ? "what was in flight is closed, what waits stays in the queue, suspended "
               "(salvectl queue resume)"
             : "what was in flight is closed, what waits goes on";
}

absl::StatusOr<CrashFinding> Secure(const CrashSetOptions& options,
                                    const std::vector<const Attempt*>& unfinished) {
  CrashFinding finding;
  ASSIGN_OR_RETURN(const bool dirty, MessageStore::WasLeftDirty(options.state_dir + "/queue.db"));
  const std::vector<std::string> sets = SetsIn(CrashDir(options));
  const std::string newest = dirty && !sets.empty() ? sets.back() : "";
  const auto in_flight_but = [&](const std::set<std::string>& held) {
    crashset::InFlight in_flight;
    for (const Attempt* attempt : unfinished) {
      if (IsRebootUnderWay(*attempt) || held.contains(attempt->id)) continue;
      *in_flight.add_action() = ActionOf(*attempt);
    }
    return in_flight;
  };
  finding.held_attempts = HeldAttempts(sets, newest, finding.warnings);
  if (!newest.empty() && options.journal &&
      IsOf(newest, options, in_flight_but(finding.held_attempts))) {
    finding.unclean = true;
    finding.set = fs::path(newest).filename().string();
    finding.held_attempts = HeldAttempts(sets, "", finding.warnings);
    return finding;
  }
  finding.held_attempts = HeldAttempts(sets, "", finding.warnings);
  const crashset::InFlight in_flight = in_flight_but(finding.held_attempts);
  finding.unclean = dirty || in_flight.action_size() > 0;
  if (!options.journal) {
    finding.warnings.push_back(absl::StrCat(
        "recovery_journal is OFF: no crash set can be made",
        finding.unclean ? ", and the agent died: " + WhatHappensWithout(options) : std::string()));
    return finding;
  }
  if (!finding.unclean) return finding;
  absl::StatusOr<std::string> made = MakeSet(options, in_flight, finding.warnings);
  if (!made.ok()) {
    finding.warnings.push_back(
        absl::StrCat("the agent died, and its crash set can't be made: ", made.status().message(),
                     "; ", WhatHappensWithout(options)));
    return finding;
  }
  finding.set = *std::move(made);
  if (options.recovery == config::Queue::HOLD) {
    for (const crashset::Action& action : in_flight.action()) {
      finding.held_attempts.insert(action.attempt_id());
    }
  }
  return finding;
}

}  // namespace

absl::StatusOr<CrashFinding> SecureCrash(const CrashSetOptions& options,
                                         const std::vector<const Attempt*>& unfinished) {
  absl::StatusOr<CrashFinding> finding = Secure(options, unfinished);
  if (!finding.ok()) return finding;
  // What a killed `salvectl recover` left is the agent's from now on.
  if (absl::Status status = EndSetRun(options.state_dir); !status.ok()) {
    finding->warnings.push_back(std::string(status.message()));
  }
  return finding;
}

std::set<std::string> HeldAttempts(const std::string& state_dir) {
  std::vector<std::string> warnings;
  return HeldAttempts(SetsIn(state_dir + "/crash"), "", warnings);
}

absl::StatusOr<bool> BeginSetRun(const std::string& state_dir) {
  const std::string mark = SetRunMark(state_dir);
  if (access(mark.c_str(), F_OK) == 0) return true;
  ASSIGN_OR_RETURN(const bool dirty, MessageStore::WasLeftDirty(state_dir + "/queue.db"));
  if (dirty) {
    return absl::FailedPreconditionError(
        "salved died and has not been started since: start it once, so that it secures what the "
        "crash met, then stop it and come again");
  }
  RETURN_IF_ERROR(WriteFileAtomically(mark, "salvectl recover\n", 0600));
  return false;
}

absl::Status EndSetRun(const std::string& state_dir) {
  const std::string mark = SetRunMark(state_dir);
  if (unlink(mark.c_str()) != 0)
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, mark);
  return SyncFolder(state_dir);
}

absl::Status MarkInFlightRecovered(const std::string& state_dir, const std::string& set) {
  const std::string path = absl::StrCat(state_dir, "/crash/", set);
  ASSIGN_OR_RETURN(const std::unique_ptr<CrashSet> opened, CrashSet::Open(path));
  return opened->SetStateOfInFlight(EntryState::kErrRecov, "settled by the agent at its next start",
                                    absl::FromUnixNanos(opened->manifest().time_ns()));
}

}  // namespace salve
