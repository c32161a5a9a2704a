#include "base/uv_loop.h"

#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <vector>

#include "base/check.h"

namespace salve {
namespace {

timespec ToTimespec(Instant when) {
  // Zero would disarm the timer; what lies before the boot is simply due.
  const int64_t nanos = std::max<int64_t>(when.nanos_since_boot(), 1);
  return {.tv_sec = nanos / 1'000'000'000, .tv_nsec = nanos % 1'000'000'000};
}

}  // namespace

struct UvLoop::Uv {
  uv_loop_t loop;
  uv_prepare_t prepare;
  uv_async_t async;
  uv_poll_t timer;
};

struct UvLoop::Watch {
  uv_poll_t handle;
  int events;
  FdCallback ready;

  static void Start(Watch* watch) {
    const int flags = ((watch->events & kReadable) ? UV_READABLE : 0) |
                      ((watch->events & kWritable) ? UV_WRITABLE : 0);
    CHECK(uv_poll_start(&watch->handle, flags, &Watch::Ready) == 0);
  }

  static void Ready(uv_poll_t* handle, int status, int flags) {
    auto* watch = static_cast<Watch*>(handle->data);
    if (status == 0) {
      watch->ready(((flags & UV_READABLE) ? kReadable : 0) |
                   ((flags & UV_WRITABLE) ? kWritable : 0));
      return;
    }
    watch->ready(kReadable | kWritable);
    // On an error libuv ends the watch by itself; ours are level-triggered.
    if (!uv_is_closing(reinterpret_cast<uv_handle_t*>(handle))) Start(watch);
  }
};

struct UvLoop::SignalWatch {
  uv_signal_t handle;
  Task task;
};

UvLoop::UvLoop() : clock_(system_clock_), uv_(std::make_unique<Uv>()) { Open(); }

UvLoop::UvLoop(const Clock& clock) : clock_(clock), uv_(std::make_unique<Uv>()) { Open(); }

void UvLoop::Open() {
  CHECK(uv_loop_init(&uv_->loop) == 0);
  CHECK(uv_loop_configure(&uv_->loop, UV_METRICS_IDLE_TIME) == 0);
  uv_->loop.data = this;

  uv_prepare_init(&uv_->loop, &uv_->prepare);
  uv_prepare_start(&uv_->prepare, [](uv_prepare_t* handle) {
    static_cast<UvLoop*>(handle->loop->data)->BeforeWait();
  });
  CHECK(uv_async_init(&uv_->loop, &uv_->async, [](uv_async_t* handle) {
          static_cast<UvLoop*>(handle->loop->data)->RunPosted();
        }) == 0);

  timer_fd_ = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  CHECK(timer_fd_ >= 0);
  CHECK(uv_poll_init(&uv_->loop, &uv_->timer, timer_fd_) == 0);
  CHECK(uv_poll_start(&uv_->timer, UV_READABLE, [](uv_poll_t* handle, int, int) {
          static_cast<UvLoop*>(handle->loop->data)->RunDueTimers();
        }) == 0);
}

UvLoop::~UvLoop() {
  // What the tasks have captured may, while it is destroyed, still call this loop: take the
  // tasks out before they end.
  {
    auto timers = std::exchange(timers_, {});
    timer_times_.clear();
    std::deque<Task> posted;
    MutexLock lock(&mu_);
    posted.swap(posted_);
  }
  std::vector<WatchId> left;
  for (const auto& [id, watch] : watches_) left.push_back(id);
  for (WatchId id : left) UnwatchFd(id);

  // Signal handles free themselves; the watches have their close already under way.
  uv_walk(
      &uv_->loop,
      [](uv_handle_t* handle, void*) {
        if (uv_is_closing(handle)) return;
        uv_close(handle, [](uv_handle_t* closed) {
          if (closed->type == UV_SIGNAL) delete static_cast<SignalWatch*>(closed->data);
        });
      },
      nullptr);
  uv_run(&uv_->loop, UV_RUN_DEFAULT);
  CHECK(uv_loop_close(&uv_->loop) == 0);
  close(timer_fd_);
}

TimerId UvLoop::CallAt(Instant when, Task task) {
  const TimerId id{++last_id_};
  timers_.emplace(TimerKey(when, id), std::move(task));
  timer_times_.emplace(id, when);
  return id;
}

void UvLoop::CancelTimer(TimerId id) {
  const auto it = timer_times_.find(id);
  if (it == timer_times_.end()) return;
  // The task ends last: what it has captured may call us while it is destroyed.
  const auto timer = timers_.extract(TimerKey(it->second, id));
  timer_times_.erase(it);
}

WatchId UvLoop::WatchFd(int fd, int events, FdCallback ready) {
  CHECK(events != 0 && (events & ~(kReadable | kWritable)) == 0);
  auto watch = std::make_unique<Watch>();
  if (uv_poll_init(&uv_->loop, &watch->handle, fd) != 0) return WatchId::kNone;
  watch->handle.data = watch.get();
  watch->events = events;
  watch->ready = std::move(ready);
  Watch::Start(watch.get());
  const WatchId id{++last_id_};
  watches_.emplace(id, watch.release());
  return id;
}

void UvLoop::UnwatchFd(WatchId id) {
  const auto it = watches_.find(id);
  if (it == watches_.end()) return;
  Watch* watch = it->second;
  watches_.erase(it);
  // The watch may be on the stack: it is freed at the end of the turn.
  uv_close(reinterpret_cast<uv_handle_t*>(&watch->handle),
           [](uv_handle_t* closed) { delete static_cast<Watch*>(closed->data); });
}

void UvLoop::Post(Task task) {
  MutexLock lock(&mu_);
  posted_.push_back(std::move(task));
  if (posted_.size() == 1) uv_async_send(&uv_->async);
}

void UvLoop::OnSignal(int signum, Task task) {
  auto* watch = new SignalWatch{.handle = {}, .task = std::move(task)};  // Freed in ~UvLoop.
  uv_signal_init(&uv_->loop, &watch->handle);
  watch->handle.data = watch;
  CHECK(uv_signal_start(
            &watch->handle,
            [](uv_signal_t* handle, int) { static_cast<SignalWatch*>(handle->data)->task(); },
            signum) == 0);
}

void UvLoop::Run() {
  measuring_ = false;
  uv_run(&uv_->loop, UV_RUN_DEFAULT);
}

void UvLoop::StopNow() { uv_stop(&uv_->loop); }

void UvLoop::ResetLongestTurn() {
  longest_turn_ = absl::ZeroDuration();
  slow_turns_ = 0;
}

void UvLoop::BeforeWait() {
  ArmTimer();
  MeasureTurn();
}

void UvLoop::ArmTimer() {
  // Timers that are cancelled leave the timerfd as it is: most of them are time limits, and a
  // wake-up for nothing now and then is cheaper than a system call for each.
  if (timers_.empty() || timers_.begin()->first.first >= armed_) return;
  armed_ = timers_.begin()->first.first;
  const itimerspec spec = {.it_interval = {}, .it_value = ToTimespec(armed_)};
  CHECK(timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &spec, nullptr) == 0);
}

void UvLoop::RunDueTimers() {
  uint64_t expirations;
  if (read(timer_fd_, &expirations, sizeof(expirations)) < 0) return;  // Re-armed meanwhile.
  armed_ = Instant::InfiniteFuture();
  const Instant now = clock_.Now();
  // Timers that are made during this turn wait for the next, else a task that calls itself
  // again at once would keep the descriptors waiting for ever.
  const TimerId last{last_id_};
  auto it = timers_.begin();
  while (it != timers_.end() && it->first.first <= now) {
    if (it->first.second > last) {
      ++it;
      continue;
    }
    const TimerKey key = it->first;
    Task task = std::move(it->second);
    timers_.erase(it);
    timer_times_.erase(key.second);
    task();
    it = timers_.upper_bound(key);
  }
}

void UvLoop::RunPosted() {
  std::deque<Task> tasks;
  {
    MutexLock lock(&mu_);
    tasks.swap(posted_);
  }
  for (Task& task : tasks) task();
}

void UvLoop::MeasureTurn() {
  // Not boot time: libuv's count of idle time stands still during suspend, so must this.
  const uint64_t now = uv_hrtime();
  const uint64_t idle = uv_metrics_idle_time(&uv_->loop);
  if (measuring_) {
    const uint64_t passed = now - turn_began_nanos_;
    const uint64_t waited = std::min(idle - idle_nanos_, passed);
    const absl::Duration turn = absl::Nanoseconds(passed - waited);
    longest_turn_ = std::max(longest_turn_, turn);
    if (turn > kSlowTurn) ++slow_turns_;
  }
  measuring_ = true;
  turn_began_nanos_ = now;
  idle_nanos_ = idle;
}

}  // namespace salve
