#include "queue/letter_deliverer.h"

#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/simulated_loop.h"
#include "gtest/gtest.h"
#include "queue/digest.h"
#include "responders/escalation/fake_transport.h"

namespace salve {
namespace {

using Kind = DeliveryResult::Kind;

class LetterDelivererTest : public ::testing::Test {
 protected:
  LetterDelivererTest() {
    AgentDefinition agent;
    agent.server = "web-1";
    agent.group = "web";
    agent.config.add_destination()->set_name("ops");
    deliverer_.Configure(agent);
  }
  static queue::Message MessageOf(const std::string& subject, const std::string& mid = "web-1-a-1",
                                  const std::string& origin = "web-1") {
    queue::Message message;
    message.set_mid(mid);
    message.set_origin_mid(mid);
    message.set_origin_server(origin);
    message.set_subject(subject);
    message.set_correlation("incident");
    message.mutable_letter()->set_message("it is down");
    message.mutable_letter()->set_group("web");
    message.mutable_letter()->set_time_ns(1'800'000'000'000'000'000);
    return message;
  }
  std::optional<DeliveryResult> Deliver(const std::vector<queue::Message>& messages,
                                        const std::string& queue = "remote/ops") {
    std::optional<DeliveryResult> result;
    deliverer_.Start(queue, messages, loop_.Now() + absl::Seconds(30),
                     [&](DeliveryResult r) { result = std::move(r); });
    EXPECT_FALSE(result.has_value());
    loop_.RunFor(absl::Seconds(31));
    return result;
  }

  SimulatedLoop loop_;
  FakeTransport transport_{loop_};
  LetterDeliverer deliverer_{loop_, transport_};
};

TEST_F(LetterDelivererTest, AMessageIsALetterWithItsOwnIdentity) {
  transport_.Answer("ops", std::string("it also said: 550"));
  const auto result = Deliver({MessageOf("Web/Down is UNHEALTHY", "a-1-1", "a")});
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->kind, Kind::kDelivered);
  EXPECT_EQ(result->detail, "it also said: 550");
  ASSERT_EQ(transport_.attempts.size(), 1u);
  const Letter& letter = transport_.attempts[0].letter;
  EXPECT_EQ(letter.id, "a-1-1");
  EXPECT_EQ(letter.notice.subject, "Web/Down is UNHEALTHY");
  EXPECT_EQ(letter.notice.message, "it is down");
  EXPECT_EQ(letter.notice.server, "a");
  EXPECT_EQ(letter.notice.group, "web");
  EXPECT_EQ(letter.notice.incident_id, "incident");
  EXPECT_EQ(letter.notice.time, absl::FromUnixSeconds(1'800'000'000));
}

TEST_F(LetterDelivererTest, SeveralAreADigestWithAnIdOfItsOwn) {
  const std::vector<queue::Message> messages = {MessageOf("one", "web-1-a-1"),
                                                MessageOf("two\nlines", "web-1-a-2"),
                                                MessageOf("three", "b-1-1", "b")};
  EXPECT_EQ(Deliver(messages)->kind, Kind::kDelivered);
  const Letter& letter = transport_.attempts[0].letter;
  EXPECT_EQ(letter.id, DigestId({"web-1-a-1", "web-1-a-2", "b-1-1"}));
  EXPECT_EQ(letter.notice.kind, Notice::Kind::kDigest);
  EXPECT_EQ(letter.notice.subject, "3 messages of web-1");
  EXPECT_EQ(letter.notice.message,
            "2027-01-15T08:00:00+00:00  one: it is down\n"
            "2027-01-15T08:00:00+00:00  two lines: it is down\n"
            "[b] 2027-01-15T08:00:00+00:00  three: it is down\n");
}

TEST_F(LetterDelivererTest, TheTransportsCodesSayWhatItMeans) {
  const std::map<absl::StatusCode, Kind> kMeanings = {
      {absl::StatusCode::kUnavailable, Kind::kNotReached},
      {absl::StatusCode::kDeadlineExceeded, Kind::kNotReached},
      {absl::StatusCode::kAborted, Kind::kFailedOn},
      {absl::StatusCode::kFailedPrecondition, Kind::kRefused}};
  for (const auto& [code, kind] : kMeanings) {
    transport_.Answer("ops", absl::Status(code, "why"));
    const auto result = Deliver({MessageOf("a")});
    EXPECT_EQ(result->kind, kind);
    EXPECT_EQ(result->detail, "why");
  }
}

TEST_F(LetterDelivererTest, ADestinationThatThereIsNotIsNotReached) {
  EXPECT_EQ(Deliver({MessageOf("a")}, "remote/nobody")->kind, Kind::kNotReached);
}

TEST_F(LetterDelivererTest, ACancelledOneCallsNobody) {
  for (const char* queue : {"remote/ops", "remote/nobody"}) {
    const auto id = deliverer_.Start(queue, {MessageOf("a")}, loop_.Now() + absl::Seconds(30),
                                     [](DeliveryResult) { ADD_FAILURE() << "called"; });
    deliverer_.Cancel(id);
    deliverer_.Cancel(id);
  }
  deliverer_.Cancel(Deliverer::Id::kNone);
  loop_.RunFor(absl::Minutes(1));
}

TEST(DigestTest, ALineIsOneLineAndHasABound) {
  queue::Message message;
  message.set_subject(std::string(1000, 'x') + "\n");
  const std::string line = DigestLine(message);
  EXPECT_LE(line.size(), 401u);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

TEST(DigestTest, TheSameMessagesHaveTheSameIdOthersAnother) {
  EXPECT_EQ(DigestId({"a", "b"}), DigestId({"a", "b"}));
  EXPECT_NE(DigestId({"a", "b"}), DigestId({"ab"}));
  EXPECT_EQ(DigestId({"a"}).size(), 23u);
}

}  // namespace
}  // namespace salve
