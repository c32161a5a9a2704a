#include "probes/conversation.h"

#include <gtest/gtest.h>

#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/uv_loop.h"
#include "probes/test_dialogue.h"
#include "probes/test_script_server.h"
#include "probes/test_servers.h"

namespace salve {
namespace {

// Says and does what each function returns.
struct Replies {
  std::function<Step()> begin = [] { return Listen(); };
  std::function<Step(absl::string_view)> bytes = [](absl::string_view) {
    return Done(Observation{});
  };
  std::function<Step()> tls = [] { return Done(Observation{}); };
  std::optional<Observation> so_far;
};

class ScriptedDialogue final : public Dialogue {
 public:
  explicit ScriptedDialogue(Replies replies) : replies_(std::move(replies)) {}
  Step Begin() override { return replies_.begin(); }
  Step OnBytes(absl::string_view received) override { return replies_.bytes(received); }
  Step OnEnd() override { return Done(Failed("ended")); }
  Step OnTls() override { return replies_.tls(); }
  std::optional<Observation> SoFar() const override { return replies_.so_far; }
  absl::string_view phase() const override { return "testing"; }

 private:
  const Replies replies_;
};

class ConversationTest : public ::testing::Test {
 protected:
  ConversationTest() {
    signal(SIGPIPE, SIG_IGN);
    options_.host = "127.0.0.1";
    options_.make_dialogue = [this] { return std::make_unique<ScriptedDialogue>(replies_); };
  }

  Observation Look(absl::Duration timeout = absl::Seconds(20)) {
    const auto probe = NewConversation(options_, loop_, resolver_);
    return LookWith(*probe, timeout);
  }
  Observation LookWith(Probe& probe, absl::Duration timeout) {
    std::optional<Observation> seen;
    probe.Start(loop_.Now() + timeout, [&](Observation o) {
      seen = std::move(o);
      loop_.Stop();
    });
    loop_.Run();
    return *std::move(seen);
  }
  void TalkTo(const ScriptServer& server) { options_.port = static_cast<uint16_t>(server.port()); }

  ScriptServer::Options Certified() const {
    ScriptServer::Options options;
    options.certificate_file = certificate_.certificate_file;
    options.key_file = certificate_.key_file;
    return options;
  }
  TlsClient::Options Trusting() const {
    return {.verify = true, .ca_file = certificate_.certificate_file, .server_name = "127.0.0.1"};
  }

  const TestSocketFolder sockets_;
  const TestCertificate certificate_{"conversation.example", absl::Hours(24 * 30)};
  UvLoop loop_;
  TestNameServer names_;
  Resolver resolver_{
      loop_, {.servers = names_.address(), .server_timeout = absl::Milliseconds(50), .tries = 1}};
  Replies replies_;
  ConversationOptions options_;
};

TEST_F(ConversationTest, PutsItsOwnBeforeTheDialogues) {
  ScriptServer server({Says("hello"), Hangs()});
  TalkTo(server);
  replies_.bytes = [](absl::string_view) {
    Observation seen;
    seen.values = {{"messages", 3, ""}};
    seen.attributes = {{"banner", "x"}};
    return Done(seen);
  };
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  ASSERT_EQ(seen.values.size(), 2u);
  EXPECT_EQ(seen.values[0].name, "latency_ms");
  EXPECT_EQ(seen.values[1].name, "messages");
  EXPECT_EQ(seen.attributes.front().first, "remote_address");
  EXPECT_EQ(seen.attributes.back().first, "banner");
}

TEST_F(ConversationTest, SaysTheFarewellAndWaitsForTheEnd) {
  ScriptServer server({Says("hello"), Hears("QUIT"), Says("bye")});
  TalkTo(server);
  replies_.bytes = [](absl::string_view) { return Done(Observation{}, "QUIT"); };
  EXPECT_EQ(Look().error, "");
  EXPECT_EQ(server.fault(), "");
}

TEST_F(ConversationTest, HalfClosesWhereNoFarewellIsKnown) {
  // It hears the end, and not a reset: else it would have nothing to say.
  ScriptServer server({Says("hello"), HearsTheEnd(), Says("bye")});
  TalkTo(server);
  replies_.bytes = [](absl::string_view) { return DoneAndHalfClose(Observation{}); };
  EXPECT_EQ(Look().error, "");
  EXPECT_EQ(server.fault(), "");
}

TEST_F(ConversationTest, HalfClosesWithinTls) {
  ScriptServer server({StartsTls(), Says("hello"), HearsTheEnd()}, Certified());
  TalkTo(server);
  options_.tls = Trusting();
  options_.tls_from_start = true;
  replies_.bytes = [](absl::string_view) { return DoneAndHalfClose(Observation{}); };
  EXPECT_EQ(Look().error, "");
  EXPECT_EQ(server.fault(), "");
}

TEST_F(ConversationTest, WhoDoesNotCloseAfterTheFarewellIsLeft) {
  ScriptServer server({Says("hello"), Hangs()});
  TalkTo(server);
  replies_.bytes = [](absl::string_view) { return Done(Failed("no"), "QUIT"); };
  const Instant start = loop_.Now();
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "no");
  EXPECT_GE(loop_.Now() - start, absl::Milliseconds(450));
  EXPECT_LT(loop_.Now() - start, absl::Seconds(10));
  EXPECT_LT(ValueOf(seen, "latency_ms"), 450) << "the farewell is no part of it";
}

TEST_F(ConversationTest, TheFarewellHoldsNoLookBeyondItsDeadline) {
  ScriptServer server({Says("hello"), Hangs()});
  TalkTo(server);
  replies_.bytes = [](absl::string_view) { return Done(Observation{}, "QUIT"); };
  const Instant start = loop_.Now();
  EXPECT_EQ(Look(absl::Milliseconds(300)).error, "");
  EXPECT_LT(loop_.Now() - start, absl::Milliseconds(500));
}

TEST_F(ConversationTest, WhoTalksOnAfterTheFarewellIsLeft) {
  ScriptServer server({SaysForEver(std::string(4096, 'x'))});
  TalkTo(server);
  replies_.bytes = [](absl::string_view) { return Done(Observation{}, "QUIT"); };
  EXPECT_EQ(Look().error, "");
}

TEST_F(ConversationTest, WhoSaysEverythingAtOnceDoesNotHoldTheLoop) {
  ScriptServer server({SaysForEver(std::string(65536, 'x'))});
  TalkTo(server);
  replies_.bytes = [](absl::string_view) { return Listen(); };  // It has no bound.
  const Observation seen = Look(absl::Milliseconds(100));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while testing")) << seen.error;
}

TEST_F(ConversationTest, TimesOutWhileSending) {
  ScriptServer server({Hangs()});
  TalkTo(server);
  replies_.begin = [] { return Say(std::string(64 << 20, 'x')); };
  const Observation seen = Look(absl::Milliseconds(100));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while sending")) << seen.error;
}

TEST_F(ConversationTest, TalksOverAUnixSocket) {
  ScriptServer::Options options;
  options.unix_socket = sockets_.path() + "/s";
  ScriptServer server({Says("hello"), Hears("QUIT")}, options);
  options_.host = options.unix_socket;
  options_.needs_secrecy = true;
  replies_.bytes = [](absl::string_view) { return Done(Observation{}, "QUIT"); };
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  EXPECT_EQ(AttributeOf(seen, "remote_address"), options.unix_socket);
  EXPECT_EQ(server.fault(), "");
}

TEST_F(ConversationTest, AUnixSocketThatIsNotThereIsAFailure) {
  options_.host = "/does/not/exist";
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "cannot connect to /does/not/exist: No such file or directory");
}

TEST_F(ConversationTest, AUnixSocketWithAFullQueueTimesOut) {
  ScriptServer::Options options;
  options.unix_socket = sockets_.path() + "/full";
  options.backlog = 0;
  options.accepts = false;
  ScriptServer server({}, options);
  options_.host = options.unix_socket;
  // One fits into the queue, and stays in it.
  const auto first = NewConversation(options_, loop_, resolver_);
  first->Start(loop_.Now() + absl::Seconds(20), [](Observation) {});
  const Observation seen = Look(absl::Milliseconds(60));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while connecting")) << seen.error;
}

TEST_F(ConversationTest, StartsTlsInTheMiddle) {
  ScriptServer server(
      {Says("hello"), Hears("tls?"), StartsTls(), Hears("inside"), Says("yes"), Hears("QUIT")},
      Certified());
  TalkTo(server);
  options_.tls = Trusting();
  bool is_inside = false;
  replies_.bytes = [&](absl::string_view) {
    return is_inside ? Done(Observation{}, "QUIT") : SayAndStartTls("tls?");
  };
  replies_.tls = [&] {
    is_inside = true;
    return Say("inside");
  };
  const Observation seen = Look();
  EXPECT_EQ(seen.error, "");
  EXPECT_NEAR(ValueOf(seen, "tls_days_left"), 30, 0.01);
  EXPECT_NE(AttributeOf(seen, "tls_ms"), "");
  EXPECT_EQ(server.fault(), "");
}

// A peer that answers the question for TLS in the protocol's own words passed.
TEST_F(ConversationTest, NothingPassesWithoutTheTlsThatIsAskedFor) {
  ScriptServer server({Says("hello"), Hangs()});
  TalkTo(server);
  options_.tls = Trusting();
  replies_.bytes = [](absl::string_view) { return Done(Observation{}); };
  Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kFailed);
  EXPECT_EQ(seen.error, "TLS has not begun");
  replies_.bytes = [](absl::string_view) { return Done(Rejected("no random bytes")); };
  seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "no random bytes");
}

TEST_F(ConversationTest, ANameThatNoCertificateCanHaveIsRejected) {
  ScriptServer server({StartsTls(), Hangs()}, Certified());
  TalkTo(server);
  options_.tls = Trusting();
  options_.tls->server_name = ".";
  options_.tls_from_start = true;
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "a certificate can't be checked for '.'");
}

// What is asked after all has been seen only decorates: its loss failed the look.
TEST_F(ConversationTest, WhatHasBeenSeenIsNotLostWithTheConnection) {
  replies_.bytes = [](absl::string_view) { return Say("role?"); };
  // It closes with words unread: a reset, and within TLS an end without close_notify.
  ScriptServer resets({Says("hello"), Hears("x")});
  ScriptServer ends({StartsTls(), Says("hello"), Hears("x")}, Certified());
  ScriptServer hangs({Says("hello"), Hangs()});
  for (const bool has_seen : {true, false}) {
    if (!has_seen) replies_.so_far.reset();
    if (has_seen) replies_.so_far = Observation{.attributes = {{"role", "master"}}};
    const Outcome broken = has_seen ? Outcome::kSucceeded : Outcome::kFailed;
    options_.tls.reset();
    options_.tls_from_start = false;
    TalkTo(resets);
    Observation seen = Look();
    EXPECT_EQ(seen.outcome, broken) << seen.error;
    EXPECT_EQ(AttributeOf(seen, "role"), has_seen ? "master" : "");
    TalkTo(hangs);
    EXPECT_EQ(Look(absl::Milliseconds(50)).outcome,
              has_seen ? Outcome::kSucceeded : Outcome::kTimedOut);
    options_.tls = Trusting();
    options_.tls_from_start = true;
    TalkTo(ends);
    seen = Look();
    EXPECT_EQ(seen.outcome, broken) << seen.error;
  }
}

TEST_F(ConversationTest, AHandshakeThatStallsTimesOut) {
  ScriptServer server({Says("hello"), Hears("tls?"), Hangs()});
  TalkTo(server);
  options_.tls = Trusting();
  replies_.bytes = [](absl::string_view) { return SayAndStartTls("tls?"); };
  const Observation seen = Look(absl::Milliseconds(300));
  EXPECT_EQ(seen.outcome, Outcome::kTimedOut);
  EXPECT_TRUE(absl::EndsWith(seen.error, "while negotiating TLS")) << seen.error;
}

TEST_F(ConversationTest, AJudgeOfTheSessionMayFailIt) {
  ScriptServer server({StartsTls(), Hangs()}, Certified());
  TalkTo(server);
  options_.tls = Trusting();
  options_.tls_from_start = true;
  replies_.begin = [] { return Done(Observation{}); };
  Observation verdict = Failed("I do not like it");
  verdict.values = {{"days_left", 5, "days"}};
  options_.judge_tls = [&](SSL*) { return verdict; };
  for (const char* error : {"I do not like it", ""}) {
    const Observation seen = Look();
    EXPECT_EQ(seen.error, error);
    ASSERT_EQ(seen.values.size(), 2u);
    EXPECT_EQ(seen.values[0].name, "days_left");
    EXPECT_EQ(seen.values[1].name, "latency_ms");
    verdict.outcome = Outcome::kSucceeded;
    verdict.error.clear();
  }
}

TEST_F(ConversationTest, ASecretGoesToNobodyElseWithoutTls) {
  names_.Set("far.example", {"192.0.2.1"});
  names_.Set("near.example", {"127.0.0.1"});
  ScriptServer server({Says("hello"), Hangs()});
  TalkTo(server);
  options_.needs_secrecy = true;
  options_.host = "far.example";
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error,
            absl::StrCat("no password is sent to 192.0.2.1:", server.port(), " without TLS"));
  options_.host = "near.example";
  EXPECT_EQ(Look().error, "");
}

TEST_F(ConversationTest, ADialogueThatCannotBeIsRejected) {
  options_.make_dialogue = []() -> absl::StatusOr<std::unique_ptr<Dialogue>> {
    return absl::UnavailableError("no password");
  };
  const Observation seen = Look();
  EXPECT_EQ(seen.outcome, Outcome::kRejected);
  EXPECT_EQ(seen.error, "no password");
}

TEST_F(ConversationTest, TheEndOfTheServersWordsIsTheDialogues) {
  ScriptServer server({});
  TalkTo(server);
  EXPECT_EQ(Look().error, "ended");
}

TEST_F(ConversationTest, LooksAgainWithTheSameObject) {
  ScriptServer server({Says("hello"), Hears("QUIT")});
  TalkTo(server);
  replies_.bytes = [](absl::string_view) { return Done(Observation{}, "QUIT"); };
  const auto probe = NewConversation(options_, loop_, resolver_);
  for (int i = 0; i < 3; ++i) {
    const Observation seen = LookWith(*probe, absl::Seconds(20));
    EXPECT_EQ(seen.error, "");
    EXPECT_EQ(seen.values.size(), 1u);
  }
  EXPECT_EQ(server.connections(), 3);
}

TEST_F(ConversationTest, DestructionDuringTheFarewellIsSilent) {
  ScriptServer server({Says("hello"), Hangs()});
  TalkTo(server);
  auto probe = NewConversation(options_, loop_, resolver_);
  replies_.bytes = [&](absl::string_view) {
    loop_.CallAfter(absl::Milliseconds(10), [&] {
      probe.reset();
      loop_.CallAfter(absl::Milliseconds(600), [&] { loop_.Stop(); });
    });
    return Done(Observation{}, "QUIT");
  };
  probe->Start(loop_.Now() + absl::Seconds(20), [](Observation) { FAIL(); });
  loop_.Run();
}

}  // namespace
}  // namespace salve
