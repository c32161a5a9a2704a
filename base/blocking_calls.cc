#include "base/blocking_calls.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/mutex.h"

namespace salve {
namespace {

// Enough for a system call, a pattern and the C library; 16 of the default's 8 MiB would count
// against a memory limit of some kernels.
constexpr size_t kStackBytes = 512 * 1024;
constexpr size_t kNamedMax = 3;

std::string Seconds(absl::Duration d) {
  return absl::StrFormat("%.1f s", absl::ToDoubleSeconds(d));
}

}  // namespace

struct BlockingCalls::Threads {
  struct Job {
    BlockingCallId id;
    ErasedWork work;
  };

  Threads(EventLoop& its_loop, const Options& options, BlockingCalls* its_owner)
      : loop(its_loop),
        count_max(options.threads_max),
        idle_max(options.idle_max),
        owner(its_owner) {}

  // Makes sure that somebody will take `job`. False when there is no thread, nor can one be made.
  static bool Give(const std::shared_ptr<Threads>& self, Job job) ABSL_LOCKS_EXCLUDED(self->mu) {
    MutexLock lock(&self->mu);
    self->jobs.push_back(std::move(job));
    if (self->idle >= self->jobs.size()) {
      self->wake.SignalAll();
      return true;
    }
    // Who has just ended his call and is not idle yet takes the next by himself.
    if (self->count == self->count_max) return true;
    if (StartThread(self)) {
      ++self->count;
    } else if (self->count == 0) {
      self->jobs.pop_back();
      return false;
    }
    return true;
  }

  static bool StartThread(const std::shared_ptr<Threads>& self) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, kStackBytes);
    // Not std::thread, which throws when the kernel gives none.
    auto argument = std::make_unique<std::shared_ptr<Threads>>(self);
    pthread_t thread;
    const int error = pthread_create(&thread, &attributes, &Threads::Main, argument.get());
    pthread_attr_destroy(&attributes);
    if (error == 0) argument.release();
    return error == 0;
  }

  static void* Main(void* argument) {
    const std::unique_ptr<std::shared_ptr<Threads>> self(
        static_cast<std::shared_ptr<Threads>*>(argument));
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);  // Signals are the loop's.
    Job job;
    while ((*self)->Next(job)) {
      ErasedResult result = job.work();
      job.work = nullptr;
      Return(*self, job.id, std::move(result));
    }
    return nullptr;
  }

  // False when the thread should end.
  bool Next(Job& job) ABSL_LOCKS_EXCLUDED(mu) {
    MutexLock lock(&mu);
    bool in_time = true;
    while (jobs.empty() && owner != nullptr && in_time) {
      ++idle;
      in_time = wake.WaitFor(&mu, idle_max);
      --idle;
    }
    if (jobs.empty()) {
      --count;
      return false;
    }
    job = std::move(jobs.front());
    jobs.pop_front();
    return true;
  }

  static void Return(const std::shared_ptr<Threads>& self, BlockingCallId id, ErasedResult result)
      ABSL_LOCKS_EXCLUDED(self->mu) {
    MutexLock lock(&self->mu);
    if (self->owner == nullptr) return;
    // Under the lock: as long as the owner stands here, the loop is there.
    self->loop.Post([self, id, result = std::move(result)]() mutable {
      // On the owner's thread: it cannot go away between these two lines.
      BlockingCalls* owner = self->Owner();
      if (owner != nullptr) owner->Returned(id, std::move(result));
    });
  }

  BlockingCalls* Owner() ABSL_LOCKS_EXCLUDED(mu) {
    MutexLock lock(&mu);
    return owner;
  }

  EventLoop& loop;
  const size_t count_max;
  const absl::Duration idle_max;

  Mutex mu;
  CondVar wake;
  BlockingCalls* owner ABSL_GUARDED_BY(mu);  // Null once it is gone.
  std::deque<Job> jobs ABSL_GUARDED_BY(mu);  // To be taken by the next free thread.
  size_t count ABSL_GUARDED_BY(mu) = 0;
  size_t idle ABSL_GUARDED_BY(mu) = 0;
};

BlockingCalls::BlockingCalls(EventLoop& loop, Options options)
    : loop_(loop), options_(options), threads_(std::make_shared<Threads>(loop, options, this)) {}

BlockingCalls::~BlockingCalls() {
  std::deque<Threads::Job> jobs;  // They end outside the lock.
  {
    MutexLock lock(&threads_->mu);
    threads_->owner = nullptr;
    jobs.swap(threads_->jobs);
  }
  threads_->wake.SignalAll();
  for (auto& [id, call] : calls_) loop_.CancelTimer(call.timer);
}

BlockingCallId BlockingCalls::Start(std::string key, Instant deadline, ErasedWork work,
                                    ErasedDone done) {
  const BlockingCallId id{++last_id_};
  absl::Status refusal = Refusal(key);
  Call& call = calls_[id];
  call = {.key = std::move(key),
          .deadline = deadline,
          .work = std::move(work),
          .done = std::move(done)};
  if (!refusal.ok()) {
    call.timer = loop_.CallAt(loop_.Now(),
                              [this, id, refusal = std::move(refusal)] { Finish(id, refusal); });
    return id;
  }
  call.timer = loop_.CallAt(deadline, [this, id] { OutOfTime(id); });
  waiting_.push_back(id);
  BeginWaiting();
  return id;
}

absl::Status BlockingCalls::Refusal(const std::string& key) const {
  const Running* same = FindRunning(key);
  if (same != nullptr && loop_.Now() >= same->deadline) return SameKeyHangs(*same);
  const bool all_hang =
      running_.size() == options_.threads_max &&
      std::all_of(running_.begin(), running_.end(),
                  [now = loop_.Now()](const auto& r) { return now >= r.second.deadline; });
  if (all_hang) return WhyNotBegun(key);
  if (waiting_.size() >= options_.waiting_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat(key, ": ", waiting_.size(), " calls wait for a thread already"));
  }
  return absl::OkStatus();
}

const BlockingCalls::Running* BlockingCalls::FindRunning(const std::string& key) const {
  for (const auto& [id, running] : running_) {
    if (running.key == key) return &running;
  }
  return nullptr;
}

void BlockingCalls::BeginWaiting() {
  for (auto it = waiting_.begin();
       it != waiting_.end() && running_.size() < options_.threads_max;) {
    if (FindRunning(calls_.at(*it).key) != nullptr) {
      ++it;
      continue;
    }
    const BlockingCallId id = *it;
    it = waiting_.erase(it);
    Begin(id);
  }
}

void BlockingCalls::Begin(BlockingCallId id) {
  Call& call = calls_.at(id);
  running_[id] = {.key = call.key, .since = loop_.Now(), .deadline = call.deadline};
  if (Threads::Give(threads_, {id, std::exchange(call.work, nullptr)})) return;
  running_.erase(id);
  loop_.CancelTimer(call.timer);
  call.timer = loop_.CallAt(loop_.Now(), [this, id, key = call.key] {
    Finish(id, absl::ResourceExhaustedError(absl::StrCat(key, ": no thread can be started")));
  });
}

void BlockingCalls::Returned(BlockingCallId id, ErasedResult result) {
  running_.erase(id);
  BeginWaiting();
  Finish(id, std::move(result));
}

void BlockingCalls::OutOfTime(BlockingCallId id) {
  const Call& call = calls_.at(id);
  absl::Status why;
  if (TakeBack(id)) {
    why = WhyNotBegun(call.key);
    BeginWaiting();
  } else {
    why = absl::DeadlineExceededError(
        absl::StrCat(call.key, ": hangs since ", Seconds(loop_.Now() - running_.at(id).since)));
  }
  Finish(id, why);
}

absl::Status BlockingCalls::WhyNotBegun(const std::string& key) const {
  if (const Running* same = FindRunning(key)) return SameKeyHangs(*same);
  std::vector<std::string> names;
  for (const auto& [id, running] : running_) {
    if (names.size() < kNamedMax) names.push_back(running.key);
  }
  return absl::ResourceExhaustedError(absl::StrCat(key, ": no thread is free, ", running_.size(),
                                                   " are busy: ", absl::StrJoin(names, ", "),
                                                   running_.size() > kNamedMax ? ", …" : ""));
}

absl::Status BlockingCalls::SameKeyHangs(const Running& before) const {
  return absl::AlreadyExistsError(absl::StrCat(before.key, ": the call before hangs since ",
                                               Seconds(loop_.Now() - before.since)));
}

// True when no thread has begun it: then none will.
bool BlockingCalls::TakeBack(BlockingCallId id) {
  if (std::erase(waiting_, id) > 0) return true;
  std::deque<Threads::Job> taken;  // It ends outside the lock.
  MutexLock lock(&threads_->mu);
  auto& jobs = threads_->jobs;
  const auto job =
      std::find_if(jobs.begin(), jobs.end(), [id](const auto& one) { return one.id == id; });
  if (job == jobs.end()) return false;
  taken.push_back(std::move(*job));
  jobs.erase(job);
  running_.erase(id);
  return true;
}

void BlockingCalls::Cancel(BlockingCallId id) {
  auto call = calls_.extract(id);
  if (call.empty()) return;
  loop_.CancelTimer(call.mapped().timer);
  if (TakeBack(id)) BeginWaiting();
}

void BlockingCalls::Finish(BlockingCallId id, absl::StatusOr<ErasedResult> result) {
  auto call = calls_.extract(id);
  if (call.empty()) return;  // Nobody waits for it.
  loop_.CancelTimer(call.mapped().timer);
  call.mapped().done(std::move(result));
}

}  // namespace salve
