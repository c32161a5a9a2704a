// SimulatedLoop: an EventLoop on a simulated clock. Nothing happens until the test calls
// RunFor; then timers fire in order and time jumps from one to the next. Descriptors are not
// watched. One thread only.
#ifndef SALVE_BASE_SIMULATED_LOOP_H_
#define SALVE_BASE_SIMULATED_LOOP_H_

#include <deque>
#include <map>
#include <unordered_map>
#include <utility>

#include "base/event_loop.h"

namespace salve {

class SimulatedLoop final : public EventLoop {
 public:
  SimulatedLoop() = default;
  explicit SimulatedLoop(SimulatedClock clock) : clock_(clock) {}

  const Clock& clock() const override { return clock_; }
  SimulatedClock& simulated_clock() { return clock_; }

  TimerId CallAt(Instant when, Task task) override {
    const TimerId id{++last_id_};
    timers_.emplace(std::pair(when, id), std::move(task));
    due_.emplace(id, when);
    return id;
  }
  void CancelTimer(TimerId id) override {
    const auto due = due_.find(id);
    if (due == due_.end()) return;
    timers_.erase({due->second, id});
    due_.erase(due);
  }
  WatchId WatchFd(int, int, FdCallback) override { return WatchId{++last_id_}; }
  void UnwatchFd(WatchId) override {}
  void Post(Task task) override { posted_.push_back(std::move(task)); }

  // Runs everything that is due now, and what that makes due now.
  void RunPending() { RunUntil(clock_.Now()); }
  // Moves time by `d`, running all that comes due on the way.
  void RunFor(absl::Duration d) { RunUntil(clock_.Now() + d); }

 private:
  void RunUntil(Instant end) {
    while (true) {
      if (!posted_.empty()) {
        Task task = std::move(posted_.front());
        posted_.pop_front();
        task();
        continue;
      }
      if (timers_.empty() || timers_.begin()->first.first > end) break;
      auto timer = timers_.extract(timers_.begin());
      due_.erase(timer.key().second);
      if (timer.key().first > clock_.Now()) clock_.Advance(timer.key().first - clock_.Now());
      timer.mapped()();
    }
    if (end > clock_.Now()) clock_.Advance(end - clock_.Now());
  }

  SimulatedClock clock_;
  uint64_t last_id_ = 0;
  std::map<std::pair<Instant, TimerId>, Task> timers_;
  std::unordered_map<TimerId, Instant> due_;  // Of each of timers_: a fleet has many.
  std::deque<Task> posted_;
};

}  // namespace salve

#endif  // SALVE_BASE_SIMULATED_LOOP_H_
