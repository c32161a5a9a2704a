#include "cli/salvectl_fixture.h"
#include "gmock/gmock.h"

namespace salve {
namespace {

using testing::HasSubstr;

v1::ListQueuesResponse Waiting() {
  return FromText<v1::ListQueuesResponse>(R"(
      server: "web-1" mode: "LOCALLY"
      queues {
        name: "remote/ops" messages: 3 bytes: 900 state: "waiting"
        next_attempt { seconds: 1795255240 } last_error: "connect: Connection refused"
      }
      queues { name: "dead" messages: 1 state: "waiting" })");
}

v1::ListQueuesResponse Empty() {
  return FromText<v1::ListQueuesResponse>(R"(
      server: "web-1" mode: "LOCALLY" queues { name: "dead" messages: 1 state: "idle" })");
}

class QueueVerbTest : public SalvectlTest {};

TEST_F(QueueVerbTest, ListSaysWhatWaitsAndWhy) {
  agent_.list_queues.Say(Waiting());

  const Ended ended = Run({"queue", "list", "remote/*"});

  EXPECT_EQ(ended.out,
            "web-1 processes LOCALLY\n"
            "QUEUE       MESSAGES  STATE    NEXT    LAST ERROR\n"
            "remote/ops  3         waiting  in 40s  connect: Connection refused\n"
            "dead        1         -        -\n");
  EXPECT_EQ(ended.err, "");
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(agent_.list_queues.asked().queue(), "remote/*");
}

TEST_F(QueueVerbTest, ListSaysWhatHoldsAllOfIt) {
  agent_.list_queues.Say(FromText<v1::ListQueuesResponse>(R"(
      server: "web-1" mode: "REMOTELY" paused: true back_pressure: "the disk is full"
      warnings: "the queue service is paused: salvectl queue resume-service ends it"
      queues {
        name: "remote/ops" messages: 3 state: "paused" next_attempt { seconds: 1795255240 }
      })"));

  const Ended ended = Run({"queue", "list"});

  EXPECT_EQ(ended.out,
            "web-1 processes REMOTELY, PAUSED\n"
            "back pressure: the disk is full\n"
            "QUEUE       MESSAGES  STATE   NEXT  LAST ERROR\n"
            "remote/ops  3         paused  -\n");
  EXPECT_EQ(
      ended.err,
      "salvectl: queue list: the queue service is paused: salvectl queue resume-service ends it\n");
  EXPECT_EQ(agent_.list_queues.asked().queue(), "");
}

TEST_F(QueueVerbTest, ListWithoutHeaderIsTheRowsAlone) {
  agent_.list_queues.Say(Waiting());
  EXPECT_EQ(Run({"queue", "list", "--no-header"}).out.find("remote/ops"), 0);

  agent_.list_queues.Say(v1::ListQueuesResponse());
  EXPECT_EQ(Run({"queue", "list", "--no-header"}).out, "");
}

TEST_F(QueueVerbTest, ListInJsonlIsALineForEachQueue) {
  agent_.list_queues.Say(Waiting());
  EXPECT_EQ(Run({"-o", "jsonl", "queue", "list"}).out,
            R"({"Name":"remote/ops","Messages":"3","Bytes":"900","State":"waiting",)"
            R"("LastError":"connect: Connection refused","NextAttempt":"2026-11-21T10:00:40Z"})"
            "\n"
            R"({"Name":"dead","Messages":"1","Bytes":"0","State":"waiting","LastError":""})"
            "\n");
  EXPECT_THAT(Run({"-o", "json", "queue", "list"}).out, HasSubstr("\"Server\": \"web-1\""));
}

TEST_F(QueueVerbTest, ListHandsOnTheNearestNames) {
  agent_.list_queues.Say(
      absl::NotFoundError("there is no queue 'remote/op' (did you mean 'remote/ops'?)"));

  const Ended ended = Run({"queue", "list", "remote/op"});

  EXPECT_EQ(ended.status, 4);
  EXPECT_EQ(ended.err,
            "salvectl: queue list: there is no queue 'remote/op' (did you mean 'remote/ops'?)\n");
}

TEST_F(QueueVerbTest, SuspendTakesAQueueAndAReason) {
  agent_.control_queue.Say(FromText<v1::ControlQueueResponse>(
      R"(affected: 1 notes: "remote/ops: one is being delivered: it goes on")"));

  const Ended ended = Run({"queue", "suspend", "remote/ops", "--reason", "relay moves"});

  EXPECT_EQ(ended.out, "suspended 1 queue\n  remote/ops: one is being delivered: it goes on\n");
  const v1::ControlQueueRequest asked = agent_.control_queue.asked();
  EXPECT_EQ(asked.verb(), v1::ControlQueueRequest::SUSPEND);
  EXPECT_EQ(asked.queue(), "remote/ops");
  EXPECT_EQ(asked.reason(), "relay moves");
  EXPECT_EQ(asked.user(), "ada");
}

TEST_F(QueueVerbTest, AllQueuesAreMeantOnlyWhenItIsSaid) {
  const Ended ended = Run({"queue", "suspend"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_EQ(ended.err, "salvectl: queue suspend: name a queue, or say --all\n");
  EXPECT_EQ(Run({"queue", "resume", "remote/ops", "--all"}).status, 2);
  EXPECT_EQ(agent_.control_queue.asked().verb(), v1::ControlQueueRequest::VERB_UNSPECIFIED);

  agent_.control_queue.Say(FromText<v1::ControlQueueResponse>("affected: 2"));
  EXPECT_EQ(Run({"queue", "resume", "--all"}).out, "resumed 2 queues\n");
  EXPECT_EQ(agent_.control_queue.asked().verb(), v1::ControlQueueRequest::RESUME);
  EXPECT_EQ(agent_.control_queue.asked().queue(), "");
}

TEST_F(QueueVerbTest, RetryTriesNowOrRoutesAnew) {
  agent_.control_queue.Say(FromText<v1::ControlQueueResponse>("affected: 3"));

  EXPECT_EQ(Run({"queue", "retry"}).out, "tried now: 3 messages\n");
  EXPECT_EQ(agent_.control_queue.asked().verb(), v1::ControlQueueRequest::RETRY);
  EXPECT_EQ(Run({"queue", "retry", "unreachable", "--resubmit"}).out, "routed anew: 3 messages\n");
  EXPECT_EQ(agent_.control_queue.asked().verb(), v1::ControlQueueRequest::RESUBMIT);
  EXPECT_EQ(agent_.control_queue.asked().queue(), "unreachable");
}

TEST_F(QueueVerbTest, RetryOfPoisonIsRefusedByTheAgent) {
  agent_.control_queue.Say(absl::FailedPreconditionError("poison is resumed one by one"));
  EXPECT_EQ(Run({"queue", "retry", "poison", "--resubmit"}).status, 3);
}

TEST_F(QueueVerbTest, PauseNeedsAReason) {
  EXPECT_EQ(Run({"queue", "pause"}).status, 2);

  const Ended ended = Run({"queue", "pause", "--reason", "moving"});

  EXPECT_EQ(ended.out,
            "paused: nothing is accepted or delivered until 'salvectl queue resume-service'\n");
  EXPECT_EQ(agent_.control_queue.asked().verb(), v1::ControlQueueRequest::PAUSE_SERVICE);
  EXPECT_EQ(agent_.control_queue.asked().reason(), "moving");
}

TEST_F(QueueVerbTest, ResumeServiceEndsThePause) {
  EXPECT_EQ(Run({"queue", "resume-service"}).out, "resumed: the queue accepts and delivers\n");
  EXPECT_EQ(agent_.control_queue.asked().verb(), v1::ControlQueueRequest::RESUME_SERVICE);
}

TEST_F(QueueVerbTest, ControlInJsonIsTheAnswer) {
  agent_.control_queue.Say(FromText<v1::ControlQueueResponse>("affected: 2"));
  EXPECT_EQ(Run({"queue", "retry", "-o", "jsonl"}).out, "{\"Affected\":\"2\",\"Notes\":[]}\n");
}

TEST_F(QueueVerbTest, WaitEmptyWaitsForWhatEmptiesByItself) {
  agent_.list_queues.SayInTurn({Waiting(), Waiting(), Empty()});
  const absl::Time before = clock_.WallNow();

  const Ended ended = Run({"queue", "wait-empty"});

  EXPECT_EQ(ended.out, "empty\n");
  EXPECT_EQ(ended.err, "");
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(clock_.WallNow() - before, absl::Seconds(2));
}

TEST_F(QueueVerbTest, WaitEmptyEndsWithElevenWhenTheTimeIsOver) {
  agent_.list_queues.Say(Waiting());
  const absl::Time before = clock_.WallNow();

  const Ended ended = Run({"queue", "wait-empty", "--timeout", "2s500ms"});

  EXPECT_EQ(ended.status, 11);
  EXPECT_THAT(ended.out, HasSubstr("remote/ops  3         waiting"));
  EXPECT_EQ(ended.out.find("dead"), std::string::npos) << ended.out;
  EXPECT_EQ(ended.err, "salvectl: queue wait-empty: not empty after 2s500ms\n");
  EXPECT_EQ(clock_.WallNow() - before, absl::Milliseconds(2500));
}

TEST_F(QueueVerbTest, WaitEmptyOfAQueueMeansThatOne) {
  agent_.list_queues.Say(Empty());

  EXPECT_EQ(Run({"queue", "wait-empty", "dead", "--timeout", "1s"}).status, 11);
  EXPECT_EQ(agent_.list_queues.asked().queue(), "dead");
}

TEST_F(QueueVerbTest, AQueueThatGoesWhileItIsWaitedForIsEmpty) {
  agent_.list_queues.SayInTurn({Waiting(), absl::NotFoundError("there is no queue")});
  EXPECT_EQ(Run({"queue", "wait-empty", "remote/ops"}).status, 0);

  agent_.list_queues.Say(absl::NotFoundError("there is no queue"));
  EXPECT_EQ(Run({"queue", "wait-empty", "remote/opps"}).status, 4);
}

TEST_F(QueueVerbTest, WaitEmptySaysOnceWhatHoldsIt) {
  v1::ListQueuesResponse held = Waiting();
  held.mutable_queues(0)->set_state("suspended");
  agent_.list_queues.Say(held);
  EXPECT_EQ(Run({"queue", "wait-empty", "--timeout", "3s"}).err,
            "salvectl: queue wait-empty: suspended: remote/ops\n"
            "salvectl: queue wait-empty: not empty after 3s\n");

  held.set_paused(true);
  agent_.list_queues.SayInTurn({held, Empty()});
  EXPECT_EQ(Run({"queue", "wait-empty"}).err,
            "salvectl: queue wait-empty: the service is paused (salvectl queue resume-service)\n");
}

TEST_F(QueueVerbTest, WaitEmptyRefusesTimesOutOfRange) {
  for (const char* bad : {"999ms", "720h1s", "soon", "0s"}) {
    EXPECT_EQ(Run({"queue", "wait-empty", "--timeout", bad}).status, 2) << bad;
  }
  for (const char* good : {"1s", "720h"}) {
    EXPECT_EQ(Run({"queue", "wait-empty", "--timeout", good}).status, 0) << good;
  }
}

TEST_F(QueueVerbTest, WaitEmptyEndsWhenTheAgentIsGone) {
  agent_.list_queues.SayInTurn({Waiting(), absl::UnavailableError("shutting down")});

  const Ended ended = Run({"queue", "wait-empty"});

  EXPECT_EQ(ended.status, 7);
  EXPECT_EQ(ended.err, "salvectl: agent: shutting down\n");
}

}  // namespace
}  // namespace salve
