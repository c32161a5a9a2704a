// Worker: a place for work that may block (a synced write), off the loop. Tasks run one
// after another, in the order they were posted; what they must tell the engine they Post to
// the loop. Bounded by its users: each has at most one task per key or action under way.
#ifndef SALVE_BASE_WORKER_H_
#define SALVE_BASE_WORKER_H_

#include <deque>
#include <thread>

#include "base/event_loop.h"
#include "base/mutex.h"

namespace salve {

class Worker {
 public:
  virtual ~Worker() = default;
  virtual void Post(Task task) = 0;
};

// Runs each task inside Post: for tests and for tools without a loop.
class InlineWorker final : public Worker {
 public:
  void Post(Task task) override { task(); }
};

// One thread. The destructor runs what is still queued, then joins.
class ThreadWorker final : public Worker {
 public:
  ThreadWorker();
  ~ThreadWorker() override;
  void Post(Task task) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);

  Mutex mu_;
  CondVar wake_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace salve

#endif  // SALVE_BASE_WORKER_H_
