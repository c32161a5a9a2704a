// For tools that run an engine for its answers alone: what it would log is no news to anybody.
#ifndef SALVE_BASE_LOG_MUTE_H_
#define SALVE_BASE_LOG_MUTE_H_

namespace salve {

// While one lives, this process logs nothing. Thread-safe.
class LogMute {
 public:
  LogMute();
  ~LogMute();
  LogMute(const LogMute&) = delete;
  LogMute& operator=(const LogMute&) = delete;
};

}  // namespace salve

#endif  // SALVE_BASE_LOG_MUTE_H_
