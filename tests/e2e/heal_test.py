"""The main job on a real systemd: what fails is healed, refused, recorded, explained."""

import re
import unittest

from server import Server, parse_time, policy, why_not

# A poll every second and the unit's own events.
WEB = """
health_set {
  name: "Web"
  probe   { name: "Ping" interval: "1s" timeout: "500ms" http { url: "http://127.0.0.1/" } }
  probe   { name: "Unit" interval: "5s" systemd_unit { unit: "nginx" } }
  monitor { name: "Hangs" probe: "Ping" consecutive_failures { threshold: 3 } transition { to: UNHEALTHY } }
  monitor { name: "Down" probe: "Unit" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  responder { name: "Restart" monitor: "Down" on: UNHEALTHY settle: "2s" retry_after: "1s"
              restart_service { service: "nginx" } }
  responder { name: "Unhang" monitor: "Hangs" on: UNHEALTHY settle: "2s" retry_after: "1s"
              restart_service { service: "nginx" } }
}
"""

POLL_ONLY = """
health_set {
  name: "Web"
  probe   { name: "Ping" interval: "1s" timeout: "500ms" http { url: "http://127.0.0.1/" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 3 } transition { to: UNHEALTHY } }
  responder { name: "Restart" monitor: "Down" on: UNHEALTHY settle: "2s" retry_after: "1s"
              restart_service { service: "nginx" } }
}
"""


@unittest.skipIf(why_not(), why_not())
class HealTest(unittest.TestCase):
    def test_a_killed_nginx_is_healed_and_one_incident_tells_it_all(self):
        with Server(WEB, policy(minutes=10)) as server:
            server.wait_for(lambda: server.health() == "HEALTHY", what="health at start")
            server.kill("nginx")
            server.wait_for(lambda: 1 in server.event_ids("Monitoring"), what="healthy again")
            self.assertTrue(server.is_active("nginx"))
            incident = server.events("--channel", "Monitoring")[-1]["IncidentId"]
            story = server.events("--incident", incident)
            self.assertEqual([e["EventId"] for e in story if e["Channel"] == "RecoveryActionLogs"],
                             [2050])
            self.assertEqual([e["EventId"] for e in story if e["Channel"] == "RecoveryActionResults"],
                             [500, 501])
            channels = {event["Channel"] for event in story}
            self.assertLessEqual({"ProbeResult", "MonitorResult", "ResponderResult",
                                  "RecoveryActionLogs", "RecoveryActionResults", "Monitoring"},
                                 channels)
            explained = server.ctl("explain", "--last").stdout
            self.assertIn("RestartService", explained)
            self.assertIn("healthy again", explained)

            # Again: within ten minutes it is refused, with the right time.
            server.kill("nginx")
            server.wait_for(lambda: 2051 in server.event_ids("RecoveryActionLogs"), what="a refusal")
            refusal = server.events("--channel", "RecoveryActionLogs", "--event-id", "2051")[-1]
            retry = re.search(r'TimeToRetryAfter="([^"]+)"', refusal["LocalThrottleResult"]).group(1)
            ended = [e for e in server.events("--channel", "RecoveryActionResults")
                     if e["EventId"] == 501][-1]["EndTime"]
            self.assertAlmostEqual(parse_time(retry) - parse_time(ended), 600, delta=1)
            self.assertIn("FailedChecks=LocalMinimumMinutes)", refusal["ExceptionMessage"])
            self.assertFalse(server.is_active("nginx"))
            check = server.ctl("throttle", "check", "RestartService", "nginx.service", check=False)
            self.assertEqual(check.returncode, 6)
            self.assertIn("asks again at", server.ctl("explain", "--last").stdout)
            # A hand is held to the same limit.
            by_hand = server.ctl("action", "run", "Web/Restart", check=False)
            self.assertEqual(by_hand.returncode, 6)

    def test_a_service_that_hangs_is_found_by_http_and_healed(self):
        with Server(WEB, policy()) as server:
            server.wait_for(lambda: server.health() == "HEALTHY", what="health at start")
            before = server.main_pid("nginx")
            server.kill("nginx", "STOP")
            server.wait_for(lambda: 1 in server.event_ids("Monitoring"), what="healthy again")
            self.assertNotEqual(server.main_pid("nginx"), before)

    def test_a_polled_failure_is_healed_within_threshold_times_interval_plus_a_second(self):
        with Server(POLL_ONLY, policy()) as server:
            server.wait_for(lambda: server.health() == "HEALTHY", what="health at start")
            killed = float(server.run("sh", "-c",
                                      "date +%s.%N; systemctl kill -s KILL nginx").stdout)
            server.wait_for(lambda: 501 in server.event_ids("RecoveryActionResults"), what="a heal")
            started = [e for e in server.events("--channel", "RecoveryActionResults")
                       if e["EventId"] == 500][0]["StartTime"]
            self.assertLess(parse_time(started) - killed, 3 * 1 + 1)

    def test_a_unit_that_cannot_start_fails_as_502_and_is_retried_through_the_throttle(self):
        with Server(WEB, policy(minutes=0, hour=2)) as server:
            server.wait_for(lambda: server.health() == "HEALTHY", what="health at start")
            server.machine.install(b"not nginx's language", "/etc/nginx/nginx.conf")
            server.kill("nginx")
            server.wait_for(lambda: 2051 in server.event_ids("RecoveryActionLogs"), what="a refusal")
            self.assertEqual(server.event_ids("RecoveryActionResults"), [500, 502, 500, 502])
            refusal = server.events("--channel", "RecoveryActionLogs", "--event-id", "2051")[-1]
            self.assertIn("FailedChecks=LocalMaxInHour)", refusal["ExceptionMessage"])
            retry = re.search(r'TimeToRetryAfter="([^"]+)"', refusal["LocalThrottleResult"]).group(1)
            first_end = [e for e in server.events("--channel", "RecoveryActionResults")
                         if e["EventId"] == 502][0]["EndTime"]
            self.assertAlmostEqual(parse_time(retry) - parse_time(first_end), 3600, delta=1)

    def test_what_a_person_stopped_stays_stopped(self):
        with Server(WEB, policy()) as server:
            server.wait_for(lambda: server.health() == "HEALTHY", what="health at start")
            server.run("systemctl", "stop", "nginx")
            server.wait_for(lambda: any("stopped on purpose" in e["Reason"] for e in
                                        server.events("--channel", "ResponderResult")),
                            what="the reason")
            self.assertEqual(server.event_ids("RecoveryActionLogs"), [])
            self.assertFalse(server.is_active("nginx"))

    def test_a_unit_with_restart_is_left_to_systemd_until_it_has_given_up(self):
        with Server(WEB, policy()) as server:
            server.machine.install(b"[Unit]\nStartLimitIntervalSec=1h\nStartLimitBurst=2\n"
                                   b"[Service]\nRestart=on-failure\nRestartSec=200ms\n",
                                   "/etc/systemd/system/nginx.service.d/e2e.conf")
            server.run("systemctl", "daemon-reload")
            server.run("systemctl", "reset-failed", "nginx", check=False)
            server.wait_for(lambda: server.health() == "HEALTHY", what="health at start")
            server.kill("nginx")
            server.wait_for(lambda: server.run("systemctl", "show", "-P", "NRestarts",
                                               "nginx").stdout.strip() == "1" and
                            server.is_active("nginx"), what="systemd's own restart")
            self.assertEqual(server.event_ids("RecoveryActionLogs"), [])

    def test_a_reload_that_is_refused_changes_nothing_and_says_where(self):
        with Server(WEB, policy()) as server:
            server.configure(WEB.replace("threshold: 3", "threshhold: 3"))
            refused = server.ctl("config", "reload", check=False)
            self.assertEqual(refused.returncode, 2)
            self.assertRegex(refused.stderr, r"test\.textproto:\d+:\d+: .*threshold")
            self.assertIsNotNone(server.health())
            server.configure(WEB)
            self.assertEqual(server.ctl("config", "reload").returncode, 0)


if __name__ == "__main__":
    unittest.main()
