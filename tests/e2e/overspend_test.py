"""No overspend, ever: many agents ask at once, and agents, etcd and the network fail meanwhile.

What was done is counted by the files that the actions leave, never by a history.
"""

import os
import random
import signal
import threading
import time
import unittest

from etcd import Etcd
from group_test import EXIT_REFUSED, Group, ready, run
from network import Network
from server import SALVED_WITH_FAULTS

EXIT_DONE = 0
GROUP_CHECKS = {"GroupMaxInDay", "GroupMinimumMinutes", "GroupRecoveryInProgress",
                "GroupUnavailable"}


class OverspendTest(unittest.TestCase):
    def ask_until_decided(self, agent, limit, outcome, deadline):
        """Asks until the action ran or its day is full; notes what was answered."""
        while time.monotonic() < deadline:
            status, checks, answer = run(agent)
            if status == EXIT_DONE:
                outcome[agent.name] = "ran"
                return
            if status == EXIT_REFUSED:
                group = answer["Verdict"]["GroupThrottleResult"]
                if not set(checks) <= GROUP_CHECKS:
                    outcome[agent.name] = f"an odd refusal: {checks}"
                    return
                if "GroupMaxInDay" in checks:
                    # True at its revision: so many had been allowed by then.
                    full = f'TotalInOneDay="{limit}"' in group
                    outcome[agent.name] = "full" if full else f"a false refusal: {group}"
                    return
                if "GroupRecoveryInProgress" in checks and "IsRecoveryInProgress=\"true\"" not in group:
                    outcome[agent.name] = f"a false refusal: {group}"
                    return
            time.sleep(random.uniform(0.05, 0.5))
        outcome[agent.name] = "undecided"

    def test_of_fifty_that_ask_at_once_exactly_the_limit_are_allowed(self):
        limit = 7
        with Etcd() as etcd, Group(etcd, day=limit) as group:
            agents = [group.add(f"s{i}") for i in range(50)]
            for agent in agents:
                ready(agent)
            agents[0].wait_for(lambda: len(etcd.keys("/salve/groups/jobs/alive")) == 50,
                               timeout=60, what="fifty registrations")
            outcome = {}
            deadline = time.monotonic() + 120
            threads = [threading.Thread(target=self.ask_until_decided,
                                        args=(agent, limit, outcome, deadline))
                       for agent in agents]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            counts = {value: list(outcome.values()).count(value) for value in outcome.values()}
            self.assertEqual(counts, {"ran": limit, "full": 50 - limit})
            self.assertEqual(len(group.effects()), limit)
            # Nothing is left but the attempts that count.
            agents[0].wait_for(lambda: not etcd.keys("/salve/groups/jobs/running"),
                               what="the end of all")
            agents[0].wait_for(lambda: len(etcd.keys("/salve/groups/jobs/attempts")) == limit,
                               what="only the allowed ones to be left")

    def storm(self, agents, etcd, limit, group, seconds, faults):
        """Everyone asks again and again while `faults` happen; then all is well again."""
        stop = threading.Event()
        ran = []

        def ask(agent):
            while not stop.is_set():
                status, _, _ = run(agent)
                if status == EXIT_DONE:
                    ran.append(agent.name)
                stop.wait(random.uniform(0, 0.4))

        threads = [threading.Thread(target=ask, args=(agent,)) for agent in agents]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                time.sleep(random.uniform(0.1, 0.8))
                random.choice(faults)()
                self.assertLessEqual(len(group.effects()), limit)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        return ran

    def crash(self, agents):
        agent = random.choice(agents)
        agent.stop(signal.SIGKILL)
        agent.start(binary=SALVED_WITH_FAULTS, env=agent.environment)

    def outage(self, etcd):
        if random.random() < 0.5:
            etcd.kill()
            time.sleep(random.uniform(0, 3))
            etcd.start(wait=False)
        else:
            etcd.hang()
            time.sleep(random.uniform(0, 3))
            etcd.hang(False)

    def start(self, group, n, **options):
        """Agents whose wall clocks are wrong by up to an hour."""
        agents = []
        for i in range(n):
            agent = group.add(f"s{i}", start=False, **(options.get("each", lambda i: {})(i)))
            agent.environment = {"SALVE_WALL_OFFSET": str(random.randint(-3600, 3600))}
            agent.start(binary=SALVED_WITH_FAULTS, env=agent.environment)
            agents.append(agent)
        for agent in agents:
            ready(agent)
        return agents

    def finish(self, agents, etcd, limit, group):
        """When all is well again: whatever is left of the limit can be had, and no more."""
        outcome = {}
        deadline = time.monotonic() + 90
        for agent in agents:
            ready(agent)
        self.ask_until_full(agents, limit, outcome, deadline)
        self.assertLessEqual(len(group.effects()), limit)
        # Every effect is an attempt that counts.
        attempts = len(etcd.keys("/salve/groups/jobs/attempts"))
        self.assertGreaterEqual(attempts, limit)
        self.assertGreater(len(group.effects()), 0)

    def ask_until_full(self, agents, limit, outcome, deadline):
        while time.monotonic() < deadline:
            status, checks, _ = run(random.choice(agents))
            if status == EXIT_REFUSED and "GroupMaxInDay" in checks:
                return
            time.sleep(0.3)
        self.fail("the group's budget never was full")

    def test_neither_crashes_nor_outages_nor_wrong_clocks_overspend(self):
        limit = 6
        with Etcd() as etcd, Group(etcd, day=limit, timeout="5s", lasts="0.2") as group:
            agents = self.start(group, 10)
            self.storm(agents, etcd, limit, group, 30,
                       [lambda: self.crash(agents), lambda: self.crash(agents),
                        lambda: self.outage(etcd)])
            self.finish(agents, etcd, limit, group)

    @unittest.skipUnless(os.geteuid() == 0, "cutting a network needs root")
    def test_a_cut_network_does_not_overspend(self):
        limit = 5
        n = 6
        with Network(n + 1) as network:
            with Etcd(prefix=network.prefix(n), address=network.address(n),
                      ports=(2379, 2380)) as etcd, \
                    Group(etcd, day=limit, timeout="5s", lasts="0.2") as group:
                agents = self.start(group, n, each=lambda i: {"prefix": network.prefix(i)})

                def cut():
                    i = random.randrange(n)
                    network.cut(i)
                    time.sleep(random.uniform(0, 2.5))
                    network.cut(i, False)

                self.storm(agents, etcd, limit, group, 30, [cut])
                self.finish(agents, etcd, limit, group)


if __name__ == "__main__":
    unittest.main()
