#include "channels/export_jsonl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "channels/event_json.h"

namespace salve {
namespace {

absl::Status ErrnoError(const std::string& path, int error) {
  const absl::StatusCode code = error == ENOSPC || error == EDQUOT || error == EMFILE
                                    ? absl::StatusCode::kResourceExhausted
                                    : absl::StatusCode::kUnavailable;
  char text[128];
  return absl::Status(code, absl::StrCat(path, ": ", strerror_r(error, text, sizeof(text))));
}

class JsonlExport final : public EventExport {
 public:
  explicit JsonlExport(JsonlExportOptions options) : options_(std::move(options)) {
    options_.files_max = std::clamp<uint32_t>(options_.files_max, 1, 100);
  }

  std::string name() const override { return options_.path; }

  absl::Status Write(const v1::Event& event) override {
    line_ = EventToJson(event);
    line_.push_back('\n');
    RETURN_IF_ERROR(OpenOurFile());
    if (size_ > 0 && size_ + line_.size() > options_.bytes_max) {
      Rotate();
      RETURN_IF_ERROR(OpenOurFile());
    }
    return WriteLine();
  }

 private:
  // Opens the file, also when the one at the path is no longer the one that is open.
  absl::Status OpenOurFile() {
    struct stat at_path;
    struct stat ours;
    const bool is_ours = file_.is_open() && fstat(file_.get(), &ours) == 0 &&
                         stat(options_.path.c_str(), &at_path) == 0 &&
                         at_path.st_ino == ours.st_ino && at_path.st_dev == ours.st_dev;
    if (!is_ours) {
      file_.reset(open(options_.path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
      if (!file_.is_open()) return ErrnoError(options_.path, errno);
      if (fstat(file_.get(), &ours) != 0) return ErrnoError(options_.path, errno);
    }
    size_ = static_cast<uint64_t>(ours.st_size);
    return absl::OkStatus();
  }

  // What can't be renamed stays and grows on: an export that ends would be worse.
  void Rotate() {
    file_.reset();
    for (uint32_t i = options_.files_max; i > 0; --i) {
      const std::string from = i == 1 ? options_.path : absl::StrCat(options_.path, ".", i - 1);
      rename(from.c_str(), absl::StrCat(options_.path, ".", i).c_str());
    }
  }

  absl::Status WriteLine() {
    size_t done = 0;
    while (done < line_.size()) {
      const ssize_t n = write(file_.get(), line_.data() + done, line_.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        const int error = n < 0 ? errno : ENOSPC;
        // No half line for the next reader.
        if (done > 0 && ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) file_.reset();
        return ErrnoError(options_.path, error);
      }
      done += static_cast<size_t>(n);
    }
    return absl::OkStatus();
  }

  JsonlExportOptions options_;
  UniqueFd file_;
  uint64_t size_ = 0;
  std::string line_;
};

}  // namespace

std::unique_ptr<EventExport> NewJsonlExport(JsonlExportOptions options) {
  return std::make_unique<JsonlExport>(std::move(options));
}

}  // namespace salve
