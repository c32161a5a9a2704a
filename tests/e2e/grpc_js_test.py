"""The API by a client that is not ours: @grpc/grpc-js, which loads api/*.proto itself.

Its packages are those of node_client/package-lock.json; `npm ci` puts them into out/.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from certificates import Authority, free_port, remote
from plain import Agent
from server import ROOT, policy

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(HERE, "node_client")

UNAUTHENTICATED, PERMISSION_DENIED, UNAVAILABLE, INVALID_ARGUMENT = 16, 7, 14, 3

CONFIGURATION = """
health_set {
  name: "Files"
  probe { name: "File" interval: "200ms" timeout: "200ms" exec { command: "/bin/true" } }
  monitor { name: "Gone" probe: "File" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  responder { name: "Touch" monitor: "Gone" on: UNHEALTHY run_command { command: "/usr/bin/touch" command: "touched" } }
}
"""

THROTTLE = "salve.v1.ThrottleService"
HEALTH = "grpc.health.v1.Health"


def install():
    """The folder of the client's packages; raises SkipTest when the registry is away."""
    if not (shutil.which("node") and shutil.which("npm")):
        raise unittest.SkipTest("node and npm are not installed: ./dev setup")
    with open(os.path.join(SOURCE, "package-lock.json"), "rb") as lock:
        version = hashlib.sha256(lock.read()).hexdigest()[:16]
    base = os.path.join(ROOT, "out", "node_client")
    folder = os.path.join(base, version)
    if not os.path.isdir(folder):
        try:
            os.makedirs(base, exist_ok=True)
            new = tempfile.mkdtemp(dir=base, prefix="new.")
        except PermissionError:  # Another user's out/.
            base = tempfile.mkdtemp(prefix="salve-node-client-")
            unittest.addModuleCleanup(shutil.rmtree, base, ignore_errors=True)
            folder, new = os.path.join(base, version), tempfile.mkdtemp(dir=base)
        for name in "package.json", "package-lock.json", ".npmrc":
            shutil.copy(os.path.join(SOURCE, name), new)
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                              cwd=new, text=True, capture_output=True, timeout=300,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            shutil.rmtree(new, ignore_errors=True)
            away = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ECONNRESET")
            if any(code in done.stderr for code in away):
                raise unittest.SkipTest("the npm registry can't be reached:\n" + done.stderr)
            raise AssertionError("npm ci:\n" + done.stderr)
        os.chmod(new, 0o755)
        try:
            os.rename(new, folder)
        except OSError:  # Another run was faster.
            shutil.rmtree(new, ignore_errors=True)
    return folder


def setUpModule():
    global PACKAGES
    PACKAGES = install()


class GrpcJsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.servers = Authority(folder.name, "servers")
        self.clients = Authority(folder.name, "clients")
        self.servers.issue("web", "DNS:localhost,IP:127.0.0.1")
        self.viewer = self.clients.issue("mon", "DNS:a.view.example.org")
        self.admin = self.clients.issue("ada", "email:ada@example.org")
        self.port = free_port()
        self.agent = Agent(CONFIGURATION, policy(minutes=60, action="RunCommand"),
                           remote(self.port, folder.name, "web", self.clients.certificate))
        self.addCleanup(self.agent.__exit__, None, None, None)
        self.agent.wait_for(self.agent.health, what="the agent")

    def call(self, *calls, **task):
        """[(service, method, request), …] over the socket, or as `task` says."""
        task = {"target": f"unix:{self.agent.socket}", "protos": ROOT,
                "calls": [dict(zip(("service", "method", "request"), one)) for one in calls], **task}
        done = subprocess.run(["node", os.path.join(SOURCE, "client.mjs")], input=json.dumps(task),
                              text=True, capture_output=True, timeout=60,
                              env={**os.environ, "PACKAGES": PACKAGES})
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def remotely(self, *calls, who=(None, None), ca=None):
        return self.call(*calls, target=f"localhost:{self.port}", cert=who[0], key=who[1],
                         ca=ca or self.servers.certificate)

    def await_service(self):
        self.agent.wait_for(
            lambda: self.remotely((HEALTH, "Check", {}), who=self.viewer)[0]["code"] == 0,
            what="remote access")

    def check_reading(self, ends):
        state, verdict, config, health, unknown = ends
        self.assertEqual([end["code"] for end in ends], [0, 0, 0, 0, INVALID_ARGUMENT], ends)
        entry = state["response"]["entries"][0]
        self.assertEqual((entry["action_id"], entry["resource_name"]),
                         ("RunCommand", "/usr/bin/touch"))
        self.assertEqual(entry["limits"]["local_minimum_minutes_between_attempts"], 60)
        self.assertTrue(verdict["response"]["passed"])
        self.assertEqual(len(config["response"]["entries"]) > 1, True)
        self.assertEqual(health["response"]["status"], "SERVING")
        self.assertIn("Nonsense", unknown["details"])

    READING = [(THROTTLE, "GetThrottleState", {"with_attempts": True}),
               (THROTTLE, "CheckThrottle", {"action": "runcommand", "resource": "/usr/bin/touch"}),
               (THROTTLE, "ListThrottleConfig", {}),
               (HEALTH, "Check", {}),
               (THROTTLE, "CheckThrottle", {"action": "Nonsense", "resource": "x"})]

    # What changes something, or runs something.
    CHANGES = [("salve.v1.ActionService", "Run", {"responder": "Files/Touch", "user": "root"}),
               ("salve.v1.ActionService", "Pause", {"verb": "PAUSE", "user": "root"}),
               ("salve.v1.AgentService", "Reload", {"user": "root"}),
               ("salve.v1.AgentService", "Maintenance",
                {"verb": "START", "duration_seconds": 60, "user": "root"}),
               ("salve.v1.OverrideService", "Add", {"override": {
                   "scope": "local", "item_type": "Responder", "identity": "Files\\Touch",
                   "property_name": "Enabled", "property_value": "false"},
                   "duration_seconds": 60, "user": "root"}),
               ("salve.v1.OverrideService", "Remove", {"scope": "local"}),
               (THROTTLE, "ForgetServer", {"name": "x"}),
               ("salve.v1.HealthService", "RunProbe", {"health_set": "Files", "name": "File"}),
               ("salve.v1.HealthService", "SetMonitorState", {
                   "health_set": "Files", "monitor": "Gone", "repairing": True,
                   "duration_seconds": 60, "user": "root"}),
               ("salve.v1.HealthService", "Notify", {"health_set": "Files", "name": "File"})]

    def nothing_has_changed(self):
        self.assertFalse(os.path.exists(self.agent.path("touched")))
        self.assertEqual(self.agent.events("--channel", "RecoveryActionLogs"), [])
        self.assertEqual(self.agent.events("--channel", "Overrides"), [])
        # One says that remote access is on.
        self.assertEqual([event["EventId"] for event in self.agent.events("--channel", "Agent")],
                         [1, 3])

    def test_reads_over_the_socket(self):
        self.check_reading(self.call(*self.READING))

    def test_reads_over_mutual_tls(self):
        self.await_service()
        self.check_reading(self.remotely(*self.READING, who=self.viewer))

    def test_without_a_certificate_everything_is_unauthenticated(self):
        self.await_service()
        ends = self.remotely(*self.READING, *self.CHANGES)
        self.assertEqual({end["code"] for end in ends}, {UNAUTHENTICATED}, ends)
        self.nothing_has_changed()

    def test_with_the_wrong_role_every_change_is_denied(self):
        self.await_service()
        ends = self.remotely(*self.CHANGES, who=self.viewer)
        self.assertEqual({end["code"] for end in ends}, {PERMISSION_DENIED}, ends)
        needs = {method: end["details"] for (_, method, *_), end in zip(self.CHANGES, ends)}
        self.assertIn("this needs the role operator; CN=mon is viewer", needs["Pause"])
        self.assertIn("this needs the role admin; CN=mon is viewer", needs["ForgetServer"])
        self.nothing_has_changed()

    def test_a_foreign_certificate_gets_no_connection(self):
        self.await_service()
        foreign = Authority(self.clients.folder, "foreign").issue("ada", "email:ada@example.org",
                                                                  file="foreign")
        ends = self.remotely(*self.READING, *self.CHANGES, who=foreign)
        self.assertEqual({end["code"] for end in ends}, {UNAVAILABLE}, ends)
        self.nothing_has_changed()

    def test_the_right_role_changes_and_is_named_by_its_certificate(self):
        self.await_service()
        run, watch = self.remotely(
            self.CHANGES[0], (THROTTLE, "WatchDecisions", {"since": {"seconds": "1"}}),
            who=self.admin)
        self.assertEqual((run["code"], watch["code"]), (0, 0), (run, watch))
        self.assertTrue(run["response"]["allowed"])
        self.assertEqual(watch["response"]["event_id"], 2050)
        self.assertEqual(watch["response"]["recovery_action_log"]["requester_name"],
                         "operator:remote:CN=ada")


if __name__ == "__main__":
    unittest.main()
