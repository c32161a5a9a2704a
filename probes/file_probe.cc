#include "probes/file_probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "probes/field_checks.h"
#include "probes/measures.h"
#include "re2/re2.h"

namespace salve {
namespace {

constexpr size_t kFilesMax = 1000;
// A folder with more names than this is not searched to its end.
constexpr size_t kNamesMax = 200'000;
constexpr size_t kProblemsMax = 10;
constexpr uint32_t kContentBytesDefault = 64 * 1024;
constexpr uint32_t kContentBytesMax = 1 << 20;
constexpr absl::Duration kAgeMin = absl::Seconds(1);
constexpr absl::Duration kAgeMax = absl::Hours(87'600);

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

bool IsGone(int error) { return error == ENOENT || error == ENOTDIR; }
bool HasPattern(absl::string_view text) {
  return text.find_first_of("*?[") != absl::string_view::npos;
}

// What is looked for. Constant, and shared with the thread that looks.
struct Wanted {
  std::string path;
  bool has_pattern = false;
  bool must_not_exist = false;
  absl::Duration max_age;  // Zero: not checked, as the next.
  absl::Duration min_age;
  uint64_t min_bytes = 0;
  uint64_t max_bytes = 0;
  std::unique_ptr<RE2> match;  // Null: not checked, as the next.
  std::unique_ptr<RE2> not_match;
  size_t content_bytes_max = 0;

  bool needs_content() const { return match != nullptr || not_match != nullptr; }
  bool needs_regular() const { return needs_content() || min_bytes > 0 || max_bytes > 0; }
};

// One look, from its beginning to its end, on a thread that may hang.
class FileLook {
 public:
  FileLook(const Wanted& wanted, absl::Time now) : wanted_(wanted), now_(now) {}

  absl::StatusOr<Observation> Run() && {
    std::vector<std::string> paths = {wanted_.path};
    if (wanted_.has_pattern) {
      ASSIGN_OR_RETURN(paths, Matching());
    }
    for (const std::string& path : paths) LookAt(path);
    if (!wanted_.must_not_exist) {
      if (files_ == 0 && findings_.empty()) {
        Find(Outcome::kFailed, wanted_.path,
             absl::StrCat(wanted_.has_pattern ? "no file matches " : "there is no file ",
                          wanted_.path));
      }
      JudgeYoungest();
    }
    return Result();
  }

 private:
  // In the order of their names. A folder that is not there has none.
  absl::StatusOr<std::vector<std::string>> Matching() const {
    const size_t slash = wanted_.path.rfind('/');
    const std::string folder = slash == 0 ? "/" : wanted_.path.substr(0, slash);
    const std::string pattern = wanted_.path.substr(slash + 1);
    std::vector<std::string> paths;
    const std::unique_ptr<DIR, CloseFolder> opened(opendir(folder.c_str()));
    if (opened == nullptr) {
      if (IsGone(errno)) return paths;
      return ErrnoStatus(errno, folder);
    }
    for (size_t names = 0;; ++names) {
      errno = 0;
      const dirent* entry = readdir(opened.get());
      if (entry == nullptr && errno != 0) return ErrnoStatus(errno, folder);
      if (entry == nullptr) break;
      if (names == kNamesMax) {
        return absl::ResourceExhaustedError(
            absl::StrCat(folder, ": more than ", kNamesMax, " files are in it"));
      }
      const absl::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (fnmatch(pattern.c_str(), entry->d_name, FNM_PERIOD) != 0) continue;
      if (paths.size() == kFilesMax) {
        return absl::ResourceExhaustedError(
            absl::StrCat(wanted_.path, ": more than ", kFilesMax, " files match"));
      }
      paths.push_back(absl::StrCat(slash == 0 ? "" : folder, "/", name));
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }

  void LookAt(const std::string& path) {
    struct stat seen;
    // A link that leads nowhere is something that is there, but no file to be looked at.
    const int result =
        wanted_.must_not_exist ? lstat(path.c_str(), &seen) : stat(path.c_str(), &seen);
    if (result != 0) {
      if (!IsGone(errno)) FindError(path, ErrnoStatus(errno, path));
      return;
    }
    ++files_;
    bytes_ += static_cast<uint64_t>(seen.st_size);
    // A file from the future is as young as can be.
    const absl::Duration age =
        std::max(now_ - absl::TimeFromTimespec(seen.st_mtim), absl::ZeroDuration());
    if (!youngest_.has_value() || age < *youngest_) {
      youngest_ = age;
      youngest_path_ = path;
    }
    if (wanted_.must_not_exist) {
      Find(Outcome::kFailed, path, absl::StrCat(path, " is there"));
      return;
    }
    if (wanted_.min_age > absl::ZeroDuration() && age < wanted_.min_age) {
      Find(Outcome::kFailed, path,
           absl::StrCat(path, " is ", AgeText(age), " old, expected at least ",
                        absl::FormatDuration(wanted_.min_age)));
    }
    if (!wanted_.needs_regular()) return;
    // What is no regular file is not opened: a pipe would wait, a device may do anything.
    if (!S_ISREG(seen.st_mode)) {
      Find(Outcome::kFailed, path, absl::StrCat(path, " is no regular file"));
      return;
    }
    JudgeSize(path, static_cast<uint64_t>(seen.st_size));
    if (wanted_.needs_content()) JudgeContent(path);
  }

  void JudgeSize(const std::string& path, uint64_t bytes) {
    if (bytes < wanted_.min_bytes) {
      Find(Outcome::kFailed, path,
           absl::StrCat(path, " has ", bytes, " bytes, expected at least ", wanted_.min_bytes));
    }
    if (wanted_.max_bytes > 0 && bytes > wanted_.max_bytes) {
      Find(Outcome::kFailed, path,
           absl::StrCat(path, " has ", bytes, " bytes, expected at most ", wanted_.max_bytes));
    }
  }

  void JudgeContent(const std::string& path) {
    const absl::StatusOr<std::string> content = ReadBeginning(path);
    if (!content.ok()) return FindError(path, content.status());
    // Not the content itself, which may be a secret.
    if (wanted_.match != nullptr && !RE2::PartialMatch(*content, *wanted_.match)) {
      Find(Outcome::kFailed, path,
           absl::StrCat(path, " (", content->size(), " bytes) does not match '",
                        wanted_.match->pattern(), "'"));
    }
    if (wanted_.not_match != nullptr && RE2::PartialMatch(*content, *wanted_.not_match)) {
      Find(Outcome::kFailed, path,
           absl::StrCat(path, " matches '", wanted_.not_match->pattern(), "'"));
    }
  }

  absl::StatusOr<std::string> ReadBeginning(const std::string& path) const {
    UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file.is_open()) return ErrnoStatus(errno, path);
    struct stat seen;  // It may be another one by now.
    if (fstat(file.get(), &seen) != 0) return ErrnoStatus(errno, path);
    if (!S_ISREG(seen.st_mode)) return absl::UnavailableError(path + " is no regular file");
    std::string content;
    while (content.size() < wanted_.content_bytes_max) {
      const size_t had = content.size();
      content.resize(std::min<size_t>(wanted_.content_bytes_max, had + kContentBytesDefault));
      const ssize_t n = read(file.get(), content.data() + had, content.size() - had);
      const int error = errno;
      content.resize(had + static_cast<size_t>(std::max<ssize_t>(n, 0)));
      if (n == 0) break;
      if (n < 0 && error != EINTR) return ErrnoStatus(error, path);
    }
    return content;
  }

  void JudgeYoungest() {
    if (!youngest_.has_value() || wanted_.max_age == absl::ZeroDuration()) return;
    if (*youngest_ <= wanted_.max_age) return;
    Find(Outcome::kFailed, youngest_path_,
         absl::StrCat(youngest_path_, " is ", AgeText(*youngest_), " old, expected at most ",
                      absl::FormatDuration(wanted_.max_age)));
  }

  void FindError(const std::string& path, const absl::Status& error) {
    Observation seen = FileError(error);
    Find(seen.outcome, path, std::move(seen.error));
  }

  void Find(Outcome outcome, const std::string& path, std::string text) {
    // The path is of the worst, as the text begins with it.
    if (!worst_.has_value() || outcome < *worst_) {
      worst_ = outcome;
      worst_path_ = path;
      // A thousand of the same kind must not hide it.
      findings_.insert(findings_.begin(), {outcome, std::move(text)});
    } else if (findings_.size() < kProblemsMax) {
      findings_.push_back({outcome, std::move(text)});
    }
  }

  Observation Result() {
    Observation observation = JoinFindings(std::move(findings_));
    if (youngest_.has_value()) {
      observation.values.push_back({"age_seconds", absl::ToDoubleSeconds(*youngest_), "seconds"});
      observation.values.push_back({"size_bytes", static_cast<double>(bytes_), "bytes"});
    }
    if (wanted_.has_pattern) {
      observation.values.push_back({"files", static_cast<double>(files_), ""});
    }
    if (worst_.has_value()) observation.attributes.emplace_back("path", worst_path_);
    return observation;
  }

  const Wanted& wanted_;
  const absl::Time now_;
  size_t files_ = 0;
  uint64_t bytes_ = 0;
  std::optional<absl::Duration> youngest_;
  std::string youngest_path_;
  std::vector<Finding> findings_;
  std::optional<Outcome> worst_;
  std::string worst_path_;
};

class FileProbe final : public Probe {
 public:
  FileProbe(std::shared_ptr<const Wanted> wanted, EventLoop& loop, BlockingCalls& blocking)
      : wanted_(std::move(wanted)), loop_(loop), blocking_(blocking) {}

  ~FileProbe() override { blocking_.Cancel(call_); }

  void Start(Instant deadline, ObservationDone done) override {
    done_ = std::move(done);
    call_ = blocking_.Run(
        absl::StrCat("look at ", wanted_->path), deadline,
        [wanted = wanted_, now = loop_.clock().WallNow()] { return FileLook(*wanted, now).Run(); },
        [this](absl::StatusOr<Observation> seen) {
          call_ = BlockingCallId::kNone;
          std::exchange(done_, nullptr)(seen.ok() ? *std::move(seen) : FileError(seen.status()));
        });
  }

 private:
  const std::shared_ptr<const Wanted> wanted_;
  EventLoop& loop_;
  BlockingCalls& blocking_;
  ObservationDone done_;
  BlockingCallId call_ = BlockingCallId::kNone;
};

absl::StatusOr<std::shared_ptr<const Wanted>> Compile(const config::FileProbe& config) {
  RETURN_IF_ERROR(CheckFullPath("file.path", config.path()));
  auto wanted = std::make_shared<Wanted>();
  wanted->path = config.path();
  const size_t slash = config.path().rfind('/');
  if (slash + 1 == config.path().size()) {
    return BadField("file.path", absl::StrCat("'", config.path(), "' names no file"));
  }
  if (HasPattern(absl::string_view(config.path()).substr(0, slash))) {
    return BadField("file.path",
                    absl::StrCat("'", config.path(), "': * ? and [ ] are for its last part only"));
  }
  wanted->has_pattern = HasPattern(config.path());
  wanted->must_not_exist = config.must_not_exist();
  ASSIGN_OR_RETURN(wanted->max_age, ParseDurationField("file.max_age", config.max_age(), kAgeMin,
                                                       kAgeMax, absl::ZeroDuration()));
  ASSIGN_OR_RETURN(wanted->min_age, ParseDurationField("file.min_age", config.min_age(), kAgeMin,
                                                       kAgeMax, absl::ZeroDuration()));
  if (!config.max_age().empty() && wanted->max_age < wanted->min_age) {
    return BadField("file.max_age",
                    absl::StrCat(config.max_age(), " is less than min_age ", config.min_age()));
  }
  wanted->min_bytes = config.min_bytes();
  wanted->max_bytes = config.max_bytes();
  if (config.max_bytes() != 0 && config.max_bytes() < config.min_bytes()) {
    return BadField("file.max_bytes", absl::StrCat(config.max_bytes(), " is less than min_bytes ",
                                                   config.min_bytes()));
  }
  ASSIGN_OR_RETURN(wanted->match, CompilePattern("file.content_match", config.content_match()));
  ASSIGN_OR_RETURN(wanted->not_match,
                   CompilePattern("file.content_not_match", config.content_not_match()));
  wanted->content_bytes_max = kContentBytesDefault;
  if (config.content_bytes_max() != 0) {
    RETURN_IF_ERROR(
        CheckRange("file.content_bytes_max", config.content_bytes_max(), 1, kContentBytesMax));
    wanted->content_bytes_max = config.content_bytes_max();
  }
  return wanted;
}

}  // namespace

absl::Status CheckFileProbe(const config::FileProbe& config) { return Compile(config).status(); }

absl::StatusOr<std::unique_ptr<Probe>> NewFileProbe(const config::FileProbe& config,
                                                    EventLoop& loop, BlockingCalls& blocking) {
  ASSIGN_OR_RETURN(std::shared_ptr<const Wanted> wanted, Compile(config));
  return std::make_unique<FileProbe>(std::move(wanted), loop, blocking);
}

}  // namespace salve
