"""REPAIRING outlives kill -9 of the agent, keeps every responder off, and ends by a person's word."""

import os
import unittest

from plain import TOUCH, Agent
from server import policy


def monitor(agent):
    return agent.json("monitor", "list")["Monitors"][0]


class RepairingTest(unittest.TestCase):
    def test_it_survives_a_kill_and_nothing_acts_until_it_is_ended(self):
        with Agent(TOUCH, policy(action="RunCommand")) as agent:
            with open(agent.path("ok"), "w"):
                pass
            agent.wait_for(lambda: agent.health() == "HEALTHY", what="a start")
            agent.ctl("monitor", "repairing", "Files/Gone", "--for", "2h", "--reason", "new disk")
            self.assertEqual(agent.health(), "REPAIRING")
            agent.kill_with_all_written()
            os.unlink(agent.path("ok"))
            agent.start()
            agent.wait_for(lambda: agent.probe("File").get("ResultType") == "Failed",
                           what="a failed look")
            self.assertEqual(monitor(agent)["State"], "REPAIRING")
            self.assertEqual(monitor(agent)["RepairingReason"], "new disk")
            self.assertIn("held: REPAIRING by ", agent.ctl("health", check=False).stdout)
            self.assertEqual(agent.event_ids("RecoveryActionLogs"), [])
            agent.ctl("monitor", "clear", "Files/Gone")
            agent.wait_for(lambda: os.path.exists(agent.path("ok")), what="the action after it")
            agent.wait_for(lambda: agent.health() == "HEALTHY", what="health")
            ids = agent.event_ids("Agent")
            self.assertEqual((ids.count(15), ids.count(16)), (1, 1))

    def test_it_ends_by_itself(self):
        with Agent(TOUCH, policy(action="RunCommand")) as agent:
            agent.wait_for(lambda: agent.health() == "HEALTHY", what="a start")
            agent.ctl("monitor", "repairing", "Files/Gone", "--for", "2s", "--reason", "x")
            agent.wait_for(lambda: 16 in agent.event_ids("Agent"), what="its end")
            self.assertEqual(agent.ctl("monitor", "clear", "Files/Gone", check=False).returncode, 3)


if __name__ == "__main__":
    unittest.main()
