#include "queue/relay_deliverer.h"

#include <optional>

#include "base/simulated_loop.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "queue/fake_peer_client.h"
#include "queue/list_acceptors.h"
#include "queue/parcel.h"

namespace salve {
namespace {

using testing::SizeIs;
using Kind = DeliveryResult::Kind;

template <typename Message>
Message FromText(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

class RelayDelivererTest : public testing::Test {
 protected:
  RelayDelivererTest() {
    AgentDefinition agent;
    agent.config = FromText<config::Agent>(R"(
        remote { client_ca_file: "/r/ca" certificate_file: "/r/crt" key_file: "/r/key" }
        queue {
          acceptor { server: "web-2" address: "10.0.0.2:7443" }
          peer { ca_file: "/p/ca" }
        })");
    acceptors_.Configure(agent.config.queue());
    deliverer_.Configure(agent);
  }

  static queue::Message Letter() {
    return FromText<queue::Message>(R"(
        mid: "web-1-1-1" origin_server: "web-1" origin_mid: "web-1-1-1" type: AF
        created_ns: 1 expires_ns: 2 destination: "ops" subject: "s" letter { message: "m" }
        handed_to: "web-2")");
  }
  DeliveryResult Deliver(const queue::Message& message = Letter(),
                         const std::string& queue = "relay/web-2") {
    std::optional<DeliveryResult> result;
    deliverer_.Start(queue, {message}, loop_.Now() + absl::Seconds(10),
                     [&](DeliveryResult got) { result = std::move(got); });
    EXPECT_FALSE(result.has_value()) << "answered inside the call";
    loop_.RunFor(absl::Seconds(10));
    return result.value_or(DeliveryResult{.detail = "no result"});
  }
  Kind KindOf(v1::TransferResponse::Answer answer) {
    client_.transfer = v1::TransferResponse();
    client_.transfer->set_answer(answer);
    return Deliver().kind;
  }
  Kind KindOf(absl::StatusCode code) {
    client_.transfer = absl::Status(code, "why");
    return Deliver().kind;
  }

  SimulatedLoop loop_;
  FakePeerClient client_{loop_};
  ListAcceptors acceptors_{"web-1", nullptr};
  RelayDeliverer deliverer_{loop_, client_, acceptors_, "web-1"};
};

TEST_F(RelayDelivererTest, HandsTheMessageOverForTheAcceptorToDeliver) {
  EXPECT_EQ(KindOf(v1::TransferResponse::ACCEPTED), Kind::kDelivered);
  ASSERT_THAT(client_.transfers, SizeIs(1));
  EXPECT_EQ(client_.transfers[0].purpose(), v1::TransferRequest::RELAY);
  EXPECT_EQ(client_.transfers[0].sender(), "web-1");
  const auto message = OpenParcel(client_.transfers[0].parcel());
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ(message->hops(), 0) << "the acceptor counts it";
  EXPECT_EQ(message->origin_mid(), "web-1-1-1");
  EXPECT_EQ(message->handed_to(), "");
  EXPECT_TRUE(client_.transfers[0].confirms()) << "its end is told";
}

TEST_F(RelayDelivererTest, TellsAnAcceptorWhatBecameOfWhatItTook) {
  client_.ended->add_arrivals("withdrawn");
  const auto told = FromText<v1::EndTransfersRequest>(
      R"(ends { word: WITHDRAW origin_server: "web-1" origin_mid: "web-1-1-1" })");
  std::vector<std::string> answers;
  const auto done = [&](const absl::StatusOr<v1::EndTransfersResponse>& got) {
    answers.push_back(got.ok() ? got->arrivals(0) : std::string(got.status().message()));
  };
  deliverer_.EndTransfers("web-2", told, done);
  deliverer_.EndTransfers("web-3", told, done);
  EXPECT_THAT(answers, SizeIs(0));
  loop_.RunPending();
  EXPECT_THAT(answers, testing::UnorderedElementsAre("withdrawn", "web-3 is no acceptor now"));
  ASSERT_THAT(client_.ends, SizeIs(1));
  EXPECT_EQ(client_.ends[0].sender(), "web-1");
  EXPECT_EQ(client_.ends[0].ends(0).word(), v1::TransferEnd::WITHDRAW);
  EXPECT_EQ(client_.deadlines[0], loop_.Now() + TransferCalls::kAskTime);
}

TEST_F(RelayDelivererTest, TheAcceptorsAddressWithTheFilesForPeers) {
  Deliver();
  EXPECT_EQ(client_.peers[0], (Peer{"10.0.0.2:7443", "", {"/r/crt", "/r/key", "/p/ca"}}));
}

TEST_F(RelayDelivererTest, EachAnswerHasItsMeaning) {
  EXPECT_EQ(KindOf(v1::TransferResponse::DUPLICATE), Kind::kDelivered);
  EXPECT_EQ(KindOf(v1::TransferResponse::ANOTHER), Kind::kElsewhere);
  EXPECT_EQ(KindOf(v1::TransferResponse::REFUSED), Kind::kRefused);
  EXPECT_EQ(KindOf(v1::TransferResponse::ANSWER_UNSPECIFIED), Kind::kNotReached);
}

TEST_F(RelayDelivererTest, WhateverComesBeforeAnAnswerIsNotReached) {
  for (int code = 1; code <= 16; ++code) {
    EXPECT_EQ(KindOf(static_cast<absl::StatusCode>(code)), Kind::kNotReached) << code;
  }
  client_.hangs = true;
  EXPECT_EQ(Deliver().kind, Kind::kNotReached);
}

TEST_F(RelayDelivererTest, AnAcceptorThatIsNoneAnyMoreIsElsewhere) {
  EXPECT_EQ(Deliver(Letter(), "relay/web-3").kind, Kind::kElsewhere);
  acceptors_.Configure({});
  EXPECT_EQ(Deliver().detail, "web-2 is no acceptor now");
  EXPECT_THAT(client_.transfers, SizeIs(0));
}

TEST_F(RelayDelivererTest, OnlyNotificationsAndOnlyOnce) {
  queue::Message second_hop = Letter();
  second_hop.set_hops(1);
  EXPECT_EQ(Deliver(second_hop).kind, Kind::kNotReached);
  queue::Message deferred = Letter();
  deferred.set_type(queue::UP);
  EXPECT_EQ(Deliver(deferred).kind, Kind::kNotReached);
  EXPECT_THAT(client_.transfers, SizeIs(0));
}

TEST_F(RelayDelivererTest, ACancelledDeliveryIsSilent) {
  const Deliverer::Id id = deliverer_.Start("relay/web-2", {Letter()}, loop_.Now(),
                                            [](const DeliveryResult&) { FAIL(); });
  deliverer_.Cancel(id);
  loop_.RunFor(absl::Seconds(1));
}

TEST_F(RelayDelivererTest, AnAcceptorThatWouldTakeOneIsOk) {
  client_.transfer->set_answer(v1::TransferResponse::ACCEPTED);
  absl::Status status = absl::UnknownError("none yet");
  deliverer_.Probe("web-2", [&](absl::Status got) { status = std::move(got); });
  loop_.RunPending();
  EXPECT_EQ(status, absl::OkStatus());
  client_.transfer = absl::UnavailableError("nobody listens there");
  deliverer_.Probe("web-2", [&](absl::Status got) { status = std::move(got); });
  loop_.RunPending();
  EXPECT_EQ(status, absl::UnavailableError("nobody listens there"));
}

TEST_F(RelayDelivererTest, AsksWhetherAMessageArrivedAndWhetherOneWouldBeTaken) {
  client_.arrival->set_arrival("not-arrived");
  client_.transfer->set_answer(v1::TransferResponse::ANOTHER);
  client_.transfer->set_reason("full");
  std::vector<std::string> answers;
  const auto arrival = [&](const absl::StatusOr<v1::CheckArrivalResponse>& got) {
    answers.push_back(got.ok() ? got->arrival() : std::string(got.status().message()));
  };
  const auto probed = [&](const absl::Status& got) {
    answers.push_back(std::string(got.message()));
  };
  deliverer_.CheckArrival("relay/web-2", Letter(), arrival);
  deliverer_.Probe("web-2", probed);
  deliverer_.CheckArrival("relay/web-3", Letter(), arrival);
  deliverer_.Probe("web-3", probed);
  EXPECT_THAT(answers, SizeIs(0));
  loop_.RunPending();
  EXPECT_THAT(answers, testing::UnorderedElementsAre("not-arrived", "10.0.0.2:7443: ANOTHER: full",
                                                     "web-3 is no acceptor now",
                                                     "web-3 is no acceptor now"));
  EXPECT_EQ(client_.transfers[0].purpose(), v1::TransferRequest::PROBE);
  EXPECT_EQ(client_.transfers[0].parcel(), "");
  EXPECT_EQ(client_.deadlines[1], loop_.Now() + TransferCalls::kAskTime);
}

}  // namespace
}  // namespace salve
