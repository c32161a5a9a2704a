#include "base/blocking_calls.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/uv_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::StartsWith;

// What a dead file server does to a call: it waits until the test lets go. Shared by the test and
// by threads that may outlive it.
class Gate {
 public:
  // Says that it is there, and waits.
  void Hang() {
    MutexLock lock(&mu_);
    ++waiting_;
    changed_.SignalAll();
    while (!open_) changed_.Wait(&mu_);
  }
  void AwaitWaiting(int count) {
    MutexLock lock(&mu_);
    while (waiting_ < count) changed_.Wait(&mu_);
  }
  void Open() {
    MutexLock lock(&mu_);
    open_ = true;
    changed_.SignalAll();
  }

 private:
  Mutex mu_;
  CondVar changed_;
  int waiting_ ABSL_GUARDED_BY(mu_) = 0;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
};

class BlockingCallsTest : public ::testing::Test {
 protected:
  ~BlockingCallsTest() override { gate_->Open(); }

  void Make(BlockingCalls::Options options = {}) {
    calls_ = std::make_unique<BlockingCalls>(loop_, options);
  }
  void RunFor(absl::Duration d) {
    loop_.CallAfter(d, [this] { loop_.Stop(); });
    loop_.Run();
  }
  void RunUntilEnded(size_t count) {
    for (int i = 0; i < 10'000 && ended_.size() < count; ++i) RunFor(absl::Milliseconds(1));
    ASSERT_EQ(ended_.size(), count);
  }
  BlockingCallId Call(const std::string& key, std::function<absl::StatusOr<int>()> work,
                      absl::Duration timeout = absl::Seconds(20)) {
    return calls_->Run(key, loop_.Now() + timeout, std::move(work),
                       [this](absl::StatusOr<int> result) { ended_.push_back(result); });
  }
  BlockingCallId Hang(const std::string& key, absl::Duration timeout = absl::Milliseconds(10)) {
    return Call(
        key,
        [gate = gate_]() -> absl::StatusOr<int> {
          gate->Hang();
          return 0;
        },
        timeout);
  }
  BlockingCallId Return(const std::string& key, int number) {
    return Call(key, [number]() -> absl::StatusOr<int> { return number; });
  }

  UvLoop loop_;
  std::unique_ptr<BlockingCalls> calls_;
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  std::vector<absl::StatusOr<int>> ended_;
};

TEST_F(BlockingCallsTest, BringsTheResultBackToTheLoop) {
  Make();
  std::thread::id worked;
  std::optional<std::thread::id> told;
  calls_->Run(
      "x", loop_.Now() + absl::Seconds(20),
      [&]() -> absl::StatusOr<std::unique_ptr<int>> {
        worked = std::this_thread::get_id();
        return std::make_unique<int>(7);
      },
      [&](absl::StatusOr<std::unique_ptr<int>> result) {
        EXPECT_EQ(**result, 7);
        told = std::this_thread::get_id();
        loop_.Stop();
      });
  EXPECT_FALSE(told.has_value());
  loop_.Run();
  EXPECT_EQ(told, std::this_thread::get_id());
  EXPECT_NE(worked, std::this_thread::get_id());
}

TEST_F(BlockingCallsTest, BringsTheErrorBackAsItIs) {
  Make();
  Call("x", []() -> absl::StatusOr<int> { return absl::NotFoundError("/x: gone"); });
  RunUntilEnded(1);
  EXPECT_EQ(ended_[0].status(), absl::NotFoundError("/x: gone"));
}

TEST_F(BlockingCallsTest, TellsAtTheDeadlineThatACallHangs) {
  Make();
  Hang("statvfs of /nfs");
  RunUntilEnded(1);
  EXPECT_EQ(ended_[0].status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(ended_[0].status().message()),
              StartsWith("statvfs of /nfs: hangs since 0.0 s"));
  gate_->Open();
  RunFor(absl::Milliseconds(20));
  EXPECT_EQ(ended_.size(), 1) << "what came back late was told";
}

TEST_F(BlockingCallsTest, DoesNotCallASecondTimeWhatHangs) {
  Make();
  Hang("a");
  RunUntilEnded(1);
  Return("a", 1);
  EXPECT_EQ(ended_.size(), 1) << "inside the call";
  RunUntilEnded(2);
  EXPECT_EQ(ended_[1].status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(ended_[1].status().message()),
              StartsWith("a: the call before hangs since"));
  Return("b", 2);  // Others are served.
  RunUntilEnded(3);
  EXPECT_EQ(ended_[2].value(), 2);
}

TEST_F(BlockingCallsTest, CallsAgainWhatHangsNoMore) {
  Make();
  Hang("a");
  RunUntilEnded(1);
  gate_->Open();
  for (int i = 0; i < 1000 && !ended_.back().ok(); ++i) {
    Return("a", 1);
    RunUntilEnded(ended_.size() + 1);
  }
  EXPECT_EQ(ended_.back().value(), 1);
}

TEST_F(BlockingCallsTest, CallsOfOneKeyRunOneAfterAnother) {
  Make();
  Hang("a", absl::Seconds(20));
  gate_->AwaitWaiting(1);
  Return("a", 1);
  Return("b", 2);
  RunUntilEnded(1);
  EXPECT_EQ(ended_[0].value(), 2);
  gate_->Open();
  RunUntilEnded(3);
  EXPECT_EQ(ended_[1].value(), 0);
  EXPECT_EQ(ended_[2].value(), 1);
}

TEST_F(BlockingCallsTest, WhoWaitsForTheSameKeyIsToldWhatHangs) {
  Make();
  Hang("a", absl::Seconds(20));
  Call(
      "a", []() -> absl::StatusOr<int> { return 1; }, absl::Milliseconds(10));
  RunUntilEnded(1);
  EXPECT_EQ(ended_[0].status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(BlockingCallsTest, WaitsForAThreadWhileAllAreBusy) {
  Make({.threads_max = 2});
  Hang("a", absl::Seconds(20));
  Hang("b", absl::Seconds(20));
  Return("c", 3);
  RunFor(absl::Milliseconds(10));
  EXPECT_THAT(ended_, IsEmpty());
  gate_->Open();
  RunUntilEnded(3);
  EXPECT_THAT(ended_, Contains(absl::StatusOr<int>(3)));
}

TEST_F(BlockingCallsTest, TellsThatNoThreadWasFreeInTime) {
  Make({.threads_max = 1});
  Hang("a", absl::Seconds(20));
  Call(
      "b", []() -> absl::StatusOr<int> { return 1; }, absl::Milliseconds(10));
  RunUntilEnded(1);
  EXPECT_EQ(ended_[0].status(),
            absl::ResourceExhaustedError("b: no thread is free, 1 are busy: a"));
}

TEST_F(BlockingCallsTest, RefusesAtOnceWhenAllThreadsHang) {
  Make({.threads_max = 4});
  for (const char* key : {"a", "b", "c", "d"}) Hang(key);
  RunUntilEnded(4);
  Return("e", 1);  // With 20 s of time.
  RunUntilEnded(5);
  EXPECT_EQ(ended_[4].status(),
            absl::ResourceExhaustedError("e: no thread is free, 4 are busy: a, b, c, …"));
}

TEST_F(BlockingCallsTest, RefusesWhatIsTooMuchToWait) {
  Make({.threads_max = 1, .waiting_max = 2});
  Hang("a", absl::Seconds(20));
  Return("b", 1);
  Return("c", 2);
  Return("d", 3);
  RunUntilEnded(1);
  EXPECT_EQ(ended_[0].status(),
            absl::ResourceExhaustedError("d: 2 calls wait for a thread already"));
  gate_->Open();
  RunUntilEnded(4);
  EXPECT_EQ(ended_[3].value(), 2);
}

TEST_F(BlockingCallsTest, TellsNothingOfACancelledCall) {
  Make({.threads_max = 1});
  const BlockingCallId running = Hang("a", absl::Seconds(20));
  gate_->AwaitWaiting(1);  // Before that it can be taken back, and the next has its thread.
  bool ran = false;
  const BlockingCallId waiting = Call("b", [&ran]() -> absl::StatusOr<int> {
    ran = true;
    return 1;
  });
  calls_->Cancel(running);
  calls_->Cancel(waiting);
  calls_->Cancel(BlockingCallId::kNone);
  gate_->Open();
  Return("c", 3);
  RunUntilEnded(1);
  EXPECT_EQ(ended_[0].value(), 3);
  EXPECT_FALSE(ran);
  calls_->Cancel(running);
}

TEST_F(BlockingCallsTest, ACallMayBeginAnotherInItsDone) {
  Make();
  int second = 0;
  calls_->Run(
      "a", loop_.Now() + absl::Seconds(20), []() -> absl::StatusOr<int> { return 1; },
      [&](absl::StatusOr<int>) {
        calls_->Run(
            "a", loop_.Now() + absl::Seconds(20), []() -> absl::StatusOr<int> { return 2; },
            [&](absl::StatusOr<int> result) {
              second = *result;
              loop_.Stop();
            });
      });
  loop_.Run();
  EXPECT_EQ(second, 2);
}

TEST_F(BlockingCallsTest, AThreadServesMoreThanOneCallAndMayEndBetweenThem) {
  for (const absl::Duration idle : {absl::Seconds(30), absl::ZeroDuration()}) {
    Make({.threads_max = 1, .idle_max = idle});
    ended_.clear();
    for (int i = 0; i < 20; ++i) {
      Return("a", i);
      RunUntilEnded(i + 1);
      EXPECT_EQ(ended_.back().value(), i);
    }
  }
}

TEST_F(BlockingCallsTest, ServesManyCallsOfManyKeys) {
  Make({.threads_max = 3});
  int sum = 0;
  for (int i = 0; i < 500; ++i) Return(absl::StrCat(i % 7), i);
  RunUntilEnded(500);
  for (const auto& result : ended_) sum += result.value();
  EXPECT_EQ(sum, 499 * 500 / 2);
}

// Tells when it is destroyed: with the work that holds it.
struct TellsItsEnd {
  explicit TellsItsEnd(std::shared_ptr<Gate> gate) : ended(std::move(gate)) {}
  ~TellsItsEnd() { ended->Open(); }
  const std::shared_ptr<Gate> ended;
};

// A thread that hangs for ever must not hold up the end of the agent, and must touch nothing of it
// when it comes back after all.
TEST(BlockingCallsEndTest, AHangingThreadOutlivesTheLoop) {
  const auto gate = std::make_shared<Gate>();
  const auto ended = std::make_shared<Gate>();
  {
    UvLoop loop;
    BlockingCalls calls(loop);
    calls.Run(
        "a", loop.Now() + absl::Seconds(20),
        [gate, told = std::make_unique<TellsItsEnd>(ended)]() -> absl::StatusOr<int> {
          gate->Hang();
          return 1;
        },
        [](absl::StatusOr<int>) { ADD_FAILURE() << "done after the end"; });
    gate->AwaitWaiting(1);
  }
  gate->Open();
  ended->Hang();  // Until the work is gone.
}

TEST(BlockingCallsEndTest, WhatHasReturnedBeforeTheEndIsNotTold) {
  UvLoop loop;
  const auto ended = std::make_shared<Gate>();
  {
    BlockingCalls calls(loop);
    calls.Run(
        "a", loop.Now() + absl::Seconds(20),
        [told = std::make_unique<TellsItsEnd>(ended)]() -> absl::StatusOr<int> { return 1; },
        [](absl::StatusOr<int>) { ADD_FAILURE() << "done after the end"; });
    ended->Hang();
  }
  loop.CallAfter(absl::Milliseconds(10), [&] { loop.Stop(); });
  loop.Run();
}

TEST(BlockingCallsEndTest, WhatWaitsAtTheEndIsDropped) {
  UvLoop loop;
  const auto gate = std::make_shared<Gate>();
  auto unused = std::make_shared<int>(1);
  {
    BlockingCalls calls(loop, {.threads_max = 1});
    const auto hang = [gate, unused]() -> absl::StatusOr<int> {
      gate->Hang();
      return 1;
    };
    const auto done = [](absl::StatusOr<int>) { ADD_FAILURE() << "done after the end"; };
    calls.Run("a", loop.Now() + absl::Seconds(20), hang, done);
    calls.Run("b", loop.Now() + absl::Seconds(20), hang, done);
    gate->AwaitWaiting(1);
    EXPECT_EQ(unused.use_count(), 4);
  }
  EXPECT_EQ(unused.use_count(), 2);  // The one that hangs has its own.
  gate->Open();
}

}  // namespace
}  // namespace salve
