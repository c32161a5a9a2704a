#include "probes/clock_probe.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/timex.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/uv_loop.h"
#include "probes/ntp_packet.h"
#include "probes/test_servers.h"

namespace salve {
namespace {

using Datagrams = std::vector<std::string>;

// What a server whose clock is `ahead` of ours answers; byte 0 and 1 as given.
std::string AnswerTo(const std::string& question, absl::Duration ahead = absl::ZeroDuration(),
                     int first = 0x24, int stratum = 2) {
  std::string answer(kNtpPacketBytes, '\0');
  answer[0] = static_cast<char>(first);
  answer[1] = static_cast<char>(stratum);
  answer.replace(24, 8, question.substr(40, 8));
  const uint64_t time = NtpOfTime(absl::Now() + ahead);
  for (size_t i = 0; i < 8; ++i) {
    answer[32 + i] = answer[40 + i] = static_cast<char>(time >> (56 - 8 * i));
  }
  return answer;
}

TestUdpServer::Handler Ahead(absl::Duration ahead) {
  return [ahead](const std::string& question) { return Datagrams{AnswerTo(question, ahead)}; };
}

class ClockProbeTest : public ::testing::Test {
 protected:
  Observation Look(absl::Duration timeout = absl::Seconds(20)) {
    auto probe = NewClockProbe(config_, loop_, resolver_, {.kernel = [this] { return kernel_; }});
    EXPECT_TRUE(probe.ok()) << probe.status();
    if (!probe.ok()) return {};
    std::optional<Observation> seen;
    (*probe)->Start(loop_.Now() + timeout, [&](Observation o) {
      seen = std::move(o);
      loop_.Stop();
    });
    loop_.Run();  // Also when the look has ended: else the next one would be stopped by it.
    return *seen;
  }
  Observation LookAt(const TestUdpServer& server, absl::Duration timeout = absl::Seconds(20)) {
    config_.set_ntp_server("127.0.0.1");
    config_.set_port(static_cast<uint32_t>(server.port()));
    return Look(timeout);
  }
  static std::string Attribute(const Observation& seen, const std::string& name) {
    for (const auto& [key, value] : seen.attributes) {
      if (key == name) return value;
    }
    return "";
  }
  static double Value(const Observation& seen, const std::string& name) {
    for (const ProbeValue& value : seen.values) {
      if (value.name == name) return value.number;
    }
    return -1;
  }

  UvLoop loop_;
  TestNameServer names_;
  Resolver resolver_{
      loop_, {.servers = names_.address(), .server_timeout = absl::Milliseconds(50), .tries = 1}};
  absl::StatusOr<KernelClock> kernel_ =
      KernelClock{.is_synchronised = true, .estimated_error = absl::Microseconds(1500)};
  config::ClockProbe config_;
};

TEST_F(ClockProbeTest, PassesWhileTheKernelIsSynchronised) {
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  ASSERT_EQ(seen.values.size(), 1u);
  EXPECT_EQ(seen.values[0].name, "estimated_error_ms");
  EXPECT_EQ(seen.values[0].number, 1.5);
  EXPECT_EQ(Attribute(seen, "synchronised"), "true");
}

TEST_F(ClockProbeTest, FailsWhenTheKernelIsNotSynchronised) {
  kernel_->is_synchronised = false;
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "the kernel calls its clock not synchronised");
  EXPECT_EQ(Attribute(seen, "synchronised"), "false");
  config_.set_need_synchronised(false);
  EXPECT_EQ(Look().error, "");
}

TEST_F(ClockProbeTest, AKernelThatCannotBeAskedIsRejected) {
  kernel_ = absl::PermissionDeniedError("forbidden");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "forbidden");
  EXPECT_TRUE(seen.values.empty());
  const TestUdpServer server(Ahead(absl::ZeroDuration()));
  EXPECT_EQ(LookAt(server).error, "") << "an NTP server is enough";
  config_.set_need_synchronised(true);
  EXPECT_EQ(LookAt(server).outcome, Outcome::kRejected);
}

TEST_F(ClockProbeTest, ComparesWithAServer) {
  TestUdpServer server(Ahead(absl::Milliseconds(-500)));
  const Observation seen = LookAt(server);
  EXPECT_EQ(seen.error, "");
  ASSERT_EQ(seen.values.size(), 4u);
  EXPECT_EQ(seen.values[0].name, "offset_ms");
  EXPECT_NEAR(seen.values[0].number, 500, 400) << "ours is ahead";
  EXPECT_EQ(seen.values[1].name, "estimated_error_ms");
  EXPECT_EQ(Value(seen, "stratum"), 2);
  EXPECT_GE(Value(seen, "latency_ms"), 0);
  EXPECT_EQ(Attribute(seen, "ntp_server"), server.address());
}

TEST_F(ClockProbeTest, FailsWhenTheClocksDifferTooMuch) {
  const TestUdpServer ahead(Ahead(absl::Minutes(61)));
  Observation seen = LookAt(ahead);
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_TRUE(absl::StartsWith(seen.error, "our clock is 36")) << seen.error;  // 3660 seconds.
  EXPECT_TRUE(absl::StrContains(
      seen.error, absl::StrCat(" ms behind ", ahead.address(), ", expected at most 1s and ")))
      << seen.error;
  EXPECT_NEAR(Value(seen, "offset_ms"), -3'660'000, 1000);

  const TestUdpServer behind(Ahead(absl::Minutes(-1)));
  config_.set_max_offset("55s");
  seen = LookAt(behind);
  EXPECT_TRUE(absl::StrContains(seen.error, " ms ahead of ")) << seen.error;
  config_.set_max_offset("65s");
  EXPECT_EQ(LookAt(behind).error, "");
}

TEST_F(ClockProbeTest, NeedsBothWhenToldTo) {
  const TestUdpServer server(Ahead(absl::ZeroDuration()));
  kernel_->is_synchronised = false;
  EXPECT_EQ(LookAt(server).error, "") << "a server's word is enough";
  config_.set_need_synchronised(true);
  EXPECT_EQ(LookAt(server).error, "the kernel calls its clock not synchronised");
}

TEST_F(ClockProbeTest, AServerThatIsNotSynchronisedIsAFailure) {
  const auto error_of = [&](int first, int stratum, const std::string& reference) {
    const TestUdpServer server([=](const std::string& question) {
      std::string answer = AnswerTo(question, absl::ZeroDuration(), first, stratum);
      answer.replace(12, reference.size(), reference);
      return Datagrams{answer};
    });
    const Observation seen = LookAt(server);
    EXPECT_EQ(Value(seen, "offset_ms"), -1);
    if (seen.error.empty()) return std::string("none");
    EXPECT_EQ(seen.outcome, Outcome::kFailed);
    return seen.error.substr(server.address().size() + 1);
  };
  EXPECT_EQ(error_of(0xe4, 2, ""), "is not synchronised (leap indicator 3)");
  EXPECT_EQ(error_of(0x24, 16, ""), "is not synchronised (stratum 16)");
  EXPECT_EQ(error_of(0x24, 0, "RATE"), "does not serve: kiss code RATE");
  EXPECT_EQ(error_of(0xe4, 0, ""), "does not serve: stratum 0");
}

TEST_F(ClockProbeTest, PassesUpToStratum15AndWithALeapSecondAhead) {
  const TestUdpServer server([](const std::string& question) {
    return Datagrams{AnswerTo(question, absl::ZeroDuration(), 0x64, 15)};
  });
  EXPECT_EQ(LookAt(server).error, "");
}

TEST_F(ClockProbeTest, AnAnswerThatIsNoneOfNtpIsAFailure) {
  const TestUdpServer server([](const std::string& question) {
    return Datagrams{AnswerTo(question, absl::ZeroDuration(), 0x23)};
  });
  const Observation seen = LookAt(server);
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, absl::StrCat("the answer of ", server.address(),
                                     " is none of NTP: its mode is 3, expected 4"));
}

TEST_F(ClockProbeTest, IgnoresWhatDoesNotKnowTheCookie) {
  const auto forged = [](const std::string& question) {
    std::string answer = AnswerTo(question, absl::Hours(5));
    answer[31] = static_cast<char>(answer[31] + 1);
    return answer;
  };
  const TestUdpServer honest_too([&](const std::string& question) {
    return Datagrams{forged(question), "short", question, AnswerTo(question)};
  });
  EXPECT_EQ(LookAt(honest_too).error, "");

  const TestUdpServer liar(
      [&](const std::string& question) { return Datagrams(40, forged(question)); });
  const Observation seen = LookAt(liar, absl::Milliseconds(60));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, " others ignored)")) << seen.error;
}

// A server that knows nothing answers with zeros, which no cookie must be taken for.
TEST_F(ClockProbeTest, AnOriginOfZeroIsNoCookie) {
  const TestUdpServer zeros([](const std::string&) { return Datagrams{std::string(48, '\0')}; });
  EXPECT_EQ(LookAt(zeros, absl::Milliseconds(60)).outcome, Outcome::kTimedOut);
}

TEST_F(ClockProbeTest, AsksAgainWhenADatagramIsLost) {
  int questions = 0;
  TestUdpServer server([&](const std::string& question) {
    return ++questions < 3 ? Datagrams{} : Datagrams{AnswerTo(question)};
  });
  EXPECT_EQ(LookAt(server, absl::Milliseconds(900)).error, "");
}

TEST_F(ClockProbeTest, TakesALateAnswerToAnEarlierQuestion) {
  std::string first;
  TestUdpServer server([&](const std::string& question) {
    if (first.empty()) {
      first = question;
      return Datagrams{};
    }
    return Datagrams{AnswerTo(first)};
  });
  const Observation seen = LookAt(server, absl::Milliseconds(300));
  EXPECT_EQ(seen.error, "");
}

TEST_F(ClockProbeTest, ASilentServerTimesOut) {
  TestUdpServer silent([](const std::string&) { return Datagrams{}; });
  const Observation seen = LookAt(silent, absl::Milliseconds(60));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "waiting for the answer of " + silent.address()))
      << seen.error;
  EXPECT_EQ(silent.datagrams(), 3);
}

TEST_F(ClockProbeTest, NobodyThereIsAFailure) {
  config_.set_ntp_server("127.0.0.1");
  config_.set_port(static_cast<uint32_t>(RefusingPort()));
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error,
            absl::StrCat("cannot ask 127.0.0.1:", config_.port(), ": Connection refused"));
}

TEST_F(ClockProbeTest, NoDescriptorLeftIsRejected) {
  config_.set_ntp_server("127.0.0.1");
  rlimit old_limit, none = {};
  getrlimit(RLIMIT_NOFILE, &old_limit);
  none.rlim_max = old_limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &none);
  const Observation seen = Look();
  setrlimit(RLIMIT_NOFILE, &old_limit);
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "cannot ask 127.0.0.1:123: Too many open files");
}

TEST_F(ClockProbeTest, ResolvesAName) {
  const TestUdpServer server(Ahead(absl::ZeroDuration()));
  config_.set_port(static_cast<uint32_t>(server.port()));
  names_.Set("ntp.example", {"127.0.0.2", "127.0.0.1"});  // Nobody is at 127.0.0.2.
  config_.set_ntp_server("ntp.example");
  EXPECT_EQ(Look().error, "");

  config_.set_ntp_server("no.example");
  Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "name 'no.example' does not exist");

  names_.SetMode(TestNameServer::Mode::kSilent);
  config_.set_ntp_server("silent.example");
  seen = Look(absl::Milliseconds(20));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while resolving silent.example")) << seen.error;
}

// As an IPv6 address on a server without IPv6.
TEST_F(ClockProbeTest, ALostDatagramAndAnAddressThatCannotBeReachedAreNoFailure) {
  std::atomic<int> questions = 0;
  const TestUdpServer server([&](const std::string& question) {
    return ++questions == 1 ? Datagrams{} : Datagrams{AnswerTo(question)};
  });
  config_.set_port(static_cast<uint32_t>(server.port()));
  names_.Set("ntp.example", {"127.0.0.1", "127.0.0.2"});  // Nobody is at 127.0.0.2.
  config_.set_ntp_server("ntp.example");
  const Observation seen = Look(absl::Milliseconds(300));
  EXPECT_EQ(seen.error, "");
  EXPECT_EQ(Attribute(seen, "ntp_server"), server.address());
  EXPECT_EQ(questions, 2);
}

TEST_F(ClockProbeTest, WhenNoAddressCanBeReachedTheLastIsNamed) {
  config_.set_port(static_cast<uint32_t>(RefusingPort()));
  names_.Set("ntp.example", {"127.0.0.1", "127.0.0.2"});
  config_.set_ntp_server("ntp.example");
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_TRUE(absl::EndsWith(seen.error, ": Connection refused")) << seen.error;
}

TEST_F(ClockProbeTest, DestructionDuringALookIsSilent) {
  TestUdpServer silent([](const std::string&) { return Datagrams{}; });
  config_.set_ntp_server("127.0.0.1");
  config_.set_port(static_cast<uint32_t>(silent.port()));
  auto probe = NewClockProbe(config_, loop_, resolver_);
  ASSERT_TRUE(probe.ok());
  (*probe)->Start(loop_.Now() + absl::Milliseconds(20), [](Observation) { FAIL(); });
  probe->reset();
  EXPECT_EQ(Look(absl::Milliseconds(50)).outcome, Outcome::kTimedOut);
}

// Whether it may be read depends on where the test runs: it is as the kernel says at once after.
TEST(KernelClockTest, IsWhatTheKernelSays) {
  const absl::StatusOr<KernelClock> clock = ReadKernelClock();
  timex state = {};
  const int result = adjtimex(&state);
  ASSERT_EQ(clock.ok(), result >= 0) << clock.status();
  if (clock.ok()) {
    EXPECT_EQ(clock->is_synchronised, (state.status & STA_UNSYNC) == 0 && result != TIME_ERROR);
  } else {
    EXPECT_EQ(clock.status().code(), absl::StatusCode::kPermissionDenied) << clock.status();
  }
}

TEST(KernelClockTest, IsSynchronisedUnlessTheKernelSaysOtherwise) {
  timex state = {};
  state.status = STA_PLL;
  state.esterror = 1500;
  const auto clock = KernelClockOf(TIME_INS, 0, state);
  ASSERT_TRUE(clock.ok()) << clock.status();
  EXPECT_TRUE(clock->is_synchronised);
  EXPECT_EQ(clock->estimated_error, absl::Microseconds(1500));
  EXPECT_FALSE(KernelClockOf(TIME_ERROR, 0, state)->is_synchronised);
  state.status = STA_UNSYNC;
  EXPECT_FALSE(KernelClockOf(TIME_OK, 0, state)->is_synchronised);
}

TEST(KernelClockTest, SaysWhyItCannotBeRead) {
  const absl::Status forbidden = KernelClockOf(-1, EPERM, timex{}).status();
  EXPECT_EQ(forbidden.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(absl::StrContains(forbidden.message(), "forbids adjtimex")) << forbidden;
  const absl::Status other = KernelClockOf(-1, ENOSYS, timex{}).status();
  EXPECT_EQ(other.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(other.message(), "the kernel's clock cannot be read: Function not implemented");
}

TEST(CheckClockProbeTest, NamesTheFieldThatCannotWork) {
  config::ClockProbe config;
  EXPECT_TRUE(CheckClockProbe(config).ok());
  config.set_port(123);
  EXPECT_EQ(CheckClockProbe(config).message(), "clock.port: needs ntp_server");
  config.clear_port();
  config.set_max_offset("1s");
  EXPECT_EQ(CheckClockProbe(config).message(), "clock.max_offset: needs ntp_server");
  config.set_ntp_server("ntp.example");
  for (const char* good : {"", "1ms", "1h"}) {
    config.set_max_offset(good);
    EXPECT_TRUE(CheckClockProbe(config).ok()) << good;
  }
  config.set_max_offset("999us");
  EXPECT_EQ(CheckClockProbe(config).message(), "clock.max_offset: 999us is not in [1ms, 1h]");
  config.set_max_offset("1h1s");
  EXPECT_EQ(CheckClockProbe(config).message(), "clock.max_offset: 1h1s is not in [1ms, 1h]");
  config.clear_max_offset();
  config.set_port(65535);
  EXPECT_TRUE(CheckClockProbe(config).ok());
  config.set_port(65536);
  EXPECT_EQ(CheckClockProbe(config).message(), "clock.port: 65536 is not in [0, 65535]");
  config.clear_port();
  config.set_ntp_server(std::string(254, 'x'));
  EXPECT_EQ(CheckClockProbe(config).message(), "clock.ntp_server: 254 bytes are more than 253");
}

}  // namespace
}  // namespace salve
