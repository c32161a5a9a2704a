// UvLoop: the EventLoop over libuv, for one thread. Every timer of the engine stands in one
// ordered map behind a single timerfd on CLOCK_BOOTTIME, because libuv's own timers stop
// during suspend and count whole milliseconds. The loop measures its own turns: a turn is
// the busy time between two waits, and a long one means that some callback blocked.
#ifndef SALVE_BASE_UV_LOOP_H_
#define SALVE_BASE_UV_LOOP_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "base/mutex.h"

namespace salve {

class UvLoop final : public EventLoop {
 public:
  // Ends the process when the kernel gives no epoll, eventfd or timerfd: there is no agent
  // without a loop.
  UvLoop();
  // With another wall clock. Requires: clock.Now() is CLOCK_BOOTTIME, clock outlives the loop.
  explicit UvLoop(const Clock& clock);
  // What still waits (timers, watches, posted tasks) is dropped without being run. Requires:
  // Run is not on the stack, no other thread posts any more.
  ~UvLoop() override;
  UvLoop(const UvLoop&) = delete;
  UvLoop& operator=(const UvLoop&) = delete;

  const Clock& clock() const override { return clock_; }
  TimerId CallAt(Instant when, Task task) override;
  void CancelTimer(TimerId id) override;
  WatchId WatchFd(int fd, int events, FdCallback ready) override;
  void UnwatchFd(WatchId id) override;
  // The queue is bounded by its users: each posts at most one answer for a task it was given.
  void Post(Task task) override ABSL_LOCKS_EXCLUDED(mu_);

  // Calls `task` on the loop each time the process gets `signum` (several that arrive
  // together may be one call), as long as the loop lives. Requires: it can be caught.
  void OnSignal(int signum, Task task);

  // Runs until Stop. May be called again afterwards.
  void Run();
  // Ends Run after the tasks posted before, or the next Run if none is going on. Any thread.
  void Stop() {
    Post([this] { StopNow(); });
  }

  // The longest turn since the start or ResetLongestTurn, ended ones only, and how many took
  // longer than kSlowTurn. On the loop's thread only.
  static constexpr absl::Duration kSlowTurn = absl::Milliseconds(20);
  absl::Duration longest_turn() const { return longest_turn_; }
  int64_t slow_turns() const { return slow_turns_; }
  void ResetLongestTurn();

 private:
  struct Uv;  // libuv's handles; its header stays out of ours.
  struct Watch;
  struct SignalWatch;
  using TimerKey = std::pair<Instant, TimerId>;

  void Open();
  void StopNow();
  void BeforeWait();
  void ArmTimer();
  void RunDueTimers();
  void RunPosted() ABSL_LOCKS_EXCLUDED(mu_);
  void MeasureTurn();

  const SystemClock system_clock_;
  const Clock& clock_;
  std::unique_ptr<Uv> uv_;

  uint64_t last_id_ = 0;
  absl::btree_map<TimerKey, Task> timers_;
  absl::flat_hash_map<TimerId, Instant> timer_times_;
  int timer_fd_ = -1;
  Instant armed_ = Instant::InfiniteFuture();     // What the timerfd is set to; may be too early.
  absl::flat_hash_map<WatchId, Watch*> watches_;  // Each frees itself when libuv lets go of it.

  bool measuring_ = false;  // False until the first wait.
  uint64_t turn_began_nanos_ = 0;
  uint64_t idle_nanos_ = 0;
  absl::Duration longest_turn_ = absl::ZeroDuration();
  int64_t slow_turns_ = 0;

  Mutex mu_;
  std::deque<Task> posted_ ABSL_GUARDED_BY(mu_);
};

}  // namespace salve

#endif  // SALVE_BASE_UV_LOOP_H_
