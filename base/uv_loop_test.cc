#include "base/uv_loop.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;

// Two connected stream sockets that don't block.
class SocketPair {
 public:
  SocketPair() { socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds_); }
  ~SocketPair() {
    CloseMine();
    CloseOther();
  }
  int mine() const { return fds_[0]; }
  int other() const { return fds_[1]; }
  void CloseMine() { Close(fds_[0]); }
  void CloseOther() { Close(fds_[1]); }

 private:
  static void Close(int& fd) {
    if (fd >= 0) close(std::exchange(fd, -1));
  }
  int fds_[2] = {-1, -1};
};

char ReadByte(int fd) {
  char c = 0;
  return read(fd, &c, 1) == 1 ? c : 0;
}

class UvLoopTest : public testing::Test {
 protected:
  UvLoopTest() : loop_(std::make_unique<UvLoop>()) {
    // A callback that never comes fails the test instead of hanging it.
    loop_->CallAfter(absl::Seconds(20), [this] {
      ADD_FAILURE() << "the loop was not stopped";
      loop_->Stop();
    });
  }
  void RunFor(absl::Duration d) {
    loop_->CallAfter(d, [this] { loop_->Stop(); });
    loop_->Run();
  }

  std::unique_ptr<UvLoop> loop_;
};

TEST_F(UvLoopTest, TellsThatADescriptorIsReadableUntilItIsRead) {
  SocketPair pair;
  ASSERT_EQ(write(pair.other(), "ab", 2), 2);
  std::vector<char> got;
  loop_->WatchFd(pair.mine(), kReadable, [&](int events) {
    EXPECT_EQ(events, kReadable);
    got.push_back(ReadByte(pair.mine()));
    if (got.size() == 2) loop_->Stop();
  });
  loop_->Run();
  EXPECT_THAT(got, ElementsAre('a', 'b'));
  RunFor(absl::Milliseconds(2));
  EXPECT_EQ(got.size(), 2);
}

TEST_F(UvLoopTest, TellsThatADescriptorIsWritable) {
  SocketPair pair;
  int seen = 0;
  loop_->WatchFd(pair.mine(), kReadable | kWritable, [&](int events) {
    seen = events;
    loop_->Stop();
  });
  loop_->Run();
  EXPECT_EQ(seen, kWritable);
}

TEST_F(UvLoopTest, TellsAHangUpAsReadable) {
  SocketPair pair;
  int seen = 0;
  const WatchId id = loop_->WatchFd(pair.mine(), kReadable, [&](int events) {
    seen = events;
    loop_->Stop();
  });
  pair.CloseOther();
  loop_->Run();
  loop_->UnwatchFd(id);
  EXPECT_EQ(seen, kReadable);
}

TEST_F(UvLoopTest, GoesOnTellingAnErrorUntilTheWatchEnds) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
  close(fds[0]);  // A pipe that nobody can read any more is an error for its writer.
  int calls = 0;
  WatchId id{};
  id = loop_->WatchFd(fds[1], kWritable, [&](int events) {
    EXPECT_EQ(events, kReadable | kWritable);
    if (++calls == 3) {
      loop_->UnwatchFd(id);
      loop_->Stop();
    }
  });
  loop_->Run();
  RunFor(absl::Milliseconds(2));
  EXPECT_EQ(calls, 3);
  close(fds[1]);
}

TEST_F(UvLoopTest, LetsAWatchEndItselfAndAnotherThatIsReadyInTheSameTurn) {
  SocketPair pairs[2];
  WatchId ids[2];
  int calls = 0;
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(write(pairs[i].other(), "x", 1), 1);
    ids[i] = loop_->WatchFd(pairs[i].mine(), kReadable, [&](int) {
      ++calls;
      loop_->UnwatchFd(ids[0]);
      loop_->UnwatchFd(ids[1]);
    });
  }
  RunFor(absl::Milliseconds(3));
  EXPECT_EQ(calls, 1);
}

TEST_F(UvLoopTest, WatchesANewDescriptorWithTheNumberOfAClosedOne) {
  SocketPair old_pair;
  SocketPair new_pair;
  const int number = old_pair.mine();
  ASSERT_EQ(write(old_pair.other(), "x", 1), 1);
  ASSERT_EQ(write(new_pair.other(), "n", 1), 1);
  char got = 0;
  WatchId id{};
  id = loop_->WatchFd(number, kReadable, [&](int) {
    loop_->UnwatchFd(id);
    ASSERT_EQ(dup2(new_pair.mine(), number), number);  // Closes the old one.
    loop_->WatchFd(number, kReadable, [&](int) {
      got = ReadByte(number);
      loop_->Stop();
    });
  });
  loop_->Run();
  EXPECT_EQ(got, 'n');
}

TEST_F(UvLoopTest, GivesNoWatchForAFileNorForADescriptorThatIsWatched) {
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(loop_->WatchFd(file, kReadable, [](int) {}), WatchId::kNone);
  close(file);
  SocketPair pair;
  EXPECT_NE(loop_->WatchFd(pair.mine(), kReadable, [](int) {}), WatchId::kNone);
  EXPECT_EQ(loop_->WatchFd(pair.mine(), kWritable, [](int) {}), WatchId::kNone);
  loop_->UnwatchFd(WatchId::kNone);
}

TEST_F(UvLoopTest, FreesWhatStillWaitsWhenItIsDestroyed) {
  SocketPair pair;
  auto alive = std::make_shared<int>(0);
  loop_->CallAfter(absl::Hours(1), [alive] {});
  loop_->Post([alive] {});
  loop_->OnSignal(SIGUSR2, [alive] {});
  loop_->WatchFd(pair.mine(), kReadable, [alive](int) {});
  EXPECT_EQ(alive.use_count(), 5);
  loop_.reset();
  EXPECT_EQ(alive.use_count(), 1);
}

// Something that tidies up after itself, as most objects that live on the loop do.
class Tidy {
 public:
  explicit Tidy(EventLoop& loop) : loop_(loop), timer_(loop.CallAfter(absl::Hours(1), [] {})) {}
  ~Tidy() {
    loop_.CancelTimer(timer_);
    loop_.Post([] {});
  }

 private:
  EventLoop& loop_;
  TimerId timer_;
};

TEST_F(UvLoopTest, StandsCallsFromTheCapturesOfTasksThatItDestroys) {
  SocketPair pair;
  loop_->CallAfter(absl::Hours(1), [tidy = std::make_unique<Tidy>(*loop_)] {});
  loop_->Post([tidy = std::make_unique<Tidy>(*loop_)] {});
  loop_->WatchFd(pair.mine(), kReadable, [tidy = std::make_unique<Tidy>(*loop_)](int) {});
  const TimerId cancelled =
      loop_->CallAfter(absl::Hours(1), [tidy = std::make_unique<Tidy>(*loop_)] {});
  loop_->CancelTimer(cancelled);
  loop_.reset();
}

TEST_F(UvLoopTest, RunsEveryTaskThatOtherThreadsPostInTheirOrder) {
  constexpr int kThreads = 4;
  constexpr int kTasks = 500;
  std::vector<int> next(kThreads, 0);
  int total = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kTasks; ++i) {
        loop_->Post([&, t, i] {
          EXPECT_EQ(next[t]++, i);
          if (++total == kThreads * kTasks) loop_->Stop();
        });
      }
    });
  }
  loop_->Run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(total, kThreads * kTasks);
}

TEST_F(UvLoopTest, StopsFromAnotherThreadAfterTheTasksPostedBefore) {
  bool ran = false;
  std::thread other([&] {
    loop_->Post([&] { ran = true; });
    loop_->Stop();
  });
  loop_->Run();
  other.join();
  EXPECT_TRUE(ran);
}

TEST_F(UvLoopTest, ServesDescriptorsWhileATimerCallsItselfAtOnceForEver) {
  SocketPair pair;
  std::function<void()> again = [&] { loop_->CallAt(Instant(), [&] { again(); }); };
  again();
  ASSERT_EQ(write(pair.other(), "x", 1), 1);
  bool served = false;
  loop_->WatchFd(pair.mine(), kReadable, [&](int) {
    served = true;
    loop_->Stop();
  });
  loop_->Run();
  EXPECT_TRUE(served);
}

TEST_F(UvLoopTest, CallsTheTaskAtEachSignal) {
  int calls = 0;
  loop_->OnSignal(SIGUSR1, [&] {
    if (++calls == 2) return loop_->Stop();
    raise(SIGUSR1);
  });
  loop_->Post([] { raise(SIGUSR1); });
  loop_->Run();
  EXPECT_EQ(calls, 2);
}

TEST_F(UvLoopTest, MeasuresTheLongestTurnAndCountsTheSlowOnes) {
  loop_->Post([this] {
    const Instant end = loop_->Now() + absl::Milliseconds(21);
    while (loop_->Now() < end) {
    }
  });
  RunFor(absl::Milliseconds(40));
  EXPECT_GE(loop_->longest_turn(), absl::Milliseconds(21));
  EXPECT_GE(loop_->slow_turns(), 1);
  loop_->ResetLongestTurn();
  EXPECT_EQ(loop_->longest_turn(), absl::ZeroDuration());
  EXPECT_EQ(loop_->slow_turns(), 0);
}

TEST_F(UvLoopTest, DoesNotCountTheWaitAsPartOfATurn) {
  bool waited = false;  // The turn with the wait is counted when the next one begins.
  loop_->CallAfter(absl::Milliseconds(200), [&] { waited = true; });
  RunFor(absl::Milliseconds(201));
  EXPECT_TRUE(waited);
  EXPECT_LT(loop_->longest_turn(), absl::Milliseconds(150));
}

TEST_F(UvLoopTest, TakesAnotherWallClock) {
  SimulatedClock clock(absl::FromUnixSeconds(7));
  UvLoop loop(clock);
  EXPECT_EQ(loop.clock().WallNow(), absl::FromUnixSeconds(7));
}

// The lazily armed timerfd against the plain rule: what was not cancelled runs, in order.
TEST_F(UvLoopTest, RunsExactlyTheTimersThatWereNotCancelled) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  std::map<TimerId, Instant> expected;
  std::vector<std::pair<Instant, TimerId>> ran;
  for (int i = 0; i < 1000; ++i) {
    const Instant when = loop_->Now() + absl::Microseconds(random() % 20'000);
    auto id = std::make_shared<TimerId>();
    *id = loop_->CallAt(when, [&ran, id, when] { ran.emplace_back(when, *id); });
    expected.emplace(*id, when);
    if (random() % 3 == 0) {
      const auto victim = std::next(expected.begin(), random() % expected.size());
      loop_->CancelTimer(victim->first);
      expected.erase(victim);
    }
  }
  RunFor(absl::Milliseconds(60));
  EXPECT_TRUE(std::is_sorted(ran.begin(), ran.end()));
  std::map<TimerId, Instant> got;
  for (const auto& [when, id] : ran) got.emplace(id, when);
  EXPECT_EQ(got, expected);
}

}  // namespace
}  // namespace salve
