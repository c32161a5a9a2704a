"""salvectl --server: mutual TLS, roles, who did it, renewal, and what is said when it fails."""

import os
import socket
import subprocess
import tempfile
import time
import unittest

from certificates import Authority, free_port, remote
from plain import Agent
from server import SALVECTL, policy

CONFIGURATION = """
health_set {
  name: "Files"
  probe { name: "File" interval: "200ms" timeout: "200ms" exec { command: "/bin/true" } }
  probe { name: "Told" notification {} }
  monitor { name: "Gone" probe: "File" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  responder { name: "Touch" monitor: "Gone" on: UNHEALTHY settle: "0s" run_command { command: "/usr/bin/touch" command: "touched" } }
}
"""


class RemoteTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.servers = Authority(self.folder, "servers")
        self.clients = Authority(self.folder, "clients")
        self.servers.issue("web", "DNS:localhost,IP:127.0.0.1")
        self.viewer = self.clients.issue("mon", "DNS:a.view.example.org")
        self.operator = self.clients.issue("olga", "email:olga@ops.example.org")
        self.admin = self.clients.issue("ada", "email:ada@example.org")
        self.port = free_port()
        self.agent = None

    def start(self, settings=None):
        settings = settings or remote(self.port, self.folder, "web", self.clients.certificate)
        self.agent = Agent(CONFIGURATION, policy(minutes=60, action="RunCommand"), settings)
        self.addCleanup(self.agent.__exit__, None, None, None)
        self.agent.wait_for(self.agent.health, what="the agent")

    def ctl(self, who, *argv, ca=None):
        """As this client, (certificate, key): (exit status, standard output, standard error)."""
        done = subprocess.run(
            [SALVECTL, "--server", f"localhost:{self.port}", "--ca", ca or self.servers.certificate,
             "--cert", who[0], "--key", who[1], *argv],
            text=True, capture_output=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def await_service(self, who=None, **kwargs):
        self.agent.wait_for(lambda: self.ctl(who or self.viewer, "version", **kwargs)[0] == 0,
                            what="remote access")

    def agent_events(self, event_id):
        return [event for event in self.agent.events("--channel", "Agent")
                if event["EventId"] == event_id]

    def test_each_role_may_do_its_part_and_is_recorded(self):
        self.start()
        self.await_service()

        for who in self.viewer, self.operator, self.admin:
            self.assertEqual(self.ctl(who, "throttle", "status")[0], 0)
            self.assertEqual(self.ctl(who, "config", "show")[0], 0)
        for verb in (["action", "run", "Files/Touch"], ["probe", "run", "Files/File"],
                     ["notify", "Files/Told", "--pass"], ["config", "reload"]):
            code, _, err = self.ctl(self.viewer, *verb)
            self.assertEqual((code, "needs the role" in err), (5, True), err)
        code, _, err = self.ctl(self.operator, "config", "reload")
        self.assertEqual(code, 5)
        self.assertIn("this needs the role admin; CN=olga is operator", err)
        self.assertFalse(os.path.exists(self.agent.path("touched")))
        self.assertEqual(self.agent.events("--channel", "RecoveryActionLogs"), [])

        self.assertEqual(self.ctl(self.operator, "probe", "run", "Files/File")[0], 0)
        self.assertEqual(self.ctl(self.operator, "notify", "Files/Told", "--pass")[0], 0)
        self.assertEqual(self.ctl(self.operator, "action", "run", "Files/Touch")[0], 0)
        self.assertTrue(os.path.exists(self.agent.path("touched")))
        self.assertEqual(self.ctl(self.operator, "action", "run", "Files/Touch")[0], 6)
        self.assertEqual(self.ctl(self.admin, "config", "reload")[0], 0)

        attempts = self.agent.json("action", "list")["Attempts"]
        self.assertEqual([attempt["Requester"] for attempt in attempts],
                         ["operator:remote:CN=olga"])
        self.assertIn("remote:CN=olga", [event["Who"] for event in self.agent_events(10)])
        reports = [(event["Message"], event["Who"]) for event in self.agent_events(10)
                   if event["Message"].startswith("reported of")]
        self.assertEqual(reports, [("reported of the probe Files/Told: passed", "remote:CN=olga")])
        self.assertIn("remote:CN=ada", [event["Who"] for event in self.agent_events(3)])

    def test_the_socket_and_the_user_are_recorded(self):
        self.start()
        self.agent.ctl("config", "reload")

        self.assertRegex(self.agent_events(3)[-1]["Who"], r"^s\.sock:.+")

    def test_a_renewed_certificate_is_shown_without_a_restart(self):
        self.start()
        self.await_service()
        renewed = Authority(self.folder, "renewed")
        renewed.issue("web", "DNS:localhost")

        self.await_service(ca=renewed.certificate)
        self.assertIn("its certificate is not of the authority",
                      self.ctl(self.viewer, "version")[2])
        self.assertIn("the certificates were renewed",
                      self.agent_events(3)[-1]["Message"])

    def test_a_broken_new_certificate_keeps_the_old_and_is_said(self):
        self.start()
        self.await_service()
        with open(os.path.join(self.folder, "web.crt"), "w") as file:
            file.write("half a file")

        self.agent.wait_for(lambda: self.agent_events(8), what="the event")
        self.assertRegex(self.agent_events(8)[0]["Message"],
                         r"web\.crt: holds no PEM certificate; the old certificates go on")
        self.assertEqual(self.ctl(self.viewer, "version")[0], 0)
        self.assertIn("remote access: ", "".join(self.agent.info()["Warnings"]))
        self.servers.issue("web", "DNS:localhost")
        self.agent.wait_for(lambda: not self.agent.info()["Warnings"], what="mending")
        self.assertEqual(len(self.agent_events(8)), 1)

    def test_without_certificates_the_agent_works_and_serves_when_they_come(self):
        self.start(remote(self.port, self.folder, "late", self.clients.certificate))
        self.agent.wait_for(lambda: self.agent_events(8), what="the event")
        self.assertIn("nobody is served until it works", self.agent_events(8)[0]["Message"])
        self.assertIn("nobody listens there", self.ctl(self.viewer, "version")[2])
        self.assertEqual(self.ctl(self.viewer, "version")[0], 7)

        self.servers.issue("late", "DNS:localhost")
        self.await_service()

    def test_a_port_that_is_taken_is_waited_for(self):
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", self.port))
            other.listen()
            self.start()
            self.agent.wait_for(lambda: self.agent_events(8), what="the event")
            self.assertIn("Address already in use", self.agent_events(8)[0]["Message"])
        self.await_service()

    def test_a_reload_changes_roles_and_turns_it_off(self):
        self.start()
        self.await_service(self.operator)
        settings = remote(self.port, self.folder, "web", self.clients.certificate)
        self.agent.write("salve.textproto", settings.replace("OPERATOR", "ADMIN"))
        self.agent.ctl("config", "reload")
        self.assertEqual(self.ctl(self.operator, "config", "reload")[0], 0)

        # A stream that runs loses its role too.
        with subprocess.Popen(
                [SALVECTL, "--server", f"localhost:{self.port}", "--ca", self.servers.certificate,
                 "--cert", self.viewer[0], "--key", self.viewer[1], "throttle", "watch"],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as watcher:
            time.sleep(0.5)
            self.agent.write("salve.textproto", settings.replace("view.example", "none.example"))
            self.agent.ctl("config", "reload")
            self.assertEqual(watcher.wait(10), 5)
            self.assertIn("no role here", watcher.stderr.read())

        self.agent.write("salve.textproto", 'boot_grace: "0s"')
        self.agent.ctl("config", "reload")
        self.agent.wait_for(
            lambda: "nobody listens there" in self.ctl(self.operator, "version")[2],
            what="the end of remote access")

        self.agent.write("salve.textproto", settings)
        self.agent.ctl("config", "reload")
        self.await_service(self.operator)

    def test_foreign_certificates_and_stolen_names_get_no_answer(self):
        self.start()
        self.await_service()
        foreign = Authority(self.folder, "foreign").issue("ada", "email:ada@example.org", file="x")
        code, _, err = self.ctl(foreign, "version")
        self.assertEqual(code, 7)
        self.assertIn("it closes the connection", err)

        no_role = self.clients.issue("eve", "email:ada@example.org.evil.org")
        code, _, err = self.ctl(no_role, "version")
        self.assertEqual(code, 5)
        self.assertIn("no role here has a pattern for the certificate of CN=eve", err)

    def test_decisions_are_watched(self):
        self.start()
        self.await_service()
        with subprocess.Popen(
                [SALVECTL, "--server", f"localhost:{self.port}", "--ca", self.servers.certificate,
                 "--cert", self.viewer[0], "--key", self.viewer[1], "-o", "jsonl", "throttle",
                 "watch", "runcommand", "--since", "1h"],
                stdout=subprocess.PIPE, text=True) as watcher:
            self.ctl(self.operator, "action", "run", "Files/Touch")
            self.assertIn('"EventId":2050', watcher.stdout.readline())
            self.ctl(self.operator, "action", "run", "Files/Touch")
            self.assertIn('"EventId":2051', watcher.stdout.readline())
            watcher.terminate()
            self.assertEqual(watcher.wait(10), 0)


if __name__ == "__main__":
    unittest.main()
