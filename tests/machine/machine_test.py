"""Tests of the disposable machine itself. As root: python3 tests/machine/machine_test.py"""

import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from machine import KILLED, POWERED_OFF, Bridge, Machine, MachineError, _cgroup_root, why_not

REASON = why_not()
FOLDER = os.environ.get("SALVE_MACHINE_DIR", "/var/tmp")
SYS_MODULE, SYS_TIME = 16, 25  # capabilities(7)
SERVER = ("import socket\n"
          "server = socket.create_server(('0.0.0.0', 7000))\n"
          "print('listening', flush=True)\n"
          "server.settimeout(20)\n"
          "server.accept()[0].sendall(b'hello from m2')\n")
CLIENT = ("import socket\n"
          "print(socket.create_connection(('10.77.0.2', 7000), timeout=5).recv(99).decode())")


def traces():
    """What a machine could leave on its host."""
    with open("/proc/self/mounts") as mounts:
        mounted = [line for line in mounts if "salve-machine" in line]
    disks = [name for name in os.listdir(FOLDER) if name.startswith("salve-machine-t-")]
    cgroups = [name for name in os.listdir(_cgroup_root())
               if name.startswith("salve-machine.t-") and name.endswith(f".{os.getpid()}")]
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
    return mounted + disks + cgroups + [line for line in links.splitlines() if "port1" in line]


@unittest.skipIf(REASON, REASON)
class MachineTest(unittest.TestCase):

    def machine(self, name="t-one", **kwargs):
        machine = Machine(name, **kwargs)
        self.addCleanup(machine.destroy)
        return machine

    def test_boots_a_systemd_of_its_own(self):
        machine = self.machine().boot()
        state = machine.run(["systemctl", "is-system-running"], check=False).stdout.strip()
        failed = machine.run(["systemctl", "--failed", "--no-legend"]).stdout
        self.assertEqual((state, failed), ("running", ""))
        self.assertEqual(machine.run(["hostname"]).stdout, "t-one\n")
        self.assertEqual(machine.run(["ps", "-o", "comm=", "1"]).stdout, "systemd\n")
        for unit in ["dbus.service", "systemd-logind.service"]:
            machine.run(["systemctl", "is-active", unit])

    def test_starts_no_service_of_the_host_unless_asked(self):
        host_units = {"nginx.service", "php8.2-fpm.service", "ssh.service", "cron.service"}
        machine = self.machine().boot()
        listed = machine.run(["systemctl", "list-units", "--plain", "--no-legend",
                              "--type=service"]).stdout
        self.assertFalse(host_units & set(listed.split()), listed)

    @unittest.skipUnless(os.path.exists("/usr/lib/systemd/system/nginx.service"), "needs nginx")
    def test_starts_what_is_enabled(self):
        machine = self.machine(enable=["nginx.service"]).boot()
        self.assertEqual(machine.run(["systemctl", "is-active", "nginx"]).stdout, "active\n")

    def test_a_reboot_inside_boots_again_on_the_same_disk(self):
        machine = self.machine().boot()
        before = machine.boot_id
        self.assertEqual(machine.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip(),
                         before)
        machine.run(["sh", "-c", "echo kept > /var/lib/kept; echo gone > /run/gone"])
        machine.reboot()
        self.assertNotEqual(machine.boot_id, before)
        self.assertEqual(machine.boots, 2)
        self.assertEqual(machine.run(["cat", "/var/lib/kept"]).stdout, "kept\n")
        machine.run(["test", "!", "-e", "/run/gone"])

    def test_a_reboot_without_orderly_shutdown_boots_again(self):
        machine = self.machine().boot()
        machine.run(["systemctl", "reboot", "--force", "--force"], check=False)
        machine.wait_reboot()
        self.assertEqual(machine.boots, 2)

    def test_a_power_cut_ends_it_at_once_and_the_disk_boots_again(self):
        machine = self.machine().boot()
        machine.run(["touch", "/var/lib/kept"])
        machine.kill()
        self.assertEqual((machine.exit_status, machine.running), (KILLED, False))
        with self.assertRaisesRegex(MachineError, "is not running"):
            machine.run(["true"])
        machine.boot().run(["test", "-e", "/var/lib/kept"])

    def test_a_poweroff_is_no_reboot(self):
        machine = self.machine().boot()
        machine.poweroff()
        self.assertEqual((machine.exit_status, machine.boots), (POWERED_OFF, 1))

    def test_a_boot_that_never_ends_is_an_error_with_the_log(self):
        machine = self.machine(enable=["slow.service"])
        machine.install(b"[Service]\nType=oneshot\nExecStart=sleep 600\n",
                        "/etc/systemd/system/slow.service")
        with self.assertRaisesRegex(MachineError, "(?s)took more than|did not boot.*slow.service"):
            machine.boot(timeout=1.5)

    def test_run_reports_exit_output_and_errors(self):
        machine = self.machine().boot()
        done = machine.run(["sh", "-c", "cat; echo bad >&2; exit 3"], check=False, input="in")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (3, "in", "bad\n"))
        with self.assertRaisesRegex(MachineError, "ended with 3"):
            machine.run(["sh", "-c", "exit 3"])
        self.assertEqual(machine.run(["sh", "-c", "echo $X-$SUDO_USER"], env={"X": "x"}).stdout,
                         "x-\n")

    def test_run_kills_what_takes_too_long(self):
        machine = self.machine().boot()
        with self.assertRaisesRegex(MachineError, "took more than 0.3 s"):
            machine.run(["sh", "-c", "sleep 4711 & sleep 4711"], timeout=0.3)
        self.assertEqual(machine.run(["pgrep", "-f", "sleep 4711"], check=False).stdout, "")

    def test_a_signal_reaches_the_process_inside(self):
        machine = self.machine().boot()
        process = machine.popen(["sh", "-c", "trap 'exit 7' TERM; echo ready; sleep 60 & wait"],
                                stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        process.terminate()
        self.assertEqual(process.wait(10), 7)

    def test_install_works_before_and_after_the_boot(self):
        machine = self.machine()
        machine.install(b"#!/bin/sh\necho before\n", "/usr/local/bin/before", 0o755)
        machine.install(b"x", "/lib/by-a-link/x")  # /lib is a link: it must stay one
        with self.assertRaisesRegex(ValueError, "made anew"):
            machine.install(b"x", "/run/x")
        machine.boot()
        machine.install(b"#!/bin/sh\necho after\n", "/opt/new/after", 0o750)
        machine.install(os.path.abspath(__file__), "/run/test.py")
        self.assertEqual(machine.run(["before"]).stdout, "before\n")
        self.assertEqual(machine.run(["/opt/new/after"]).stdout, "after\n")
        self.assertEqual(machine.run(["stat", "-c%a", "/opt/new/after"]).stdout, "750\n")
        self.assertEqual(machine.run(["cat", "/usr/lib/by-a-link/x"]).stdout, "x")
        with open(__file__) as file:
            self.assertEqual(machine.run(["cat", "/run/test.py"]).stdout, file.read())

    def test_the_host_is_out_of_reach(self):
        machine = self.machine().boot()
        with tempfile.NamedTemporaryFile(dir="/tmp") as file:
            self.assertFalse(machine.run(["ls", "-A", "/tmp"]).stdout.count(file.name[5:]))
            machine.run(["sh", "-c", "touch /etc/made-inside /usr/made-inside; rm -rf /tmp/*"])
            machine.reboot()
            self.assertTrue(os.path.exists(file.name))
        self.assertFalse(os.path.exists("/etc/made-inside") or os.path.exists("/usr/made-inside"))
        for forbidden in ["test -w /proc/sys/kernel/panic", "test -w /sys", "ip route get 192.0.2.1"]:
            self.assertNotEqual(machine.run(["sh", "-c", forbidden], check=False).returncode, 0,
                                forbidden)

    def test_nothing_inside_can_set_the_clock_or_load_a_module(self):
        machine = self.machine().boot()
        for status in ["/proc/1/status", "/proc/self/status"]:
            bounding = re.search(r"CapBnd:\s+(\w+)", machine.run(["cat", status]).stdout)[1]
            for right in [SYS_TIME, SYS_MODULE]:
                self.assertFalse(int(bounding, 16) >> right & 1, status)

    def test_the_logs_of_all_boots_are_kept(self):
        machine = self.machine().boot()
        machine.run(["logger", "-t", "salve", "in the first boot"])
        machine.run(["journalctl", "--sync"])
        machine.kill()
        self.assertIn("in the first boot", machine.boot().logs())

    def test_one_disk_is_for_one_machine(self):
        machine = self.machine().boot()
        with self.assertRaisesRegex(MachineError, "in use"):
            Machine("t-two", machine.disk).start()

    def test_leaves_nothing_behind(self):
        with Machine("t-gone") as machine:
            machine.boot()
            self.assertNotEqual(traces(), [])
        with self.assertRaises(ZeroDivisionError), Machine("t-gone") as machine:
            machine.start()
            1 / 0
        self.assertEqual(traces(), [])

    def test_dies_with_its_harness_and_the_next_one_sweeps_up(self):
        disk = tempfile.TemporaryDirectory(dir=FOLDER, prefix="salve-machine-t-")
        self.addCleanup(disk.cleanup)
        script = (f"import os, signal, sys; sys.path.insert(0, {HERE!r})\n"
                  "from machine import Machine\n"
                  f"machine = Machine('t-orphan', {disk.name!r}).boot()\n"
                  "print(machine._init, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n")
        done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        init = int(done.stdout)
        deadline = time.monotonic() + 10
        with self.assertRaises(OSError):  # gone, or dead and not yet reaped
            while time.monotonic() < deadline:
                os.readlink(f"/proc/{init}/exe")
                time.sleep(0.01)
        self.machine().start()
        self.assertFalse([name for name in os.listdir(_cgroup_root()) if "t-orphan" in name])


@unittest.skipIf(REASON, REASON)
class BridgeTest(unittest.TestCase):

    def test_machines_on_a_bridge_reach_each_other_also_after_a_reboot(self):
        with Bridge(2) as bridge:
            one, two = bridge.boot().machines
            for _ in range(2):
                with two.popen(["python3", "-c", SERVER], stdout=subprocess.PIPE) as server:
                    self.assertEqual(server.stdout.readline(), b"listening\n")
                    self.assertEqual(one.run(["python3", "-c", CLIENT]).stdout, "hello from m2\n")
                two.reboot()
        self.assertEqual(traces(), [])

    def test_the_host_does_not_see_the_bridge(self):
        with Bridge(1) as bridge:
            bridge.boot()
            links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
            self.assertNotIn("br0", links)
            self.assertNotIn("port1", links)


@unittest.skipIf(REASON, REASON)
class CommandTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=FOLDER)
        self.addCleanup(folder.cleanup)
        self.env = {**os.environ, "SALVE_MACHINE_DIR": folder.name}
        self.addCleanup(self.command, "kill", "--destroy", "hand")

    def command(self, *argv):
        return subprocess.run([f"{HERE}/machine", *argv], env=self.env, capture_output=True,
                              text=True, stdin=subprocess.DEVNULL)

    def test_boots_runs_reboots_cuts_and_lists(self):
        self.assertIn("hand is up", self.command("boot", "hand").stdout)
        self.assertEqual(self.command("exec", "hand", "--", "hostname").stdout, "hand\n")
        self.assertEqual(self.command("exec", "hand", "sh", "-c", "exit 3").returncode, 3)
        boot = self.command("exec", "hand", "cat", "/proc/sys/kernel/random/boot_id").stdout
        self.assertEqual(self.command("reboot", "hand").returncode, 0)
        self.assertNotEqual(
            self.command("exec", "hand", "cat", "/proc/sys/kernel/random/boot_id").stdout, boot)
        self.assertRegex(self.command("list").stdout, r"(?m)^hand +up +/")
        self.assertEqual(self.command("kill", "hand").returncode, 0)
        self.assertRegex(self.command("list").stdout, r"(?m)^hand +off +/")
        self.assertEqual(self.command("kill", "--destroy", "hand").returncode, 0)
        self.assertEqual(self.command("list").stdout, "")

    def test_says_what_is_wrong(self):
        for argv, words in [(["exec", "hand", "true"], "hand is not running"),
                            (["kill", "hand"], "hand is not running"),
                            (["exec", "hand"], "needs a command"),
                            (["boot", "../x"], "is no host name")]:
            done = self.command(*argv)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(words, done.stderr)


class WithoutRootTest(unittest.TestCase):

    @unittest.skipIf(os.geteuid() != 0, "drops root's rights")
    def test_says_that_it_needs_root(self):
        done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", f"{HERE}/machine",
                               "list"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (1, "machine: a machine needs root\n"))


if __name__ == "__main__":
    unittest.main()
