#include "absl/strings/match.h"
#include "queue/dispatcher_fixture.h"
#include "queue/parcel.h"

namespace salve {
namespace {

using Code = absl::StatusCode;
using Strings = std::vector<std::string>;
using Response = v1::TransferResponse;

class HandOverTest : public DispatcherTest {
 protected:
  void SetUp() override {
    server_.agent.config.mutable_queue()->set_queue_processing(config::Queue::REMOTELY);
    server_.acceptors.Set({{"b", "b:7443"}, {"c", "c:7443"}});
    server_.Boot();
  }
  absl::StatusOr<v1::SetModeResponse> Mode(const std::string& mode) {
    v1::SetModeRequest request;
    request.set_mode(mode);
    request.set_user("bob");
    return server_.Ask(&Dispatcher::SetMode, request);
  }
  v1::GetClusterResponse Cluster() {
    return server_.Ask(&Dispatcher::GetCluster, v1::GetClusterRequest()).value();
  }
};

TEST_F(HandOverTest, LettersGoToTheFirstAcceptorActionsNever) {
  const std::string letter = server_.Send("ops", "a", "incident");
  const std::string action = server_.Defer("nginx", "Restart");
  EXPECT_EQ(server_.Where(letter), "relay/b delivering");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(letter), "relay/b done");
  EXPECT_EQ(server_.Show(letter).reason(), "handed over to b");
  EXPECT_EQ(server_.EndsOf(letter), std::vector<int>{40002});
  EXPECT_EQ(server_.events.Of(40014).size(), 1u);
  EXPECT_EQ(server_.Where(action), "local/nginx done");
  EXPECT_TRUE(server_.letters.attempts.empty());
}

TEST_F(HandOverTest, AnyFailureBeforeTheAnswerBringsItBackAndItIsProcessedHere) {
  server_.relays.Answer("relay/b", Kind::kNotReached, "connection reset");
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
  EXPECT_EQ(server_.letters.On("remote/ops")[0].messages[0].handed_to(), "b");
  EXPECT_EQ(server_.relays.attempts.size(), 1u);
}

TEST_F(HandOverTest, WhatWaitsForAnAcceptorThatFailsGoesToTheNext) {
  server_.relays.Answer("relay/b", Kind::kNotReached, "connection reset", absl::Seconds(5));
  server_.Send("ops", "a");
  const std::string second = server_.Send("ops", "b");
  EXPECT_EQ(server_.Where(second), "relay/b waiting");
  loop_.RunFor(absl::Seconds(6));
  EXPECT_EQ(server_.Where(second), "relay/c done");
}

TEST_F(HandOverTest, AnAcceptorThatSaysAnotherIsPassedOverAndAfterAllItIsDoneHere) {
  server_.relays.Answer("relay/b", Kind::kElsewhere, "not now");
  const std::string first = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(first), "relay/c done");
  server_.relays.Answer("relay/c", Kind::kElsewhere, "not now");
  const std::string second = server_.Send("ops", "b");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(second), "remote/ops done");
  EXPECT_EQ(server_.letters.On("remote/ops")[0].messages[0].handed_to(), "");
}

TEST_F(HandOverTest, AnAcceptorIsTriedAgainAfterAMinute) {
  server_.relays.Answer("relay/b", Kind::kElsewhere, "not now");
  server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(30));
  server_.relays.Answer("relay/b", Kind::kDelivered);
  EXPECT_EQ(Cluster().acceptors(0).state(), "not reached, or it takes none now");
  const std::string early = server_.Send("ops", "b");
  EXPECT_EQ(server_.Where(early), "relay/c delivering");
  loop_.RunFor(absl::Seconds(95));
  const std::string late = server_.Send("ops", "c");
  EXPECT_EQ(server_.Where(late), "relay/b delivering");
  EXPECT_EQ(Cluster().acceptors(0).state(), "in use");
}

// Cut off from the acceptor and from the mail server: it waits here and goes by the acceptor that
// may have it already, which is the one that can drop the second.
TEST_F(HandOverTest, AnAcceptorThatAnswersATestIsUsedAgainAtOnce) {
  v1::GetClusterRequest test;
  test.set_test("b");
  server_.relays.Answer("relay/b", Kind::kNotReached, "connection refused");
  server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(1));
  server_.relays.Answer("relay/b", Kind::kDelivered);
  server_.probed = absl::UnavailableError("connection refused");
  ASSERT_TRUE(server_.Ask(&Dispatcher::GetCluster, test).ok());
  const std::string out = server_.Send("ops", "b");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(out), "relay/c done");
  server_.probed = absl::OkStatus();
  ASSERT_TRUE(server_.Ask(&Dispatcher::GetCluster, test).ok());
  const std::string back = server_.Send("ops", "c");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(back), "relay/b done");
}

TEST_F(HandOverTest, WhatCameBackHasAnotherChanceAtTheSameAcceptor) {
  server_.relays.Answer("relay/b", Kind::kNotReached, "cut");
  server_.relays.Answer("relay/c", Kind::kNotReached, "cut");
  server_.letters.Answer("remote/ops", Kind::kNotReached, "cut");
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(20));
  EXPECT_EQ(server_.Where(mid), "remote/ops waiting");
  server_.relays.Answer("relay/b", Kind::kDelivered);
  loop_.RunFor(absl::Minutes(3));
  EXPECT_EQ(server_.Where(mid), "relay/b done");
}

TEST_F(HandOverTest, WhatAnAcceptorRefusesIsDead) {
  server_.relays.Answer("relay/b", Kind::kRefused, "too large");
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(mid), "dead waiting");
  EXPECT_EQ(server_.Show(mid).former_queue(), "relay/b");
}

TEST_F(HandOverTest, WithoutAcceptorsAllIsDoneHere) {
  server_.relays.Answer("relay/b", Kind::kDelivered, "", absl::Seconds(5));
  server_.Send("ops", "a");
  const std::string waiting = server_.Send("ops", "b");
  server_.acceptors.Set({});
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(waiting), "remote/ops done");
  EXPECT_EQ(server_.Where(server_.Send("ops", "c")), "remote/ops delivering");
}

TEST_F(HandOverTest, TheModeIsKeptAndWhatWaitsFollowsIt) {
  ASSERT_TRUE(Mode("LOCALLY").ok());
  server_.letters.Answer("remote/ops", Kind::kNotReached, "cut");
  const std::string mid = server_.Send("ops", "a");
  loop_.RunFor(absl::Seconds(1));
  server_.Crash();
  server_.Boot();
  EXPECT_EQ(Cluster().mode(), "LOCALLY");
  EXPECT_EQ(Cluster().configured_mode(), "REMOTELY");
  EXPECT_EQ(Mode("REMOTLY").status().code(), Code::kInvalidArgument);
  loop_.RunFor(absl::Seconds(1));
  ASSERT_EQ(Mode("")->mode(), "REMOTELY");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(mid), "relay/b done");
  EXPECT_EQ(server_.acceptors.offered, "");
  ASSERT_TRUE(Mode("LOCALLY_FOR_OTHERS").ok());
  EXPECT_EQ(server_.acceptors.offered, "web-1:7443");
}

class TransferTest : public DispatcherTest {
 protected:
  void SetUp() override {
    server_.agent.config.mutable_queue()->set_queue_processing(config::Queue::LOCALLY_FOR_OTHERS);
    server_.Boot();
    message_.set_mid("a-1-1");
    message_.set_origin_server("a");
    message_.set_origin_mid("a-1-1");
    message_.set_type(queue::AF);
    message_.set_created_ns(absl::ToUnixNanos(server_.WallNow()));
    message_.set_expires_ns(absl::ToUnixNanos(server_.WallNow() + absl::Hours(1)));
    message_.set_destination("ops");
    message_.set_subject("of a");
    message_.mutable_letter()->set_message("down");
  }
  v1::TransferResponse Transfer(v1::TransferRequest::Purpose purpose = v1::TransferRequest::RELAY) {
    v1::TransferRequest request;
    request.set_purpose(purpose);
    request.set_sender("a");
    const auto parcel = MakeParcel(message_);
    EXPECT_TRUE(parcel.ok()) << parcel.status();
    request.set_parcel(parcel.value_or(""));
    const auto answer = server_.Ask(&Dispatcher::Transfer, request);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.value_or(v1::TransferResponse());
  }
  std::string Arrival() {
    v1::CheckArrivalRequest request;
    request.set_origin_server("a");
    request.set_origin_mid("a-1-1");
    return server_.Ask(&Dispatcher::CheckArrival, request)->arrival();
  }
  // What is said of it.
  std::string Withdraw() {
    v1::EndTransfersRequest request;
    request.set_sender("a");
    v1::TransferEnd& end = *request.add_ends();
    end.set_word(v1::TransferEnd::WITHDRAW);
    end.set_origin_server("a");
    end.set_origin_mid("a-1-1");
    const auto answer = server_.Ask(&Dispatcher::EndTransfers, request);
    return answer.ok() ? answer->arrivals(0) : answer.status().ToString();
  }
  queue::Message message_;
};

TEST_F(TransferTest, ARelayedMessageIsDeliveredOnceAndRemembered) {
  EXPECT_EQ(Arrival(), "not-arrived");
  server_.letters.Answer("remote/ops", Kind::kNotReached, "no route");
  const Response first = Transfer();
  EXPECT_EQ(first.answer(), Response::ACCEPTED);
  EXPECT_NE(first.mid(), "a-1-1");
  EXPECT_EQ(Arrival(), "arrived-queued");
  EXPECT_EQ(Transfer().answer(), Response::DUPLICATE);
  server_.Crash();
  server_.letters.Answer("remote/ops", Kind::kDelivered);
  server_.Boot();
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Arrival(), "arrived-done");
  const Response second = Transfer();
  EXPECT_EQ(second.answer(), Response::DUPLICATE);
  EXPECT_EQ(second.mid(), first.mid());
  EXPECT_EQ(server_.letters.taken[first.mid()], 1);
  EXPECT_EQ(server_.letters.attempts.back().messages[0].hops(), 1);
}

TEST_F(TransferTest, ASecondHopAnActionAndWhatIsDamagedAreRefused) {
  message_.set_hops(1);
  EXPECT_EQ(Transfer().answer(), Response::REFUSED);
  message_.set_hops(0);
  v1::TransferRequest request;
  request.set_purpose(v1::TransferRequest::RELAY);
  std::string parcel = *MakeParcel(message_);
  parcel[parcel.size() / 2] ^= 1;
  request.set_parcel(parcel);
  EXPECT_EQ(server_.Ask(&Dispatcher::Transfer, request)->answer(), Response::REFUSED);
  message_.set_type(queue::UP);
  message_.clear_letter();
  message_.clear_destination();
  message_.mutable_deferred()->set_action("Restart");
  message_.mutable_deferred()->set_resource("nginx");
  message_.mutable_deferred()->set_requester("alice");
  EXPECT_EQ(Transfer().answer(), Response::REFUSED);
  EXPECT_EQ(Transfer(v1::TransferRequest::FORWARD).answer(), Response::REFUSED);
}

TEST_F(TransferTest, AnotherIsSaidWhereItIsNotForThisServer) {
  message_.set_destination("nobody");
  EXPECT_EQ(Transfer().answer(), Response::ANOTHER);
  message_.set_destination("ops");
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::PAUSE_SERVICE).ok());
  EXPECT_EQ(Transfer().answer(), Response::ANOTHER);
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::RESUME_SERVICE).ok());
  server_.agent.config.mutable_queue()->set_queue_processing(config::Queue::LOCALLY);
  server_.Reload();
  EXPECT_EQ(Transfer().answer(), Response::ANOTHER);
}

// Else its sender, which does not know that it was taken, would deliver it too.
TEST_F(TransferTest, WhatIsHereIsSaidAlsoByAServiceThatIsPaused) {
  EXPECT_EQ(Transfer().answer(), Response::ACCEPTED);
  ASSERT_TRUE(server_.Control(v1::ControlQueueRequest::PAUSE_SERVICE).ok());
  EXPECT_EQ(Transfer().answer(), Response::DUPLICATE);
}

TEST_F(TransferTest, ARelayedMessageIsNeverRelayedAgain) {
  server_.letters.Answer("remote/ops", Kind::kNotReached, "no route");
  const std::string mid = Transfer().mid();
  server_.agent.config.mutable_queue()->set_queue_processing(config::Queue::REMOTELY);
  server_.acceptors.Set({{"b", "b:7443"}});
  server_.Reload();
  loop_.RunFor(absl::Minutes(5));
  EXPECT_EQ(server_.Where(mid), "remote/ops waiting");
  EXPECT_TRUE(server_.relays.attempts.empty());
}

TEST_F(TransferTest, AForwardedMessageIsShownOnceAndDone) {
  server_.agent.config.mutable_queue()->set_queue_processing(config::Queue::LOCALLY);
  server_.Reload();
  EXPECT_EQ(Transfer(v1::TransferRequest::FORWARD).answer(), Response::ACCEPTED);
  EXPECT_EQ(Transfer(v1::TransferRequest::FORWARD).answer(), Response::DUPLICATE);
  EXPECT_EQ(Arrival(), "arrived-done");
  loop_.RunFor(absl::Seconds(3));
  EXPECT_EQ(Arrival(), "arrived-done");
  const auto received = server_.events.Of(40009);
  ASSERT_EQ(received.size(), 1u);
  EXPECT_EQ(received[0].queue().origin_server(), "a");
  EXPECT_EQ(received[0].queue().origin_mid(), "a-1-1");
  EXPECT_EQ(received[0].queue().message(), "down");
}

TEST_F(TransferTest, WhatWasReceivedAndNotShownYetIsShownInTheNextLife) {
  EXPECT_EQ(Transfer(v1::TransferRequest::FORWARD).answer(), Response::ACCEPTED);
  server_.Crash();
  server_.events.all.clear();
  server_.Boot();
  loop_.RunFor(absl::Seconds(3));
  EXPECT_EQ(server_.events.Of(40009).size(), 1u);
  EXPECT_TRUE(server_.In("inbox").empty());
}

TEST_F(TransferTest, ABugWhatWasReceivedWasDoneBeforeItsTextWasSurelyOnDisk) {
  server_.events_on_disk = false;
  EXPECT_EQ(Transfer(v1::TransferRequest::FORWARD).answer(), Response::ACCEPTED);
  loop_.RunFor(absl::Seconds(30));
  EXPECT_EQ(server_.In("inbox").size(), 1u) << "a power loss would take its event";
  EXPECT_EQ(server_.events.Of(40009).size(), 1u);
  server_.events_on_disk = true;
  loop_.RunFor(absl::Seconds(2));
  EXPECT_TRUE(server_.In("inbox").empty());
  EXPECT_EQ(server_.events.Of(40009).size(), 1u);
}

TEST_F(TransferTest, ABugWhatWasWithdrawnCountedAsToldWhereItLivedOn) {
  server_.letters.Answer("remote/ops", DeliveryResult::Kind::kNotReached, "cut");
  EXPECT_EQ(Transfer().answer(), Response::ACCEPTED);
  loop_.RunFor(absl::Seconds(1));
  ASSERT_EQ(Withdraw(), "withdrawn");
  // A person had exported it before, and imports it at a third server, which asks here.
  EXPECT_EQ(Arrival(), "not-arrived");
  EXPECT_EQ(Transfer().answer(), Response::ANOTHER);
}

TEST_F(TransferTest, ABugATransferThatCameAfterItsWithdrawalWasTaken) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Withdraw(), i == 0 ? "withdrawn" : "not-arrived");
    EXPECT_EQ(Arrival(), "not-arrived");
  }
  EXPECT_EQ(server_.events.Of(40007).size(), 1u);
  EXPECT_EQ(Transfer().answer(), Response::ANOTHER);
  loop_.RunFor(absl::Minutes(5));
  EXPECT_TRUE(server_.letters.attempts.empty());
}

// Two real queues and one mail server: a hands to b, and what goes wrong may not tell a mail twice.
class PairTest : public ::testing::Test {
 protected:
  using Kind = DeliveryResult::Kind;

  PairTest() {
    a_.agent.config.mutable_queue()->set_queue_processing(config::Queue::REMOTELY);
    a_.acceptors.Set({{"b", "b:7443"}});
    b_.agent.config.mutable_queue()->set_queue_processing(config::Queue::LOCALLY_FOR_OTHERS);
    a_.relays.decide = [this](const FakeDeliverer::Attempt& attempt) {
      DeliveryResult result{.kind = Kind::kNotReached, .detail = "no answer"};
      v1::TransferRequest request;
      request.set_purpose(v1::TransferRequest::RELAY);
      request.set_sender("a");
      request.set_confirms(true);
      request.set_parcel(*MakeParcel(attempt.messages[0]));
      if (!is_reached_) {
        late_ = std::move(request);
        return result;
      }
      b_.dispatcher->Transfer(request, [](absl::StatusOr<v1::TransferResponse>) {});
      if (!is_answer_lost_) result.kind = Kind::kDelivered;
      if (on_taken_) on_taken_();
      return result;
    };
    a_.on_check = [this](const queue::Message& message, auto done) {
      v1::CheckArrivalRequest request;
      request.set_origin_server(message.origin_server());
      request.set_origin_mid(message.origin_mid());
      Call(&Dispatcher::CheckArrival, request, std::move(done));
    };
    a_.on_told = [this](v1::EndTransfersRequest request, auto done) {
      request.set_sender("a");
      Call(&Dispatcher::EndTransfers, request, std::move(done));
    };
    a_.Boot();
    b_.Boot();
  }
  template <typename Request, typename Response>
  void Call(void (Dispatcher::*method)(const Request&, Dispatcher::Reply<Response>),
            const Request& request, absl::AnyInvocable<void(absl::StatusOr<Response>)> done) {
    auto shared = std::make_shared<decltype(done)>(std::move(done));
    if (!is_reached_) {
      loop_.Post([shared] { (*shared)(absl::UnavailableError("not reached")); });
      return;
    }
    (b_.dispatcher.get()->*method)(
        request, [shared](absl::StatusOr<Response> answer) { (*shared)(std::move(answer)); });
  }
  // After its next commit, before its answer.
  void DieAtTheNextOne() {
    is_answer_lost_ = true;
    on_taken_ = [this] {
      on_taken_ = nullptr;
      b_.Crash();
      is_reached_ = false;
    };
  }
  void Return() {
    is_answer_lost_ = false;
    is_reached_ = true;
    b_.Boot();
  }
  int Mails() const {
    int mails = 0;
    for (const QueueServer* server : {&a_, &b_}) {
      for (const auto& [mid, times] : server->letters.taken) mails += times;
    }
    return mails;
  }
  int MailsOf(const QueueServer& server) const {
    return static_cast<int>(server.letters.attempts.size());
  }
  void RunFor(absl::Duration time) { loop_.RunFor(time); }

  SimulatedLoop loop_;
  QueueServer a_{loop_, "a"};
  QueueServer b_{loop_, "b"};
  bool is_reached_ = true;    // By a.
  v1::TransferRequest late_;  // The last one that did not reach it.
  bool is_answer_lost_ = false;
  std::function<void()> on_taken_;  // When b has it, before its answer.
};

TEST_F(PairTest, WhatWasTakenWaitsForItsSendersWordAndNoLonger) {
  on_taken_ = [this] { is_reached_ = false; };
  a_.Send("ops", "x");
  RunFor(absl::Seconds(1));
  const v1::QueueMessage held = b_.In("remote/ops").at(0);
  EXPECT_EQ(held.state(), "unconfirmed");
  EXPECT_EQ(held.next_attempt().seconds(), absl::ToUnixSeconds(b_.WallNow()) + 59);
  v1::ListQueuesRequest list;
  list.set_queue("remote/ops");
  EXPECT_EQ(b_.Ask(&Dispatcher::ListQueues, list)->queues(0).state(), "unconfirmed");
  is_reached_ = true;
  RunFor(absl::Seconds(2));
  EXPECT_EQ(b_.Where(held.mid()), "remote/ops done");
  EXPECT_EQ(Mails(), 1);
}

TEST_F(PairTest, ALostAnswerOfAnAcceptorThatLivesIsAskedFor) {
  is_answer_lost_ = true;
  const std::string mid = a_.Send("ops", "x");
  RunFor(absl::Seconds(2));
  EXPECT_EQ(a_.Where(mid), "relay/b done");
  EXPECT_EQ(a_.EndsOf(mid), std::vector<int>{40002});
  EXPECT_EQ(a_.events.Of(40014).size(), 1u);
  EXPECT_EQ(MailsOf(a_), 0);
  EXPECT_EQ(Mails(), 1);
}

TEST_F(PairTest, AnAcceptorThatDiesBeforeItsAnswerIsToldWhenItIsBack) {
  DieAtTheNextOne();
  const std::string mid = a_.Send("ops", "x");
  RunFor(absl::Seconds(1));
  EXPECT_EQ(a_.Where(mid), "remote/ops done") << "late would be worse";
  RunFor(absl::Minutes(20));
  Return();
  RunFor(absl::Minutes(5));
  EXPECT_EQ(Mails(), 1);
  EXPECT_EQ(MailsOf(b_), 0);
  EXPECT_EQ(b_.events.Of(40007).at(0).queue().reason(), "withdrawn by a, where it has had its end");
  EXPECT_EQ(a_.events.Of(40022).size(), 0u);
  const size_t told = a_.told.size();
  RunFor(absl::Minutes(5));
  EXPECT_EQ(a_.told.size(), told) << "it knows it";
}

TEST_F(PairTest, OneThatCanNotBeDeliveredHereEitherIsAskedForBeforeEachAttempt) {
  DieAtTheNextOne();
  a_.letters.Answer("remote/ops", Kind::kNotReached, "cut");
  const std::string mid = a_.Send("ops", "x");
  RunFor(absl::Seconds(30));
  EXPECT_EQ(a_.Where(mid), "remote/ops waiting");
  EXPECT_EQ(a_.Show(mid).handed_to(), "b");
  Return();
  RunFor(absl::Seconds(20));
  EXPECT_EQ(MailsOf(b_), 0) << "it waits for the word";
  a_.letters.Answer("remote/ops", Kind::kDelivered);
  ASSERT_TRUE(a_.Control(v1::ControlQueueRequest::RETRY).ok());
  RunFor(absl::Seconds(2));
  EXPECT_EQ(a_.Where(mid), "relay/b done");
  EXPECT_EQ(Mails(), 1);
}

TEST_F(PairTest, ATransferThatComesAfterTheAcceptorWasAskedIsWithdrawn) {
  is_reached_ = false;
  a_.letters.Answer("remote/ops", Kind::kNotReached, "cut");
  const std::string mid = a_.Send("ops", "x");
  RunFor(absl::Seconds(1));
  is_reached_ = true;
  a_.acceptors.Set({});  // Else it is handed to b again.
  ASSERT_TRUE(a_.Control(v1::ControlQueueRequest::RETRY).ok());
  RunFor(absl::Seconds(1));
  EXPECT_EQ(a_.Where(mid), "remote/ops waiting") << "not at b, as it said";
  b_.dispatcher->Transfer(late_, [](absl::StatusOr<v1::TransferResponse>) {});
  RunFor(absl::Seconds(1));
  is_reached_ = false;
  a_.letters.Answer("remote/ops", Kind::kDelivered);
  ASSERT_TRUE(a_.Control(v1::ControlQueueRequest::RETRY).ok());
  RunFor(absl::Seconds(10));
  is_reached_ = true;
  RunFor(absl::Minutes(5));
  EXPECT_EQ(a_.Where(mid), "remote/ops done");
  EXPECT_EQ(Mails(), 1);
}

TEST_F(PairTest, ASenderThatIsGoneIsWaitedForAMinute) {
  on_taken_ = [this] { is_reached_ = false; };
  a_.Send("ops", "x");
  RunFor(absl::Seconds(1));
  a_.Crash();
  RunFor(absl::Seconds(58));
  ASSERT_TRUE(b_.Control(v1::ControlQueueRequest::RETRY).ok());
  RunFor(absl::Milliseconds(500));
  EXPECT_EQ(Mails(), 0);
  RunFor(absl::Seconds(2));
  EXPECT_EQ(Mails(), 1);
}

TEST_F(PairTest, AnAcceptorThatCameBackWaitsForAMinuteAgain) {
  DieAtTheNextOne();
  a_.Send("ops", "x");
  a_.Crash();
  RunFor(absl::Hours(1));
  Return();
  RunFor(absl::Seconds(59));
  EXPECT_EQ(Mails(), 0);
  RunFor(absl::Seconds(2));
  EXPECT_EQ(Mails(), 1);
}

TEST_F(PairTest, ASenderThatDiesBeforeItsWordSaysItInItsNextLife) {
  on_taken_ = [this] { is_reached_ = false; };
  const std::string mid = a_.Send("ops", "x");
  RunFor(absl::Seconds(1));
  EXPECT_EQ(a_.Where(mid), "relay/b done");
  a_.Crash();
  is_reached_ = true;
  a_.Boot();
  RunFor(absl::Seconds(1));
  EXPECT_EQ(Mails(), 1);
  EXPECT_EQ(MailsOf(b_), 1);
}

TEST_F(PairTest, ASenderThatDiesBeforeItWithdrawsDoesItInItsNextLife) {
  DieAtTheNextOne();
  a_.Send("ops", "x");
  RunFor(absl::Minutes(3));
  EXPECT_EQ(Mails(), 1);
  a_.Crash();
  Return();
  RunFor(absl::Seconds(30));
  a_.Boot();
  RunFor(absl::Minutes(5));
  EXPECT_EQ(Mails(), 1);
}

TEST_F(PairTest, WhatIsUnderWayWhenItIsWithdrawnGoesWhenItFails) {
  DieAtTheNextOne();
  a_.Send("ops", "x");
  RunFor(absl::Seconds(1));
  Return();
  is_reached_ = false;  // Cut for longer than b waits.
  b_.letters.Answer("remote/ops", Kind::kNotReached, "timed out", absl::Seconds(20));
  RunFor(absl::Seconds(62));
  EXPECT_EQ(b_.In("remote/ops").at(0).state(), "delivering");
  is_reached_ = true;
  RunFor(absl::Seconds(11));
  EXPECT_EQ(b_.In("remote/ops").at(0).state(), "removing");
  EXPECT_EQ(a_.events.Of(40022).size(), 1u) << "nobody knows how that ends";
  b_.letters.Answer("remote/ops", Kind::kDelivered);
  RunFor(absl::Minutes(5));
  EXPECT_EQ(Mails(), 1);
  EXPECT_EQ(b_.events.Of(40007).size(), 1u);
}

TEST_F(PairTest, WhatIsHeldInACrashSetIsWithdrawnFromIt) {
  b_.agent.config.mutable_queue()->set_recovery(config::Queue::HOLD);
  DieAtTheNextOne();
  a_.Send("ops", "x");
  RunFor(absl::Seconds(1));
  b_.Boot("set-1");
  RunFor(absl::Minutes(2));
  std::string held;
  for (const v1::Event& event : b_.events.Of(40011)) held = absl::StrCat(held, event.queue().mid());
  EXPECT_EQ(b_.Where(held), "remote/ops held-in-set");
  is_reached_ = true;
  RunFor(absl::Seconds(11));
  EXPECT_EQ(b_.Show(held).state(), "removed") << "so that nobody executes it";
  EXPECT_EQ(a_.events.Of(40022).size(), 0u);
}

TEST_F(PairTest, OneThatAPersonRemovesHereIsWithdrawn) {
  DieAtTheNextOne();
  a_.letters.Answer("remote/ops", Kind::kNotReached, "cut");
  const std::string mid = a_.Send("ops", "x");
  RunFor(absl::Seconds(1));
  ASSERT_TRUE(a_.Control(v1::ControlMessageRequest::REMOVE, mid).ok());
  Return();
  RunFor(absl::Minutes(5));
  EXPECT_EQ(Mails(), 0);
  EXPECT_EQ(a_.EndsOf(mid), std::vector<int>{40007});
}

TEST_F(PairTest, ABugOneRemovedAfterItsExpiryWasNotWithdrawn) {
  DieAtTheNextOne();
  a_.letters.Answer("remote/ops", Kind::kNotReached, "cut");
  Submission brief = QueueServer::LetterTo("ops", "x");
  brief.expire = absl::Seconds(30);
  const std::string mid = *a_.Accept(brief);
  RunFor(absl::Minutes(1));
  EXPECT_EQ(a_.Where(mid), "dead waiting");
  ASSERT_TRUE(a_.Control(v1::ControlMessageRequest::REMOVE, mid).ok());
  b_.Boot();
  RunFor(absl::Minutes(2));
  EXPECT_EQ(b_.In("dead").size(), 1u) << "a person could revive it";
  is_reached_ = true;
  RunFor(absl::Minutes(2));
  EXPECT_EQ(b_.In("dead").size(), 0u);
  EXPECT_EQ(Mails(), 0);
}

TEST_F(PairTest, OneThatAnAcceptorMayHaveIsInNoDigest) {
  a_.agent.config.mutable_escalation()->set_digest_after(1);
  a_.Reload();
  DieAtTheNextOne();
  a_.letters.Answer("remote/ops", Kind::kNotReached, "cut");
  a_.Send("ops", "x");
  RunFor(absl::Seconds(1));
  for (const char* subject : {"y", "z"}) a_.Send("ops", subject);
  Return();
  a_.letters.Answer("remote/ops", Kind::kDelivered);
  a_.agent.config.mutable_queue()->set_queue_processing(config::Queue::LOCALLY);
  a_.Reload();
  RunFor(absl::Minutes(30));
  for (const std::string& subject : a_.letters.Subjects("remote/ops")) {
    EXPECT_TRUE(subject == "x" || !absl::StrContains(subject, "x")) << subject;
  }
  EXPECT_EQ(Mails(), 3);
}

TEST_F(PairTest, ABugADigestTriedAgainHadOneThatAnAcceptorMayHave) {
  a_.agent.config.mutable_escalation()->set_digest_after(1);
  a_.Reload();
  a_.acceptors.Set({});
  a_.Send("ops", "w");
  RunFor(absl::Seconds(1));
  a_.letters.Answer("remote/ops", Kind::kNotReached, "cut");
  for (const char* subject : {"x", "y", "z"}) a_.Send("ops", subject);
  const auto has_digest = [this] {
    const auto subjects = a_.letters.Subjects("remote/ops");
    return std::any_of(subjects.begin(), subjects.end(), [](const std::string& subject) {
      return absl::StrContains(subject, "x+y");
    });
  };
  for (int minute = 0; minute < 60 && !has_digest(); ++minute) RunFor(absl::Minutes(1));
  ASSERT_TRUE(has_digest());
  // An acceptor comes, takes the first of them, and dies before its answer.
  DieAtTheNextOne();
  a_.acceptors.Set({{"b", "b:7443"}});
  for (int minute = 0; minute < 10 && on_taken_; ++minute) RunFor(absl::Minutes(1));
  ASSERT_FALSE(on_taken_);
  Return();
  a_.acceptors.Set({});  // Nothing more is handed over; what was may be asked for.
  RunFor(absl::Minutes(2));
  ASSERT_EQ(MailsOf(b_), 1) << "its minute is over";
  a_.letters.Answer("remote/ops", Kind::kDelivered);
  RunFor(absl::Minutes(30));
  EXPECT_EQ(a_.In("").size(), 0u);
  EXPECT_EQ(Mails(), 4);
  EXPECT_EQ(a_.events.Of(40022).size(), 0u);
}

TEST_F(PairTest, AnOlderAcceptorIsToldOnce) {
  a_.on_told = nullptr;
  a_.ended = absl::UnimplementedError("there is no method EndTransfers");
  a_.Send("ops", "x");
  RunFor(absl::Minutes(5));
  EXPECT_EQ(a_.told.size(), 1u);
}

TEST_F(PairTest, WhatIsOwedIsBoundedAndEnds) {
  a_.agent.config.mutable_queue()->set_expire("30m");
  a_.agent.config.mutable_escalation()->set_digest_after(1000);
  a_.Reload();
  is_reached_ = false;
  v1::GetClusterRequest test;  // Says that b can be used again.
  test.set_test("b");
  for (int i = 0; i < 205; ++i) {
    a_.Send("ops", absl::StrCat("x", i));
    RunFor(absl::Seconds(1));
    ASSERT_TRUE(a_.Ask(&Dispatcher::GetCluster, test).ok());
  }
  RunFor(absl::Seconds(11));
  EXPECT_EQ(a_.told.back().second.ends_size(), 200);
  RunFor(absl::Hours(25));
  const size_t told = a_.told.size();
  a_.Crash();
  a_.Boot();
  RunFor(absl::Minutes(5));
  EXPECT_EQ(a_.told.size(), told);
}

// Three real queues: a hands to b, whose answer is lost; both deliver to c, which takes one.
TEST(HandOverOfThree, ALostAnswerMakesNoSecondOneAtTheReceiver) {
  SimulatedLoop loop;
  QueueServer a(loop, "a");
  QueueServer b(loop, "b");
  QueueServer c(loop, "c");
  const auto send = [](QueueServer& to, v1::TransferRequest::Purpose purpose) {
    return [&to, purpose](const FakeDeliverer::Attempt& attempt) {
      v1::TransferRequest request;
      request.set_purpose(purpose);
      request.set_parcel(*MakeParcel(attempt.messages[0]));
      DeliveryResult result{.kind = DeliveryResult::Kind::kNotReached, .detail = "no answer"};
      to.dispatcher->Transfer(request, [](absl::StatusOr<v1::TransferResponse>) {});
      return result;
    };
  };
  a.agent.config.mutable_queue()->set_queue_processing(config::Queue::REMOTELY);
  a.acceptors.Set({{"b", "b:7443"}});
  b.agent.config.mutable_queue()->set_queue_processing(config::Queue::LOCALLY_FOR_OTHERS);
  a.relays.decide = send(b, v1::TransferRequest::RELAY);
  a.forwards.decide = send(c, v1::TransferRequest::FORWARD);
  b.forwards.decide = send(c, v1::TransferRequest::FORWARD);
  for (QueueServer* server : {&a, &b, &c}) server->Boot();
  a.Send("hub", "once");
  loop.RunFor(absl::Minutes(10));
  EXPECT_EQ(c.events.Of(40009).size(), 1u);
  EXPECT_GE(a.forwards.attempts.size(), 1u);
  EXPECT_GE(b.forwards.attempts.size(), 2u);
}

}  // namespace
}  // namespace salve
