#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/log_mute.h"

namespace salve {
namespace {

constexpr size_t kMessageBytesMax = 2048;

absl::string_view CutAtCharacter(absl::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // UTF-8.
  return text.substr(0, end);
}

class Sink {
 public:
  Sink() {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    // journald has its own times; on a terminal a person wants to see them.
    sink->set_pattern(to_terminal_ ? "%H:%M:%S.%e %v" : "%v");
    logger_ = std::make_unique<spdlog::logger>("", std::move(sink));
    logger_->set_level(spdlog::level::trace);
  }
  void Write(Severity severity, absl::string_view message) const {
    const std::string line = LogLine(severity, message, to_terminal_);
    logger_->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
  }

 private:
  const bool to_terminal_ = isatty(STDERR_FILENO) == 1;
  std::unique_ptr<spdlog::logger> logger_;
};

// How many LogMutes live.
std::atomic<int>& Mutes() {
  static std::atomic<int> mutes{0};
  return mutes;
}

}  // namespace

LogMute::LogMute() { ++Mutes(); }
LogMute::~LogMute() { --Mutes(); }

std::string LogLine(Severity severity, absl::string_view message, bool to_terminal) {
  std::string text(CutAtCharacter(message, kMessageBytesMax));
  for (char& c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = ' ';
  }
  if (text.size() < message.size()) absl::StrAppend(&text, "…");
  return to_terminal ? text : absl::StrCat("<", static_cast<int>(severity), ">", text);
}

void Log(Severity severity, absl::string_view message) {
  if (Mutes() > 0) return;
  // Never destroyed: threads may log until the process has ended.
  static const Sink& sink = *new Sink;
  sink.Write(severity, message);
}

}  // namespace salve
