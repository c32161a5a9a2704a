#include "responders/escalation/notifier.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/simulated_loop.h"
#include "gtest/gtest.h"
#include "responders/escalation/fake_transport.h"

namespace salve {
namespace {

class KeptEvents final : public EventLog {
 public:
  uint64_t Append(v1::Event event) override {
    events.push_back(std::move(event));
    return events.size();
  }
  std::vector<v1::Event> events;
};

class NotifierTest : public ::testing::Test {
 protected:
  NotifierTest() {
    agent_.server = "web-1";
    agent_.group = "web";
    agent_.config.add_destination()->set_name("hook");
    agent_.config.add_destination()->set_name("mail");
    agent_.config.mutable_escalation()->set_digest_after(3);
    agent_.config.mutable_escalation()->set_attempts_max(3);
    Begin();
  }
  void Begin() {
    notifier_ = std::make_unique<Notifier>(Notifier::Parts{
        loop_, transport_, events_, random_, [this](const std::string& key, std::string bytes) {
          bytes.empty() ? void(kept_.erase(key)) : void(kept_[key] = std::move(bytes));
        }});
    notifier_->Restore(kept_);
    notifier_->Configure(agent_);
  }
  static Notice Of(const std::string& incident, const std::string& subject,
                   std::vector<std::string> to = {"mail"}) {
    Notice notice;
    notice.subject = subject;
    notice.incident_id = incident;
    notice.to = std::move(to);
    return notice;
  }
  std::vector<std::string> Subjects(const std::string& destination) const {
    std::vector<std::string> subjects;
    for (const auto& attempt : transport_.To(destination)) {
      subjects.push_back(attempt.letter.notice.subject);
    }
    return subjects;
  }
  std::vector<int> EventIds() const {
    std::vector<int> ids;
    for (const v1::Event& event : events_.events) ids.push_back(event.event_id());
    return ids;
  }

  using Texts = std::vector<std::string>;
  SimulatedLoop loop_;
  FakeTransport transport_{loop_};
  KeptEvents events_;
  uint64_t seed_ = 0;
  RandomSource random_ = [this] { return ++seed_; };
  std::map<std::string, std::string> kept_;
  AgentDefinition agent_;
  std::unique_ptr<Notifier> notifier_;
};

TEST_F(NotifierTest, TellsAllOrThoseThatAreNamed) {
  EXPECT_EQ(notifier_->Send(Of("a", "one", {})), (Texts{"hook", "mail"}));
  EXPECT_EQ(notifier_->Send(Of("b", "two", {"mail", "nobody"})), Texts{"mail"});
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Subjects("hook"), Texts{"one"});
  EXPECT_EQ(Subjects("mail"), (Texts{"one", "two"}));
  EXPECT_EQ(EventIds(), (std::vector<int>{5, 5, 5}));
  EXPECT_EQ(events_.events[0].incident_id(), "a");
  EXPECT_EQ(events_.events[0].monitoring().attempt(), 1);
  EXPECT_EQ(transport_.attempts[0].letter.notice.server, "web-1");
  EXPECT_EQ(notifier_->waiting(), 0u);
  EXPECT_TRUE(kept_.empty());
}

TEST_F(NotifierTest, ManyDestinationsDoNotMakeOneLongTurnOfTheLoop) {
  loop_.RunPending();  // What Configure looks at.
  notifier_->Send(Of("a", "one", {}));
  EXPECT_EQ(transport_.attempts.size(), 0u);
  std::vector<size_t> begun;  // After each turn.
  loop_.Post([&] {
    begun.push_back(transport_.attempts.size());
    loop_.Post([&] { begun.push_back(transport_.attempts.size()); });
  });
  loop_.RunPending();
  EXPECT_EQ(begun, (std::vector<size_t>{1, 2}));
}

TEST_F(NotifierTest, TriesAgainAfterATimeThatDoublesAndThenGivesUp) {
  transport_.Answer("mail", absl::UnavailableError("relay refuses"));
  const Instant start = loop_.Now();
  notifier_->Send(Of("a", "one"));
  loop_.RunFor(absl::Hours(1));
  const auto attempts = transport_.To("mail");
  ASSERT_EQ(attempts.size(), 3u);
  EXPECT_EQ(attempts[1].at - start, absl::Seconds(30) + absl::Milliseconds(10));
  EXPECT_EQ(attempts[2].at - attempts[1].at, absl::Seconds(60) + absl::Milliseconds(10));
  EXPECT_EQ(attempts[0].letter.id, attempts[2].letter.id);
  EXPECT_EQ(EventIds(), (std::vector<int>{6, 6, 7}));
  EXPECT_EQ(events_.events[0].monitoring().message(), "relay refuses; tried again in 30s");
  EXPECT_EQ(events_.events[2].monitoring().attempt(), 3);
  EXPECT_EQ(events_.events[2].level(), v1::Error);
  EXPECT_TRUE(kept_.empty());
}

TEST_F(NotifierTest, WaitsAtMostAnHourBetweenTwoAttempts) {
  agent_.config.mutable_escalation()->set_attempts_max(20);
  agent_.config.mutable_escalation()->set_retry_after("40m");
  notifier_->Configure(agent_);
  transport_.Answer("mail", absl::UnavailableError("no"), absl::ZeroDuration());
  notifier_->Send(Of("a", "one"));
  loop_.RunFor(absl::Hours(3));
  const auto attempts = transport_.To("mail");
  ASSERT_EQ(attempts.size(), 4u);
  EXPECT_EQ(attempts[1].at - attempts[0].at, absl::Minutes(40));
  EXPECT_EQ(attempts[2].at - attempts[1].at, absl::Hours(1));
  EXPECT_EQ(attempts[3].at - attempts[2].at, absl::Hours(1));
}

TEST_F(NotifierTest, OneThatHangsHoldsUpNoOtherDestination) {
  transport_.Answer("mail", std::string(), absl::Hours(1));
  notifier_->Send(Of("a", "one", {}));
  notifier_->Send(Of("b", "two", {}));
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Subjects("hook"), (Texts{"one", "two"}));
  EXPECT_EQ(Subjects("mail"), Texts{"one"});  // One at a time.
  EXPECT_EQ(transport_.To("mail")[0].deadline - transport_.To("mail")[0].at, absl::Seconds(30));
  loop_.RunFor(absl::Seconds(30));
  EXPECT_EQ(Subjects("mail"), (Texts{"one", "two"}));
}

TEST_F(NotifierTest, NothingOvertakesAnEarlierLetterOfItsIncident) {
  transport_.Answer("mail", absl::UnavailableError("no"));
  notifier_->Send(Of("a", "sick"));
  loop_.RunFor(absl::Seconds(1));
  transport_.Answer("mail", std::string());
  notifier_->Send(Of("a", "well"));
  notifier_->Send(Of("b", "other"));
  loop_.RunFor(absl::Minutes(1));
  EXPECT_EQ(Subjects("mail"), (Texts{"sick", "other", "sick", "well"}));
}

TEST_F(NotifierTest, AsManyAsTheRateAllowsGoAtOnceAndTheOthersAsOne) {
  for (int i = 1; i <= 3; ++i) notifier_->Send(Of(absl::StrCat(i), absl::StrCat("m", i)));
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Subjects("mail"), (Texts{"m1", "m2", "m3"}));
  for (int i = 4; i <= 6; ++i) notifier_->Send(Of(absl::StrCat(i), absl::StrCat("m", i)));
  loop_.RunFor(absl::Minutes(5) - absl::Seconds(1) - absl::Nanoseconds(1));
  EXPECT_EQ(Subjects("mail").size(), 3u);
  loop_.RunFor(absl::Seconds(1));
  ASSERT_EQ(Subjects("mail"), (Texts{"m1", "m2", "m3", "3 messages of web-1"}));
  const Notice digest = transport_.To("mail").back().letter.notice;
  EXPECT_EQ(digest.kind, Notice::Kind::kDigest);
  for (const char* subject : {"m4", "m5", "m6"}) {
    EXPECT_TRUE(absl::StrContains(digest.message, subject)) << digest.message;
  }
  EXPECT_EQ(events_.events.back().monitoring().merged(), 3);
}

TEST_F(NotifierTest, OneBeyondTheRateIsLateAndNotMerged) {
  for (int i = 1; i <= 4; ++i) notifier_->Send(Of(absl::StrCat(i), absl::StrCat("m", i)));
  loop_.RunFor(absl::Minutes(6));
  EXPECT_EQ(Subjects("mail"), (Texts{"m1", "m2", "m3", "m4"}));
  EXPECT_EQ(events_.events.back().monitoring().merged(), 0);
}

TEST_F(NotifierTest, AStormNeverSendsMoreThanTheRate) {
  for (int second = 0; second < 3600; ++second) {
    notifier_->Send(Of(absl::StrCat(second), "storm"));
    loop_.RunFor(absl::Seconds(1));
  }
  const auto attempts = transport_.To("mail");
  for (size_t i = 3; i < attempts.size(); ++i) {
    EXPECT_GE(attempts[i].at - attempts[i - 3].at, absl::Minutes(5));
  }
  EXPECT_GE(attempts.size(), 30u);
  EXPECT_LE(kept_.size(), 1u);
}

TEST_F(NotifierTest, ADigestIsBoundedAndCountsWhatItLeavesOut) {
  for (int i = 0; i < 1000; ++i) notifier_->Send(Of("", std::string(500, 'x')));
  EXPECT_EQ(notifier_->waiting(), 4u);
  loop_.RunFor(absl::Minutes(6));
  const Notice digest = transport_.To("mail").back().letter.notice;
  EXPECT_EQ(digest.subject, "997 messages of web-1");
  EXPECT_LE(digest.message.size(), 17'000u);
  EXPECT_TRUE(absl::StrContains(digest.message, "more\n"));
}

TEST_F(NotifierTest, AtAHundredWaitingLettersTheNextAreMerged) {
  agent_.config.mutable_escalation()->set_digest_after(1000);
  notifier_->Configure(agent_);
  transport_.Answer("mail", absl::UnavailableError("no"));
  for (int i = 0; i < 500; ++i) notifier_->Send(Of(absl::StrCat(i), "m"));
  EXPECT_EQ(notifier_->waiting(), Notifier::kWaitingMax + 1);
}

TEST_F(NotifierTest, LongTextsAreCut) {
  Notice notice = Of("a", std::string(10'000, 's'));
  notice.message = std::string(100'000, 'm');
  notice.error = "\xff" + std::string(100'000, 'e');
  notifier_->Send(notice);
  loop_.RunFor(absl::Seconds(1));
  const Notice sent = transport_.attempts[0].letter.notice;
  EXPECT_EQ(sent.subject.size(), 300u);
  EXPECT_EQ(sent.message.size(), 4096u);
  EXPECT_EQ(sent.error.size(), 1024u);
  EXPECT_EQ(sent.error[0], '?');
}

TEST_F(NotifierTest, WhatHasNotArrivedOutlivesTheAgent) {
  transport_.Answer("mail", absl::UnavailableError("no"));
  notifier_->Send(Of("a", "one"));
  loop_.RunFor(absl::Seconds(1));
  notifier_.reset();
  transport_.Answer("mail", std::string());
  Begin();
  loop_.RunFor(absl::Seconds(1));
  ASSERT_EQ(Subjects("mail"), (Texts{"one", "one"}));
  EXPECT_EQ(transport_.attempts[0].letter.id, transport_.attempts[1].letter.id);
  EXPECT_EQ(events_.events.back().monitoring().attempt(), 2);
  EXPECT_TRUE(kept_.empty());
}

TEST_F(NotifierTest, ADestinationThatIsGoneIsGivenUp) {
  transport_.Answer("mail", std::string(), absl::Hours(1));
  notifier_->Send(Of("a", "one"));
  loop_.RunFor(absl::Seconds(1));
  agent_.config.mutable_destination()->RemoveLast();
  notifier_->Configure(agent_);
  EXPECT_EQ(EventIds(), std::vector<int>{7});
  EXPECT_EQ(transport_.running(), 0u);
  EXPECT_TRUE(kept_.empty());
  EXPECT_TRUE(notifier_->Send(Of("a", "two")).empty());
}

TEST_F(NotifierTest, AReloadKeepsWhatWaits) {
  transport_.Answer("mail", absl::UnavailableError("no"));
  notifier_->Send(Of("a", "one"));
  loop_.RunFor(absl::Seconds(1));
  transport_.Answer("mail", std::string());
  notifier_->Configure(agent_);
  loop_.RunFor(absl::Seconds(28));
  EXPECT_EQ(Subjects("mail").size(), 1u);  // Its time has not come by the reload.
  loop_.RunFor(absl::Seconds(2));
  EXPECT_EQ(Subjects("mail").size(), 2u);
}

TEST_F(NotifierTest, DamagedStateIsPassedOver) {
  kept_["letter/x"] = "\xff\xff";
  kept_["monitor/Web/Down"] = "other";
  Begin();
  EXPECT_EQ(notifier_->waiting(), 0u);
}

}  // namespace
}  // namespace salve
