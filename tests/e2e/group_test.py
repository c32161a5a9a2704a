"""Groups on a real etcd: real agents, each with a folder of its own."""

import glob
import json
import os
import shutil
import signal
import tempfile
import time
import unittest

from certificates import Authority
from etcd import Etcd, EtcdCluster
from plain import Agent

EXIT_REFUSED = 6

# The action leaves a file: what was done is counted by these, not by any history.
CONFIGURATION = """
health_set {{
  name: "Job"
  probe {{ name: "Up" interval: "1h" exec {{ command: "/bin/true" }} }}
  monitor {{ name: "Up" probe: "Up" consecutive_failures {{ threshold: 3 }} }}
  responder {{
    name: "RunJob" monitor: "Up" on: UNHEALTHY timeout: "{timeout}" settle: "0s"
    run_command {{
      command: "/bin/sh" command: "-c"
      command: "mktemp {effects}/$(date +%s.%N).{server}.XXXX >/dev/null; sleep {lasts}"
      resource: "job"
    }}
  }}
}}
"""

POLICY = """<ThrottleEntries>
  <RunCommand ResourceName="job">
    <ThrottleConfig Enabled="True" LocalMinimumMinutesBetweenAttempts="-1"
      LocalMaximumAllowedAttemptsInOneHour="-1" LocalMaximumAllowedAttemptsInADay="-1"
      GroupMinimumMinutesBetweenAttempts="{minutes}" GroupMaximumAllowedAttemptsInADay="{day}" />
  </RunCommand>
</ThrottleEntries>
"""


class Group:
    """Servers that share an etcd, and the folder where their actions leave their marks."""

    def __init__(self, etcd, minutes=-1, day=-1, timeout="20s", lasts="0"):
        self.etcd, self.minutes, self.day, self.timeout, self.lasts = (
            etcd, minutes, day, timeout, lasts)
        self.effects_dir = tempfile.mkdtemp(prefix="salve-effects-")
        self.agents = []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for agent in self.agents:
            agent.__exit__(*exception)
        shutil.rmtree(self.effects_dir, ignore_errors=True)

    def add(self, name, start=True, etcd_fields="", more="", **options):
        agent = Agent(
            CONFIGURATION.format(effects=self.effects_dir, server=name, timeout=self.timeout,
                                 lasts=self.lasts),
            POLICY.format(minutes=self.minutes, day=self.day),
            agent=f'server: "{name}" group: "jobs" boot_grace: "0s" coordinator {{ etcd {{ '
                  f'endpoint: "{self.etcd.url}" {etcd_fields} }} }} {more}',
            start=start, **options)
        agent.name = name
        self.agents.append(agent)
        return agent

    def effects(self):
        return sorted(os.path.basename(path) for path in glob.glob(self.effects_dir + "/*"))


def ready(agent):
    agent.wait_for(lambda: agent.ctl("version", check=False).returncode == 0, what="the socket")


def run(agent):
    """One `action run`: (exit status, checks that failed)."""
    result = agent.ctl("-o", "json", "action", "run", "Job/RunJob", check=False)
    answer = json.loads(result.stdout or "{}")
    message = answer.get("Verdict", {}).get("ExceptionMessage", "")
    checks = message.partition("FailedChecks=")[2].rstrip(")")
    return result.returncode, [check for check in checks.split(", ") if check], answer


# A file that is gone is put back, after all have said how they are.
WEB = """
health_set {{
  name: "Web"
  probe {{ name: "File" interval: "200ms" exec {{ command: "/bin/sh" command: "-c" command: "test -e {ok} || exit 2" }} }}
  monitor {{ name: "Gone" probe: "File" consecutive_failures {{ threshold: 2 }} transition {{ to: UNHEALTHY }} }}
  responder {{ name: "Touch" monitor: "Gone" on: UNHEALTHY after: "2s" settle: "1s"
    run_command {{ command: "/usr/bin/touch" command: "{ok}" resource: "file" }} }}
}}
"""


class GuardTest(unittest.TestCase):
    """What keeps the servers of a group from acting, whatever the throttle says."""

    def add(self, group, name, more=""):
        agent = group.add(name, start=False, more=more)
        agent.ok = agent.path("ok")
        agent.write("ok", "")
        agent.write("conf.d/test.textproto", WEB.format(ok=agent.ok))  # Nothing else: all must be well.
        agent.start()
        return agent

    def healed(self, agent):
        return os.path.exists(agent.ok)

    def reasons(self, agent):
        return [event["Reason"] for event in agent.events("--channel", "ResponderResult")]

    def test_the_health_floor_counts_the_groups_servers(self):
        with Etcd() as etcd, Group(etcd) as group:
            agents = [self.add(group, f"web{i}", "min_healthy_percent: 60") for i in (1, 2, 3)]
            for agent in agents:
                agent.wait_for(lambda: agent.health() == "HEALTHY", what="health")
            keys = [f"/salve/groups/jobs/healthy/web{i}" for i in (1, 2, 3)]
            agents[0].wait_for(lambda: set(keys) <= set(etcd.keys()), what="all said so")
            # Two of three are sick: each has but one healthy server beside it, and needs two.
            for agent in agents[:2]:
                os.remove(agent.ok)
            for agent in agents[:2]:
                agent.wait_for(lambda: any("health floor" in why for why in self.reasons(agent)),
                               what="the refusal")
                self.assertFalse(self.healed(agent))
            self.assertNotIn(keys[0], etcd.keys())
            # A person heals one: the other may act.
            with open(agents[1].ok, "w"):
                pass
            agents[0].wait_for(lambda: self.healed(agents[0]), timeout=60, what="the healing")

    def test_the_groups_switch_stops_all_and_survives_a_kill(self):
        with Etcd() as etcd, Group(etcd) as group:
            a, b = [self.add(group, name) for name in ("web1", "web2")]
            for agent in (a, b):
                agent.wait_for(lambda: agent.health() == "HEALTHY", what="health")
            a.ctl("actions", "pause", "--group", "--reason", "storm")
            b.wait_for(lambda: "storm" in b.ctl("actions", "status", check=False).stdout,
                       what="the other's word of it")
            b.stop(signal.SIGKILL)
            b.start()
            os.remove(b.ok)
            b.wait_for(lambda: any("held: " in why and "storm" in why for why in self.reasons(b)),
                       what="what holds it")
            self.assertFalse(self.healed(b))
            b.ctl("actions", "resume", "--group")
            a.wait_for(lambda: "storm" not in a.ctl("actions", "status", check=False).stdout,
                       what="the end")
            b.wait_for(lambda: self.healed(b), what="the healing")


class GroupTest(unittest.TestCase):
    def test_one_budget_for_all_and_everything_that_is_asked_about_it(self):
        with Etcd() as etcd, Group(etcd, day=1) as group:
            a, b = group.add("web1"), group.add("web2")
            ready(a)
            ready(b)
            self.assertEqual(run(a)[0], 0)
            status, checks, answer = run(b)
            self.assertEqual((status, checks), (EXIT_REFUSED, ["GroupMaxInDay"]))
            self.assertIn('Server="web1"', answer["Verdict"]["GroupThrottleResult"])
            self.assertTrue(answer["TimeToRetryAfter"])
            self.assertEqual(len(group.effects()), 1)
            # The events say the same.
            refused = [event for event in b.events("--channel", "RecoveryActionLogs")
                       if event["EventId"] == 2051][-1]
            self.assertIn("rejected during group throttling", refused["ExceptionMessage"])
            self.assertEqual(refused["TotalServersInGroup"], 2)
            self.assertEqual(refused["TotalServersInCompatibleVersion"], 2)
            # What people ask.
            check = b.json("throttle", "check", "RunCommand", "job")
            self.assertFalse(check.get("Passed", False))
            self.assertEqual(check["ChecksFailed"], ["GroupMaxInDay"])
            failed = check["Entry"]["FailedChecks"][0]
            self.assertEqual(failed["Attempts"][0]["Server"], "web1")
            self.assertRegex(failed["Attempts"][0]["Requester"], "^operator:s.sock:")
            state = b.json("throttle", "status", "RunCommand", "job", "--group")
            entry = state["Entries"][0] if isinstance(state, dict) else state[0]
            self.assertEqual(entry["GroupResult"]["TotalInOneDay"], 1)
            servers = b.json("group", "list")
            servers = servers["Servers"] if isinstance(servers, dict) else servers
            self.assertEqual([(s["Name"], s["Alive"]) for s in servers],
                             [("web1", True), ("web2", True)])
            self.assertEqual(b.ctl("group", "forget", "web1", check=False).returncode, 3)
            self.assertEqual(b.ctl("group", "forget", "wob1", check=False).returncode, 4)
            # And anybody can read it.
            keys = etcd.keys()
            self.assertIn("/salve/groups/jobs/alive/web1", keys)
            attempt = [key for key in keys if "/attempts/RunCommand/job/" in key]
            self.assertEqual(len(attempt), 1)
            value = json.loads(etcd.ctl("get", "--print-value-only", attempt[0]).stdout)
            self.assertEqual((value["server"], value["result"]), ("web1", "Succeeded"))
            self.assertEqual([key for key in keys if "/running/" in key], [])
            # Who stops says so.
            a.stop()
            servers = b.json("group", "list")
            servers = servers["Servers"] if isinstance(servers, dict) else servers
            self.assertEqual([(s["Name"], s.get("Alive", False)) for s in servers],
                             [("web1", False), ("web2", True)])

    def test_without_etcd_nothing_runs_and_it_is_found_again(self):
        with Etcd() as etcd, Group(etcd, day=1) as group:
            a = group.add("web1")
            ready(a)
            a.wait_for(lambda: etcd.keys("/salve/groups/jobs/alive"), what="the registration")
            etcd.kill()
            begun = time.monotonic()
            status, checks, _ = run(a)
            self.assertLess(time.monotonic() - begun, 3)
            self.assertEqual((status, checks), (EXIT_REFUSED, ["GroupUnavailable"]))
            etcd.start()
            self.assertEqual(run(a)[0], 0)
            etcd.hang()
            begun = time.monotonic()
            status, checks, _ = run(a)
            self.assertLess(time.monotonic() - begun, 3)
            self.assertEqual((status, checks), (EXIT_REFUSED, ["GroupUnavailable"]))
            etcd.hang(False)
            self.assertEqual(run(a)[:2], (EXIT_REFUSED, ["GroupMaxInDay"]))
            self.assertEqual(len(group.effects()), 1)

    def test_etcd_with_tls_answers_who_shows_a_certificate(self):
        with tempfile.TemporaryDirectory() as folder:
            ca = Authority(folder, "etcd")
            stranger = Authority(folder, "stranger")
            # etcd calls itself through its own gateway: its certificate is a client's too.
            cert, key = ca.issue("etcd", "IP:127.0.0.1,DNS:localhost")
            mine, my_key = ca.issue("web1", "DNS:web1")
            other, other_key = stranger.issue("web2", "DNS:web2")
            with Etcd(tls={"ca": ca.certificate, "cert": cert, "key": key}) as etcd, \
                    Group(etcd, day=1) as group:
                def fields(certificate, key_file):
                    return (f'ca_file: "{ca.certificate}" certificate_file: "{certificate}" '
                            f'key_file: "{key_file}"')

                a = group.add("web1", etcd_fields=fields(mine, my_key))
                b = group.add("web2", etcd_fields=fields(other, other_key))
                ready(a)
                ready(b)
                self.assertEqual(run(a)[0], 0)
                self.assertEqual(run(b)[:2], (EXIT_REFUSED, ["GroupUnavailable"]))
                # Its certificate is renewed: it is read again without a restart.
                for source, target in [(my_key, other_key), (mine, other)]:
                    shutil.copy(source, target)
                b.wait_for(lambda: run(b)[:2] == (EXIT_REFUSED, ["GroupMaxInDay"]), timeout=60,
                           what="the new certificate")

    def ask_until_decided(self, agent, timeout=60):
        """True: the action ran; False: its day is full. Until then etcd may be away, and what was
        asked of a member that died may be counted until it is taken back."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            status, checks, _ = run(agent)
            if status == 0:
                return True
            if checks == ["GroupMaxInDay"]:
                return False
            self.assertEqual(status, EXIT_REFUSED)
            self.assertLessEqual(set(checks), {"GroupUnavailable", "GroupRecoveryInProgress",
                                               "GroupMaxInDay"})
            time.sleep(0.2)
        raise AssertionError(f"undecided: {checks}\n{agent.log()}")

    def test_of_three_members_with_tls_any_one_may_die(self):
        with tempfile.TemporaryDirectory() as folder:
            ca = Authority(folder, "etcd")
            cert, key = ca.issue("etcd", "IP:127.0.0.1,DNS:localhost")
            mine, my_key = ca.issue("web", "DNS:web")
            with EtcdCluster(tls={"ca": ca.certificate, "cert": cert, "key": key}) as etcd:
                leader = etcd.leader()
                followers = [one for one in etcd.members if one is not leader]
                # The first endpoint is the one in use.
                with Group(followers[0], day=3) as group:
                    fields = (f'endpoint: "{followers[1].url}" endpoint: "{leader.url}" '
                              f'ca_file: "{ca.certificate}" certificate_file: "{mine}" '
                              f'key_file: "{my_key}"')
                    a, b = (group.add(name, etcd_fields=fields) for name in ("web1", "web2"))
                    ready(a)
                    ready(b)
                    self.assertTrue(self.ask_until_decided(a))
                    followers[0].kill()
                    begun = time.monotonic()
                    self.assertEqual(run(b)[0], 0)  # The very next question finds another one.
                    self.assertLess(time.monotonic() - begun, 3)
                    followers[0].start()
                    etcd.leader().kill()
                    self.assertTrue(self.ask_until_decided(a))
                    # And what was counted by one member is known to all.
                    self.assertFalse(self.ask_until_decided(b))
                    self.assertFalse(self.ask_until_decided(a))
                    self.assertEqual(len(group.effects()), 3)

    def test_a_clone_of_another_machine_may_not_use_the_name(self):
        with Etcd() as etcd, Group(etcd, day=5) as group:
            a = group.add("web1")
            ready(a)
            a.wait_for(lambda: etcd.keys("/salve/groups/jobs/alive"), what="the registration")
            etcd.ctl("put", "/salve/groups/jobs/alive/web2", '{"machineId":"another"}')
            clone = group.add("web2")
            ready(clone)
            self.assertEqual(run(clone)[:2], (EXIT_REFUSED, ["GroupUnavailable"]))
            self.assertIn("is used by another machine", clone.log())
            self.assertIn("is used by another machine", json.dumps(clone.info()))
            etcd.ctl("del", "/salve/groups/jobs/alive/web2")
            clone.wait_for(lambda: run(clone)[0] == 0, timeout=30, what="an action")

    def test_a_group_needs_a_coordinator_and_a_coordinator_a_group(self):
        with Agent("", agent='group: "web"', start=False) as agent:
            self.assertEqual(agent.refused()[0], 2)
        with Agent("", agent='coordinator { etcd { endpoint: "localhost:2379" } }',
                   start=False) as agent:
            status, log = agent.refused()
            self.assertEqual(status, 2)
            self.assertIn("needs a group", log)
            self.assertIn("salve.textproto:1:22: coordinator.etcd.endpoint[0]: 'localhost:2379' "
                          "is no endpoint", log)

    def test_global_overrides_reach_every_server_and_hold_while_etcd_is_away(self):
        with Etcd() as etcd, Group(etcd, day=0) as group:
            a, b = group.add("web1"), group.add("web2")
            ready(a)
            ready(b)
            self.assertEqual(run(b)[:2], (EXIT_REFUSED, ["GroupMaxInDay"]))
            a.ctl("override", "add", "--global", "--item-type", "Responder",
                  "--identity", "Job\\RunJob", "--property-name",
                  "ThrottleAttributes.GroupMaximumAllowedAttemptsInADay", "--property-value", "-1",
                  "--duration", "00.01:00:00", "--reason", "the group has no limit for an hour")
            b.wait_for(lambda: "global override" in b.ctl("responder", "show", "RunJob").stdout,
                       timeout=1, what="the override on the other server")
            self.assertEqual(run(b)[0], 0)
            etcd.kill()
            b.stop()
            b.start()
            ready(b)
            # No group limit is left: it needs nobody.
            self.assertEqual(run(b)[0], 0)
            etcd.start()
            b.wait_for(lambda: b.ctl(
                "override", "remove", "--global", "--item-type", "Responder",
                "--identity", "Job/RunJob", "--property-name",
                "ThrottleAttributes.GroupMaximumAllowedAttemptsInADay",
                check=False).returncode == 0, timeout=30, what="etcd's return")
            a.wait_for(lambda: run(a)[:2] == (EXIT_REFUSED, ["GroupMaxInDay"]),
                       what="the end of the override")


if __name__ == "__main__":
    unittest.main()
