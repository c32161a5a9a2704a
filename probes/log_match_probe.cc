#include "probes/log_match_probe.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "probes/field_checks.h"
#include "probes/log_tail.h"
#include "re2/re2.h"

namespace salve {
namespace {

constexpr size_t kBytesPerTurn = 256 * 1024;
constexpr uint32_t kLineBytesDefault = 64 * 1024;
constexpr size_t kLastMatchBytesMax = 512;

class LogMatchProbe final : public Probe {
 public:
  LogMatchProbe(const config::LogMatchProbe& config, std::unique_ptr<RE2> pattern,
                std::unique_ptr<RE2> ignore, EventLoop& loop)
      : file_(config.file()),
        pattern_(std::move(pattern)),
        ignore_(std::move(ignore)),
        threshold_(std::max<uint32_t>(config.threshold(), 1)),
        missing_ok_(config.missing_ok()),
        loop_(loop),
        tail_(config.file(),
              config.line_bytes_max() == 0 ? kLineBytesDefault : config.line_bytes_max()) {}

  ~LogMatchProbe() override { loop_.CancelTimer(next_slice_); }

  void Start(Instant deadline, ObservationDone done) override {
    deadline_ = deadline;
    done_ = std::move(done);
    opened_ = tail_.BeginPass();
    ReadSlice();
  }

 private:
  void ReadSlice() {
    const bool more = tail_.ReadSome(kBytesPerTurn, [this](absl::string_view line) { See(line); });
    if (more && loop_.Now() < deadline_) {
      next_slice_ = loop_.CallAt(loop_.Now(), [this] { ReadSlice(); });
      return;
    }
    Observation observation = Judge(more);
    if (observation.outcome != Outcome::kTimedOut) {
      matches_ = lines_ = 0;
      last_match_.clear();
    }
    std::exchange(done_, nullptr)(std::move(observation));
  }

  void See(absl::string_view line) {
    ++lines_;
    const re2::StringPiece text(line.data(), line.size());
    if (!RE2::PartialMatch(text, *pattern_)) return;
    if (ignore_ != nullptr && RE2::PartialMatch(text, *ignore_)) return;
    ++matches_;
    last_match_ = std::string(line.substr(0, kLastMatchBytesMax));
  }

  Observation Judge(bool behind) const {
    Observation observation;
    if (matches_ >= threshold_) {
      observation = Failed(absl::StrCat(matches_, matches_ == 1 ? " line" : " lines", " of ", file_,
                                        " matched: ", last_match_));
    } else if (behind) {
      observation = TimedOut(absl::StrCat("timed out with ", tail_.unread_bytes(), " bytes of ",
                                          file_, " still to read"));
    } else if (!opened_.ok() && !(absl::IsNotFound(opened_) && missing_ok_)) {
      observation = Rejected(std::string(opened_.message()));
    }
    observation.values = {{"matches", static_cast<double>(matches_), ""},
                          {"lines", static_cast<double>(lines_), ""}};
    if (!last_match_.empty()) observation.attributes.emplace_back("last_match", last_match_);
    return observation;
  }

  const std::string file_;
  const std::unique_ptr<RE2> pattern_;
  const std::unique_ptr<RE2> ignore_;
  const uint64_t threshold_;
  const bool missing_ok_;
  EventLoop& loop_;
  LogTail tail_;

  // Of the running look, or of those that could not read everything.
  Instant deadline_;
  ObservationDone done_;
  absl::Status opened_;
  TimerId next_slice_ = TimerId::kNone;
  uint64_t matches_ = 0;
  uint64_t lines_ = 0;
  std::string last_match_;
};

}  // namespace

absl::Status CheckLogMatchProbe(const config::LogMatchProbe& config) {
  if (config.file().empty()) return BadField("log_match.file", "missing");
  if (config.file()[0] != '/') {
    return BadField("log_match.file", absl::StrCat("'", config.file(), "' is no full path"));
  }
  if (config.pattern().empty()) return BadField("log_match.pattern", "missing");
  RETURN_IF_ERROR(CompilePattern("log_match.pattern", config.pattern()).status());
  RETURN_IF_ERROR(CompilePattern("log_match.ignore", config.ignore()).status());
  RETURN_IF_ERROR(CheckRange("log_match.threshold", config.threshold(), 0, 1'000'000));
  if (config.line_bytes_max() == 0) return absl::OkStatus();
  return CheckRange("log_match.line_bytes_max", config.line_bytes_max(), 256, 1 << 20);
}

absl::StatusOr<std::unique_ptr<Probe>> NewLogMatchProbe(const config::LogMatchProbe& config,
                                                        EventLoop& loop) {
  RETURN_IF_ERROR(CheckLogMatchProbe(config));
  ASSIGN_OR_RETURN(std::unique_ptr<RE2> pattern,
                   CompilePattern("log_match.pattern", config.pattern()));
  ASSIGN_OR_RETURN(std::unique_ptr<RE2> ignore,
                   CompilePattern("log_match.ignore", config.ignore()));
  return std::make_unique<LogMatchProbe>(config, std::move(pattern), std::move(ignore), loop);
}

}  // namespace salve
