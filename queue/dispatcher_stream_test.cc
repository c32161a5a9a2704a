#include "queue/dispatcher_fixture.h"

namespace salve {
namespace {

using Strings = std::vector<std::string>;

class StreamTest : public DispatcherTest {
 protected:
  void SetUp() override { server_.Boot(); }
};

TEST_F(StreamTest, DeliversAndEndsWithItsEvents) {
  const std::string mid = server_.Send("ops", "a", "incident");
  EXPECT_EQ(server_.Where(mid), "remote/ops delivering");
  loop_.RunFor(absl::Milliseconds(20));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
  EXPECT_EQ(server_.EndsOf(mid), std::vector<int>{40002});
  ASSERT_EQ(server_.events.Of(40001).size(), 1u);
  EXPECT_EQ(server_.events.Of(40001)[0].incident_id(), "incident");
  const auto delivered = server_.events.Of(5, v1::Monitoring);
  ASSERT_EQ(delivered.size(), 1u);
  EXPECT_EQ(delivered[0].monitoring().destination(), "ops");
  EXPECT_EQ(delivered[0].monitoring().attempt(), 1);
}

TEST_F(StreamTest, GoesInOrderOfPriorityThenSequenceOneAtATime) {
  server_.letters.Answer("remote/ops", Kind::kDelivered, "", absl::Seconds(1));
  server_.Send("ops", "first");
  server_.Send("ops", "a");
  Submission urgent = QueueServer::LetterTo("ops", "urgent");
  urgent.priority = 5;
  ASSERT_TRUE(server_.Accept(urgent).ok());
  server_.Send("ops", "b");
  loop_.RunFor(absl::Milliseconds(500));
  EXPECT_EQ(server_.letters.running(), 1u);
  loop_.RunFor(absl::Seconds(10));
  EXPECT_EQ(server_.letters.Subjects("remote/ops"), (Strings{"first", "urgent", "a", "b"}));
}

TEST_F(StreamTest, AnUnreachedPeerHoldsItsStreamByThePlanAndNoOther) {
  server_.letters.Answer("remote/ops", Kind::kNotReached, "no route");
  const std::string mid = server_.Send("ops", "a");
  server_.Send("ops", "b");
  server_.Send("hook", "c");
  loop_.RunFor(absl::Seconds(59));
  EXPECT_EQ(server_.letters.Subjects("remote/ops"), Strings{"a"});
  EXPECT_EQ(server_.letters.Subjects("remote/hook"), Strings{"c"});
  loop_.RunFor(absl::Seconds(2));
  EXPECT_EQ(server_.letters.Subjects("remote/ops"), (Strings{"a", "a"}));
  // 4 x 1 min, 6 x 5 min, then 10 min.
  loop_.RunFor(absl::Minutes(3) + absl::Minutes(30) + absl::Seconds(2));
  EXPECT_EQ(server_.letters.On("remote/ops").size(), 11u);
  loop_.RunFor(absl::Minutes(10) - absl::Seconds(5));
  EXPECT_EQ(server_.letters.On("remote/ops").size(), 11u);
  loop_.RunFor(absl::Seconds(5));
  EXPECT_EQ(server_.letters.On("remote/ops").size(), 12u);
  EXPECT_EQ(server_.Show(mid).attempts(), 12);
  EXPECT_EQ(server_.Show(mid).deliveries(), 0);
  EXPECT_EQ(server_.events.Of(6, v1::Monitoring).size(), 12u);
  server_.letters.Answer("remote/ops", Kind::kDelivered);
  loop_.RunFor(absl::Minutes(11));
  EXPECT_EQ(server_.letters.Subjects("remote/ops").back(), "b");
}

TEST_F(StreamTest, ASuspendedQueueIsNotTriedWhenItsTimeComes) {
  server_.letters.Answer("remote/ops", Kind::kNotReached, "no route");
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::SUSPEND, "remote/ops").ok());
  loop_.RunFor(absl::Hours(1));
  EXPECT_EQ(server_.letters.attempts.size(), 1u);
  EXPECT_EQ(server_.Where(mid), "remote/ops waiting");
}

TEST_F(StreamTest, AMessageThatFailsOnItsOwnLetsOthersPassButNotItsIncident) {
  server_.letters.decide = [](const FakeDeliverer::Attempt& attempt) {
    const bool bad = attempt.messages.front().subject() == "bad";
    return DeliveryResult{.kind = bad ? Kind::kFailedOn : Kind::kDelivered, .detail = "451 later"};
  };
  const std::string bad = server_.Send("ops", "bad", "one");
  server_.Send("ops", "after", "one");
  server_.Send("ops", "other", "two");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.letters.Subjects("remote/ops"), (Strings{"bad", "other"}));
  EXPECT_EQ(server_.Show(bad).deliveries(), 1);
  server_.letters.decide = nullptr;
  loop_.RunFor(absl::Minutes(1));
  EXPECT_EQ(server_.letters.Subjects("remote/ops"), (Strings{"bad", "other", "bad", "after"}));
}

TEST_F(StreamTest, TheTenthFailureOfThePeerIsItsDeath) {
  server_.letters.Answer("remote/ops", Kind::kFailedOn, "451 later");
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Minutes(28));
  EXPECT_EQ(server_.Where(mid), "remote/ops waiting");
  EXPECT_EQ(server_.Show(mid).deliveries(), 9);
  loop_.RunFor(absl::Minutes(2));
  EXPECT_EQ(server_.Where(mid), "dead waiting");
  EXPECT_EQ(server_.Show(mid).reason(), "failed 10 times: 451 later");
  EXPECT_EQ(server_.events.Of(7, v1::Monitoring).size(), 1u);
}

TEST_F(StreamTest, WithoutAMaximumItIsTriedUntilItExpires) {
  server_.agent.config.mutable_queue()->set_deliveries_max(0);
  server_.Reload();
  server_.letters.Answer("remote/ops", Kind::kFailedOn, "451 later");
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Hours(48) - absl::Minutes(1));
  EXPECT_EQ(server_.Where(mid), "remote/ops waiting");
  loop_.RunFor(absl::Minutes(2));
  EXPECT_EQ(server_.Show(mid).reason(), "expired: 451 later");
}

TEST_F(StreamTest, ARefusedMessageIsDeadAndTheNextOneGoes) {
  server_.letters.decide = [](const FakeDeliverer::Attempt& attempt) {
    const bool bad = attempt.messages.front().subject() == "bad";
    return DeliveryResult{.kind = bad ? Kind::kRefused : Kind::kDelivered, .detail = "550 no"};
  };
  const std::string bad = server_.Send("ops", "bad", "one");
  const std::string next = server_.Send("ops", "next", "one");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(next), "remote/ops done");
  const v1::QueueMessage dead = server_.Show(bad);
  EXPECT_EQ(dead.queue(), "dead");
  EXPECT_EQ(dead.former_queue(), "remote/ops");
  EXPECT_EQ(dead.reason(), "550 no");
  EXPECT_LE(dead.dmid().size(), 39u);
  const auto told = server_.events.Of(40012);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].queue().dmid(), dead.dmid());
  EXPECT_EQ(told[0].queue().mid(), bad);
  EXPECT_EQ(told[0].queue().group_id(), "one");
  EXPECT_EQ(told[0].queue().sequence(), dead.internal_id());
  EXPECT_EQ(told[0].queue().former_queue(), "remote/ops");
}

TEST_F(StreamTest, AFullDeadQueueLeavesItWhereItWasAndSaysSo) {
  server_.agent.config.mutable_queue()->set_dead_max(1);
  server_.Reload();
  server_.letters.Answer("remote/ops", Kind::kRefused, "550 no");
  const std::string a = server_.Send("ops", "a");
  const std::string b = server_.Send("ops", "b");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(b), "remote/ops waiting");
  EXPECT_NE(server_.dispatcher->trouble().find("dead queue is full"), std::string::npos);
  ASSERT_TRUE(server_.Control(v1::ControlMessageRequest::REMOVE, a).ok());
  loop_.RunFor(absl::Minutes(11));
  EXPECT_EQ(server_.Where(b), "dead waiting");
}

TEST_F(StreamTest, ABugThreeHundredExpiredOnesBeforeAFullDeadQueueHeldUpTheLiveOnes) {
  server_.agent.config.mutable_queue()->set_dead_max(1);
  server_.Reload();
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::SUSPEND, "remote/ops").ok());
  Submission brief = QueueServer::LetterTo("ops", "brief");
  brief.expire = absl::Seconds(5);
  brief.priority = 2;
  for (int i = 0; i < 302; ++i) server_.dispatcher->Accept(brief, [](auto) {});
  Submission urgent = QueueServer::LetterTo("ops", "urgent");
  urgent.priority = 1;  // Of such ones all are looked at.
  const std::string live = *server_.Accept(urgent);
  const std::string next = *server_.Accept(urgent);
  loop_.RunFor(absl::Seconds(6));
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::RESUME, "remote/ops").ok());
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(live), "remote/ops done");
  EXPECT_EQ(server_.Where(next), "remote/ops done");
  EXPECT_EQ(server_.letters.attempts.size(), 2u);
}

TEST_F(StreamTest, ABugFiveHundredExpiredOnesThatStayedKeptTheNextFromItsEnd) {
  server_.agent.config.mutable_queue()->set_dead_max(1);
  server_.actions.Answer("local/nginx", {Kind::kWait, "throttled", absl::Hours(1)});
  server_.Reload();
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::SUSPEND, "remote/ops").ok());
  Submission brief = QueueServer::LetterTo("ops", "brief");
  brief.expire = absl::Seconds(5);
  for (int i = 0; i < 600; ++i) server_.dispatcher->Accept(brief, [](auto) {});
  Submission refused = QueueServer::ActionOn("nginx", "Restart");
  refused.expire = absl::Seconds(90);
  const std::string mid = *server_.Accept(refused);
  loop_.RunFor(absl::Seconds(89));
  EXPECT_EQ(server_.Where(mid), "local/nginx waiting");
  loop_.RunFor(absl::Seconds(2));
  EXPECT_EQ(server_.Where(mid), "local/nginx rejected");
}

TEST_F(StreamTest, WhatExpiresIsDeadAtItsTime) {
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::SUSPEND, "remote/ops").ok());
  Submission brief = QueueServer::LetterTo("ops", "brief");
  brief.expire = absl::Seconds(5);
  const std::string mid = *server_.Accept(brief);
  loop_.RunFor(absl::Milliseconds(4900));
  EXPECT_EQ(server_.Where(mid), "remote/ops waiting");
  loop_.RunFor(absl::Milliseconds(200));
  EXPECT_EQ(server_.Where(mid), "dead waiting");
  EXPECT_EQ(server_.Show(mid).reason(), "expired");
}

TEST_F(StreamTest, AMessageOnItsWayExpiresOnlyWhenThisAttemptFails) {
  server_.letters.Answer("remote/ops", Kind::kDelivered, "", absl::Seconds(20));
  Submission brief = QueueServer::LetterTo("ops", "brief");
  brief.expire = absl::Seconds(5);
  const std::string mid = *server_.Accept(brief);
  loop_.RunFor(absl::Seconds(25));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
}

TEST_F(StreamTest, BeyondTheRateLimitLettersWaitAndGoAsOneDigest) {
  for (int i = 0; i < 15; ++i) server_.Send("ops", absl::StrCat("m", i));
  loop_.RunFor(absl::Minutes(4));
  EXPECT_EQ(server_.letters.On("remote/ops").size(), 10u);
  loop_.RunFor(absl::Minutes(2));
  ASSERT_EQ(server_.letters.On("remote/ops").size(), 11u);
  EXPECT_EQ(server_.letters.Subjects("remote/ops").back(), "m10+m11+m12+m13+m14");
  const auto delivered = server_.events.Of(5, v1::Monitoring);
  ASSERT_EQ(delivered.size(), 15u);
  EXPECT_EQ(delivered.back().monitoring().merged(), 5);
  EXPECT_EQ(server_.events.Of(40002).size(), 15u);
  EXPECT_EQ(server_.events.Of(40002).back().queue().reason().find("in digest digest-"), 0u);
  server_.Send("ops", "later");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.letters.Subjects("remote/ops").back(), "later");
}

TEST_F(StreamTest, ADigestThatFailsIsTriedAgainAsItWas) {
  for (int i = 0; i < 12; ++i) server_.Send("ops", absl::StrCat("m", i));
  loop_.RunFor(absl::Minutes(4));
  server_.letters.Answer("remote/ops", Kind::kNotReached, "no route");
  loop_.RunFor(absl::Minutes(2));
  EXPECT_EQ(server_.letters.Subjects("remote/ops").back(), "m10+m11");
  server_.Send("ops", "m12");
  server_.letters.Answer("remote/ops", Kind::kDelivered);
  loop_.RunFor(absl::Minutes(2));
  const Strings subjects = server_.letters.Subjects("remote/ops");
  EXPECT_EQ(subjects[subjects.size() - 2], "m10+m11");
  EXPECT_EQ(subjects.back(), "m12");
}

TEST_F(StreamTest, ARefusedDigestGoesOneByOne) {
  for (int i = 0; i < 10; ++i) server_.Send("ops", absl::StrCat("m", i));
  const std::string good = server_.Send("ops", "good");
  const std::string bad = server_.Send("ops", "bad");
  loop_.RunFor(absl::Minutes(4));
  server_.letters.decide = [](const FakeDeliverer::Attempt& attempt) {
    for (const queue::Message& message : attempt.messages) {
      if (message.subject() == "bad") return DeliveryResult{Kind::kRefused, "550 no", {}};
    }
    return DeliveryResult{};
  };
  loop_.RunFor(absl::Minutes(3));
  EXPECT_EQ(server_.Where(good), "remote/ops done");
  EXPECT_EQ(server_.Where(bad), "dead waiting");
}

TEST_F(StreamTest, ALateDestinationIsToldToTheOthersOnceAnOutage) {
  server_.letters.Answer("remote/ops", Kind::kNotReached, "no route");
  server_.Send("ops", "a");
  loop_.RunFor(absl::Hours(4) - absl::Minutes(1));
  EXPECT_TRUE(server_.letters.On("remote/hook").empty());
  loop_.RunFor(absl::Hours(10));
  ASSERT_EQ(server_.letters.On("remote/hook").size(), 1u);
  const queue::Message notice = server_.letters.On("remote/hook")[0].messages[0];
  EXPECT_EQ(notice.type(), queue::AR);
  EXPECT_EQ(notice.letter().kind(), queue::Letter::LATE);
  EXPECT_EQ(notice.subject(), "ops has not been reached for 4h");
  EXPECT_EQ(server_.forwards.On("remote/hub").size(), 1u);
  EXPECT_EQ(server_.events.Of(40016).size(), 1u);
  // The outage ends, and another one begins.
  server_.letters.Answer("remote/ops", Kind::kDelivered);
  loop_.RunFor(absl::Minutes(11));
  server_.letters.Answer("remote/ops", Kind::kNotReached, "no route");
  server_.Send("ops", "b");
  loop_.RunFor(absl::Hours(5));
  EXPECT_EQ(server_.letters.On("remote/hook").size(), 2u);
}

TEST_F(StreamTest, ANoticeThatIsLateItselfIsNotTold) {
  server_.letters.Answer("remote/ops", Kind::kNotReached, "no route");
  server_.letters.Answer("remote/hook", Kind::kNotReached, "no route");
  server_.forwards.Answer("remote/hub", Kind::kNotReached, "no route");
  server_.Send("ops", "a");
  loop_.RunFor(absl::Hours(20));
  EXPECT_EQ(server_.events.Of(40016).size(), 1u);
  EXPECT_EQ(server_.In("remote/hook").size(), 1u);
  EXPECT_EQ(server_.In("remote/ops").size(), 1u);
}

TEST_F(StreamTest, ActionsOfAResourceGoStrictlyOneAtATimeThoseOfOthersBeside) {
  server_.actions.Answer("local/nginx", Kind::kDelivered, "", absl::Seconds(30));
  server_.actions.Answer("local/php", Kind::kDelivered, "", absl::Seconds(30));
  server_.Defer("nginx", "Restart");
  server_.Defer("nginx", "Reload");
  server_.Defer("php", "Restart");
  loop_.RunFor(absl::Seconds(29));
  EXPECT_EQ(server_.actions.running(), 2u);
  EXPECT_EQ(server_.actions.Subjects("local/nginx"), Strings{"Restart"});
  loop_.RunFor(absl::Minutes(1));
  EXPECT_EQ(server_.actions.Subjects("local/nginx"), (Strings{"Restart", "Reload"}));
}

TEST_F(StreamTest, ARefusedActionWaitsAndEndsAsRejected) {
  server_.actions.Answer("local/nginx", {Kind::kWait, "1 attempt in an hour", absl::Minutes(50)});
  const std::string mid = server_.Defer("nginx", "Restart");
  loop_.RunFor(absl::Minutes(49));
  EXPECT_EQ(server_.actions.On("local/nginx").size(), 1u);
  loop_.RunFor(absl::Minutes(2));
  EXPECT_EQ(server_.actions.On("local/nginx").size(), 2u);
  EXPECT_EQ(server_.Show(mid).attempts(), 0);
  loop_.RunFor(absl::Hours(24));
  EXPECT_EQ(server_.Where(mid), "local/nginx rejected");
  EXPECT_EQ(server_.Show(mid).reason(), "1 attempt in an hour");
  EXPECT_EQ(server_.EndsOf(mid), std::vector<int>{40005});
}

TEST_F(StreamTest, AnActionThatNeverHadItsTurnIsDeadWhenItExpires) {
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::SUSPEND, "local/*").ok());
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::PAUSE_SERVICE).ok());
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::RESUME_SERVICE).ok());
  server_.actions.Answer("local/nginx", Kind::kDelivered, "", absl::Hours(2));
  server_.Defer("nginx", "Restart");
  Submission brief = QueueServer::ActionOn("nginx", "Reload");
  brief.expire = absl::Minutes(1);
  const std::string mid = *server_.Accept(brief);
  loop_.RunFor(absl::Minutes(2));
  EXPECT_EQ(server_.Where(mid), "dead waiting");
}

TEST_F(StreamTest, AnActionOnAKeyThatWaitsHoldsTheSameAndNoOther) {
  server_.actions.decide = [](const FakeDeliverer::Attempt& attempt) {
    if (attempt.messages[0].subject() != "Restart") return DeliveryResult{};
    return DeliveryResult{Kind::kWait, "throttled", absl::Hours(1)};
  };
  server_.Defer("nginx", "Restart");
  server_.Defer("nginx", "Restart");
  server_.Defer("nginx", "Reload");
  loop_.RunFor(absl::Minutes(1));
  EXPECT_EQ(server_.actions.Subjects("local/nginx"), (Strings{"Restart", "Reload"}));
}

TEST_F(StreamTest, EndsOfActions) {
  server_.actions.Answer("local/a", Kind::kFailed, "exit status 1");
  server_.actions.Answer("local/b", Kind::kObsolete, "it is healthy again");
  const std::string a = server_.Defer("a", "Restart");
  const std::string b = server_.Defer("b", "Restart");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(a), "local/a failed");
  EXPECT_EQ(server_.Where(b), "local/b obsolete");
  EXPECT_EQ(server_.EndsOf(a), std::vector<int>{40004});
  EXPECT_EQ(server_.EndsOf(b), std::vector<int>{40006});
}

TEST_F(StreamTest, AnActionThatTheLedgerKnowsNeverRunsAgain) {
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::PAUSE_SERVICE).ok());
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::RESUME_SERVICE).ok());
  server_.actions.Answer("local/nginx", Kind::kWait, "busy");
  const std::string mid = server_.Defer("nginx", "Restart");
  loop_.RunFor(absl::Seconds(1));
  server_.attempts[mid] = {.in_progress = true};
  loop_.RunFor(absl::Minutes(2));
  EXPECT_EQ(server_.Where(mid), "local/nginx waiting");
  server_.attempts[mid] = {.result = "Failed"};
  loop_.RunFor(absl::Minutes(2));
  EXPECT_EQ(server_.Where(mid), "local/nginx failed");
  EXPECT_EQ(server_.actions.On("local/nginx").size(), 1u);
}

TEST_F(StreamTest, ABugWhatWasReadyWhenTheServicePausedStoodStillAfterwards) {
  std::vector<std::string> mids;
  for (int i = 0; i < 65; ++i) {
    const std::string name = absl::StrCat("r", i);
    server_.actions.Answer("local/" + name, Kind::kDelivered, "", absl::Milliseconds(500));
    mids.push_back(server_.Defer(name, "Restart"));
  }
  ASSERT_EQ(server_.Where(mids.back()), "local/r64 waiting");
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::PAUSE_SERVICE).ok());
  loop_.RunFor(absl::Seconds(1));
  ASSERT_EQ(server_.Where(mids.back()), "local/r64 waiting");
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::RESUME_SERVICE).ok());
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(mids.back()), "local/r64 done");
}

TEST_F(StreamTest, AtMost64DeliveriesAtOnce) {
  for (int i = 0; i < 70; ++i) {
    const std::string name = absl::StrCat("r", i);
    server_.actions.Answer("local/" + name, Kind::kDelivered, "", absl::Seconds(1));
    server_.Defer(name, "Restart");
  }
  EXPECT_EQ(server_.actions.running(), 64u);
  loop_.RunFor(absl::Seconds(3));
  EXPECT_EQ(server_.events.Of(40002).size(), 70u);
}

}  // namespace
}  // namespace salve
