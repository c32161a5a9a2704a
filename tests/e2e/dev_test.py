"""Tests of ./dev setup, in a machine: it changes the system it runs on.

apt-get and dpkg-query are played by scripts that keep the installed packages in
a file and note what a package's start script would have been told.
"""

import os
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/machine"))
from machine import Machine, why_not

REASON = why_not()
DPKG_QUERY = b"""#!/bin/sh
for name; do :; done
grep -qx "$name" /opt/installed && printf installed
"""
APT_GET = b"""#!/bin/sh
echo "apt-get $*" >> /opt/calls
[ ! -e /opt/broken ] || exit 100
case " $* " in
  *" install "*)
    /usr/sbin/policy-rc.d nginx start; echo "policy $?" >> /opt/calls
    while [ "$1" != install ]; do shift; done
    shift
    printf '%s\\n' "$@" >> /opt/installed ;;
esac
"""


@unittest.skipIf(REASON, REASON)
class DevSetupTest(unittest.TestCase):

    def setUp(self):
        self.machine = Machine("dev")
        self.addCleanup(self.machine.destroy)
        self.machine.install(os.path.join(ROOT, "dev"), "/opt/salve/dev", 0o755)
        self.machine.install(b"# a comment\n\nlib-a  # why\nlib-b\n"
                             b"lib-c unless:sh  # why\n",
                             "/opt/salve/packaging/apt-packages.txt")
        self.machine.install(DPKG_QUERY, "/usr/local/bin/dpkg-query", 0o755)
        self.machine.install(APT_GET, "/usr/local/bin/apt-get", 0o755)
        self.machine.install(b"", "/opt/calls")
        self.machine.install(b"lib-a\n", "/opt/installed")
        self.machine.boot()
        self.machine.run(["rm", "-f", "/usr/sbin/policy-rc.d"])

    def setup_command(self, *before):
        return self.machine.run([*before, "/opt/salve/dev", "setup"], check=False)

    def calls(self):
        return self.machine.run(["cat", "/opt/calls"]).stdout

    def has_policy(self):
        return self.machine.run(["test", "-e", "/usr/sbin/policy-rc.d"],
                                check=False).returncode == 0

    def test_installs_what_is_missing_and_starts_no_service(self):
        done = self.setup_command()
        self.assertEqual(done.returncode, 0, done)
        self.assertRegex(self.calls(), r"(?s)apt-get -qq update.* install lib-b\npolicy 101\n$")
        self.assertFalse(self.has_policy())

    def test_does_nothing_when_all_is_there(self):
        self.machine.install(b"lib-a\nlib-b\n", "/opt/installed")
        done = self.setup_command()
        self.assertEqual((done.returncode, self.calls()), (0, ""), done)

    def test_installs_what_may_come_from_elsewhere_only_where_it_does_not(self):
        self.machine.install(b"lib-a unless:no-such-command\nlib-c unless:sh\n",
                             "/opt/salve/packaging/apt-packages.txt")
        self.machine.install(b"", "/opt/installed")
        self.assertEqual(self.setup_command().returncode, 0)
        self.assertRegex(self.calls(), r"install lib-a\n")

    def test_keeps_a_policy_of_the_administrator(self):
        self.machine.install(b"#!/bin/sh\nexit 7\n", "/usr/sbin/policy-rc.d", 0o755)
        self.assertEqual(self.setup_command().returncode, 0)
        self.assertTrue(self.calls().endswith("policy 7\n"))
        self.assertTrue(self.has_policy())

    def test_takes_away_the_policy_that_a_killed_run_left(self):
        self.machine.install(b"#!/bin/sh\n# temporary: made by ./dev setup\nexit 101\n",
                             "/usr/sbin/policy-rc.d", 0o755)
        self.assertEqual(self.setup_command().returncode, 0)
        self.assertFalse(self.has_policy())

    def test_a_failure_of_apt_is_a_failure_and_leaves_no_policy(self):
        self.machine.install(b"", "/opt/broken")
        done = self.setup_command()
        self.assertEqual(done.returncode, 1)
        self.assertIn("setup: still missing: lib-b", done.stderr)
        self.assertFalse(self.has_policy())

    def test_a_user_without_sudo_is_told_what_to_do(self):
        self.machine.run(["sh", "-c", "rm -f /usr/bin/sudo; chmod -R a+rX /opt"])
        done = self.setup_command("setpriv", "--reuid=65534", "--clear-groups")
        self.assertEqual((done.returncode, self.calls()), (1, ""))
        self.assertIn("as root", done.stderr)


if __name__ == "__main__":
    unittest.main()
