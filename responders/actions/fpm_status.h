// FpmStatus: asks a pool of php-fpm for its status page, over FastCGI. The page waits in the same
// queue as every request, so an answer means that a worker serves. Lives on the loop's thread.
#ifndef SALVE_RESPONDERS_ACTIONS_FPM_STATUS_H_
#define SALVE_RESPONDERS_ACTIONS_FPM_STATUS_H_

#include <sys/socket.h>

#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace salve {

// Where a pool listens.
struct FpmAddress {
  sockaddr_storage address = {};
  socklen_t size = 0;
};
// "unix:/run/php/fpm.sock", "tcp:127.0.0.1:9000", "tcp:[::1]:9000".
// Errors: kInvalidArgument.
absl::StatusOr<FpmAddress> ParseFpmAddress(absl::string_view text);

class FpmStatus {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::string> page)>;

  // Requires: `loop` outlives it.
  explicit FpmStatus(EventLoop& loop) : loop_(loop) {}
  ~FpmStatus() { Close(); }
  FpmStatus(const FpmStatus&) = delete;
  FpmStatus& operator=(const FpmStatus&) = delete;

  // Asks once; `done` is called by `deadline`, never inside this call. While the queue of a Unix
  // socket is full it is tried again. Requires: none is being asked; as FastCgiGet for `path`.
  // Errors in `done`: kDeadlineExceeded: no answer; kUnavailable: no connection, another answer
  // than a page (its HTTP status), or none of FastCGI.
  void Ask(const FpmAddress& address, const std::string& path, Instant deadline, Done done);

 private:
  void Connect();
  void Ready(int events);
  void Send();
  void Read();
  void Finish(absl::StatusOr<std::string> page);
  void Close();

  EventLoop& loop_;
  FpmAddress address_;
  Done done_;
  UniqueFd socket_;
  WatchId watch_ = WatchId::kNone;
  TimerId retry_ = TimerId::kNone;
  TimerId deadline_ = TimerId::kNone;
  std::string to_send_;
  std::string received_;
};

// What of a status page tells how the pool is: "active processes 1, idle processes 7, listen queue
// 0".
std::string FpmStatusText(absl::string_view page);

}  // namespace salve

#endif  // SALVE_RESPONDERS_ACTIONS_FPM_STATUS_H_
