"""Six servers with nginx, and a seventh with etcd and what they all depend on, on one network.

A fault that hits all at once must not become a storm; cut off from the group nothing is done.
"""

import re
import time
import unittest

from server import Bridge, FleetServer, why_not
from machine import MachineError

WEB = 6
CORE = f"10.77.0.{WEB + 1}"

# nginx hands everything on: when the core's web server is dead, no restart here can help.
PROXY = f"""
events {{}}
http {{ server {{ listen 80; location / {{ proxy_pass http://{CORE}:80; }} location /own {{ return 200; }} }} }}
"""

CORE_SET = f"""
health_set {{
  name: "Core"
  probe   {{ name: "Port" interval: "1s" timeout: "500ms" tcp {{ host: "{CORE}" port: 80 }} }}
  monitor {{ name: "Closed" probe: "Port" consecutive_failures {{ threshold: 3 }} transition {{ to: UNHEALTHY }} }}
}}
"""

# The web set sees the fault before the set it depends on has decided.
WEB_SET = """
health_set {
  name: "Web"
  %(depends)s
  probe   { name: "Page" interval: "500ms" timeout: "400ms" http { url: "http://127.0.0.1%(path)s" } }
  monitor { name: "Down" probe: "Page" consecutive_failures { threshold: 2 }
            transition { to: UNHEALTHY } %(last)s }
  responder { name: "Restart" monitor: "Down" on: UNHEALTHY settle: "1s" retry_after: "1s"
              restart_service { service: "nginx" } }
  %(reboot)s
}
"""
LAST = 'transition { to: UNRECOVERABLE after: "3s" }'
REBOOT = 'responder { name: "Reboot" monitor: "Down" on: UNRECOVERABLE reboot_server {} }'

POLICY = """<ThrottleEntries>
  <RestartService ResourceName="*"><ThrottleConfig Enabled="True" LocalMinimumMinutesBetweenAttempts="-1"
    LocalMaximumAllowedAttemptsInOneHour="-1" LocalMaximumAllowedAttemptsInADay="-1"
    GroupMinimumMinutesBetweenAttempts="-1" GroupMaximumAllowedAttemptsInADay="{restarts}" /></RestartService>
  <RebootServer ResourceName="*"><ThrottleConfig Enabled="True" LocalMinimumMinutesBetweenAttempts="-1"
    LocalMaximumAllowedAttemptsInOneHour="-1" LocalMaximumAllowedAttemptsInADay="-1"
    GroupMinimumMinutesBetweenAttempts="-1" GroupMaximumAllowedAttemptsInADay="{reboots}" /></RebootServer>
</ThrottleEntries>"""


class Fleet:
    """The servers, booted, healthy and known to each other. Use as a context manager."""

    def __init__(self, depends=True, path="/", reboot=True, restarts=-1, reboots=2):
        self.bridge = Bridge(WEB + 1, enable=["nginx.service"])
        try:
            web = WEB_SET % {"depends": 'depends_on: "Core"' if depends else "", "path": path,
                             "last": LAST if reboot else "", "reboot": REBOOT if reboot else ""}
            self.servers = []
            for i, machine in enumerate(self.bridge.machines[:WEB]):
                agent = (f'server: "web-{i + 1}" group: "web" boot_grace: "0s" coordinator {{ '
                         f'etcd {{ endpoint: "http://{CORE}:2379" }} }}')
                machine.install(PROXY.encode(), "/etc/nginx/nginx.conf")
                self.servers.append(FleetServer(
                    machine, CORE_SET + web, POLICY.format(restarts=restarts, reboots=reboots),
                    agent))
            self.bridge.boot()
            self.core = self.bridge.machines[WEB]
            self.etcd = self.core.popen(
                ["etcd", "--data-dir=/var/tmp/etcd", f"--listen-client-urls=http://{CORE}:2379",
                 f"--advertise-client-urls=http://{CORE}:2379", "--logger=zap",
                 "--log-level=error"])
            for server in self.servers:
                server.run("systemctl", "enable", "--now", "salved")
            for server in self.servers:
                server.wait_for(lambda: server.health() == "HEALTHY", what="health at start")
            self.servers[0].wait_for(
                lambda: len(self.servers[0].json_rows("group", "list")) == WEB,
                what="the registrations")
        except BaseException:
            self.bridge.destroy()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if exception[0] is not None:
            for server in self.servers:
                print(server.machine.logs(30))
        self.bridge.destroy()
        self.etcd.wait(timeout=10)

    def break_core(self):
        """The fault that hits all at once."""
        self.core.run(["systemctl", "kill", "--kill-who=all", "-s", "KILL", "nginx"])

    def boots(self):
        return [server.machine.boots for server in self.servers]


def refusals(server, check):
    """Verdicts that refused because of `check`; none while the server reboots and can't be asked."""
    try:
        logs = server.events("--channel", "RecoveryActionLogs", "--event-id", "2051")
    except MachineError:
        return []
    return [event for event in logs if check in re.split(r"[=, )]+", event["ExceptionMessage"])]


@unittest.skipIf(why_not(), why_not())
class FleetTest(unittest.TestCase):
    def test_with_the_dependency_declared_nobody_acts(self):
        with Fleet(depends=True) as fleet:
            fleet.break_core()
            for server in fleet.servers:
                server.wait_for(lambda: server.health_of("Core") == "UNHEALTHY", what="Core's end")
                server.wait_for(lambda: server.health_of("Web") in ("UNHEALTHY", "UNRECOVERABLE"),
                                what="Web's alert")
            # Longer than the timeline to a reboot, seen by the servers' own looks.
            looks = [len(s.events("--channel", "ProbeResult", "--name", "Page"))
                     for s in fleet.servers]
            for server, before in zip(fleet.servers, looks):
                server.wait_for(lambda: len(server.events("--channel", "ProbeResult", "--name",
                                                          "Page")) >= min(before + 14, 1000),
                                what="seven seconds of looks")
            for server in fleet.servers:
                self.assertEqual(server.event_ids("RecoveryActionLogs"), [])
                self.assertIn("Core", server.ctl("explain", "Web/Down").stdout)
            self.assertEqual(set(fleet.boots()), {1})
            # It comes back, and so do they, without a hand on them.
            fleet.core.run(["systemctl", "start", "nginx"])
            for server in fleet.servers:
                server.wait_for(lambda: server.health() == "HEALTHY", what="health")
                self.assertEqual(server.event_ids("RecoveryActionLogs"), [])

    def test_without_it_the_limits_of_the_group_hold_exactly(self):
        with Fleet(depends=False, reboots=2) as fleet:
            fleet.break_core()
            for server in fleet.servers:
                server.wait_for(lambda: server.machine.boots == 2 or
                                refusals(server, "GroupMaxInDay"), timeout=90,
                                what="a reboot or its refusal")
            self.assertEqual(sorted(fleet.boots()), [1, 1, 1, 1, 2, 2])
            for server in fleet.servers:
                if server.machine.boots == 1:
                    continue
                # It remembers what it did, and that the group has no more of them.
                server.machine.wait_up()
                server.wait_for(lambda: server.health() is not None, what="the agent")
                done = [event for event in server.events("--channel", "RecoveryActionResults")
                        if event["Id"] == "RebootServer"]
                self.assertEqual([event["EventId"] for event in done], [500, 501])
                server.wait_for(lambda: refusals(server, "GroupMaxInDay"), timeout=60,
                                what="the second one's refusal")
            self.assertEqual(sorted(fleet.boots()), [1, 1, 1, 1, 2, 2])

    def test_cut_off_from_the_group_nothing_is_done_and_then_it_is_healed(self):
        with Fleet(depends=False, path="/own", reboot=False, restarts=100) as fleet:
            # All at once, and all with the group: from the fault to the last heal.
            begun = time.monotonic()
            for server in fleet.servers:
                server.kill("nginx")
            for server in fleet.servers:
                server.wait_for(lambda: 501 in server.event_ids("RecoveryActionResults") and
                                server.health() == "HEALTHY", what="a heal")
            print(f"six servers, from the fault to the last heal: {time.monotonic() - begun:.1f} s")
            cut_off = fleet.servers[4:]
            for server in cut_off:
                server.run("ip", "link", "set", "eth0", "down")
                server.kill("nginx")
            for server in cut_off:
                server.wait_for(lambda: refusals(server, "GroupUnavailable"), what="a refusal")
                self.assertFalse(server.is_active("nginx"))
                self.assertEqual(server.event_ids("RecoveryActionResults").count(500), 1)
            for server in cut_off:
                server.run("ip", "link", "set", "eth0", "up")
            for server in cut_off:
                server.wait_for(lambda: server.is_active("nginx") and
                                server.health() == "HEALTHY", timeout=90, what="a heal")
                self.assertEqual(server.event_ids("RecoveryActionResults").count(500), 2)


if __name__ == "__main__":
    unittest.main()
