"""What probes see of the server itself: beside a file system that is dead, and under the hardening."""

import json
import os
import time
import unittest

from server import ROOT, SALVED, Server, why_not

# Mounts a file system whose program never answers, as that of a file server that has gone.
DEAD = b"""
import ctypes, os, stat, time
if not os.path.exists("/dev/fuse"):
    os.mknod("/dev/fuse", stat.S_IFCHR | 0o600, os.makedev(10, 229))
fuse = os.open("/dev/fuse", os.O_RDWR)
options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % fuse
libc = ctypes.CDLL(None, use_errno=True)
print(libc.mount(b"dead", b"/mnt/dead", b"fuse", 0, options), flush=True)
time.sleep(600)
"""

BESIDE_THE_DEAD = {
    "Dead": 'disk { path: "/mnt/dead" path: "/mnt/small" }',
    "DeadFile": 'file { path: "/mnt/dead/x*" }',
    "File": 'file { path: "/etc/passwd" content_match: "root" }',
    "All": 'disk {}',
}

# One for each right that they need.
HARDENED = {
    "Disk": 'disk {}',
    "Memory": 'memory {}',
    "Cpu": 'cpu {}',
    "Interface": 'network_interface { interface: "lo" need_address: true }',
    "Units": 'systemd_failed_units {}',
    "Queue": 'mail_queue { directory: "/srv/spool" }',
    "File": 'file { path: "/srv/spool/active/*" min_bytes: 1 content_match: "x" }',
}


def configuration(probes):
    lines = "\n".join(f'probe {{ name: "{name}" interval: "24h" timeout: "2s" {text} }}'
                      for name, text in probes.items())
    return f'health_set {{ name: "S"\n{lines}\n}}'


def look(server, name):
    """(result, seconds that it took)"""
    begin = time.monotonic()
    done = server.run("salvectl", "-o", "jsonl", "probe", "run", f"S/{name}", check=False)
    return json.loads(done.stdout), time.monotonic() - begin


@unittest.skipIf(why_not(), why_not())
class OwnServerTest(unittest.TestCase):

    @unittest.skipUnless(os.path.exists("/dev/fuse"), "this kernel has no FUSE")
    def test_a_dead_file_system_is_named_and_holds_up_nobody(self):
        with Server(configuration(BESIDE_THE_DEAD), nginx=False,
                    files=[(DEAD, "/opt/dead.py", 0o644)]) as server:
            server.run("sh", "-ec", "mkdir -p /mnt/dead /mnt/small; mount -t tmpfs small /mnt/small")
            dead = server.machine.popen(["python3", "/opt/dead.py"], stdout=-1, text=True)
            try:
                self.assertEqual(dead.stdout.readline(), "0\n", "cannot mount it")
                for name, error in [("Dead", "statvfs of /mnt/dead: "),
                                    ("DeadFile", "look at /mnt/dead/x*: ")]:
                    result, _ = look(server, name)
                    self.assertEqual(result["ResultType"], "TimedOut", result["Error"])
                    self.assertIn(error + "hangs since", result["Error"])
                    result, took = look(server, name)  # Not asked a second time.
                    self.assertEqual(result["ResultType"], "TimedOut", result["Error"])
                    self.assertIn(error + "the call before hangs since", result["Error"])
                    self.assertLess(took, 1.5)
                for name in ["File", "All"]:
                    result, _ = look(server, name)
                    self.assertEqual(result["ResultType"], "Succeeded", result["Error"])
                begin = time.monotonic()
                server.run("systemctl", "stop", "salved")
                self.assertLess(time.monotonic() - begin, 10)
                self.assertEqual(
                    server.run("systemctl", "show", "-P", "Result", "salved").stdout, "success\n")
            finally:
                dead.kill()
                dead.wait()
                dead.stdout.close()

    def test_the_hardening_leaves_them_their_rights(self):
        def packaged(name):
            with open(os.path.join(ROOT, "packaging", name), "rb") as file:
                return file.read()
        with Server(configuration(HARDENED), nginx=False, start=False,
                    unit=packaged("salved.service").decode(),
                    files=[(SALVED, "/usr/sbin/salved", 0o755),
                           (packaged("salved-hardening.conf"),
                            "/etc/systemd/system/salved.service.d/hardening.conf")]) as server:
            server.run("sh", "-ec", """
                for queue in incoming active deferred; do
                  install -d -o daemon -m 0700 /srv/spool/$queue
                done
                echo x > /srv/spool/active/A1
                chown daemon /srv/spool/active/A1; chmod 0700 /srv/spool/active/A1
                systemctl reset-failed""")
            server.start()
            for name in HARDENED:
                with self.subTest(name):
                    result, _ = look(server, name)
                    self.assertEqual(result["ResultType"], "Succeeded", result["Error"])


if __name__ == "__main__":
    unittest.main()
