// BlockingCalls: system calls that may hang in the kernel (statvfs of a dead NFS, open, readdir),
// off the loop. A thread that hangs cannot be ended: it is left to itself, its call is not made a
// second time while it hangs, and neither the loop nor the end of the process waits for it. Not
// for work that must be done (base/worker.h): here a call may be given up. Lives on the loop's
// thread.
#ifndef SALVE_BASE_BLOCKING_CALLS_H_
#define SALVE_BASE_BLOCKING_CALLS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"

namespace salve {

enum class BlockingCallId : uint64_t { kNone = 0 };

class BlockingCalls {
 public:
  struct Options {
    size_t threads_max = 16;    // Started when they are needed. Calls beyond them wait.
    size_t waiting_max = 4096;  // Calls beyond them are refused.
    absl::Duration idle_max = absl::Seconds(30);  // A thread with nothing to do ends.
  };

  // Requires: `loop` outlives it.
  explicit BlockingCalls(EventLoop& loop) : BlockingCalls(loop, Options()) {}
  BlockingCalls(EventLoop& loop, Options options);
  // No `done` is called any more, and no thread touches the loop. Does not wait for threads.
  ~BlockingCalls();
  BlockingCalls(const BlockingCalls&) = delete;
  BlockingCalls& operator=(const BlockingCalls&) = delete;

  // Calls `work`, which returns a StatusOr, on another thread; then `done` with what it returned,
  // on the loop: once, not inside this call, at the latest at `deadline`. `key` names the call for
  // people ("statvfs of /srv") and tells which are the same: those run one after another.
  // Requires: `work` holds nothing of the loop's thread. It may run, and be destroyed, after this
  //   object is gone.
  // Errors in `done`, beside those of `work`: kDeadlineExceeded: it had begun and is not back;
  //   kAlreadyExists: an earlier one of this key hangs beyond its deadline, or had not ended by
  //   this one's; kResourceExhausted: no thread was free, or too many calls wait.
  template <typename Work, typename Done>
  BlockingCallId Run(std::string key, Instant deadline, Work work, Done done) {
    using Result = std::invoke_result_t<Work&>;
    static_assert(std::is_constructible_v<Result, absl::Status>, "`work` returns a StatusOr");
    return Start(
        std::move(key), deadline,
        [work = std::move(work)]() mutable -> ErasedResult {
          return std::make_shared<Result>(work());
        },
        [done = std::move(done)](absl::StatusOr<ErasedResult> result) mutable {
          if (!result.ok()) return done(Result(result.status()));
          done(std::move(*std::static_pointer_cast<Result>(*result)));
        });
  }

  // `done` is not called any more; `work` may go on. An ended call and kNone are ignored.
  void Cancel(BlockingCallId id);

 private:
  using ErasedResult = std::shared_ptr<void>;
  using ErasedWork = absl::AnyInvocable<ErasedResult()>;
  using ErasedDone = absl::AnyInvocable<void(absl::StatusOr<ErasedResult>)>;

  struct Threads;  // What the threads share with us; the last one that lets go frees it.
  // A call whose `done` is still to come.
  struct Call {
    std::string key;
    Instant deadline;
    ErasedWork work;  // Null once a thread has it.
    ErasedDone done;
    TimerId timer = TimerId::kNone;
  };
  // A call that a thread has, whether or not somebody waits for it.
  struct Running {
    std::string key;
    Instant since;
    Instant deadline;
  };

  BlockingCallId Start(std::string key, Instant deadline, ErasedWork work, ErasedDone done);
  absl::Status Refusal(const std::string& key) const;
  const Running* FindRunning(const std::string& key) const;
  void BeginWaiting();
  void Begin(BlockingCallId id);
  void Returned(BlockingCallId id, ErasedResult result);
  void OutOfTime(BlockingCallId id);
  absl::Status WhyNotBegun(const std::string& key) const;
  absl::Status SameKeyHangs(const Running& before) const;
  bool TakeBack(BlockingCallId id);
  void Finish(BlockingCallId id, absl::StatusOr<ErasedResult> result);

  EventLoop& loop_;
  const Options options_;
  const std::shared_ptr<Threads> threads_;
  uint64_t last_id_ = 0;
  std::map<BlockingCallId, Call> calls_;
  std::deque<BlockingCallId> waiting_;  // In their order; each is in calls_.
  std::map<BlockingCallId, Running> running_;
};

}  // namespace salve

#endif  // SALVE_BASE_BLOCKING_CALLS_H_
