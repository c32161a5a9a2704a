#include "base/worker.h"

#include <utility>

namespace salve {

ThreadWorker::ThreadWorker() : thread_([this] { Run(); }) {}

ThreadWorker::~ThreadWorker() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
  }
  wake_.SignalAll();
  thread_.join();
}

void ThreadWorker::Post(Task task) {
  {
    MutexLock lock(&mu_);
    tasks_.push_back(std::move(task));
  }
  wake_.SignalAll();
}

void ThreadWorker::Run() {
  while (true) {
    Task task;
    {
      MutexLock lock(&mu_);
      while (tasks_.empty() && !stopping_) wake_.Wait(&mu_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace salve
