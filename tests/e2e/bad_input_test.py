"""What a hostile world hands to the agent: it refuses, bounds, records, and heals on."""

import glob
import http.server
import os
import subprocess
import threading
import unittest

from plain import TOUCH, Agent
from server import policy

IS_ROOT = os.geteuid() == 0

RUN = policy(action="RunCommand")


def exec_probe(script, timeout="1s"):
    return f"""health_set {{ name: "X"
      probe {{ name: "P" interval: "2s" timeout: "{timeout}"
               exec {{ command: "/bin/sh" command: "-c" command: "{script}" }} }} }}"""


class RefusedConfigurationTest(unittest.TestCase):
    def refused(self, configuration, throttle=None):
        with Agent(configuration, throttle, start=False) as agent:
            status, log = agent.refused()
            check = subprocess.run(agent.argv("--check"), capture_output=True, text=True)
            self.assertEqual(check.returncode, 2)
            self.assertEqual(status, 2)
            return check.stderr

    def test_a_broken_file_is_refused_with_file_line_and_column(self):
        self.assertRegex(self.refused('health_set {\n  name: "A"\n  prob { }\n}'),
                         r"test\.textproto:3:\d+: .*prob")

    def test_a_bad_value_of_a_kind_is_refused_where_it_stands(self):
        self.assertRegex(
            self.refused('health_set {\n name: "A"\n probe { name: "P"\n'
                         '  tcp { port: 70000 } } }'), r"test\.textproto:4:\d+: .*70000")

    def test_an_unknown_action_is_refused_with_the_actions_there_are(self):
        self.assertRegex(
            self.refused('health_set { name: "A"\n'
                         'responder { name: "R" restart_servic { service: "x" } } }'),
            r"test\.textproto:2:\d+: .*restart_service")

    def test_broken_xml_is_refused_with_file_line_and_column(self):
        self.assertRegex(self.refused(TOUCH, "<ThrottleEntries>\n<RestartServic "
                                             'ResourceName="*"/></ThrottleEntries>'),
                         r"throttle\.xml:2:\d+: .*RestartService")


class HostileProbeTest(unittest.TestCase):
    def test_a_body_of_100_megabytes_is_read_up_to_its_bound(self):
        class Big(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(100 << 20))
                self.end_headers()
                try:
                    for _ in range(100):
                        self.wfile.write(b"x" * (1 << 20))
                except OSError:
                    pass  # The reader has seen enough.

            def log_message(self, *_):
                pass

        listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Big)
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        with Agent(f"""health_set {{ name: "X" probe {{ name: "P" interval: "5s" timeout: "3s"
            http {{ url: "http://127.0.0.1:{listener.server_port}/" body_not_match: "y" }} }} }}""") as agent:
            agent.wait_for(lambda: agent.probe("P"), what="a look")
            self.assertEqual(agent.probe("P")["ResultType"], "Succeeded")
            self.assertLess(agent.rss()[0], 64 << 20)
            self.assertLess(agent.info()["LongestTurnMs"], 100)
        listener.shutdown()

    def test_a_plugin_that_prints_for_ever_is_killed_and_bounded(self):
        with Agent(exec_probe("yes hello")) as agent:
            agent.wait_for(lambda: agent.probe("P"), what="a look")
            self.assertEqual(agent.probe("P")["ResultType"], "TimedOut")
            self.assertLess(agent.rss()[0], 64 << 20)

    def test_a_plugin_that_forks_a_daemon_does_not_delay_or_outlive_its_look(self):
        with Agent(exec_probe("sleep 4242 & exit 0")) as agent:
            agent.wait_for(lambda: agent.probe("P"), what="a look")
            self.assertEqual(agent.probe("P")["ResultType"], "Succeeded")
            self.assertLess(agent.probe("P")["DurationMs"], 900)
            found = subprocess.run(["pgrep", "-f", "^sleep 4242$"], capture_output=True)
            self.assertEqual(found.stdout, b"")

    def test_a_log_line_of_10_megabytes_is_cut_and_the_next_one_is_found(self):
        with Agent("", start=False) as agent:
            log = agent.write("app.log", "")
            agent.write("conf.d/test.textproto", f"""health_set {{ name: "X"
              probe {{ name: "P" interval: "300ms" timeout: "300ms"
                       log_match {{ file: "{log}" pattern: "^FATAL" }} }} }}""")
            agent.start()
            agent.wait_for(lambda: agent.probe("P"), what="a look")
            with open(log, "a") as file:
                file.write("x" * (10 << 20) + "\nFATAL now\n")
            agent.wait_for(lambda: 2 in agent.event_ids("ProbeResult"), what="the match")
            failed = [e for e in agent.events("--channel", "ProbeResult") if e["EventId"] == 2][0]
            self.assertIn("FATAL now", failed["Error"])
            self.assertLess(agent.rss()[0], 64 << 20)


class DamagedStateTest(unittest.TestCase):
    def healed(self, agent):
        agent.wait_for(lambda: os.path.exists(agent.path("ok")), what="a heal")
        agent.wait_for(lambda: agent.health() == "HEALTHY", what="health")
        agent.wait_for(lambda: 501 in agent.event_ids("RecoveryActionResults"), what="501")

    def test_a_corrupted_events_db_is_set_aside_said_and_does_not_stop_healing(self):
        with Agent(TOUCH, RUN) as agent:
            self.healed(agent)
            agent.stop()
            agent.write("state/events.db", "garbage " * 1000)
            os.remove(agent.path("ok"))
            agent.start()
            agent.wait_for(lambda: os.path.exists(agent.path("ok")), what="a heal")
            agent.wait_for(lambda: 9 in agent.event_ids("Agent"), what="the word of it")
            self.assertTrue(glob.glob(agent.path("state/events.db.damaged*")))

    def test_an_incident_survives_the_loss_of_events_db(self):
        broken = TOUCH.replace("/usr/bin/touch", "/bin/true")
        with Agent(broken, RUN) as agent:
            agent.wait_for(lambda: agent.health() == "UNHEALTHY", what="the incident")
            incident = agent.json("monitor", "list")["Monitors"][0]["IncidentId"]
            agent.stop(9)
            for path in glob.glob(agent.path("state/events.db*")):
                os.remove(path)
            agent.start()
            agent.wait_for(lambda: agent.health() == "UNHEALTHY", what="the incident again")
            self.assertEqual(agent.json("monitor", "list")["Monitors"][0]["IncidentId"], incident)

    def test_a_lost_or_damaged_ledger_refuses_the_start_until_a_person_accepts_it(self):
        with Agent(TOUCH, RUN) as agent:
            self.healed(agent)
            agent.stop()
            for damage in ("lost", "garbage"):
                for path in glob.glob(agent.path("state/ledger.db*")):
                    os.remove(path)
                if damage == "garbage":
                    agent.write("state/ledger.db", "garbage " * 1000)
                status, log = agent.refused()
                self.assertEqual(status, 3, damage)
                self.assertIn("--accept-ledger-loss", log)
            agent.start("--accept-ledger-loss")
            agent.wait_for(lambda: agent.health() == "HEALTHY", what="a start")
            agent.wait_for(lambda: 9 in agent.event_ids("Agent"), what="the word of it")

    @unittest.skipUnless(IS_ROOT, "mounts a file system")
    def test_a_read_only_state_folder_refuses_the_start(self):
        with Agent(TOUCH, RUN, start=False, prefix=["unshare", "-m", "sh", "-c",
                   'mount -t tmpfs -o ro none "$0/state" && exec "$@"']) as agent:
            os.mkdir(agent.state)
            agent.prefix.append(agent.dir)
            status, log = agent.refused()
            self.assertEqual(status, 3)
            self.assertIn("Read-only file system", log)

    @unittest.skipUnless(IS_ROOT, "mounts a file system")
    def test_a_full_disk_under_the_state_does_not_stop_healing(self):
        with Agent(TOUCH, RUN, start=False, prefix=["unshare", "-m", "sh", "-c",
                   'mount -t tmpfs -o size=40m none "$0/state" && exec "$@"']) as agent:
            os.mkdir(agent.state)
            agent.prefix.append(agent.dir)
            agent.start()
            self.healed(agent)
            inside = f"/proc/{agent.process.pid}/root{agent.state}/fill"
            with open(inside, "wb", buffering=0) as fill:
                try:
                    while True:
                        fill.write(b"x" * 65536)
                except OSError:
                    pass
            os.remove(agent.path("ok"))
            agent.wait_for(lambda: os.path.exists(agent.path("ok")), what="a heal")
            os.remove(inside)
            agent.wait_for(lambda: not any("events" in w for w in agent.info()["Warnings"]),
                           timeout=60, what="the store to work again")
            agent.wait_for(lambda: agent.event_ids("RecoveryActionResults").count(501) == 2,
                           what="both ends in the store")

    def test_a_second_agent_on_the_same_state_is_refused(self):
        with Agent(TOUCH, RUN) as agent:
            agent.wait_for(lambda: agent.health(), what="a start")
            first = agent.process
            status, log = agent.refused()
            self.assertEqual(status, 3)
            self.assertIn("another salved", log)
            agent.process = first
            self.assertIsNotNone(agent.health())


class LifeTest(unittest.TestCase):
    def test_sigterm_ends_it_with_0_and_says_so(self):
        with Agent(TOUCH, RUN) as agent:
            agent.wait_for(lambda: agent.health() == "HEALTHY", what="a start")
            self.assertEqual(agent.stop(), 0)
            agent.start()
            agent.wait_for(lambda: agent.event_ids("Agent").count(1) == 2, what="a second start")
            self.assertIn(2, agent.event_ids("Agent"))

    def test_record_ids_rise_over_a_kill(self):
        with Agent(TOUCH, RUN) as agent:
            agent.wait_for(lambda: agent.health() == "HEALTHY", what="a start")
            agent.stop(9)
            agent.start()
            agent.wait_for(lambda: agent.event_ids("Agent").count(1) == 2, what="a second start")
            ids = [int(event["RecordId"]) for event in agent.events()]
            self.assertEqual(ids, sorted(set(ids)))


if __name__ == "__main__":
    unittest.main()
