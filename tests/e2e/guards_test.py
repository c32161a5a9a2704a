"""Maintenance and the kill switch in a plain agent: by command, by file, through kill -9."""

import os
import unittest

from plain import TOUCH, Agent
from server import policy

# As often as it likes: only the guards keep it from acting.
RUN = policy(action="RunCommand", minutes=-1, hour=-1, day=-1)


def looks(agent):
    return agent.json("probe", "list")["Probes"][0].get("Looks", 0)


class GuardsTest(unittest.TestCase):
    def healed(self, agent):
        return os.path.exists(agent.path("ok"))

    def is_at_rest(self, agent):
        """No action runs or settles."""
        responder, = agent.json("responder", "list")["Responders"]
        return responder["State"] not in ("asking", "running", "settling")

    def expect_nothing_is_done(self, agent):
        """Through a good many looks."""
        before = int(looks(agent))
        agent.wait_for(lambda: int(looks(agent)) > before + 5, what="more looks")
        self.assertFalse(self.healed(agent), agent.log())

    def hold(self, agent):
        return agent.json("monitor", "list")["Monitors"][0].get("Hold", "")

    def kill(self, agent):
        agent.kill_with_all_written()
        agent.start()
        agent.wait_for(lambda: agent.health() is not None, what="an answer")

    def test_maintenance(self):
        with Agent(TOUCH, RUN, agent='boot_grace: "0s"', start=False) as agent:
            open(agent.path("ok"), "w").close()
            agent.start()
            agent.wait_for(lambda: agent.health() == "HEALTHY", what="health")
            agent.ctl("maintenance", "start", "--for", "2h", "--reason", "new disks")
            os.remove(agent.path("ok"))
            agent.wait_for(lambda: agent.health() == "UNHEALTHY", what="the incident")
            self.expect_nothing_is_done(agent)
            self.assertIn("new disks", self.hold(agent))

            self.kill(agent)
            self.assertIn("new disks", agent.ctl("maintenance", "status").stdout)
            agent.wait_for(lambda: agent.health() == "UNHEALTHY", what="the incident again")
            self.expect_nothing_is_done(agent)
            explained = agent.ctl("explain", "--last").stdout
            self.assertIn("held: maintenance of the whole server", explained)

            agent.ctl("maintenance", "end")
            agent.wait_for(lambda: agent.health() == "HEALTHY", what="the healing")
            ids = agent.event_ids("Agent")
            self.assertEqual((ids.count(11), ids.count(12)), (1, 1))
            ended = agent.ctl("maintenance", "end", check=False)
            self.assertEqual(ended.returncode, 4, ended.stderr)

    def test_maintenance_ends_by_itself(self):
        with Agent(TOUCH, RUN, start=False) as agent:
            open(agent.path("ok"), "w").close()
            agent.start()
            agent.wait_for(lambda: agent.health() == "HEALTHY", what="health")
            agent.ctl("maintenance", "start", "--for", "3s", "--reason", "r", "--set", "Files")
            os.remove(agent.path("ok"))
            agent.wait_for(lambda: 12 in agent.event_ids("Agent"), what="its end")
            agent.wait_for(lambda: self.healed(agent), what="the healing")

    def test_pause_by_command(self):
        with Agent(TOUCH, RUN, start=False) as agent:
            open(agent.path("ok"), "w").close()
            agent.start()
            agent.wait_for(lambda: agent.health() == "HEALTHY", what="health")
            agent.ctl("actions", "pause", "--reason", "storm")
            os.remove(agent.path("ok"))
            agent.wait_for(lambda: agent.health() == "UNHEALTHY", what="the incident")
            self.expect_nothing_is_done(agent)
            by_hand = agent.ctl("action", "run", "Files/Touch", check=False)
            self.assertEqual(by_hand.returncode, 6, by_hand.stderr)
            self.assertIn("storm", by_hand.stdout)

            self.kill(agent)
            self.expect_nothing_is_done(agent)
            self.assertIn("storm", agent.ctl("actions", "status").stdout)

            agent.ctl("actions", "resume")
            agent.wait_for(lambda: self.healed(agent), what="the healing")
            group = agent.ctl("actions", "pause", "--group", check=False)
            self.assertEqual(group.returncode, 3, group.stderr)

    def test_pause_by_file(self):
        for folder in ("", "state"):
            with self.subTest(folder=folder), Agent(TOUCH, RUN, start=False) as agent:
                path = os.path.join(folder, "actions.paused")
                agent.write(path, "storm in cell 7\n")
                agent.start()  # It pauses before anything can act.
                agent.wait_for(lambda: agent.health() == "UNHEALTHY", what="the incident")
                self.expect_nothing_is_done(agent)
                self.assertIn("storm in cell 7", self.hold(agent))
                resumed = agent.ctl("actions", "resume", check=False)
                self.assertEqual(resumed.returncode, 3, resumed.stderr)
                self.assertIn("actions.paused", resumed.stderr)

                self.kill(agent)
                self.expect_nothing_is_done(agent)

                os.remove(agent.path(path))
                agent.wait_for(lambda: self.healed(agent), what="the healing")
                # What breaks within its settle counts against the attempt.
                agent.wait_for(lambda: self.is_at_rest(agent), what="the settle's end")

                os.remove(agent.path("ok"))
                agent.wait_for(lambda: self.healed(agent), what="another healing")
                agent.write(path, "")  # While it runs.
                agent.wait_for(lambda: agent.json("actions", "status").get("Paused"), what="pause")
                agent.wait_for(lambda: self.is_at_rest(agent), what="the end of what began before")
                if self.healed(agent):
                    os.remove(agent.path("ok"))
                self.expect_nothing_is_done(agent)


if __name__ == "__main__":
    unittest.main()
