#include "queue/dispatcher_fixture.h"

namespace salve {
namespace {

using Code = absl::StatusCode;

class AcceptTest : public DispatcherTest {
 protected:
  void SetUp() override { server_.Boot(); }
  Code CodeOf(Submission submission) {
    return server_.Accept(std::move(submission)).status().code();
  }
};

TEST_F(AcceptTest, IsOnDiskWhenItIsSaid) {
  server_.letters.Answer("remote/ops", Kind::kNotReached);
  const std::string mid = server_.Send("ops", "a");
  server_.Crash();
  server_.Boot();
  EXPECT_EQ(server_.Show(mid).subject(), "a");
}

TEST_F(AcceptTest, AKeyIsAcceptedOnceAlsoWhenItsMessageHasEnded) {
  Submission keyed = QueueServer::LetterTo("ops", "a");
  keyed.key = "incident/4";
  const auto first = server_.Accept(keyed);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(server_.Accept(keyed).value_or(""), *first);
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(*first), "remote/ops done");
  EXPECT_EQ(server_.Accept(keyed).value_or(""), *first);
  EXPECT_EQ(server_.letters.attempts.size(), 1u);
}

TEST_F(AcceptTest, WhatIsSubmittedInOneTurnIsOneTransactionAndAKeyInItIsOne) {
  std::vector<std::string> mids;
  for (const char* key : {"", "twice", "twice", ""}) {
    Submission submission = QueueServer::LetterTo("ops", "a");
    submission.key = key;
    server_.dispatcher->Accept(submission, [&](absl::StatusOr<std::string> mid) {
      mids.push_back(mid.value_or(mid.status().ToString()));
    });
  }
  loop_.RunPending();
  ASSERT_EQ(mids.size(), 4u);
  EXPECT_EQ(mids[1], mids[2]);
  EXPECT_NE(mids[0], mids[3]);
  EXPECT_EQ(server_.events.Of(40001).size(), 3u);
}

TEST_F(AcceptTest, ChecksWhatItIsGiven) {
  Submission submission = QueueServer::LetterTo("ops", "a");
  submission.expire = absl::Seconds(5) - absl::Milliseconds(1);
  EXPECT_EQ(CodeOf(submission), Code::kInvalidArgument);
  submission.expire = absl::Seconds(5);
  EXPECT_EQ(CodeOf(submission), Code::kOk);
  submission.expire = absl::Hours(2160);
  EXPECT_EQ(CodeOf(submission), Code::kOk);
  submission.expire = absl::Hours(2160) + absl::Seconds(1);
  EXPECT_EQ(CodeOf(submission), Code::kInvalidArgument);
  submission.expire.reset();
  submission.priority = 11;
  EXPECT_EQ(CodeOf(submission), Code::kInvalidArgument);
  submission.priority = -10;
  EXPECT_EQ(CodeOf(submission), Code::kOk);
  submission.letter.set_message(std::string(MessageStore::kMessageBytesMax, 'x'));
  EXPECT_EQ(CodeOf(submission), Code::kInvalidArgument);
  EXPECT_EQ(CodeOf(QueueServer::ActionOn("", "Restart")), Code::kInvalidArgument);
  EXPECT_EQ(CodeOf(QueueServer::LetterTo("", "a")), Code::kInvalidArgument);
}

TEST_F(AcceptTest, DefaultsOfExpiryAreTheTypes) {
  const v1::QueueMessage letter = server_.Show(server_.Send("ops", "a"));
  EXPECT_EQ(letter.expires().seconds() - letter.created().seconds(), 48 * 3600);
  const v1::QueueMessage action = server_.Show(server_.Defer("nginx", "Restart"));
  EXPECT_EQ(action.expires().seconds() - action.created().seconds(), 24 * 3600);
}

TEST_F(AcceptTest, ADestinationThatThereIsNotIsUnreachableUntilItIsConfigured) {
  const std::string mid = server_.Send("nobody", "a");
  EXPECT_EQ(server_.Where(mid), "unreachable waiting");
  EXPECT_EQ(server_.Show(mid).reason(), "no-destination:nobody");
  server_.agent.config.add_destination()->set_name("nobody");
  server_.agent.config.mutable_destination(4)->mutable_smtp()->set_url("smtp://mail:25");
  server_.Reload();
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(mid), "remote/nobody done");
}

TEST_F(AcceptTest, WhatWaitsForADestinationThatIsGoneBecomesUnreachable) {
  server_.letters.Answer("remote/ops", Kind::kNotReached);
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(1));
  server_.agent.config.mutable_destination()->DeleteSubrange(0, 1);
  server_.Reload();
  EXPECT_EQ(server_.Where(mid), "unreachable waiting");
  EXPECT_EQ(server_.events.Of(40008).back().queue().former_queue(), "remote/ops");
}

TEST_F(AcceptTest, ADestinationThatGoesWhileALetterIsOnItsWayTakesItOrLosesIt) {
  server_.letters.Answer("remote/ops", Kind::kNotReached, "no route", absl::Seconds(10));
  const std::string mid = server_.Send("ops", "a");
  server_.agent.config.mutable_destination()->DeleteSubrange(0, 1);
  server_.Reload();
  EXPECT_EQ(server_.Where(mid), "remote/ops delivering");
  loop_.RunFor(absl::Seconds(11));
  EXPECT_EQ(server_.Where(mid), "unreachable waiting");
}

TEST_F(AcceptTest, WhatIsForThisServerIsShownAndDone) {
  const std::string mid = server_.Send("me", "a");
  EXPECT_EQ(server_.Where(mid), "inbox waiting");
  loop_.RunFor(absl::Seconds(2));
  EXPECT_EQ(server_.Where(mid), "inbox done");
  const auto received = server_.events.Of(40009);
  ASSERT_EQ(received.size(), 1u);
  EXPECT_EQ(received[0].queue().message(), "about a");
  EXPECT_EQ(received[0].queue().origin_server(), "web-1");
}

TEST_F(AcceptTest, ABugWhatWasShownShortlyBeforeACleanStopWasShownTwice) {
  const std::string mid = server_.Send("me", "a");
  ASSERT_EQ(server_.events.Of(40009).size(), 1u);
  ASSERT_TRUE(server_.StopAndClose().ok());
  server_.Boot();
  loop_.RunFor(absl::Minutes(2));
  EXPECT_EQ(server_.Where(mid), "inbox done");
  EXPECT_EQ(server_.events.Of(40009).size(), 1u);
}

TEST_F(AcceptTest, APausedServiceAcceptsAndDeliversNothingAlsoAfterARestart) {
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::SUSPEND, "remote/ops").ok());
  const std::string mid = server_.Send("ops", "a");
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::PAUSE_SERVICE).ok());
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::RESUME, "remote/ops").ok());
  EXPECT_EQ(CodeOf(QueueServer::LetterTo("ops", "b")), Code::kFailedPrecondition);
  server_.Crash();
  server_.Boot();
  loop_.RunFor(absl::Minutes(5));
  EXPECT_EQ(server_.Where(mid), "remote/ops waiting");
  EXPECT_NE(server_.dispatcher->trouble().find("paused"), std::string::npos);
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::RESUME_SERVICE).ok());
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
}

class PressureTest : public AcceptTest {
 protected:
  void SetUp() override {
    server_.agent.config.mutable_queue()->set_messages_max(100);
    server_.agent.config.mutable_queue()->set_queue_processing(config::Queue::LOCALLY_FOR_OTHERS);
    server_.Boot();
    ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::SUSPEND, "remote/ops").ok());
  }
  void Fill(int upto) {
    for (int64_t i = server_.dispatcher->waiting(); i < upto; ++i) {
      server_.dispatcher->Accept(QueueServer::LetterTo("ops", "a"),
                                 [](absl::StatusOr<std::string> mid) { EXPECT_TRUE(mid.ok()); });
    }
    loop_.RunPending();
    ASSERT_EQ(server_.dispatcher->waiting(), upto);
  }
  absl::StatusOr<v1::TransferResponse> Probe() {
    v1::TransferRequest request;
    request.set_purpose(v1::TransferRequest::PROBE);
    return server_.Ask(&Dispatcher::Transfer, request);
  }
};

TEST_F(PressureTest, ForeignMessagesWaitBeyond80PercentAndAreRefusedWhenItIsFull) {
  Fill(79);
  EXPECT_EQ(Probe()->answer(), v1::TransferResponse::ACCEPTED);
  EXPECT_TRUE(server_.events.Of(40015).empty());
  Fill(81);
  EXPECT_EQ(Probe()->answer(), v1::TransferResponse::ANOTHER);
  EXPECT_EQ(server_.events.Of(40015).size(), 1u);
  Fill(100);
  EXPECT_EQ(Probe().status().code(), Code::kResourceExhausted);
}

TEST_F(PressureTest, OwnMessagesHaveTenPercentInReserve) {
  Fill(109);
  EXPECT_EQ(CodeOf(QueueServer::LetterTo("ops", "the last")), Code::kOk);
  EXPECT_EQ(CodeOf(QueueServer::LetterTo("ops", "one more")), Code::kResourceExhausted);
  EXPECT_NE(server_.dispatcher->trouble().find("pressure"), std::string::npos);
}

TEST_F(PressureTest, EndsBelow75Percent) {
  Fill(81);
  ASSERT_EQ(server_.In("remote/ops").size(), 81u);
  const auto rows = server_.In("remote/ops");
  for (size_t i = 0; i < 5; ++i)
    EXPECT_TRUE(server_.Control(v1::ControlMessageRequest::REMOVE, rows[i].mid()).ok());
  EXPECT_EQ(server_.events.Of(40015).size(), 1u);
  EXPECT_TRUE(server_.Control(v1::ControlMessageRequest::REMOVE, rows[5].mid()).ok());
  EXPECT_EQ(server_.events.Of(40015).size(), 2u);
  EXPECT_EQ(server_.dispatcher->trouble(), "");
}

}  // namespace
}  // namespace salve
