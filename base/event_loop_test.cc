// The contract of EventLoop, run over the loop of libuv and the simulated one.
#include "base/event_loop.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/simulated_loop.h"
#include "base/uv_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

using ::testing::ElementsAre;

class UvKind {
 public:
  EventLoop& loop() { return loop_; }
  void RunFor(absl::Duration d) {
    loop_.CallAfter(d, [this] { loop_.Stop(); });
    loop_.Run();
  }

 private:
  UvLoop loop_;
};

class SimulatedKind {
 public:
  EventLoop& loop() { return loop_; }
  void RunFor(absl::Duration d) { loop_.RunFor(d); }

 private:
  SimulatedLoop loop_;
};

template <typename Kind>
class EventLoopTest : public testing::Test {
 protected:
  void Note(int what) { seen_.push_back(what); }
  EventLoop& loop() { return kind_.loop(); }
  void RunFor(absl::Duration d) { kind_.RunFor(d); }

  std::vector<int> seen_;

 private:
  Kind kind_;
};

using Kinds = testing::Types<UvKind, SimulatedKind>;
TYPED_TEST_SUITE(EventLoopTest, Kinds);

TYPED_TEST(EventLoopTest, NeverRunsATimerInsideTheCallThatMakesIt) {
  this->loop().CallAt(Instant(), [this] { this->Note(1); });
  EXPECT_TRUE(this->seen_.empty());
  this->RunFor(absl::Milliseconds(1));
  EXPECT_THAT(this->seen_, ElementsAre(1));
}

TYPED_TEST(EventLoopTest, RunsTimersInTheOrderOfTheirTimeThenOfRegistration) {
  const Instant now = this->loop().Now();
  this->loop().CallAt(now + absl::Milliseconds(2), [this] { this->Note(3); });
  this->loop().CallAt(now + absl::Milliseconds(1), [this] { this->Note(1); });
  this->loop().CallAt(now + absl::Milliseconds(1), [this] { this->Note(2); });
  this->RunFor(absl::Milliseconds(5));
  EXPECT_THAT(this->seen_, ElementsAre(1, 2, 3));
}

TYPED_TEST(EventLoopTest, RunsATimerOnceAndNotBeforeItsTime) {
  const Instant when = this->loop().Now() + absl::Milliseconds(3);
  Instant ran;
  this->loop().CallAt(when, [&] {
    ran = this->loop().Now();
    this->Note(1);
  });
  this->RunFor(absl::Milliseconds(8));
  EXPECT_GE(ran, when);
  EXPECT_THAT(this->seen_, ElementsAre(1));
}

TYPED_TEST(EventLoopTest, ForgetsACancelledTimerAndKeepsTheNextOne) {
  const TimerId first = this->loop().CallAfter(absl::Milliseconds(1), [this] { this->Note(1); });
  this->loop().CallAfter(absl::Milliseconds(2), [this] { this->Note(2); });
  this->loop().CancelTimer(first);
  this->RunFor(absl::Milliseconds(5));
  EXPECT_THAT(this->seen_, ElementsAre(2));
}

TYPED_TEST(EventLoopTest, IgnoresCancellingNoneAndATimerThatRan) {
  const TimerId id = this->loop().CallAt(Instant(), [this] { this->Note(1); });
  this->RunFor(absl::Milliseconds(1));
  this->loop().CancelTimer(id);
  this->loop().CancelTimer(TimerId::kNone);
  EXPECT_THAT(this->seen_, ElementsAre(1));
}

TYPED_TEST(EventLoopTest, LetsATimerCancelItselfAndOthersThatAreDueTogetherWithIt) {
  const Instant when = this->loop().Now() + absl::Milliseconds(1);
  TimerId self, other;
  self = this->loop().CallAt(when, [&] {
    this->Note(1);
    this->loop().CancelTimer(self);
    this->loop().CancelTimer(other);
  });
  other = this->loop().CallAt(when, [this] { this->Note(2); });
  this->RunFor(absl::Milliseconds(5));
  EXPECT_THAT(this->seen_, ElementsAre(1));
}

TYPED_TEST(EventLoopTest, RunsATimerThatATimerMadeEvenForThePast) {
  this->loop().CallAfter(absl::Milliseconds(1), [this] {
    this->Note(1);
    this->loop().CallAt(Instant(), [this] { this->Note(2); });
  });
  this->RunFor(absl::Milliseconds(5));
  EXPECT_THAT(this->seen_, ElementsAre(1, 2));
}

TYPED_TEST(EventLoopTest, RunsPostedTasksInOrderAndNotInsideThePost) {
  this->loop().Post([this] {
    this->Note(1);
    this->loop().Post([this] { this->Note(3); });
    this->Note(2);
  });
  EXPECT_TRUE(this->seen_.empty());
  this->RunFor(absl::Milliseconds(1));
  EXPECT_THAT(this->seen_, ElementsAre(1, 2, 3));
}

TYPED_TEST(EventLoopTest, NeverCallsATimerInTheInfiniteFuture) {
  this->loop().CallAt(Instant::InfiniteFuture(), [this] { this->Note(1); });
  this->RunFor(absl::Milliseconds(2));
  EXPECT_TRUE(this->seen_.empty());
}

}  // namespace
}  // namespace salve
