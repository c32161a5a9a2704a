#include "queue/dispatcher_fixture.h"

namespace salve {
namespace {

using Code = absl::StatusCode;

class DeadTest : public DispatcherTest {
 protected:
  void SetUp() override {
    server_.Boot();
    server_.letters.Answer("remote/ops", Kind::kRefused, "550 no");
    Submission submission = QueueServer::LetterTo("ops", "a", "incident");
    submission.priority = 3;
    submission.expire = absl::Hours(1);
    submission.key = "key";
    mid_ = *server_.Accept(submission);
    loop_.RunFor(absl::Seconds(1));
    dmid_ = server_.Show(mid_).dmid();
    ASSERT_NE(dmid_, "");
    server_.letters.Answer("remote/ops", Kind::kDelivered);
  }
  void Peer(const std::string& arrival) {
    v1::CheckArrivalResponse response;
    response.set_arrival(arrival);
    server_.arrival = response;
  }
  absl::StatusOr<v1::ReregisterResponse> Reregister(bool unchecked = false) {
    v1::ReregisterRequest request;
    request.set_dmid(dmid_);
    request.set_unchecked(unchecked);
    request.set_user("bob");
    return server_.Ask(&Dispatcher::Reregister, request);
  }
  std::string Check() {
    v1::CheckDeadRequest request;
    request.set_dmid(dmid_);
    const auto answer = server_.Ask(&Dispatcher::CheckDead, request);
    return answer.ok() ? answer->arrival() : std::string(answer.status().message());
  }

  std::string mid_;
  std::string dmid_;
};

TEST_F(DeadTest, IsANewMessageWithWhatTheUserGave) {
  Peer("not-arrived");
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::SUSPEND, "remote/ops").ok());
  const auto answer = Reregister();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_NE(answer->mid(), mid_);
  EXPECT_EQ(answer->queue(), "remote/ops");
  EXPECT_EQ(answer->arrival(), "not-arrived");
  const v1::QueueMessage made = server_.Show(answer->mid());
  EXPECT_EQ(made.subject(), "a");
  EXPECT_EQ(made.priority(), 3);
  EXPECT_EQ(made.correlation(), "incident");
  EXPECT_EQ(made.attempts(), 0);
  EXPECT_EQ(made.dmid(), "");
  EXPECT_EQ(made.origin_mid(), mid_);
  EXPECT_NE(made.body().find("about a"), std::string::npos);
  EXPECT_EQ(made.expires().seconds() - made.created().seconds(), 48 * 3600);
  EXPECT_EQ(server_.Where(mid_), "dead reregistered");
  const auto lineage = server_.events.Of(40013);
  ASSERT_EQ(lineage.size(), 1u);
  EXPECT_EQ(lineage[0].queue().mid(), mid_);
  EXPECT_EQ(lineage[0].queue().dmid(), dmid_);
  EXPECT_EQ(lineage[0].queue().new_mid(), answer->mid());
  EXPECT_EQ(lineage[0].queue().former_queue(), "remote/ops");
  EXPECT_EQ(lineage[0].queue().who(), "bob");
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::RESUME, "remote/ops").ok());
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(answer->mid()), "remote/ops done");
}

TEST_F(DeadTest, ABugOneInUnreachableThatAnAcceptorMayHaveWasSaidToHaveNeverLeft) {
  server_.acceptors.Set({{"b", "b:7443"}});
  server_.agent.config.mutable_queue()->set_queue_processing(config::Queue::REMOTELY);
  server_.relays.Answer("relay/b", DeliveryResult::Kind::kNotReached, "no answer");
  server_.letters.Answer("remote/ops", DeliveryResult::Kind::kNotReached, "cut");
  server_.Reload();
  const std::string mid = server_.Send("ops", "uncertain");
  loop_.RunFor(absl::Seconds(1));
  server_.agent.config.mutable_queue()->set_queue_processing(config::Queue::LOCALLY);
  server_.agent.config.clear_destination();
  server_.Reload();
  ASSERT_EQ(server_.Show(mid).queue(), "unreachable");
  loop_.RunFor(absl::Hours(72));
  v1::CheckDeadRequest request;
  request.set_dmid(server_.Show(mid).dmid());
  std::string asked;
  server_.on_check = [&](const queue::Message& message, auto done) {
    asked = message.handed_to();
    done(absl::UnavailableError("cut"));
  };
  EXPECT_EQ(server_.Ask(&Dispatcher::CheckDead, request)->arrival(), "unknown");
  EXPECT_EQ(asked, "b");
}

TEST_F(DeadTest, WhatHasArrivedIsRefused) {
  for (const char* arrival : {"arrived-done", "arrived-queued", "arrived-dead"}) {
    Peer(arrival);
    EXPECT_EQ(Check(), arrival);
    EXPECT_EQ(Reregister().status().code(), Code::kAlreadyExists);
    EXPECT_EQ(Reregister(/*unchecked=*/true).status().code(), Code::kAlreadyExists);
  }
  EXPECT_EQ(server_.Where(dmid_), "dead waiting");
}

TEST_F(DeadTest, WhatIsUnknownNeedsToBeSaid) {
  EXPECT_EQ(Check(), "unknown");
  EXPECT_EQ(Reregister().status().code(), Code::kFailedPrecondition);
  EXPECT_TRUE(Reregister(/*unchecked=*/true).ok());
}

TEST_F(DeadTest, TwiceIsNotFoundOrEnded) {
  Peer("not-arrived");
  ASSERT_TRUE(Reregister().ok());
  EXPECT_FALSE(Reregister().ok());
  dmid_ = "NONE";
  EXPECT_EQ(Reregister().status().code(), Code::kNotFound);
}

TEST_F(DeadTest, ALivingOneIsNoDeadOne) {
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::SUSPEND, "remote/ops").ok());
  dmid_ = server_.Send("ops", "b");
  EXPECT_EQ(Reregister().status().code(), Code::kFailedPrecondition);
}

TEST_F(DeadTest, AnActionThatNeverRanNeedsNoPeer) {
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::PAUSE_SERVICE).ok());
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::RESUME_SERVICE).ok());
  server_.actions.Answer("local/nginx", Kind::kDelivered, "", absl::Minutes(2));
  server_.Defer("nginx", "Restart");
  Submission brief = QueueServer::ActionOn("nginx", "Reload");
  brief.expire = absl::Seconds(5);
  const std::string mid = *server_.Accept(brief);
  loop_.RunFor(absl::Minutes(1));
  dmid_ = server_.Show(mid).dmid();
  const auto answer = Reregister();
  ASSERT_TRUE(answer.ok()) << answer.status();
  loop_.RunFor(absl::Minutes(5));
  EXPECT_EQ(server_.Where(answer->mid()), "local/nginx done");
}

TEST_F(DeadTest, ItIsExportedAndRemoved) {
  v1::ExportMessageRequest request;
  request.set_id(dmid_);
  EXPECT_TRUE(server_.Ask(&Dispatcher::ExportMessage, request).ok());
  EXPECT_EQ(server_.Control(v1::ControlMessageRequest::RESUME, dmid_).status().code(),
            Code::kFailedPrecondition);
  EXPECT_TRUE(server_.Control(v1::ControlMessageRequest::REMOVE, dmid_).ok());
  EXPECT_EQ(server_.Where(mid_), "dead removed");
}

}  // namespace
}  // namespace salve
