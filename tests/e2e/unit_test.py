"""The unit file that is shipped, as it is, and with its hardening: the agent still does its work."""

import os
import unittest

from server import ROOT, SALVED, Server, policy, why_not

# One probe for each right that the hardening leaves to the agent.
CONFIGURATION = """
health_set {
  name: "Web"
  probe { name: "Unit" interval: "2s" systemd_unit { unit: "nginx" } }
  probe { name: "Process" interval: "2s" process { process_name: "nginx" } }
  probe { name: "Log" interval: "2s" log_match { file: "/srv/private/app.log" pattern: "panic" } }
  probe { name: "Clock" interval: "2s" clock { need_synchronised: false } }
  probe { name: "AsNobody" interval: "2s" exec {
    command: ["/bin/sh", "-c", "test $(id -un) = nobody && grep -q 'CapEff:.0*$' /proc/self/status && grep -q 'NoNewPrivs:.1' /proc/self/status || exit 2"] user: "nobody" } }
  probe { name: "Kept" interval: "2s" timeout: "1s" exec { command: ["/bin/sleep", "600"] user: "nobody" } }
  probe { name: "Gone" interval: "2s" exec { command: "/bin/true" user: "no-such-user" } }
  monitor { name: "Down" probe: "Unit" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  responder { name: "Restart" monitor: "Down" on: UNHEALTHY settle: "2s" restart_service { service: "nginx" } }
}
"""

DROP_INS = "/etc/systemd/system/salved.service.d/"


def packaged(name):
    with open(os.path.join(ROOT, "packaging", name)) as file:
        return file.read()


@unittest.skipIf(why_not(), why_not())
class UnitTest(unittest.TestCase):
    def server(self, *drop_ins):
        files = [(SALVED, "/usr/sbin/salved", 0o755)]
        files += [(packaged(name).encode(), DROP_INS + name) for name in drop_ins]
        server = Server(CONFIGURATION, policy(minutes=10), files=files, start=False,
                        unit=packaged("salved.service"))
        server.run("install", "-d", "-o", "daemon", "-m", "0700", "/srv/private")
        server.run("install", "-o", "daemon", "-m", "0600", "/dev/null", "/srv/private/app.log")
        server.start()
        return server

    def outcome(self, server, probe):
        """The last outcome of a probe, with its values and its error."""
        results = [e["ProbeResult"] if "ProbeResult" in e else e
                   for e in server.events("--channel", "ProbeResult")
                   if e["Name"] == probe]
        return results[-1] if results else {}

    def check_probes(self, server):
        for probe in ("Process", "Log", "Clock", "AsNobody"):
            server.wait_for(lambda p=probe: self.outcome(server, p), what=f"a look of {probe}")
            self.assertEqual(self.outcome(server, probe)["ResultType"], "Succeeded", probe)
        values = {value["Name"]: value for value in self.outcome(server, "Process")["Values"]}
        self.assertGreater(values["open_descriptors"]["Number"], 0)
        values = {value["Name"] for value in self.outcome(server, "Clock")["Values"]}
        self.assertIn("estimated_error_ms", values)  # No filter of system calls forbids to read it.
        # A program of another user is ended at its deadline.
        server.wait_for(lambda: self.outcome(server, "Kept"), what="a look of Kept")
        self.assertEqual(self.outcome(server, "Kept")["ResultType"], "TimedOut")
        self.assertEqual(self.outcome(server, "Gone")["ResultType"], "Rejected")
        self.assertIn("there is no user 'no-such-user'", self.outcome(server, "Gone")["Error"])
        self.assertIn("no-such-user", server.run("journalctl", "-u", "salved").stdout)

    def check_healing(self, server):
        server.kill("nginx")
        server.wait_for(lambda: 1 in server.event_ids("Monitoring"), what="healthy again")
        self.assertTrue(server.is_active("nginx"))

    def test_it_heals_under_the_unit_as_shipped(self):
        server = self.server()
        with server:
            self.check_probes(server)
            self.check_healing(server)
            server.run("systemctl", "reload", "salved")
            self.assertTrue(server.is_active("salved"))

    def test_it_heals_under_the_hardened_unit(self):
        server = self.server("salved-hardening.conf")
        with server:
            self.check_probes(server)
            self.check_healing(server)
            pid = server.main_pid("salved")
            status = server.run("cat", f"/proc/{pid}/status").stdout
            self.assertIn("NoNewPrivs:\t1", status)
            bounding = int(status.split("CapBnd:")[1].split()[0], 16)
            # CHOWN 0, DAC_READ_SEARCH 2, KILL 5, SETGID 6, SETUID 7, SYS_PTRACE 19: no other.
            self.assertEqual(bounding, sum(1 << bit for bit in (0, 2, 5, 6, 7, 19)))
            refused = server.run("systemd-run", "--wait", "-q", "-p", "ProtectSystem=strict",
                                 "touch", "/usr/x", check=False)
            self.assertNotEqual(refused.returncode, 0)  # The machine takes sandboxing seriously.
            # Stopped by hand, it ends in good order.
            server.run("systemctl", "stop", "salved")
            self.assertEqual(server.run("systemctl", "show", "-P", "Result", "salved").stdout.strip(),
                             "success")


if __name__ == "__main__":
    unittest.main()
