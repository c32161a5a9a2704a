#include "base/worker.h"

#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "base/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;

TEST(InlineWorkerTest, RunsATaskInsideThePost) {
  InlineWorker worker;
  bool ran = false;
  worker.Post([&] { ran = true; });
  EXPECT_TRUE(ran);
}

TEST(ThreadWorkerTest, RunsWhatIsQueuedInOrderBeforeItEnds) {
  std::vector<int> ran;
  {
    ThreadWorker worker;
    for (int i = 0; i < 4; ++i) worker.Post([&ran, i] { ran.push_back(i); });
  }
  EXPECT_THAT(ran, ElementsAre(0, 1, 2, 3));
}

TEST(ThreadWorkerTest, RunsTasksOffTheThreadThatPostsThem) {
  std::thread::id id;
  {
    ThreadWorker worker;
    worker.Post([&] { id = std::this_thread::get_id(); });
  }
  EXPECT_NE(id, std::thread::id());
  EXPECT_NE(id, std::this_thread::get_id());
}

TEST(ThreadWorkerTest, RunsWhatATaskPosts) {
  bool ran = false;
  {
    ThreadWorker worker;
    worker.Post([&] { worker.Post([&] { ran = true; }); });
  }
  EXPECT_TRUE(ran);
}

TEST(ThreadWorkerTest, DoesNotKeepThePosterWaiting) {
  Mutex mu;
  CondVar changed;
  bool open = false;
  ThreadWorker worker;
  worker.Post([&] {
    MutexLock lock(&mu);
    while (!open) changed.Wait(&mu);
  });
  worker.Post([] {});  // Would hang if it waited for the first.
  MutexLock lock(&mu);
  open = true;
  changed.SignalAll();
}

TEST(CondVarTest, TellsThatTheTimeHasPassed) {
  Mutex mu;
  CondVar never;
  MutexLock lock(&mu);
  EXPECT_FALSE(never.WaitFor(&mu, absl::Milliseconds(1)));
}

}  // namespace
}  // namespace salve
