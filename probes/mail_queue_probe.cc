#include "probes/mail_queue_probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/host.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "probes/field_checks.h"
#include "probes/mail_file.h"
#include "probes/measures.h"

namespace salve {
namespace {

constexpr uint64_t kMailsMax = 100'000;
// Names of any kind: Exim has up to three files a mail.
constexpr uint64_t kNamesMax = 500'000;
// Postfix hashes by the first letters of the name: hash_queue_depth.
constexpr int kDepthMax = 5;
constexpr uint32_t kMaxQueued = 500;
constexpr uint32_t kMaxQueuedMax = 1'000'000;
// A mail that cannot be delivered waits for days on a healthy server: Postfix and Exim give up
// after four or five.
constexpr absl::Duration kMaxAge = absl::Hours(144);
struct PostfixQueue {
  const char* name;
  bool may_be_missing;  // Until Postfix needs it.
};
constexpr PostfixQueue kPostfixQueues[] = {{"incoming", false},
                                           {"active", false},
                                           {"deferred", false},
                                           {"maildrop", true},
                                           {"hold", true}};

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

struct Queue {
  uint64_t mails = 0;
  uint64_t deferred = 0;
  uint64_t frozen = 0;
  bool has_more = false;  // Than were counted.
  std::optional<absl::Time> oldest;
};

// Goes through the folders of a queue once, on a thread that may hang.
class QueueWalk {
 public:
  explicit QueueWalk(std::string directory) : directory_(std::move(directory)) {}

  absl::StatusOr<Queue> Postfix() && {
    for (const PostfixQueue& queue : kPostfixQueues) {
      const bool is_deferred = absl::string_view(queue.name) == "deferred";
      // There somebody keeps mail on purpose, for as long as he likes.
      const bool is_held = absl::string_view(queue.name) == "hold";
      const absl::Status status =
          Folder(absl::StrCat(directory_, "/", queue.name), kDepthMax,
                 [&](const std::string& path, const char*) {
                   Take(path, kPostfixHeadBytes, ParsePostfixFile, !is_held);
                   if (is_deferred) ++queue_.deferred;
                 });
      if (!status.ok() && !(queue.may_be_missing && absl::IsNotFound(status))) return status;
    }
    return queue_;
  }

  absl::StatusOr<Queue> Exim() && {
    // With split_spool_directory in folders of one letter.
    RETURN_IF_ERROR(
        Folder(directory_ + "/input", 1, [&](const std::string& path, const char* name) {
          if (absl::EndsWith(name, "-H")) Take(path, kEximHeadBytes, ParseEximFile, true);
        }));
    return queue_;
  }

 private:
  using TakeFile = std::function<void(const std::string& path, const char* name)>;
  using Parse = MailFile (*)(absl::string_view);

  // Hands its regular files to `take`, and those of the folders in it, so deep.
  absl::Status Folder(const std::string& path, int depth, const TakeFile& take) {
    const std::unique_ptr<DIR, CloseFolder> folder(opendir(path.c_str()));
    if (folder == nullptr) return ErrnoStatus(errno, path);
    std::vector<std::string> folders;
    while (!queue_.has_more) {
      errno = 0;
      const dirent* entry = readdir(folder.get());
      if (entry == nullptr && errno != 0) return ErrnoStatus(errno, path);
      if (entry == nullptr) break;
      if (absl::string_view(entry->d_name) == "." || absl::string_view(entry->d_name) == "..") {
        continue;
      }
      if (++names_ > kNamesMax) queue_.has_more = true;
      const std::string inside = absl::StrCat(path, "/", entry->d_name);
      const int type = TypeOf(*entry, inside);
      if (type == DT_REG) take(inside, entry->d_name);
      if (type == DT_DIR && depth > 0) folders.push_back(inside);
    }
    for (const std::string& inside : folders) {
      const absl::Status status = Folder(inside, depth - 1, take);
      // The mail server takes empty folders away.
      if (!status.ok() && !absl::IsNotFound(status)) return status;
    }
    return absl::OkStatus();
  }

  // Some file systems do not tell it with the name.
  static int TypeOf(const dirent& entry, const std::string& path) {
    if (entry.d_type != DT_UNKNOWN) return entry.d_type;
    struct stat seen;
    if (lstat(path.c_str(), &seen) != 0) return DT_UNKNOWN;
    return S_ISREG(seen.st_mode) ? DT_REG : S_ISDIR(seen.st_mode) ? DT_DIR : DT_UNKNOWN;
  }

  void Take(const std::string& path, size_t head_bytes, Parse parse, bool has_age) {
    if (queue_.mails == kMailsMax) {
      queue_.has_more = true;
      return;
    }
    ++queue_.mails;
    if (!has_age) return;
    const MailFile file = Read(path, head_bytes, parse);
    if (file.is_frozen) ++queue_.frozen;
    if (file.arrived.has_value() &&
        (!queue_.oldest.has_value() || *file.arrived < *queue_.oldest)) {
      queue_.oldest = file.arrived;
    }
  }

  static MailFile Read(const std::string& path, size_t head_bytes, Parse parse) {
    const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
    MailFile mail;
    if (file.is_open()) {
      std::string head(head_bytes, '\0');
      const ssize_t n = read(file.get(), head.data(), head.size());
      mail = parse(absl::string_view(head.data(), static_cast<size_t>(std::max<ssize_t>(n, 0))));
    }
    struct stat seen;
    if (!mail.arrived.has_value() && lstat(path.c_str(), &seen) == 0) {
      // Still being written, or not for us to read. Neither time is before it came.
      mail.arrived =
          std::min(absl::TimeFromTimespec(seen.st_mtim), absl::TimeFromTimespec(seen.st_ctim));
    }
    return mail;
  }

  const std::string directory_;
  uint64_t names_ = 0;
  Queue queue_;
};

class MailQueueProbe final : public Probe {
 public:
  MailQueueProbe(const config::MailQueueProbe& config, absl::Duration max_age, EventLoop& loop,
                 BlockingCalls& blocking)
      : is_exim_(config.server() == config::MailQueueProbe::EXIM),
        directory_(!config.directory().empty() ? config.directory()
                   : is_exim_                  ? "/var/spool/exim4"
                                               : "/var/spool/postfix"),
        max_queued_(config.has_max_queued() ? config.max_queued() : kMaxQueued),
        max_age_(max_age),
        loop_(loop),
        blocking_(blocking) {}

  ~MailQueueProbe() override { blocking_.Cancel(call_); }

  void Start(Instant deadline, ObservationDone done) override {
    done_ = std::move(done);
    call_ = blocking_.Run(
        absl::StrCat("reading the mail queue in ", directory_), deadline,
        [directory = directory_, is_exim = is_exim_] {
          QueueWalk walk(directory);
          return is_exim ? std::move(walk).Exim() : std::move(walk).Postfix();
        },
        [this](absl::StatusOr<Queue> queue) {
          call_ = BlockingCallId::kNone;
          std::exchange(done_, nullptr)(queue.ok() ? Judge(*queue) : FileError(queue.status()));
        });
  }

 private:
  Observation Judge(const Queue& queue) const {
    std::vector<Finding> findings;
    if (queue.has_more) {
      findings.push_back(
          {Outcome::kFailed,
           queue.mails == kMailsMax
               ? absl::StrCat("more than ", kMailsMax, " mails are queued")
               : absl::StrCat("more than ", kNamesMax, " files are in ", directory_)});
    } else if (queue.mails > max_queued_) {
      findings.push_back(
          {Outcome::kFailed,
           absl::StrCat(queue.mails, " mails are queued, expected at most ", max_queued_)});
    }
    absl::Duration oldest = absl::ZeroDuration();
    if (queue.oldest.has_value()) {
      oldest = std::max(loop_.clock().WallNow() - *queue.oldest, oldest);
    }
    if (oldest > max_age_) {
      findings.push_back(
          {Outcome::kFailed, absl::StrCat("the oldest mail waits for ", AgeText(oldest),
                                          ", expected at most ", absl::FormatDuration(max_age_))});
    }
    Observation observation = JoinFindings(std::move(findings));
    observation.values = {{"queued", static_cast<double>(queue.mails), ""},
                          {"oldest_seconds", absl::ToDoubleSeconds(oldest), "seconds"}};
    if (is_exim_) {
      observation.values.push_back({"frozen", static_cast<double>(queue.frozen), ""});
    } else {
      observation.values.push_back({"deferred", static_cast<double>(queue.deferred), ""});
    }
    return observation;
  }

  const bool is_exim_;
  const std::string directory_;
  const uint64_t max_queued_;
  const absl::Duration max_age_;
  EventLoop& loop_;
  BlockingCalls& blocking_;
  ObservationDone done_;
  BlockingCallId call_ = BlockingCallId::kNone;
};

absl::StatusOr<absl::Duration> MaxAge(const config::MailQueueProbe& config) {
  return ParseDurationField("mail_queue.max_age", config.max_age(), absl::Minutes(1),
                            absl::Hours(720), kMaxAge);
}

}  // namespace

absl::Status CheckMailQueueProbe(const config::MailQueueProbe& config) {
  if (!config::MailQueueProbe::Server_IsValid(config.server())) {
    return BadField("mail_queue.server", absl::StrCat(config.server(), " is no mail server"));
  }
  if (!config.directory().empty()) {
    RETURN_IF_ERROR(CheckFullPath("mail_queue.directory", config.directory()));
  }
  RETURN_IF_ERROR(CheckRange("mail_queue.max_queued", config.max_queued(), 0, kMaxQueuedMax));
  return MaxAge(config).status();
}

absl::StatusOr<std::unique_ptr<Probe>> NewMailQueueProbe(const config::MailQueueProbe& config,
                                                         EventLoop& loop, BlockingCalls& blocking) {
  RETURN_IF_ERROR(CheckMailQueueProbe(config));
  ASSIGN_OR_RETURN(const absl::Duration max_age, MaxAge(config));
  return std::make_unique<MailQueueProbe>(config, max_age, loop, blocking);
}

}  // namespace salve
