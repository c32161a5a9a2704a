// The agent's own log: short lines on standard error, with the priority that journald reads
// ("<4>…") when standard error is not a terminal. What the engine does belongs in channels/;
// the log is for the agent's own life and for what can't be written there. Thread-safe.
#ifndef SALVE_BASE_LOG_H_
#define SALVE_BASE_LOG_H_

#include <string>

#include "absl/strings/string_view.h"

namespace salve {

enum class Severity { kCritical = 2, kError = 3, kWarning = 4, kNotice = 5, kInfo = 6, kDebug = 7 };

// Writes one line; line breaks and other control characters inside become spaces, what is
// beyond 2 KiB is cut.
void Log(Severity severity, absl::string_view message);

// What Log writes: "<4>message", to a terminal without the priority.
std::string LogLine(Severity severity, absl::string_view message, bool to_terminal);

inline void LogInfo(absl::string_view message) { Log(Severity::kInfo, message); }
inline void LogWarning(absl::string_view message) { Log(Severity::kWarning, message); }
inline void LogError(absl::string_view message) { Log(Severity::kError, message); }

}  // namespace salve

#endif  // SALVE_BASE_LOG_H_
