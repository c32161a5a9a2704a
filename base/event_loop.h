// EventLoop: the one thread on which the engine lives. Timers run on boot time; file
// descriptors and work from other threads arrive as calls on the loop's thread. No callback
// may block. The implementation over libuv is uv_loop.h; simulated_loop.h is for tests.
#ifndef SALVE_BASE_EVENT_LOOP_H_
#define SALVE_BASE_EVENT_LOOP_H_

#include <cstdint>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace salve {

using Task = absl::AnyInvocable<void()>;
using FdCallback = absl::AnyInvocable<void(int events)>;

enum class TimerId : uint64_t { kNone = 0 };
enum class WatchId : uint64_t { kNone = 0 };

inline constexpr int kReadable = 1;
inline constexpr int kWritable = 2;

class EventLoop {
 public:
  virtual ~EventLoop() = default;

  virtual const Clock& clock() const = 0;

  // Calls `task` once, at `when` or as soon after as the loop is free; never inside this call.
  // Timers that are due together run in the order of `when`, then of registration.
  virtual TimerId CallAt(Instant when, Task task) = 0;
  // Forgets a timer. A timer that ran, or kNone, is ignored.
  virtual void CancelTimer(TimerId id) = 0;

  // Calls `ready` whenever `fd` has one of `events` (kReadable | kWritable; level-triggered;
  // an error or hang-up counts as both). The caller keeps the descriptor, and ends the watch
  // before it closes it. One watch a descriptor at a time. Returns kNone when it cannot be
  // watched: a regular file, or no room in the kernel.
  virtual WatchId WatchFd(int fd, int events, FdCallback ready) = 0;
  // Ends a watch; its callback is not called again, also not later in this turn. kNone and an
  // ended watch are ignored. Allowed inside the watch's own callback.
  virtual void UnwatchFd(WatchId id) = 0;

  // Runs `task` on the loop's thread, in order. The only call that is allowed from any thread.
  virtual void Post(Task task) = 0;

  Instant Now() const { return clock().Now(); }
  TimerId CallAfter(absl::Duration delay, Task task) {
    return CallAt(Now() + delay, std::move(task));
  }
};

}  // namespace salve

#endif  // SALVE_BASE_EVENT_LOOP_H_
