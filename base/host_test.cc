// The contract of Host, run over the real one and the fake.
#include "base/host.h"

#include <poll.h>
#include <signal.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "base/fake_host.h"
#include "base/real_host.h"
#include "base/simulated_loop.h"
#include "base/unique_fd.h"
#include "base/uv_loop.h"
#include "gtest/gtest.h"

namespace salve {
namespace {

class RealKind {
 public:
  Host& host() { return host_; }
  EventLoop& loop() { return loop_; }
  void RunFor(absl::Duration d) {
    loop_.CallAfter(d, [this] { loop_.Stop(); });
    loop_.Run();
  }
  // Runs until `done` has a value, so that a slow machine only makes the test slower.
  template <typename T>
  void RunUntil(const std::optional<T>& done) {
    for (int i = 0; i < 10'000 && !done; ++i) RunFor(absl::Milliseconds(2));
  }

 private:
  UvLoop loop_;
  RealHost host_{loop_};
};

class FakeKind {
 public:
  FakeKind() {
    host_.SetProgram("/bin/true", {.result = {.exit_code = 0}});
    host_.SetProgram("/bin/false", {.result = {.exit_code = 1}});
    host_.SetProgram("/bin/sleep", {.takes = absl::Seconds(1000)});
  }
  Host& host() { return host_; }
  EventLoop& loop() { return loop_; }
  void RunFor(absl::Duration d) { loop_.RunFor(d); }
  template <typename T>
  void RunUntil(const std::optional<T>& done) {
    if (!done) loop_.RunFor(absl::Seconds(10));
  }

 private:
  SimulatedLoop loop_;
  FakeHost host_{loop_};
};

template <typename Kind>
class HostTest : public testing::Test {
 protected:
  Host& host() { return kind_.host(); }
  Instant In(absl::Duration d) { return kind_.loop().Now() + d; }

  // Starts a command whose end goes to ended_.
  absl::StatusOr<StartedCommand> Start(Command command,
                                       absl::Duration timeout = absl::Seconds(60)) {
    return host().RunCommand(command, In(timeout), [this](absl::StatusOr<CommandResult> result) {
      EXPECT_FALSE(ended_.has_value()) << "done was called twice";
      ended_ = std::move(result);
    });
  }
  const CommandResult& End() {
    kind_.RunUntil(ended_);
    return ended_.value().value();
  }

  Kind kind_;
  std::optional<absl::StatusOr<CommandResult>> ended_;
};

using Kinds = testing::Types<RealKind, FakeKind>;
TYPED_TEST_SUITE(HostTest, Kinds);

TYPED_TEST(HostTest, RunsAProgramAndTellsItsEndAfterTheCall) {
  ASSERT_TRUE(this->Start({.argv = {"/bin/true"}}).ok());
  EXPECT_FALSE(this->ended_.has_value());
  EXPECT_EQ(this->End().exit_code, 0);
  EXPECT_EQ(this->End().signal, 0);
  EXPECT_FALSE(this->End().timed_out);
}

TYPED_TEST(HostTest, TellsTheExitCode) {
  ASSERT_TRUE(this->Start({.argv = {"/bin/false"}}).ok());
  EXPECT_EQ(this->End().exit_code, 1);
}

TYPED_TEST(HostTest, DoesNotFindAProgramThatIsNotThere) {
  EXPECT_EQ(this->Start({.argv = {"/no/such/program"}}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(this->Start({.argv = {"no-such-program"}}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(this->Start({}).status().code(), absl::StatusCode::kNotFound);
}

TYPED_TEST(HostTest, KillsAProgramAtItsDeadline) {
  ASSERT_TRUE(this->Start({.argv = {"/bin/sleep", "1000"}}, absl::Milliseconds(20)).ok());
  this->kind_.RunFor(absl::Milliseconds(5));
  EXPECT_FALSE(this->ended_.has_value());
  EXPECT_TRUE(this->End().timed_out);
  EXPECT_EQ(this->End().signal, 9);
  EXPECT_EQ(this->End().exit_code, -1);
}

TYPED_TEST(HostTest, KillsAProgramWhenAsked) {
  const auto started = this->Start({.argv = {"/bin/sleep", "1000"}});
  this->host().KillCommand(started->id);
  EXPECT_FALSE(this->ended_.has_value());
  EXPECT_EQ(this->End().signal, 9);
  EXPECT_FALSE(this->End().timed_out);
  this->host().KillCommand(started->id);
  this->host().KillCommand(CommandId::kNone);
}

TYPED_TEST(HostTest, RunsAHeldProgramOnlyOnceItIsReleased) {
  const auto started = this->Start({.argv = {"/bin/false"}, .held = true});
  ASSERT_TRUE(started.ok());
  this->kind_.RunFor(absl::Milliseconds(20));
  EXPECT_FALSE(this->ended_.has_value());
  this->host().ReleaseCommand(started->id);
  this->host().ReleaseCommand(started->id);
  EXPECT_EQ(this->End().exit_code, 1);
  this->host().ReleaseCommand(started->id);
}

TYPED_TEST(HostTest, KillsAHeldProgramAtItsDeadline) {
  ASSERT_TRUE(this->Start({.argv = {"/bin/true"}, .held = true}, absl::Milliseconds(10)).ok());
  EXPECT_TRUE(this->End().timed_out);
}

TYPED_TEST(HostTest, NeverRunsAHeldProgramThatWasKilledAndThenReleased) {
  const auto started = this->Start({.argv = {"/bin/true"}, .held = true});
  this->host().KillCommand(started->id);
  this->host().ReleaseCommand(started->id);
  EXPECT_EQ(this->End().signal, 9);
}

TYPED_TEST(HostTest, OpensARunningProcessWhoseEndCanBeSeen) {
  const auto started = this->Start({.argv = {"/bin/sleep", "1000"}});
  const UniqueFd process(this->host().OpenProcess(started->process.pid).value());
  pollfd seen = {.fd = process.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&seen, 1, 0), 0);
  this->host().KillCommand(started->id);
  this->End();
  EXPECT_EQ(poll(&seen, 1, 0), 1);
  EXPECT_EQ(this->host().OpenProcess(started->process.pid).status().code(),
            absl::StatusCode::kNotFound);
}

TYPED_TEST(HostTest, SignalsARunningProcessAndNoneThatHasEnded) {
  const auto started = this->Start({.argv = {"/bin/sleep", "1000"}});
  const UniqueFd process(this->host().OpenProcess(started->process.pid).value());
  EXPECT_TRUE(this->host().SignalProcess(process.get(), SIGCONT).ok());
  this->host().KillCommand(started->id);
  this->End();
  EXPECT_EQ(this->host().SignalProcess(process.get(), SIGCONT).code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(this->host().SignalProcess(-1, SIGCONT).ok());
}

TYPED_TEST(HostTest, DoesNotFindAProcessThatIsNotThere) {
  EXPECT_EQ(this->host().OpenProcess(-1).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(this->host().OpenProcess(0).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace salve
