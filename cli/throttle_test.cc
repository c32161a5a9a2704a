#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/mutex.h"
#include "cli/salvectl_fixture.h"

namespace salve {
namespace {

class ThrottleVerbTest : public SalvectlTest {
 protected:
  static v1::ThrottleEntry Throttled() {
    return FromText<v1::ThrottleEntry>(R"(
        identity: "RestartService/Default/*/*/nginx.service" action_id: "RestartService"
        resource_name: "nginx.service" requester: "NginxRestart"
        local {
          minimum_minutes: 60 total_in_one_hour: 1 max_allowed_in_one_hour: -1
          total_in_one_day: 1 max_allowed_in_one_day: 4
          checks_failed: "LocalMinimumMinutes" xml: "<LocalThrottlingResult />"
          most_recent_entry {
            requester: "NginxRestart" state: "Finished" result: "Failed"
            start_time { seconds: 1795254990 } end_time { seconds: 1795255008 }
          }
        }
        group: "<not configured>"
        attempts {
          action_id: "RestartService" resource_name: "nginx.service" requester: "NginxRestart"
          start_time { seconds: 1795254990 } end_time { seconds: 1795255008 } state: "Finished"
          result: "Failed"
        }
        next_allowed { seconds: 1795258608 })");
  }
};

TEST_F(ThrottleVerbTest, ConfigListsTheSixAttributesAndTheSource) {
  agent_.list_throttle_config.Say(FromText<v1::ListThrottleConfigResponse>(R"(
      entries {
        identity: "RestartService/Default/*/*/*" source: "built-in"
        limits {
          enabled: true local_minimum_minutes_between_attempts: 10
          local_maximum_allowed_attempts_in_one_hour: 3
          local_maximum_allowed_attempts_in_a_day: 8
          group_minimum_minutes_between_attempts: -1
          group_maximum_allowed_attempts_in_a_day: -1
        }
      }
      entries { identity: "KillProcess/Default/*/*/x" source: "policy" })"));

  EXPECT_EQ(Run({"throttle", "config"}).out,
            "IDENTITY                      ENABLED  L-MIN  L-HOUR  L-DAY  G-MIN  G-DAY  SOURCE\n"
            "RestartService/Default/*/*/*  True     10     3       8      -1     -1     built-in\n"
            "KillProcess/Default/*/*/x     False    0      0       0      0      0      policy\n");
}

TEST_F(ThrottleVerbTest, ConfigInJsonHasTheAttributesNames) {
  v1::ListThrottleConfigResponse list;
  list.add_entries()->mutable_limits()->set_local_minimum_minutes_between_attempts(60);
  agent_.list_throttle_config.Say(list);

  EXPECT_EQ(Run({"-o", "jsonl", "throttle", "config"}).out,
            R"({"Identity":"","Limits":{"Enabled":false,"LocalMinimumMinutesBetweenAttempts":60,)"
            R"("LocalMaximumAllowedAttemptsInOneHour":0,"LocalMaximumAllowedAttemptsInADay":0,)"
            R"("GroupMinimumMinutesBetweenAttempts":0,"GroupMaximumAllowedAttemptsInADay":0},)"
            R"("Source":""})"
            "\n");
}

TEST_F(ThrottleVerbTest, StatusShowsCountsAgainstLimits) {
  v1::GetThrottleStateResponse state;
  *state.add_entries() = Throttled();
  *state.add_entries() = FromText<v1::ThrottleEntry>(R"(
      action_id: "KillProcess" resource_name: "php"
      local { minimum_minutes: -1 max_allowed_in_one_hour: 3 max_allowed_in_one_day: 0 }
      next_allowed { seconds: 253402300799 nanos: 999999900 })");
  *state.add_entries() = FromText<v1::ThrottleEntry>(R"(
      action_id: "RunCommand" resource_name: "x" local { is_passed: true }
      next_allowed { seconds: 1795255200 })");
  agent_.get_throttle_state.Say(state);

  EXPECT_EQ(Run({"throttle", "status"}).out,
            "ACTION          RESOURCE       ATTEMPTS           MINIMUM  "
            "MOST RECENT                                              NEXT ALLOWED\n"
            "RestartService  nginx.service  1/- hour, 1/4 day  60m      "
            "Failed 2026-11-21 09:56:48 (3m 12s ago) by NginxRestart  "
            "2026-11-21 10:56:48 (in 56m 48s)\n"
            "KillProcess     php            0/3 hour, 0/0 day  -        "
            "-                                                        never\n"
            "RunCommand      x              0/0 hour, 0/0 day  0m       "
            "-                                                        now\n");
}

TEST_F(ThrottleVerbTest, StatusSaysWhenOnlyARunningAttemptIsInTheWay) {
  v1::ThrottleEntry entry = FromText<v1::ThrottleEntry>(R"(
      action_id: "RestartService" resource_name: "x"
      local {
        is_recovery_in_progress: true checks_failed: "LocalRecoveryInProgress"
        most_recent_entry {
          requester: "R" state: "InProgress" start_time { seconds: 1795255195 }
        }
      }
      next_allowed { seconds: 1795255315 })");
  v1::GetThrottleStateResponse state;
  *state.add_entries() = entry;
  agent_.get_throttle_state.Say(state);

  const std::string out = Run({"throttle", "status", "--no-header"}).out;

  EXPECT_NE(out.find("InProgress 2026-11-21 09:59:55 (5s ago) by R  when the running one ends, at "
                     "the latest 2026-11-21 10:01:55 (in 1m 55s)\n"),
            std::string::npos)
      << out;
}

TEST_F(ThrottleVerbTest, StatusListsTheAttemptsWhenAskedTo) {
  v1::GetThrottleStateResponse state;
  *state.add_entries() = Throttled();
  agent_.get_throttle_state.Say(state);

  const std::string out = Run({"throttle", "status", "restartservice", "x", "--attempts"}).out;

  EXPECT_NE(out.find("\n\nSTARTED              ENDED                ACTION          RESOURCE       "
                     "REQUESTER     RESULT\n"
                     "2026-11-21 09:56:30  2026-11-21 09:56:48  RestartService  nginx.service  "
                     "NginxRestart  Failed\n"),
            std::string::npos)
      << out;
  EXPECT_EQ(agent_.get_throttle_state.asked().action(), "restartservice");
  EXPECT_EQ(agent_.get_throttle_state.asked().resource(), "x");
  EXPECT_TRUE(agent_.get_throttle_state.asked().with_attempts());
}

TEST_F(ThrottleVerbTest, CheckPrintsTheWholeVerdictAndEndsWithSixWhenRefused) {
  v1::CheckThrottleResponse check;
  *check.mutable_entry() = Throttled();
  check.add_checks_failed("LocalMinimumMinutes");
  check.add_checks_failed("LocalMaxInDay");
  check.set_message("Active Monitoring Recovery action failed.");
  agent_.check_throttle.Say(check);

  const Ended ended =
      Run({"throttle", "check", "RestartService", "nginx.service", "--requester", "R"});

  EXPECT_EQ(ended.out,
            "RestartService nginx.service:  would be refused\n"
            "  failed checks  LocalMinimumMinutes, LocalMaxInDay\n"
            "  next allowed   2026-11-21 10:56:48 (in 56m 48s)\n"
            "  identity       RestartService/Default/*/*/nginx.service\n"
            "  limits of      NginxRestart\n"
            "  attempts       1/- hour, 1/4 day\n"
            "  most recent    Failed 2026-11-21 09:56:48 (3m 12s ago) by NginxRestart\n"
            "  local          <LocalThrottlingResult />\n"
            "  group          <not configured>\n"
            "  message        Active Monitoring Recovery action failed.\n");
  EXPECT_EQ(ended.err, "");
  EXPECT_EQ(ended.status, 6);
  EXPECT_EQ(agent_.check_throttle.asked().requester(), "R");
}

TEST_F(ThrottleVerbTest, CheckEndsWithZeroWhenItWouldBeAllowed) {
  v1::CheckThrottleResponse check;
  check.set_passed(true);
  agent_.check_throttle.Say(check);

  const Ended ended = Run({"throttle", "check", "RestartService", "nginx.service"});

  EXPECT_EQ(ended.out, "RestartService nginx.service:  would be allowed\n");
  EXPECT_EQ(ended.status, 0);
}

TEST_F(ThrottleVerbTest, CheckInJsonEndsWithTheSameStatus) {
  const Ended ended = Run({"throttle", "check", "RestartService", "x", "-o", "jsonl"});

  EXPECT_EQ(ended.out, R"({"Passed":false,"ChecksFailed":[],"Message":""})"
                       "\n");
  EXPECT_EQ(ended.status, 6);
}

TEST_F(ThrottleVerbTest, StatusShowsTheWholeGroupWhenAskedTo) {
  v1::ThrottleEntry asked = Throttled();
  asked.set_group("<GroupThrottlingResult />");
  *asked.mutable_group_result() = FromText<v1::ThrottlingResult>(R"(
      minimum_minutes: 60 total_in_one_day: 3 max_allowed_in_one_day: 4
      most_recent_entry { server: "web-2" start_time { seconds: 1795255188 } })");
  *asked.add_group_attempts() = FromText<v1::Attempt>(R"(
      action_id: "RestartService" resource_name: "nginx.service" requester: "NginxRestart"
      server: "web-2" start_time { seconds: 1795255188 } state: "InProgress")");
  v1::ThrottleEntry alone = Throttled();
  v1::GetThrottleStateResponse state;
  *state.add_entries() = asked;
  *state.add_entries() = alone;
  agent_.get_throttle_state.Say(state);

  const std::string out = Run({"throttle", "status", "--group", "--attempts"}).out;

  EXPECT_TRUE(agent_.get_throttle_state.asked().with_group());
  EXPECT_NE(out.find("  GROUP                 LAST IN GROUP  NEXT ALLOWED\n"), std::string::npos)
      << out;
  EXPECT_NE(out.find("3/4 day, 60m between  web-2 12s ago  2026-11-21 10:56:48"), std::string::npos)
      << out;
  EXPECT_NE(out.find("<not configured>      -              2026-11-21 10:56:48"), std::string::npos)
      << out;
  EXPECT_NE(out.find("2026-11-21 09:59:48  -                    RestartService  nginx.service  "
                     "NginxRestart  InProgress  web-2\n"),
            std::string::npos)
      << out;
}

TEST_F(ThrottleVerbTest, StatusDoesNotAskTheGroupByItself) {
  Run({"throttle", "status"});
  EXPECT_FALSE(agent_.get_throttle_state.asked().with_group());
}

TEST_F(ThrottleVerbTest, CheckTellsEveryFailedCheckAndWhatIsInItsWay) {
  v1::CheckThrottleResponse check;
  check.add_checks_failed("LocalMinimumMinutes");
  check.add_checks_failed("GroupMaxInDay");
  check.add_checks_failed("LocalDisabled");
  *check.mutable_entry() = FromText<v1::ThrottleEntry>(R"(
      total_servers_in_group: 6 total_servers_in_compatible_version: 5
      group_result { minimum_minutes: -1 total_in_one_day: 1 max_allowed_in_one_day: 1 }
      failed_checks {
        check: "LocalMinimumMinutes" limit: 60 total: 1 passes_at { seconds: 1795258608 }
        attempts {
          server: "web-1" requester: "NginxRestart" state: "Finished" result: "Failed"
          start_time { seconds: 1795254990 } end_time { seconds: 1795255008 }
        }
      }
      failed_checks {
        check: "GroupMaxInDay" limit: 1 total: 1 passes_at { seconds: 253402300799 }
        attempts {
          server: "web-22" requester: "operator:ada" state: "InProgress"
          start_time { seconds: 1795255188 }
        }
      }
      failed_checks { check: "LocalDisabled" limit: -1 })");
  agent_.check_throttle.Say(check);

  EXPECT_EQ(Run({"throttle", "check", "RestartService", "nginx.service"}).out,
            "RestartService nginx.service:  would be refused\n"
            "  in the group   1/1 day, - between\n"
            "  last in group  -\n"
            "  servers        6, 5 of this protocol\n"
            "\n"
            "failed checks\n"
            "  LocalMinimumMinutes, limit 60, counted 1: passes 2026-11-21 10:56:48 (in 56m 48s)\n"
            "    web-1  2026-11-21 09:56:30 (3m 30s ago)  NginxRestart  Failed\n"
            "  GroupMaxInDay, limit 1, counted 1: passes never\n"
            "    web-22  2026-11-21 09:59:48 (12s ago)  operator:ada  InProgress\n"
            "  LocalDisabled\n");
}

v1::Event Verdict(int event_id) {
  v1::Event event = FromText<v1::Event>(R"(
      record_id: 7 channel: RecoveryActionLogs level: Warning health_set: "Web"
      name: "NginxRestart" time { seconds: 1795255199 }
      recovery_action_log { action_id: "RestartService" resource_name: "nginx.service" })");
  event.set_event_id(event_id);
  return event;
}

TEST_F(ThrottleVerbTest, WatchPrintsEachVerdictUntilCtrlC) {
  FakeTail tail;
  tail.events = {Verdict(2050), Verdict(2051)};
  agent_.watch_decisions.Say(tail);
  const int interrupt = eventfd(0, EFD_CLOEXEC);
  world_.watch_interrupt = [&] { return interrupt; };
  std::thread person([&] {
    Mutex mu;
    CondVar never;
    MutexLock lock(&mu);
    while (agent_.watch_decisions.asked().resource().empty()) {
      never.WaitFor(&mu, absl::Milliseconds(1));
    }
    never.WaitFor(&mu, absl::Milliseconds(50));
    eventfd_write(interrupt, 1);
  });

  const Ended ended =
      Run({"throttle", "watch", "restartservice", "nginx.service", "--since", "1h", "-o", "jsonl"});

  person.join();
  close(interrupt);
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(std::count(ended.out.begin(), ended.out.end(), '\n'), 2) << ended.out;
  EXPECT_EQ(agent_.watch_decisions.asked().action(), "restartservice");
  EXPECT_EQ(agent_.watch_decisions.asked().since().seconds(), 1795251600);
}

TEST_F(ThrottleVerbTest, WatchSaysWhenTheAgentEndsOrRefusesIt) {
  FakeTail tail;
  tail.events = {Verdict(2051)};
  tail.ends = true;
  agent_.watch_decisions.SayInTurn({tail, absl::InvalidArgumentError("unknown action 'x'")});
  world_.watch_interrupt = [] { return -1; };

  const Ended ended = Run({"throttle", "watch"});
  EXPECT_EQ(ended.status, 7);
  EXPECT_NE(ended.out.find("2051 RestartService nginx.service refused"), std::string::npos);
  EXPECT_FALSE(agent_.watch_decisions.asked().has_since());
  EXPECT_EQ(Run({"throttle", "watch", "x"}).status, 2);
}

TEST_F(ThrottleVerbTest, AnUnknownActionIsBadInput) {
  agent_.check_throttle.Say(
      absl::InvalidArgumentError("unknown action 'Restart' (did you mean 'RestartService'?)"));

  const Ended ended = Run({"throttle", "check", "Restart", "x"});

  EXPECT_EQ(ended.status, 2);
  EXPECT_EQ(ended.err,
            "salvectl: throttle check: unknown action 'Restart' (did you mean "
            "'RestartService'?)\n");
}

}  // namespace
}  // namespace salve
