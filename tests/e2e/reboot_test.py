"""The chain up to a real reboot, and what must never lead to one."""

import json
import re
import unittest

from server import Server, parse_time, policy, why_not

# Three rungs within seconds, and then people. Its limits are the built-in ones.
CHAIN = """
health_set {
  name: "Web"
  probe   { name: "Ping" interval: "500ms" timeout: "400ms" http { url: "http://127.0.0.1/" } }
  monitor { name: "Down" probe: "Ping" consecutive_failures { threshold: 2 }
            transition { to: UNHEALTHY } transition { to: UNRECOVERABLE after: "3s" } }
  responder { name: "Restart" monitor: "Down" on: UNHEALTHY settle: "1s"
              restart_service { service: "nginx" } }
  responder { name: "Pool" monitor: "Down" on: UNHEALTHY after: "1s" settle: "1s"
              reset_pool { service: "nginx" nginx {} } }
  responder { name: "Reboot" monitor: "Down" on: UNRECOVERABLE settle: "1s" reboot_server {} }
  responder { name: "Call" monitor: "Down" on: UNRECOVERABLE after: "3s" escalate {} }
}
"""

# nginx runs, its pool too, and every page fails: nothing on this server heals that.
FAILS = b"events {}\nhttp { server { listen 80; location / { return 503; } } }\n"

# A real SMTP server and a real HTTP listener on loopback; what they get is kept on the disk.
SINK = b'''
import http.server
from aiosmtpd.controller import Controller

class Mail:
    async def handle_DATA(self, server, session, envelope):
        with open("/var/mails", "ab") as file:
            file.write(envelope.content + b"\\n")
        return "250 taken"

class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open("/var/posts", "ab") as file:
            file.write(self.rfile.read(int(self.headers["Content-Length"])) + b"\\n")
        self.send_response(200)
        self.end_headers()

Controller(Mail(), hostname="127.0.0.1", port=2525).start()
http.server.HTTPServer(("127.0.0.1", 8025), Hook).serve_forever()
'''
SINK_UNIT = b"""[Service]
ExecStart=/usr/bin/python3 /srv/sink.py
[Install]
WantedBy=multi-user.target
"""

# As short as it goes: the reboot is due a second after the restart.
SHORT = """
health_set {
  name: "Web"
  probe   { name: "Ping" interval: "500ms" timeout: "400ms" http { url: "http://127.0.0.1/" } }
  probe   { name: "Unit" interval: "2s" systemd_unit { unit: "nginx" } }
  monitor { name: "Down" probe: ["Ping", "Unit"] consecutive_failures { threshold: 1 }
            transition { to: UNHEALTHY } transition { to: UNRECOVERABLE after: "1s" } }
  responder { name: "Restart" monitor: "Down" on: UNHEALTHY settle: "2s"
              restart_service { service: "nginx" } }
  responder { name: "Reboot" monitor: "Down" on: UNRECOVERABLE settle: "1s" reboot_server {} }
}
"""

BY_HAND = """
health_set {
  name: "Web"
  probe   { name: "Unit" interval: "1s" systemd_unit { unit: "nginx" } }
  monitor { name: "Down" probe: "Unit" consecutive_failures { threshold: 1 } }
  responder { name: "Reboot" monitor: "Down" on: UNHEALTHY after: "1h" reboot_server {} }
  responder { name: "Force" monitor: "Down" on: UNHEALTHY after: "1h" reboot_server { force: true } }
}
"""

# A file that is gone is put back.
FILES = "".join("""
health_set {
  name: "%(name)s"
  probe   { name: "%(name)sFile" interval: "200ms" exec {
    command: "/bin/sh" command: "-c" command: "test -e /var/%(name)s || exit 2" } }
  monitor { name: "Gone" probe: "%(name)sFile" consecutive_failures { threshold: 2 } transition { to: UNHEALTHY } }
  responder { name: "%(name)sTouch" monitor: "Gone" on: UNHEALTHY settle: "1s"
              run_command { command: "/usr/bin/touch" command: "/var/%(name)s" resource: "%(name)s" } }
}
""" % {"name": name} for name in ("Disk", "Page"))

AGENT = 'boot_grace: "3s"'
PEOPLE = AGENT + """
destination { name: "mail" smtp { url: "smtp://127.0.0.1:2525" from: "salve@e2e" to: "ops@example.com" } }
destination { name: "hook" webhook { url: "http://127.0.0.1:8025/" } }
"""


def actions(server, channel, *event_ids):
    """(event id, action) of the events of a channel, oldest first."""
    key = {"RecoveryActionLogs": "ActionId", "RecoveryActionResults": "Id"}[channel]
    return [(event["EventId"], event[key]) for event in server.events("--channel", channel)
            if not event_ids or event["EventId"] in event_ids]


@unittest.skipIf(why_not(), why_not())
class RebootTest(unittest.TestCase):
    def server(self, configuration, throttle=None, agent=AGENT, files=()):
        server = Server(configuration, throttle, agent=agent, files=files)
        server.run("systemctl", "enable", "salved")
        return server

    def test_a_service_that_stays_broken_goes_up_to_the_reboot_and_one_incident_tells_it_all(self):
        files = ((SINK, "/srv/sink.py"), (SINK_UNIT, "/etc/systemd/system/sink.service"))
        with self.server(CHAIN, agent=PEOPLE, files=files) as server:
            server.run("systemctl", "enable", "--now", "sink")
            machine = server.machine
            server.wait_for(lambda: server.health() == "HEALTHY", what="health at start")
            first_boot = machine.boot_id
            machine.install(FAILS, "/etc/nginx/nginx.conf")
            server.run("systemctl", "reload", "nginx")
            machine.wait_reboot(timeout=90)
            self.assertNotEqual(machine.boot_id, first_boot)

            server.wait_for(lambda: (2051, "RebootServer") in actions(server, "RecoveryActionLogs"),
                            timeout=60, what="the refusal of a second reboot")
            self.assertEqual(actions(server, "RecoveryActionLogs", 2050),
                             [(2050, "RestartService"), (2050, "ResetPool"), (2050, "RebootServer")])
            self.assertEqual(actions(server, "RecoveryActionResults"),
                             [(500, "RestartService"), (501, "RestartService"),
                              (500, "ResetPool"), (501, "ResetPool"),
                              (500, "RebootServer"), (501, "RebootServer")],
                             server.events("--channel", "RecoveryActionResults")[-1])
            ended = server.events("--channel", "RecoveryActionResults")[-1]
            self.assertEqual(ended["Context"], "the server has booted")
            refusal = [event for event in server.events("--channel", "RecoveryActionLogs")
                       if event["ActionId"] == "RebootServer"][-1]
            self.assertIn("LocalMinimumMinutes", refusal["ExceptionMessage"])
            retry = re.search(r'TimeToRetryAfter="([^"]+)"', refusal["LocalThrottleResult"])[1]
            # The day's limit of one holds longer than the twelve hours, by the same end.
            self.assertIn('ChecksFailed="LocalMinimumMinutes, LocalMaxInDay"',
                          refusal["LocalThrottleResult"])
            self.assertAlmostEqual(parse_time(retry) - parse_time(ended["EndTime"]), 24 * 3600,
                                   delta=2)

            # One incident, from the first failing look to the refusal after the boot.
            incidents = {event["IncidentId"] for channel in
                         ("RecoveryActionLogs", "RecoveryActionResults")
                         for event in server.events("--channel", channel)}
            self.assertEqual(len(incidents), 1, incidents)
            incident = incidents.pop()
            # People are told of it, once, after all else.
            server.wait_for(lambda: len([event for event in server.events("--channel", "Monitoring")
                                         if event["EventId"] == 5]) >= 2, what="both deliveries")
            mail = server.run("cat", "/var/mails").stdout
            post = json.loads(server.run("cat", "/var/posts").stdout)  # Fails if there are two.
            self.assertEqual(mail.count("Subject:"), 1, mail)
            self.assertIn("Subject: [e2e] Web/Down is UNRECOVERABLE", mail)
            self.assertIn("503", mail)
            self.assertIn(incident, mail)
            self.assertEqual(post["incident"], incident)
            story = server.ctl("explain", incident).stdout
            print(story)
            for word in ("RestartService", "ResetPool", "RebootServer", "refused",
                         "Web/Down is UNRECOVERABLE"):
                self.assertIn(word, story)
            # By hand it is refused, too.
            self.assertEqual(server.ctl("action", "run", "Web/Reboot", check=False).returncode, 6)
            self.assertEqual(
                server.ctl("action", "run", "Web/Reboot", "--dry-run", check=False).returncode, 6)
            self.assertEqual(machine.boots, 2)

    def test_a_service_that_the_first_rung_healed_never_sees_the_second(self):
        with self.server(SHORT, policy()) as server:
            server.wait_for(lambda: server.health() == "HEALTHY", what="health at start")
            for _ in range(2):
                healed = server.event_ids("Monitoring").count(1)
                server.kill("nginx")
                server.wait_for(lambda: server.event_ids("Monitoring").count(1) > healed,
                                what="healthy again")
            self.await_looks(server, "Ping", 6)
            self.assertNotIn("RebootServer", {action for _, action in
                                              actions(server, "RecoveryActionLogs")})
            self.assertEqual(server.machine.boots, 1)

    def test_what_a_person_stops_and_a_reboot_by_hand_are_not_fought(self):
        with self.server(SHORT, policy()) as server:
            server.wait_for(lambda: server.health() == "HEALTHY", what="health at start")
            server.run("systemctl", "stop", "nginx")
            server.wait_for(lambda: "UNRECOVERABLE" in {event["To"] for event in server.events(
                "--channel", "MonitorResult")}, what="the last state")
            server.wait_for(lambda: any(event["Name"] == "Reboot" and "stopped on purpose" in
                                        event["Reason"] for event in
                                        server.events("--channel", "ResponderResult")),
                            what="the reason of the last rung")
            self.assertEqual(server.event_ids("RecoveryActionLogs"), [])
            server.run("systemctl", "start", "nginx")
            server.wait_for(lambda: server.health() == "HEALTHY", what="health again")

            server.run("systemd-run", "systemctl", "reboot")
            server.machine.wait_reboot(timeout=90)
            server.wait_for(lambda: server.health() == "HEALTHY", timeout=60, what="health")
            self.assertEqual(server.event_ids("RecoveryActionLogs"), [])
            self.assertEqual(server.machine.boots, 2)

    def await_looks(self, server, probe, count):
        """So many more of them."""
        looks = lambda: len(server.events("--channel", "ProbeResult", "--name", probe))
        before = looks()
        server.wait_for(lambda: looks() >= before + count, what="more looks")

    def expect_nothing_is_done(self, server):
        """Through a good many looks, from now on."""
        self.await_looks(server, "DiskFile", 25)
        self.assertEqual(len(server.events("--channel", "RecoveryActionLogs")), self.done)

    def is_there(self, server, name):
        return server.run("test", "-e", f"/var/{name}", check=False).returncode == 0

    def reboot(self, server):
        server.run("systemd-run", "systemctl", "reboot")
        server.machine.wait_reboot(timeout=90)
        server.wait_for(lambda: server.health() is not None, timeout=60, what="the agent")

    def test_maintenance_repairing_and_pause_survive_a_reboot(self):
        policy_of_none = policy(minutes=-1, action="RunCommand")
        with self.server(FILES, policy_of_none) as server:
            for name in ("Disk", "Page"):
                server.run("touch", f"/var/{name}")
            server.wait_for(lambda: server.health() == "HEALTHY", what="health at start")
            self.done = len(server.events("--channel", "RecoveryActionLogs"))
            server.ctl("maintenance", "start", "--for", "2h", "--reason", "new disks", "--set", "Disk")
            server.ctl("monitor", "repairing", "Page/Gone", "--for", "2h", "--reason", "new page")
            server.run("rm", "/var/Disk", "/var/Page")
            self.expect_nothing_is_done(server)
            self.reboot(server)
            self.expect_nothing_is_done(server)
            held = server.ctl("health", check=False).stdout
            self.assertIn("new disks", held)
            self.assertIn("new page", held)

            server.ctl("maintenance", "end", "--set", "Disk")
            server.ctl("monitor", "clear", "Page/Gone")
            for name in ("Disk", "Page"):
                server.wait_for(lambda: self.is_there(server, name), what=f"the healing of {name}")
            server.wait_for(lambda: server.health() == "HEALTHY", what="health")

            server.ctl("actions", "pause", "--reason", "storm in cell 7")
            self.done = len(server.events("--channel", "RecoveryActionLogs"))
            server.run("rm", "/var/Disk")
            self.reboot(server)
            self.expect_nothing_is_done(server)
            self.assertIn("storm in cell 7", server.ctl("actions", "status", check=False).stdout)
            server.ctl("actions", "resume")
            server.wait_for(lambda: self.is_there(server, "Disk"), what="the healing after it")
            self.assertEqual(server.machine.boots, 3)

    def test_what_inhibits_a_shutdown_is_named_and_only_force_goes_on(self):
        with self.server(BY_HAND, policy(action="RebootServer")) as server:
            server.wait_for(lambda: server.health() == "HEALTHY", what="health at start")
            machine = server.machine
            # As units of the machine: a command from outside would hold the shutdown up itself.
            server.run("systemd-run", "systemd-inhibit", "--what=shutdown", "--mode=block",
                       "--who=upgrade", "--why=half done", "sleep", "300")
            server.wait_for(lambda: "half done" in server.run("systemd-inhibit", "--list").stdout,
                            what="the inhibitor")
            dry = server.ctl("action", "run", "Web/Reboot", "--dry-run", check=False)
            self.assertEqual(dry.returncode, 0, dry.stderr)
            self.assertIn("would run now", dry.stdout)
            self.assertIn("unless something inhibits a shutdown", dry.stdout)
            refused = server.ctl("action", "run", "Web/Reboot", check=False)
            self.assertEqual(refused.returncode, 1, refused.stdout + refused.stderr)
            self.assertRegex(refused.stdout, r"a reboot is inhibited by upgrade \(half done, pid \d+\)")
            self.assertEqual(actions(server, "RecoveryActionResults"),
                             [(500, "RebootServer"), (502, "RebootServer")])
            self.assertEqual(machine.boots, 1)

            # Nobody may be left to hear the answer.
            server.run("systemd-run", "salvectl", "action", "run", "Web/Force")
            machine.wait_reboot(timeout=90)
            server.wait_for(lambda: (501, "RebootServer") in
                            actions(server, "RecoveryActionResults"), timeout=60,
                            what="the end of the reboot")
            self.assertEqual(machine.boots, 2)


if __name__ == "__main__":
    unittest.main()
