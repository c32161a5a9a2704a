#include "queue/forward_deliverer.h"

#include <optional>

#include "base/simulated_loop.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "queue/fake_peer_client.h"
#include "queue/parcel.h"

namespace salve {
namespace {

using testing::HasSubstr;
using testing::SizeIs;
using Kind = DeliveryResult::Kind;

template <typename Message>
Message FromText(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

class ForwardDelivererTest : public testing::Test {
 protected:
  ForwardDelivererTest() {
    agent_.config = FromText<config::Agent>(R"(
        remote { client_ca_file: "/r/ca" certificate_file: "/r/crt" key_file: "/r/key" }
        destination { name: "mail" smtp {} }
        destination { name: "central" forward { address: "c1.example:7443" } }
        destination {
          name: "other"
          forward {
            address: "[::1]:1" ca_file: "/o/ca" certificate_file: "/o/crt" key_file: "/o/key"
            server_name: "o1"
          }
        })");
    deliverer_.Configure(agent_);
  }

  static queue::Message Letter() {
    return FromText<queue::Message>(R"(
        mid: "web-1-1-1" origin_server: "web-1" origin_mid: "web-1-1-1" type: AF
        created_ns: 1 expires_ns: 2 destination: "central" subject: "s" letter { message: "m" }
        handed_to: "web-9")");
  }
  Deliverer::Id Start(const queue::Message& message = Letter(),
                      const std::string& queue = "remote/central") {
    return deliverer_.Start(queue, {message}, loop_.Now() + absl::Seconds(30),
                            [this](DeliveryResult result) { result_ = std::move(result); });
  }
  DeliveryResult Deliver(const queue::Message& message = Letter(),
                         const std::string& queue = "remote/central") {
    result_.reset();
    Start(message, queue);
    EXPECT_FALSE(result_.has_value()) << "answered inside the call";
    loop_.RunPending();
    return result_.value_or(DeliveryResult{.detail = "no result"});
  }
  Kind KindOf(v1::TransferResponse::Answer answer) {
    client_.transfer = v1::TransferResponse();
    client_.transfer->set_answer(answer);
    return Deliver().kind;
  }
  Kind KindOf(absl::StatusCode code) {
    client_.transfer = absl::Status(code, "why");
    const DeliveryResult result = Deliver();
    EXPECT_EQ(result.detail, "why");
    return result.kind;
  }

  SimulatedLoop loop_;
  FakePeerClient client_{loop_};
  AgentDefinition agent_;
  ForwardDeliverer deliverer_{loop_, client_, "web-1"};
  std::optional<DeliveryResult> result_;
};

TEST_F(ForwardDelivererTest, HandsTheMessageOverForTheInbox) {
  EXPECT_EQ(KindOf(v1::TransferResponse::ACCEPTED), Kind::kDelivered);
  ASSERT_THAT(client_.transfers, SizeIs(1));
  EXPECT_EQ(client_.transfers[0].purpose(), v1::TransferRequest::FORWARD);
  EXPECT_EQ(client_.transfers[0].sender(), "web-1");
  const auto message = OpenParcel(client_.transfers[0].parcel());
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ(message->mid(), "web-1-1-1");
  EXPECT_EQ(message->hops(), 0);
  EXPECT_EQ(message->handed_to(), "") << "is about the queue here";
  EXPECT_EQ(client_.deadlines[0], loop_.Now() + absl::Seconds(30));
}

TEST_F(ForwardDelivererTest, TakesFilesOfTheDestinationOrOfRemote) {
  Deliver();
  Deliver(Letter(), "remote/other");
  EXPECT_EQ(client_.peers[0],
            (Peer{"c1.example:7443", "c1.example", {"/r/crt", "/r/key", "/r/ca"}}));
  EXPECT_EQ(client_.peers[1], (Peer{"[::1]:1", "o1", {"/o/crt", "/o/key", "/o/ca"}}));
}

TEST_F(ForwardDelivererTest, EachAnswerHasItsMeaning) {
  EXPECT_EQ(KindOf(v1::TransferResponse::DUPLICATE), Kind::kDelivered);
  EXPECT_EQ(KindOf(v1::TransferResponse::ANOTHER), Kind::kNotReached);
  EXPECT_EQ(KindOf(v1::TransferResponse::REFUSED), Kind::kRefused);
  EXPECT_EQ(KindOf(v1::TransferResponse::ANSWER_UNSPECIFIED), Kind::kFailedOn);
}

TEST_F(ForwardDelivererTest, TheDetailIsWhatThePeerSaidWithinItsBound) {
  client_.transfer->set_answer(v1::TransferResponse::REFUSED);
  client_.transfer->set_reason("a second hop");
  EXPECT_EQ(Deliver().detail, "c1.example:7443: REFUSED: a second hop");
  client_.transfer->set_reason(std::string(5000, 'x'));
  EXPECT_THAT(Deliver().detail, SizeIs(1024));
}

// A wrong certificate or role must not kill what waits.
TEST_F(ForwardDelivererTest, OnlyAPeerThatFailedOnTheMessageCounts) {
  EXPECT_EQ(KindOf(absl::StatusCode::kUnavailable), Kind::kNotReached);
  EXPECT_EQ(KindOf(absl::StatusCode::kDeadlineExceeded), Kind::kNotReached);
  EXPECT_EQ(KindOf(absl::StatusCode::kCancelled), Kind::kNotReached);
  EXPECT_EQ(KindOf(absl::StatusCode::kPermissionDenied), Kind::kNotReached);
  EXPECT_EQ(KindOf(absl::StatusCode::kUnauthenticated), Kind::kNotReached);
  EXPECT_EQ(KindOf(absl::StatusCode::kUnimplemented), Kind::kNotReached);
  EXPECT_EQ(KindOf(absl::StatusCode::kResourceExhausted), Kind::kNotReached);
  EXPECT_EQ(KindOf(absl::StatusCode::kFailedPrecondition), Kind::kNotReached);
  EXPECT_EQ(KindOf(absl::StatusCode::kInternal), Kind::kFailedOn);
  EXPECT_EQ(KindOf(absl::StatusCode::kInvalidArgument), Kind::kNotReached);
}

TEST_F(ForwardDelivererTest, AStallEndsAtTheDeadline) {
  client_.hangs = true;
  Start();
  loop_.RunFor(absl::Seconds(30) - absl::Nanoseconds(1));
  EXPECT_FALSE(result_.has_value());
  loop_.RunFor(absl::Nanoseconds(1));
  EXPECT_EQ(result_->kind, Kind::kNotReached);
}

TEST_F(ForwardDelivererTest, AMessageThatNoParcelTakesIsRefused) {
  queue::Message message = Letter();
  message.clear_origin_mid();
  EXPECT_EQ(Deliver(message).kind, Kind::kRefused);
  EXPECT_THAT(client_.transfers, SizeIs(0));
}

TEST_F(ForwardDelivererTest, ADestinationThatForwardsNoMoreIsNotReached) {
  EXPECT_EQ(Deliver(Letter(), "remote/mail").kind, Kind::kNotReached);
  agent_.config.clear_destination();
  deliverer_.Configure(agent_);
  EXPECT_EQ(Deliver().detail, "no destination forwards for remote/central");
}

TEST_F(ForwardDelivererTest, ACancelledDeliveryIsSilent) {
  const Deliverer::Id id = Start();
  const Deliverer::Id known = Start(Letter(), "remote/mail");
  deliverer_.Cancel(id);
  deliverer_.Cancel(known);
  deliverer_.Cancel(known);
  deliverer_.Cancel(Deliverer::Id::kNone);
  EXPECT_THAT(client_.open, SizeIs(0));
  loop_.RunFor(absl::Minutes(1));
  EXPECT_FALSE(result_.has_value());
}

TEST_F(ForwardDelivererTest, ItsEndIsSilent) {
  bool called = false;
  {
    ForwardDeliverer deliverer(loop_, client_, "web-1");
    deliverer.Configure(agent_);
    for (const char* queue : {"remote/central", "remote/mail"}) {
      deliverer.Start(queue, {Letter()}, loop_.Now() + absl::Seconds(1),
                      [&](const DeliveryResult&) { called = true; });
    }
    deliverer.CheckArrival("remote/central", Letter(), [&](const auto&) { called = true; });
  }
  loop_.RunFor(absl::Minutes(1));
  EXPECT_FALSE(called);
}

TEST_F(ForwardDelivererTest, AsksWhetherAMessageArrived) {
  client_.arrival->set_arrival("arrived-done");
  absl::StatusOr<v1::CheckArrivalResponse> answer = absl::UnknownError("none yet");
  const auto take = [&](absl::StatusOr<v1::CheckArrivalResponse> got) { answer = std::move(got); };
  deliverer_.CheckArrival("remote/central", Letter(), take);
  loop_.RunPending();
  EXPECT_EQ(answer->arrival(), "arrived-done");
  EXPECT_EQ(client_.checks[0].origin_server(), "web-1");
  EXPECT_EQ(client_.checks[0].origin_mid(), "web-1-1-1");
  EXPECT_EQ(client_.deadlines[0], loop_.Now() + TransferCalls::kAskTime);
  deliverer_.CheckArrival("remote/mail", Letter(), take);
  loop_.RunPending();
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace salve
