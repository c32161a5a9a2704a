"""kill -9 of the agent at every write point of an action: the attempt counts, nothing is doubled."""

import os
import random
import time
import unittest

from plain import Agent
from server import SALVED_WITH_FAULTS, Server, policy, why_not

# Every FaultPoint on the way of an action, in order.
POINTS = [
    "gate.2050.before", "gate.500.before", "gate.allowed", "engine.run.before",
    "engine.effect.before", "engine.effect.recorded", "engine.ended",
    "gate.finished.before", "gate.finished.after",
]

# Fails for ever; each run of the action leaves a line in `effects`.
BROKEN = """
health_set {
  name: "Files"
  probe { name: "File" interval: "100ms" timeout: "100ms" exec { command: "/bin/sh" command: "-c" command: "exit 2" } }
  monitor { name: "Gone" probe: "File" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  responder { name: "Act" monitor: "Gone" on: UNHEALTHY settle: "0s" retry_after: "1s" ineffective_after: 100
              run_command { command: "/bin/sh" command: "-c" command: "echo ran >> effects; sleep 0.2" resource: "thing" } }
}
"""

VICTIM = b"""[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sleep infinity
ExecStartPre=/bin/sh -c "echo started >> /var/lib/victim"
"""

VICTIM_SET = """
health_set {
  name: "Victim"
  probe   { name: "Unit" interval: "1s" systemd_unit { unit: "victim" } timeout: "900ms" }
  monitor { name: "Down" probe: "Unit" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  responder { name: "Restart" monitor: "Down" on: UNHEALTHY settle: "0s" retry_after: "1s"
              restart_service { service: "victim" } }
}
"""

# The first life has the fault, all later ones have not.
FAULTED_ONCE = """#!/bin/sh
if [ -e /var/lib/salve/faulted ]; then exec /usr/local/sbin/salved-real "$@"; fi
mkdir -p /var/lib/salve; touch /var/lib/salve/faulted
SALVE_FAULT={point} exec /usr/local/sbin/salved-real "$@"
"""


class CrashTest(unittest.TestCase):
    def attempts(self, agent):
        return agent.json("action", "list").get("Attempts", [])

    def effects(self, agent):
        path = agent.path("effects")
        return open(path).read().count("ran") if os.path.exists(path) else 0

    def crash_at(self, point):
        with Agent(BROKEN, policy(day=1, action="RunCommand"), start=False) as agent:
            agent.start(env={"SALVE_FAULT": point}, binary=SALVED_WITH_FAULTS)
            self.assertEqual(agent.process.wait(timeout=20), -9, point)
            agent.start()
            agent.wait_for(lambda: 2051 in agent.event_ids("RecoveryActionLogs"), what="a refusal")
            attempts = self.attempts(agent)
            self.assertEqual(len(attempts), 1, point)
            self.assertEqual(attempts[0]["State"], "Finished", point)
            self.assertLessEqual(self.effects(agent), 1, point)
            status = agent.json("throttle", "status")["Entries"][0]
            self.assertFalse(status["Local"]["IsRecoveryInProgress"], point)
            return self.effects(agent), attempts[0]["Result"]

    def test_a_crash_at_any_write_point_counts_the_attempt_and_doubles_nothing(self):
        for point in POINTS:
            with self.subTest(point):
                effects, result = self.crash_at(point)
                print(f"{point}: {effects} effects, {result}")
                before_its_exec = POINTS.index(point) <= POINTS.index("engine.effect.recorded")
                if before_its_exec:
                    self.assertEqual((effects, result), (0, "Crashed"))

    def test_a_limit_of_three_holds_over_twenty_crashes_at_random_moments(self):
        seed = int(time.time())
        print(f"seed {seed}")
        rng = random.Random(seed)
        with Agent(BROKEN, policy(hour=3, action="RunCommand"), start=False) as agent:
            for _ in range(20):
                agent.start()
                time.sleep(rng.uniform(0.05, 0.6))  # The moment is the test's input.
                agent.stop(9)
            agent.start()
            agent.wait_for(lambda: 2051 in agent.event_ids("RecoveryActionLogs") and
                           all(a["State"] == "Finished" for a in self.attempts(agent)),
                           what="the last refusal")
            self.assertLessEqual(self.effects(agent), 3)
            self.assertEqual(len(self.attempts(agent)), 3)

    def test_an_effect_that_outlived_the_agent_is_awaited_and_not_doubled(self):
        slow = BROKEN.replace("sleep 0.2", "sleep 3; echo ended >> effects")
        with Agent(slow, policy(action="RunCommand")) as agent:
            agent.wait_for(lambda: self.effects(agent) == 1, what="the effect")
            agent.stop(9)
            agent.start()
            agent.wait_for(lambda: self.attempts(agent), what="the agent again")
            self.assertEqual(self.attempts(agent)[0]["State"], "InProgress")
            agent.wait_for(lambda: self.attempts(agent)[0]["State"] == "Finished", what="its end")
            with open(agent.path("effects")) as file:
                self.assertEqual(file.read().split()[:2], ["ran", "ended"])


@unittest.skipIf(why_not(), why_not())
class UnitCrashTest(unittest.TestCase):
    def crash_at(self, point):
        with open(SALVED_WITH_FAULTS, "rb") as file:
            real = file.read()
        files = [(VICTIM, "/etc/systemd/system/victim.service"),
                 (real, "/usr/local/sbin/salved-real", 0o755),
                 (FAULTED_ONCE.format(point=point).encode(), "/usr/local/sbin/salved", 0o755)]
        with Server(VICTIM_SET, policy(day=1), nginx=False, files=files) as server:
            server.run("systemctl", "start", "victim")
            server.wait_for(lambda: server.health() == "HEALTHY", what="health at start")
            before = server.run("cat", "/var/lib/victim").stdout.count("started")
            server.kill("victim")

            def settled():
                attempts = server.json("action", "list", check=False).get("Attempts", [])
                return attempts and attempts[0]["State"] == "Finished"

            server.wait_for(settled, what="the attempt's end")
            server.wait_for(lambda: server.health() == "HEALTHY" or
                            2051 in server.event_ids("RecoveryActionLogs"), what="its outcome")
            time.sleep(1)  # A second effect, if there were one, would come at the next look.
            started = server.run("cat", "/var/lib/victim").stdout.count("started") - before
            self.assertLessEqual(started, 1, point)
            self.assertEqual(len(server.json("action", "list")["Attempts"]), 1, point)
            lives = server.event_ids("Agent").count(1)
            self.assertEqual(lives, 2, f"{point}: the fault did not strike")
            return started

    def test_a_restart_job_is_never_doubled_by_a_crash(self):
        for point in ["gate.allowed", "engine.run.before", "engine.effect.recorded",
                      "engine.ended", "gate.finished.after"]:
            with self.subTest(point):
                print(f"{point}: {self.crash_at(point)} restarts")


if __name__ == "__main__":
    unittest.main()
