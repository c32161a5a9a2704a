#include "cli/salvectl_fixture.h"

namespace salve {
namespace {

class ActionVerbTest : public SalvectlTest {};

TEST_F(ActionVerbTest, RunPrintsTheResult) {
  agent_.run_action.Say(FromText<v1::RunActionResponse>(R"(
      allowed: true
      result {
        id: "RestartService" instance_id: "0193" resource_name: "nginx.service"
        start_time { seconds: 1795255190 } end_time { seconds: 1795255191 nanos: 500000000 }
        state: "Finished" result: "Succeeded" context: "job 12"
      })"));

  const Ended ended = Run({"action", "run", "Web/NginxRestart", "--reason", "new certificate"});

  EXPECT_EQ(ended.out,
            "RestartService nginx.service:  Succeeded  in 1s\n"
            "  attempt  0193\n"
            "  context  job 12\n");
  EXPECT_EQ(ended.status, 0);
  const v1::RunActionRequest asked = agent_.run_action.asked();
  EXPECT_EQ(asked.responder(), "Web/NginxRestart");
  EXPECT_EQ(asked.action(), "");
  EXPECT_EQ(asked.reason(), "new certificate");
  EXPECT_EQ(asked.user(), "ada");
}

TEST_F(ActionVerbTest, RunTakesAnActionWithItsResource) {
  Run({"action", "run", "RestartService", "nginx.service"});

  const v1::RunActionRequest asked = agent_.run_action.asked();
  EXPECT_EQ(asked.responder(), "");
  EXPECT_EQ(asked.action(), "RestartService");
  EXPECT_EQ(asked.resource(), "nginx.service");
}

TEST_F(ActionVerbTest, RunEndsWithOneWhenTheActionFailed) {
  agent_.run_action.Say(FromText<v1::RunActionResponse>(R"(
      allowed: true
      result {
        id: "RunCommand" resource_name: "fix" result: "TimedOut" exception_message: "after 2m"
      })"));

  const Ended ended = Run({"action", "run", "Web/Fix"});

  EXPECT_EQ(ended.out, "RunCommand fix:  TimedOut\n  error  after 2m\n");
  EXPECT_EQ(ended.status, 1);
}

TEST_F(ActionVerbTest, RunEndsWithSixAndTheNextAllowedTimeWhenRefused) {
  agent_.run_action.Say(FromText<v1::RunActionResponse>(R"(
      verdict {
        action_id: "RestartService" resource_name: "nginx.service"
        exception_message: "Active Monitoring Recovery action failed."
        local_throttle_result: "<LocalThrottlingResult />"
        group_throttle_result: "<not attempted>"
      }
      time_to_retry_after { seconds: 1795258608 })"));

  const Ended ended = Run({"action", "run", "Web/NginxRestart"});

  EXPECT_EQ(ended.out,
            "RestartService nginx.service:  refused\n"
            "  next allowed  2026-11-21 10:56:48 (in 56m 48s)\n"
            "  message       Active Monitoring Recovery action failed.\n"
            "  local         <LocalThrottlingResult />\n"
            "  group         <not attempted>\n");
  EXPECT_EQ(ended.status, 6);
}

TEST_F(ActionVerbTest, RunSaysWhatElseRefusedIt) {
  agent_.run_action.Say(FromText<v1::RunActionResponse>(R"(
      verdict { action_id: "RestartService" resource_name: "x" }
      refused_because: "the system is stopping")"));

  const Ended ended = Run({"action", "run", "Web/X"});

  EXPECT_EQ(ended.out, "RestartService x:  refused\n  because  the system is stopping\n");
  EXPECT_EQ(ended.status, 6);
}

TEST_F(ActionVerbTest, RunInJsonPrintsTheResponse) {
  v1::RunActionResponse response;
  response.mutable_time_to_retry_after()->set_seconds(1795258608);
  agent_.run_action.Say(response);

  const Ended ended = Run({"action", "run", "Web/X", "-o", "jsonl"});

  EXPECT_EQ(
      ended.out,
      R"({"Allowed":false,"RefusedBecause":"","Plan":"","Mid":"","TimeToRetryAfter":"2026-11-21T10:56:48Z"})"
      "\n");
  EXPECT_EQ(ended.status, 6);
}

TEST_F(ActionVerbTest, ADryRunSaysWhatWouldBeDone) {
  agent_.run_action.Say(FromText<v1::RunActionResponse>(R"(
      allowed: true plan: "reboots web-1 through logind"
      verdict { local_throttle_result: "<LocalThrottlingResult />" })"));

  const Ended ended = Run({"action", "run", "Web/Reboot", "--dry-run"});

  EXPECT_EQ(ended.out,
            "would run now\n"
            "  plan   reboots web-1 through logind\n"
            "  local  <LocalThrottlingResult />\n");
  EXPECT_EQ(ended.status, 0);
  EXPECT_TRUE(agent_.run_action.asked().dry_run());
  Run({"action", "run", "Web/Reboot"});
  EXPECT_FALSE(agent_.run_action.asked().dry_run());
}

TEST_F(ActionVerbTest, ADryRunEndsWithSixWhenTheThrottleRefusesItAndWithThreeForTheRest) {
  agent_.run_action.SayInTurn(
      {FromText<v1::RunActionResponse>(R"(
           plan: "p" refused_because: "another action on the resource is under way"
           verdict { exception_message: "refused" })"),
       FromText<v1::RunActionResponse>(R"(plan: "p" refused_because: "the system is stopping")")});

  const Ended throttled = Run({"action", "run", "Web/Reboot", "--dry-run"});
  EXPECT_EQ(throttled.status, 6);
  EXPECT_EQ(throttled.out,
            "would be refused\n"
            "  plan     p\n"
            "  because  another action on the resource is under way\n"
            "  message  refused\n");
  EXPECT_EQ(Run({"action", "run", "Web/Reboot", "--dry-run", "-o", "json"}).status, 3);
}

TEST_F(ActionVerbTest, ListShowsTheAttempts) {
  agent_.list_actions.Say(FromText<v1::ListActionsResponse>(R"(
      attempts {
        action_id: "RestartService" resource_name: "nginx.service" requester: "NginxRestart"
        start_time { seconds: 1795255190 } end_time { seconds: 1795255192 } state: "Finished"
        result: "Crashed"
      }
      attempts {
        action_id: "RunCommand" resource_name: "fix" requester: "operator:ada"
        start_time { seconds: 1795255199 } state: "InProgress"
      })"));

  const Ended ended = Run({"action", "list", "--since", "7d", "-n", "20"});

  EXPECT_EQ(ended.out,
            "STARTED              ACTION          RESOURCE       REQUESTER     RESULT      TOOK\n"
            "2026-11-21 09:59:50  RestartService  nginx.service  NginxRestart  Crashed     2s\n"
            "2026-11-21 09:59:59  RunCommand      fix            operator:ada  InProgress  -\n");
  EXPECT_EQ(agent_.list_actions.asked().since().seconds(), 1795255200 - 7 * 86400);
  EXPECT_EQ(agent_.list_actions.asked().limit(), 20);
}

TEST_F(ActionVerbTest, ListTakesOneToAThousand) {
  EXPECT_EQ(Run({"action", "list", "-n", "0"}).status, 2);
  EXPECT_EQ(Run({"action", "list", "-n", "1"}).status, 0);
  EXPECT_EQ(Run({"action", "list", "-n", "1000"}).status, 0);
  EXPECT_EQ(Run({"action", "list", "-n", "1001"}).status, 2);
  EXPECT_EQ(Run({"action", "list", "--since", "then"}).status, 2);
}

TEST_F(ActionVerbTest, DeferPrintsTheMidThatWasAccepted) {
  agent_.run_action.Say(FromText<v1::RunActionResponse>(R"(mid: "web-1-0193-1f")"));

  const Ended ended = Run({"action", "run", "RestartService", "nginx.service", "--defer",
                           "--expire", "2h", "--priority", "-3", "--reason", "why"});

  EXPECT_EQ(ended.out,
            "RestartService nginx.service:  accepted\n"
            "  mid   web-1-0193-1f\n"
            "  next  it runs at most once, when the throttle lets it, or expires\n");
  EXPECT_EQ(ended.status, 0);
  const v1::RunActionRequest asked = agent_.run_action.asked();
  EXPECT_TRUE(asked.defer());
  EXPECT_EQ(asked.expire_seconds(), 7200);
  EXPECT_EQ(asked.priority(), -3);
  EXPECT_EQ(asked.reason(), "why");
}

TEST_F(ActionVerbTest, DeferTakesTheConfiguredExpiryByDefault) {
  Run({"action", "run", "Web/NginxRestart", "--defer"});
  EXPECT_TRUE(agent_.run_action.asked().defer());
  EXPECT_EQ(agent_.run_action.asked().expire_seconds(), 0);
}

TEST_F(ActionVerbTest, DeferKeepsToTheEdgesOfItsOptions) {
  for (const char* bad : {"4s999ms", "2160h1s", "soon"}) {
    EXPECT_EQ(Run({"action", "run", "W/R", "--defer", "--expire", bad}).status, 2) << bad;
  }
  EXPECT_EQ(Run({"action", "run", "W/R", "--defer", "--priority", "11"}).status, 2);
  EXPECT_EQ(Run({"action", "run", "W/R", "--defer", "--dry-run"}).status, 2);
  EXPECT_EQ(Run({"action", "run", "W/R", "--expire", "2h"}).status, 2);
  Run({"action", "run", "W/R", "--defer", "--expire", "5s"});
  EXPECT_EQ(agent_.run_action.asked().expire_seconds(), 5);
  Run({"action", "run", "W/R", "--defer", "--expire", "2160h"});
  EXPECT_EQ(agent_.run_action.asked().expire_seconds(), 2160 * 3600);
}

}  // namespace
}  // namespace salve
