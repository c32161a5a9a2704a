#include "queue/dispatcher_fixture.h"
#include "queue/parcel.h"

namespace salve {
namespace {

using Code = absl::StatusCode;
using Message = v1::ControlMessageRequest;
using Queue = v1::ControlQueueRequest;

class RequestsTest : public DispatcherTest {
 protected:
  void SetUp() override { server_.Boot(); }
  // A message that waits in a suspended queue.
  std::string Waiting(const std::string& subject = "a") {
    EXPECT_TRUE(server_.Control(Queue::SUSPEND, "remote/ops").ok());
    return server_.Send("ops", subject);
  }
  absl::StatusOr<v1::ListQueuesResponse> Queues(const std::string& queue = "") {
    v1::ListQueuesRequest request;
    request.set_queue(queue);
    return server_.Ask(&Dispatcher::ListQueues, request);
  }
  std::string StateOf(const std::string& queue) {
    const auto answer = Queues(queue);
    return answer.ok() ? answer->queues(0).state() : std::string(answer.status().message());
  }
  absl::StatusOr<v1::ExportMessageResponse> Export(const std::string& id) {
    v1::ExportMessageRequest request;
    request.set_id(id);
    return server_.Ask(&Dispatcher::ExportMessage, request);
  }
  absl::StatusOr<v1::ImportMessageResponse> Import(QueueServer& into, const std::string& parcel) {
    v1::ImportMessageRequest request;
    request.set_parcel(parcel);
    return into.Ask(&Dispatcher::ImportMessage, request);
  }
  absl::StatusOr<v1::PrepareResponse> Prepare(v1::PrepareRequest::Verb verb) {
    v1::PrepareRequest request;
    request.set_verb(verb);
    return server_.Ask(&Dispatcher::Prepare, request);
  }
};

TEST_F(RequestsTest, StatesOfAQueue) {
  EXPECT_EQ(StateOf("remote/ops"), "idle");
  server_.letters.Answer("remote/ops", Kind::kNotReached, "no route", absl::Seconds(5));
  server_.Send("ops", "a");
  EXPECT_EQ(StateOf("remote/ops"), "delivering");
  loop_.RunFor(absl::Seconds(6));
  EXPECT_EQ(StateOf("remote/ops"), "waiting");
  const auto status = Queues("remote/ops")->queues(0);
  EXPECT_EQ(status.messages(), 1);
  EXPECT_EQ(status.last_error(), "no route");
  EXPECT_EQ(status.next_attempt().seconds(),
            absl::ToUnixSeconds(server_.WallNow() + absl::Seconds(59)));
  ASSERT_TRUE(server_.Control(Queue::PAUSE_SERVICE).ok());
  EXPECT_EQ(StateOf("remote/ops"), "paused");
  EXPECT_TRUE(Queues()->paused());
  ASSERT_TRUE(server_.Control(Queue::SUSPEND, "remote/ops").ok());
  EXPECT_EQ(StateOf("remote/ops"), "suspended");
}

TEST_F(RequestsTest, QueuesByPatternAndTheNearestNames) {
  EXPECT_EQ(Queues("remote/*")->queues_size(), 3);
  EXPECT_EQ(Queues()->mode(), "LOCALLY");
  EXPECT_EQ(Queues("remote/osp").status().code(), Code::kNotFound);
  EXPECT_NE(Queues("remote/osp").status().message().find("'remote/ops'"), std::string::npos);
  EXPECT_EQ(server_.Control(Queue::SUSPEND, "none").status().code(), Code::kNotFound);
}

TEST_F(RequestsTest, ASuspendedQueueDeliversNothingAlsoAfterARestart) {
  const std::string mid = Waiting();
  server_.Crash();
  server_.Boot();
  loop_.RunFor(absl::Minutes(5));
  EXPECT_EQ(server_.Where(mid), "remote/ops waiting");
  ASSERT_TRUE(server_.Control(Queue::RESUME, "remote/ops").ok());
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
}

TEST_F(RequestsTest, ASuspendedMessageLetsOthersPass) {
  const std::string mid = Waiting("a");
  const std::string other = server_.Send("ops", "b");
  ASSERT_TRUE(server_.Control(Message::SUSPEND, mid).ok());
  ASSERT_TRUE(server_.Control(Queue::RESUME, "remote/ops").ok());
  loop_.RunFor(absl::Minutes(5));
  EXPECT_EQ(server_.Where(mid), "remote/ops suspended");
  EXPECT_EQ(server_.Where(other), "remote/ops done");
  ASSERT_TRUE(server_.Control(Message::RESUME, mid).ok());
  EXPECT_EQ(server_.events.Of(40010).back().queue().who(), "bob");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
  EXPECT_EQ(server_.Control(Message::RESUME, mid).status().code(), Code::kFailedPrecondition);
  EXPECT_EQ(server_.Control(Message::RESUME, "none").status().code(), Code::kNotFound);
}

TEST_F(RequestsTest, SuspendedOrRemovedOnItsWayCountsOnlyIfTheAttemptFails) {
  for (const Kind kind : {Kind::kNotReached, Kind::kDelivered}) {
    server_.letters.Answer("remote/ops", kind, "no route", absl::Seconds(5));
    server_.letters.Answer("remote/hook", kind, "no route", absl::Seconds(5));
    const std::string suspended = server_.Send("ops", "a");
    const std::string removed = server_.Send("hook", "b");
    EXPECT_NE(server_.Control(Message::SUSPEND, suspended)->note(), "");
    EXPECT_NE(server_.Control(Message::REMOVE, removed)->note(), "");
    EXPECT_EQ(server_.Where(removed), "remote/hook removing");
    loop_.RunFor(absl::Seconds(6));
    const bool ok = kind == Kind::kDelivered;
    EXPECT_EQ(server_.Where(suspended), ok ? "remote/ops done" : "remote/ops suspended");
    EXPECT_EQ(server_.Where(removed), ok ? "remote/hook done" : "remote/hook removed");
    if (!ok) {
      EXPECT_TRUE(server_.Control(Message::REMOVE, suspended).ok());
    }
    loop_.RunFor(absl::Minutes(2));
  }
}

TEST_F(RequestsTest, RemovedWithANoticeToTheOthers) {
  const std::string mid = Waiting();
  ASSERT_TRUE(server_.Control(Message::REMOVE, mid, /*notify=*/true).ok());
  EXPECT_EQ(server_.Where(mid), "remote/ops removed");
  EXPECT_EQ(server_.EndsOf(mid), std::vector<int>{40007});
  EXPECT_EQ(server_.events.Of(40007)[0].queue().who(), "bob");
  loop_.RunFor(absl::Seconds(1));
  ASSERT_EQ(server_.letters.On("remote/hook").size(), 1u);
  EXPECT_EQ(server_.letters.On("remote/hook")[0].messages[0].subject(),
            "removed without delivery: a");
}

TEST_F(RequestsTest, RetryTriesWhatWaitsNow) {
  server_.letters.Answer("remote/ops", Kind::kNotReached, "no route");
  server_.letters.Answer("remote/hook", Kind::kFailedOn, "503");
  server_.Send("ops", "a");
  server_.Send("hook", "b");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Control(Queue::RETRY, "remote/*")->affected(), 2);
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.letters.On("remote/ops").size(), 2u);
  EXPECT_EQ(server_.letters.On("remote/hook").size(), 2u);
}

TEST_F(RequestsTest, PoisonAndDeadAreNotResubmittedInBulk) {
  EXPECT_EQ(server_.Control(Queue::RESUBMIT, "poison").status().code(), Code::kFailedPrecondition);
  EXPECT_EQ(server_.Control(Queue::RETRY, "dead").status().code(), Code::kFailedPrecondition);
  EXPECT_EQ(server_.Control(Queue::RESUBMIT)->affected(), 0);
}

TEST_F(RequestsTest, ListsPagesAndPositions) {
  Waiting("a");
  server_.Send("ops", "b");
  v1::ListMessagesRequest request;
  request.set_queue("remote/ops");
  request.set_limit(1);
  request.set_offset(1);
  const auto page = server_.Ask(&Dispatcher::ListMessages, request);
  ASSERT_EQ(page->messages_size(), 1);
  EXPECT_EQ(page->messages(0).subject(), "b");
  EXPECT_EQ(page->total(), 2);
  request.set_limit(1001);
  EXPECT_EQ(server_.Ask(&Dispatcher::ListMessages, request).status().code(),
            Code::kInvalidArgument);
  v1::GetMessageRequest get;
  get.set_queue("remote/ops");
  get.set_position(2);
  get.set_with_body(true);
  const auto second = server_.Ask(&Dispatcher::GetMessage, get);
  EXPECT_EQ(second->message().subject(), "b");
  EXPECT_NE(second->message().body().find("about b"), std::string::npos);
  get.set_position(3);
  EXPECT_EQ(server_.Ask(&Dispatcher::GetMessage, get).status().code(), Code::kNotFound);
  get.set_position(0);
  EXPECT_EQ(server_.Ask(&Dispatcher::GetMessage, get).status().code(), Code::kInvalidArgument);
}

TEST_F(RequestsTest, ExportsWhatIsSuspendedAndAnotherServerImportsItOnce) {
  const std::string mid = Waiting();
  EXPECT_EQ(Export(mid).status().code(), Code::kFailedPrecondition);
  ASSERT_TRUE(server_.Control(Message::SUSPEND, mid).ok());
  const auto exported = Export(mid);
  ASSERT_TRUE(exported.ok()) << exported.status();
  EXPECT_EQ(exported->internal_id(), server_.Show(mid).internal_id());
  EXPECT_EQ(Import(server_, exported->parcel()).status().code(), Code::kAlreadyExists);
  QueueServer other(loop_, "web-2");
  other.Boot();
  const auto imported = Import(other, exported->parcel());
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->mid(), mid);
  EXPECT_EQ(imported->queue(), "remote/ops");
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(other.Where(mid), "remote/ops done");
  EXPECT_EQ(Import(other, exported->parcel()).status().code(), Code::kAlreadyExists);
  EXPECT_EQ(Import(other, "no parcel").status().code(), Code::kInvalidArgument);
}

TEST_F(RequestsTest, AnActionOfAnotherServerIsUnreachableHere) {
  ASSERT_TRUE(server_.Control(Queue::SUSPEND, "local/*").ok());
  server_.actions.Answer("local/nginx", Kind::kWait, "throttled");
  const std::string mid = server_.Defer("nginx", "Restart");
  loop_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(server_.Control(Message::SUSPEND, mid).ok());
  QueueServer other(loop_, "web-2");
  other.Boot();
  ASSERT_TRUE(Import(other, Export(mid)->parcel()).ok());
  loop_.RunFor(absl::Hours(1));
  EXPECT_EQ(other.Where(mid), "unreachable waiting");
  EXPECT_EQ(other.Show(mid).reason(), "host-bound:web-1");
  EXPECT_TRUE(other.actions.attempts.empty());
}

TEST_F(RequestsTest, PreparesInFivePoints) {
  const std::string mid = Waiting();
  server_.Send("nobody", "b");
  auto state = Prepare(v1::PrepareRequest::BEGIN);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_TRUE(state->preparing());
  EXPECT_FALSE(state->ready());
  ASSERT_EQ(state->points_size(), 5);
  EXPECT_TRUE(state->points(0).ready());
  EXPECT_FALSE(state->points(1).ready());
  EXPECT_FALSE(state->points(2).ready());
  EXPECT_TRUE(state->points(3).ready());
  EXPECT_TRUE(state->points(4).ready());
  EXPECT_EQ(server_.Accept(QueueServer::LetterTo("ops", "c")).status().code(),
            Code::kFailedPrecondition);
  ASSERT_TRUE(server_.Control(Queue::RESUME, "remote/ops").ok());
  EXPECT_TRUE(server_.Control(Message::REMOVE, server_.In("unreachable")[0].mid()).ok());
  loop_.RunFor(absl::Seconds(1));
  server_.Crash();
  server_.Boot();
  EXPECT_TRUE(Prepare(v1::PrepareRequest::STATUS)->ready());
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
  EXPECT_FALSE(Prepare(v1::PrepareRequest::CANCEL)->preparing());
  server_.Send("ops", "d");
}

TEST_F(RequestsTest, PrepareSaysWhatWouldExpireSoon) {
  Waiting();
  Submission brief = QueueServer::LetterTo("ops", "brief");
  brief.expire = absl::Hours(1) - absl::Seconds(1);
  ASSERT_TRUE(server_.Accept(brief).ok());
  const auto state = Prepare(v1::PrepareRequest::STATUS);
  EXPECT_FALSE(state->preparing());
  EXPECT_FALSE(state->points(0).ready());
  EXPECT_FALSE(state->points(4).ready());
}

TEST_F(RequestsTest, StopWaitsForWhatIsUnderWayAndTheFileIsClean) {
  server_.letters.Answer("remote/ops", Kind::kDelivered, "", absl::Seconds(5));
  const std::string mid = server_.Send("ops", "a");
  EXPECT_TRUE(server_.StopAndClose().ok());
  EXPECT_FALSE(*MessageStore::WasLeftDirty(server_.dir + "/queue.db"));
  server_.Boot();
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
}

TEST_F(RequestsTest, StopAtItsDeadlineLeavesWhatIsUnderWayForTheNextLife) {
  server_.letters.Answer("remote/ops", Kind::kDelivered, "", absl::Seconds(25));
  const std::string mid = server_.Send("ops", "a");
  EXPECT_TRUE(server_.StopAndClose(absl::Seconds(2)).ok());
  server_.letters.Answer("remote/ops", Kind::kDelivered);
  server_.Boot();
  loop_.RunFor(absl::Seconds(1));
  EXPECT_EQ(server_.Where(mid), "remote/ops done");
  EXPECT_EQ(server_.letters.attempts.back().messages[0].attempts(), 1);
}

}  // namespace
}  // namespace salve
