// probe, notify, monitor, responder.
#include "cli/salvectl_fixture.h"

namespace salve {
namespace {

class ProbeVerbTest : public SalvectlTest {};

TEST_F(ProbeVerbTest, ListShowsDefinitionsAndLastResults) {
  agent_.list_probes.Say(FromText<v1::ListProbesResponse>(R"(
      probes {
        health_set: "Web" name: "NginxPing" type_name: "HttpProbe" interval_seconds: 10
        timeout_seconds: 3 enabled: true looks: 42 skipped: 1
        last {
          result_type: "Failed" execution_start_time { seconds: 1795255196 } duration_ms: 3.4
          error: "connection refused"
        }
      }
      probes { health_set: "Backup" name: "Nightly" type_name: "NotificationProbe" enabled: true }
      probes { health_set: "Web" name: "Off" type_name: "TcpProbe" interval_seconds: 90 }
  )"));

  const Ended ended = Run({"probe", "list"});

  EXPECT_EQ(ended.out,
            "PROBE           TYPE               EVERY   LAST      WHEN    TOOK  LOOKS  SKIPPED  "
            "ERROR\n"
            "Web/NginxPing   HttpProbe          10s     Failed    4s ago  3ms   42     1        "
            "connection refused\n"
            "Backup/Nightly  NotificationProbe  -       -         -       -     0      0\n"
            "Web/Off         TcpProbe           1m 30s  disabled  -       -     0      0\n");
  EXPECT_EQ(ended.status, 0);
}

TEST_F(ProbeVerbTest, RunPrintsTheResultWithItsValues) {
  agent_.run_probe.Say(FromText<v1::RunProbeResponse>(R"(
      result {
        result_name: "NginxPing" result_type: "Succeeded" duration_ms: 12
        values { name: "tls_days_left" number: 30.5 unit: "d" }
        attributes { name: "http_status" text: "200" }
      })"));

  const Ended ended = Run({"probe", "run", "Web/NginxPing/a"});

  EXPECT_EQ(ended.out,
            "Web/NginxPing/a:  Succeeded  in 12ms\n"
            "  tls_days_left  30.5 d\n"
            "  http_status    200\n");
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(agent_.run_probe.asked().health_set(), "Web");
  EXPECT_EQ(agent_.run_probe.asked().name(), "NginxPing/a");
}

TEST_F(ProbeVerbTest, RunEndsWithOneUnlessTheLookSucceeded) {
  for (const std::string result : {"Failed", "TimedOut", "Rejected"}) {
    v1::RunProbeResponse response;
    response.mutable_result()->set_result_type(result);
    agent_.run_probe.Say(response);
    EXPECT_EQ(Run({"probe", "run", "Web/P"}).status, 1) << result;
  }
}

TEST_F(ProbeVerbTest, RunNeedsASetAndAName) {
  for (const std::string item : {"NginxPing", "/NginxPing", "Web/"}) {
    const Ended ended = Run({"probe", "run", item});
    EXPECT_EQ(ended.status, 2);
    EXPECT_EQ(ended.err, "salvectl: probe run: '" + item + "' is not of the form SET/NAME\n");
  }
}

TEST_F(ProbeVerbTest, NotifySaysWhoReports) {
  const Ended ended = Run({"notify", "Backup/Nightly", "--fail", "--error", "disk full"});

  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.out, "");
  const v1::NotifyRequest asked = agent_.notify.asked();
  EXPECT_EQ(asked.health_set(), "Backup");
  EXPECT_EQ(asked.name(), "Nightly");
  EXPECT_FALSE(asked.passed());
  EXPECT_EQ(asked.error(), "disk full");
  EXPECT_EQ(asked.user(), "ada");
}

TEST_F(ProbeVerbTest, NotifyNeedsOneOfPassAndFail) {
  EXPECT_EQ(Run({"notify", "Backup/Nightly", "--pass"}).status, 0);
  EXPECT_TRUE(agent_.notify.asked().passed());
  EXPECT_EQ(Run({"notify", "Backup/Nightly"}).err,
            "salvectl: notify: say one of --pass and --fail\n");
  EXPECT_EQ(Run({"notify", "Backup/Nightly", "--pass", "--fail"}).status, 2);
  EXPECT_EQ(Run({"notify", "Backup/Nightly", "--pass", "--error", "x"}).err,
            "salvectl: notify: --error goes with --fail\n");
}

TEST_F(ProbeVerbTest, NotifyToAProbeOfAnotherKindIsAPreconditionNotMet) {
  agent_.notify.Say(absl::FailedPreconditionError("Web/NginxPing is an HttpProbe"));

  EXPECT_EQ(Run({"notify", "Web/NginxPing", "--pass"}).status, 3);
}

class MonitorVerbTest : public SalvectlTest {};

TEST_F(MonitorVerbTest, ListShowsStatesProbesAndIncidents) {
  agent_.list_monitors.Say(FromText<v1::ListMonitorsResponse>(R"(
      monitors {
        health_set: "Web" name: "NginxDown" type_name: "ConsecutiveFailuresMonitor"
        state: "DEGRADED" since { seconds: 1795255195 } incident_id: "0193" hold: "boot_grace"
        probes: "A" probes: "B"
      }
      monitors { health_set: "Web" name: "Slow" type_name: "ValueAboveMonitor" state: "HEALTHY" }
  )"));

  EXPECT_EQ(Run({"monitor", "list", "Web"}).out,
            "MONITOR        TYPE                        STATE     SINCE   PROBES  INCIDENT  HOLD\n"
            "Web/NginxDown  ConsecutiveFailuresMonitor  DEGRADED  5s ago  A, B    0193      "
            "boot_grace\n"
            "Web/Slow       ValueAboveMonitor           HEALTHY   -               -\n");
  EXPECT_EQ(agent_.list_monitors.asked().health_set(), "Web");
}

TEST_F(MonitorVerbTest, RepairingSaysWhoForHowLongAndWhy) {
  agent_.set_monitor_state.Say(FromText<v1::SetMonitorStateResponse>(R"(
      monitor { state: "REPAIRING" repairing_until { seconds: 1795262400 } }
  )"));

  const Ended ended =
      Run({"monitor", "repairing", "Web/Down/a", "--for", "2h", "--reason", "new disk"});

  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(ended.out, "Web/Down/a is REPAIRING until 2026-11-21 12:00:00 (in 2h 0m)\n");
  const v1::SetMonitorStateRequest asked = agent_.set_monitor_state.asked();
  EXPECT_EQ(asked.health_set(), "Web");
  EXPECT_EQ(asked.monitor(), "Down/a");
  EXPECT_TRUE(asked.repairing());
  EXPECT_EQ(asked.duration_seconds(), 7200);
  EXPECT_EQ(asked.reason(), "new disk");
  EXPECT_EQ(asked.user(), "ada");
}

TEST_F(MonitorVerbTest, RepairingNeedsATimeAndAReason) {
  EXPECT_EQ(Run({"monitor", "repairing", "Web/Down", "--reason", "x"}).status, 2);
  EXPECT_EQ(Run({"monitor", "repairing", "Web/Down", "--for", "2h"}).status, 2);
  const Ended ended = Run({"monitor", "repairing", "Web/Down", "--for", "soon", "--reason", "x"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_EQ(ended.err.find("salvectl: monitor repairing: --for: "), 0u) << ended.err;
  EXPECT_EQ(Run({"monitor", "repairing", "Down", "--for", "2h", "--reason", "x"}).status, 2);
}

TEST_F(MonitorVerbTest, ClearEndsARepair) {
  agent_.set_monitor_state.Say(
      FromText<v1::SetMonitorStateResponse>(R"(monitor { name: "Down" state: "HEALTHY" })"));

  EXPECT_EQ(Run({"monitor", "clear", "Web/Down"}).out, "Web/Down is HEALTHY\n");
  EXPECT_FALSE(agent_.set_monitor_state.asked().repairing());
  EXPECT_NE(Run({"-o", "json", "monitor", "clear", "Web/Down"}).out.find("\"HEALTHY\""),
            std::string::npos);
  agent_.set_monitor_state.Say(absl::FailedPreconditionError("is not being repaired"));
  EXPECT_EQ(Run({"monitor", "clear", "Web/Down"}).status, 3);
}

class ResponderVerbTest : public SalvectlTest {
 protected:
  ResponderVerbTest() {
    agent_.list_responders.Say(FromText<v1::ListRespondersResponse>(R"(
        responders {
          health_set: "Web" name: "NginxRestart" type_name: "RestartServiceResponder"
          monitor: "NginxDown" on: "UNHEALTHY" mode: "ACT" action_id: "RestartService"
          resource_name: "nginx.service" enabled: true state: "waiting" last_reason: "refused"
          throttle {
            identity: "RestartService/Default/*/*/nginx.service"
            local {
              total_in_one_hour: 1 max_allowed_in_one_hour: 3 total_in_one_day: 1
              max_allowed_in_one_day: -1
              checks_failed: "LocalMinimumMinutes"
              most_recent_entry {
                requester: "NginxRestart" state: "Finished" result: "Succeeded"
                start_time { seconds: 1795254950 } end_time { seconds: 1795255000 }
              }
            }
            next_allowed { seconds: 1795255600 }
          }
          limit_sources { attribute: "Enabled" value: 1 source: "policy" }
          limit_sources {
            attribute: "LocalMinimumMinutesBetweenAttempts" value: 10 source: "responder"
          }
        }
        responders {
          health_set: "Web" name: "Page/a" type_name: "EscalateResponder" monitor: "NginxDown"
          on: "UNRECOVERABLE" mode: "OBSERVE" action_id: "Escalate"
        }
    )"));
  }
};

TEST_F(ResponderVerbTest, ListShowsTheirActionsAndWhenTheseMayRun) {
  EXPECT_EQ(Run({"responder", "list"}).out,
            "RESPONDER         MONITOR    ON             MODE     ACTION                        "
            "STATE     NEXT ALLOWED\n"
            "Web/NginxRestart  NginxDown  UNHEALTHY      ACT      RestartService nginx.service  "
            "waiting   2026-11-21 10:06:40 (in 6m 40s)\n"
            "Web/Page/a        NginxDown  UNRECOVERABLE  OBSERVE  Escalate                      "
            "disabled  -\n");
}

TEST_F(ResponderVerbTest, ShowNamesTheSourceOfEachLimit) {
  const Ended ended = Run({"responder", "show", "nginxrestart"});

  EXPECT_EQ(ended.out,
            "Web/NginxRestart\n"
            "  type          RestartServiceResponder\n"
            "  monitor       NginxDown, on UNHEALTHY\n"
            "  mode          ACT\n"
            "  action        RestartService nginx.service\n"
            "  state         waiting\n"
            "  last reason   refused\n"
            "  identity      RestartService/Default/*/*/nginx.service\n"
            "  attempts      1/3 hour, 1/- day\n"
            "  most recent   Succeeded 2026-11-21 09:56:40 (3m 20s ago) by NginxRestart\n"
            "  next allowed  2026-11-21 10:06:40 (in 6m 40s)\n"
            "\n"
            "LIMIT                               VALUE  SOURCE\n"
            "Enabled                             True   policy\n"
            "LocalMinimumMinutesBetweenAttempts  10     responder\n");
  EXPECT_EQ(ended.status, 0);
}

TEST_F(ResponderVerbTest, ShowTakesNamesWithAndWithoutTheSet) {
  EXPECT_EQ(Run({"responder", "show", "Web/NginxRestart"}).status, 0);
  EXPECT_EQ(Run({"responder", "show", "Page/a"}).status, 0);
  EXPECT_EQ(Run({"responder", "show", "Web/Page/a"}).status, 0);
}

TEST_F(ResponderVerbTest, ShowNamesTheNearest) {
  const Ended ended = Run({"responder", "show", "NginxRestrat"});

  EXPECT_EQ(ended.status, 4);
  EXPECT_EQ(ended.err,
            "salvectl: responder show: there is no responder 'NginxRestrat' (did you mean "
            "'NginxRestart'?)\n");
}

}  // namespace
}  // namespace salve
