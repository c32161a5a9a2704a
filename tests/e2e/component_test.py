"""Components by the agent itself: votes, the state file, the endpoint for load balancers."""

import os
import socket
import unittest
import urllib.error
import urllib.request

from plain import Agent

WEB = """
health_set {
  name: "Web"
  probe   { name: "File" interval: "200ms" timeout: "200ms" exec { command: "/bin/sh" command: "-c" command: "test ! -e SICK || exit 2" } }
  monitor { name: "Down" probe: "File" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  responder { name: "Off" monitor: "Down" on: UNHEALTHY settle: "0s" take_offline { component: "web" } }
}
"""


def free_port():
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


class ComponentTest(unittest.TestCase):
    def setUp(self):
        self.port = free_port()
        self.agent = Agent(WEB, start=False)
        self.state_file = self.agent.path("web.state")
        self.sick = self.agent.path("sick")
        self.agent.write("conf.d/test.textproto", WEB.replace("SICK", self.sick))
        self.agent.write("salve.textproto",
                         f'boot_grace: "0s" ready_listen: "127.0.0.1:{self.port}" '
                         f'component {{ name: "web" state_file: "{self.state_file}" }} '
                         'component { name: "db" }')

    def ready(self, path="/ready/web"):
        """(status, body), or (None, why) while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read().decode()
        except OSError as error:
            return None, str(error)

    def state(self):
        with open(self.state_file) as file:
            return file.read()

    def told(self, agent):
        return [event for event in agent.events("--channel", "Agent") if event["EventId"] == 17]

    def test_what_is_sick_goes_offline_and_comes_back_when_it_is_well(self):
        with self.agent as agent:
            agent.start()
            agent.wait_for(lambda: self.ready()[0] == 200, what="online at start")
            agent.wait_for(lambda: os.path.exists(self.state_file) and self.state() == "online\n",
                           what="the file at start")
            open(self.sick, "w").close()
            agent.wait_for(lambda: self.ready() == (503, "offline, 1 vote\n"), what="offline")
            agent.wait_for(lambda: self.state() == "offline\n", what="the file")
            self.assertEqual(self.ready("/ready"), (503, "offline: web\n"))
            self.assertEqual(self.ready("/ready/db")[0], 200)
            self.assertEqual(self.ready("/ready/nothing")[0], 404)

            # A person's vote beside it; both outlive a kill.
            agent.ctl("component", "offline", "web", "--reason", "a new disk")
            self.assertEqual(len(self.told(agent)), 2)
            agent.kill_with_all_written()
            agent.start()
            agent.wait_for(lambda: self.ready() == (503, "offline, 2 votes\n"), what="both votes")
            os.remove(self.sick)
            agent.wait_for(lambda: self.ready() == (503, "offline, 1 vote\n"), what="one vote")
            listed = {one["Name"]: one for one in agent.json("component", "list")["Components"]}
            vote, = listed["web"]["Votes"]
            self.assertTrue(vote["Requester"].startswith("operator:"), vote)
            self.assertEqual(vote["Reason"], "a new disk")
            self.assertIn("is online", agent.ctl("component", "online", "web").stdout)
            agent.wait_for(lambda: self.ready()[0] == 200 and self.state() == "online\n",
                           what="online again")
            agent.wait_for(lambda: len(self.told(agent)) >= 4, what="the events of all changes")

    def test_a_vote_that_ends_by_itself_and_names_that_are_not_there(self):
        with self.agent as agent:
            agent.start()
            agent.wait_for(lambda: self.ready()[0] == 200, what="online at start")
            agent.ctl("component", "offline", "db", "--reason", "x", "--for", "1s")
            self.assertEqual(self.ready("/ready/db")[0], 503)
            agent.wait_for(lambda: self.ready("/ready/db")[0] == 200, what="the end of the vote")
            unknown = agent.ctl("component", "online", "wep", check=False)
            self.assertEqual(unknown.returncode, 4)
            self.assertIn("did you mean 'web'?", unknown.stderr)

    def test_a_link_in_place_of_the_file_is_left_alone(self):
        with self.agent as agent:
            precious = agent.write("precious", "do not touch")
            os.symlink(precious, self.state_file)
            agent.start()
            agent.wait_for(lambda: self.ready()[0] == 200, what="online at start")
            agent.wait_for(lambda: "a symbolic link" in agent.ctl("component", "list").stderr,
                           what="the trouble")
            with open(precious) as file:
                self.assertEqual(file.read(), "do not touch")

    def test_clients_that_say_nothing_hold_nobody_up(self):
        with self.agent as agent:
            agent.start()
            agent.wait_for(lambda: self.ready()[0] == 200, what="online at start")
            crowd = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(200)]
            self.assertEqual(self.ready()[0], 200)
            # As in escalate_test: others' load may hold the process up.
            self.assertLess(agent.info()["LongestTurnMs"], max(20, 100 * os.getloadavg()[0]))
            for one in crowd:
                one.close()


if __name__ == "__main__":
    unittest.main()
