"""The ready-made health sets on one machine that runs all they know: quiet while all is well, and
each heals what is killed and what hangs, and says what it cannot mend.

First as they are; then the same files with shorter times, as a person would edit them: what a day
of their real times looks like is shown by tests/healthsets_test.py in simulated time.
"""

import os
import re
import tempfile
import time
import unittest

import services
from server import Server, policy, why_not

REASON = why_not() or services.why_not()
QUIET_SECONDS = float(os.environ.get("SALVE_QUIET", "5"))
HEALTHY_SECONDS = 75  # A minute, and what a busy machine takes.

NAMES = ["system", "nginx", "php-fpm", "postfix", "dovecot", "postgresql", "redis", "sshd"]

# Set: its unit.
UNITS = {
    "Nginx": "nginx.service",
    "PhpFpm": "php8.2-fpm.service",
    "Postfix": "postfix@-.service",
    "Dovecot": "dovecot.service",
    "Postgresql": "" if REASON else services.postgres_unit(),
    "Redis": "redis-server.service",
    "Sshd": "ssh.service",
}
# Their units have Restart=: systemd has the first turn, and nothing is left to do.
LEFT_TO_SYSTEMD = ["Redis", "Sshd"]

# A file that the service cannot read any more.
CONFIGURATIONS = {
    "Nginx": "/etc/nginx/nginx.conf",
    "PhpFpm": "/etc/php/8.2/fpm/php-fpm.conf",
    "Postfix": "/etc/postfix/main.cf",
    "Dovecot": "/etc/dovecot/dovecot.conf",
    "Postgresql": "/etc/postgresql/*/main/postgresql.conf",
    "Redis": "/etc/redis/redis.conf",
    "Sshd": "/etc/ssh/sshd_config",
}

# One limit of each kind, wide open: the sets' own are shown by their policy tests.
LIMITS = "<ThrottleEntries>" + "".join(
    re.sub("</?ThrottleEntries>", "", policy(action=action))
    for action in ["RestartService", "ResetPool", "KillProcess"]) + "</ThrottleEntries>"


def in_a_hurry(text):
    """A set with times for a test, and no limits."""
    text = re.sub(r"throttle \{[^}]*\}", "", text)
    text = re.sub(r'^ +settle: "\w+".*\n', "", text, flags=re.MULTILINE)
    text = re.sub(r"ineffective_after: \d+", 'settle: "1s" retry_after: "1s"', text)
    text = re.sub(r'clear_after: "\w+"', 'clear_after: "1s"', text)
    # Looks must end before the next one; actions have the time that they need. The clock of a test
    # machine may not be synchronised: that alert is left where it is, half an hour away.
    text = re.sub(r'(?<!"Clock"\n    )interval: "\w+"', 'interval: "1s"', text)
    text = re.sub(r'(interval: "1s".*\n\s+timeout): "\w+"', r'\1: "900ms"', text)
    # A first attempt that cannot help must give way to the second.
    return text.replace('timeout: "20s"', 'timeout: "4s"').replace('after: "20s"', 'after: "3s"')


@unittest.skipIf(REASON, REASON)
class HealthSetsTest(unittest.TestCase):

    def test_from_the_first_start_to_what_cannot_be_mended(self):
        with tempfile.TemporaryDirectory() as folder:
            files = services.files(folder)
            authority = services.Authority(folder, "ended")
            certificate, key = authority.issue("ended", f"DNS:{services.HOST}", days=-1)
            files += [(certificate, "/opt/ended.crt", 0o644), (key, "/opt/ended.key", 0o600)]
            server = Server("", files=files, enable=services.UNITS, start=False)
        with server:
            for phase in [self.without_configuration, self.armed, self.quiet, self.hurried,
                          self.killed, self.hung, self.beyond_mending]:
                began = time.monotonic()
                phase(server)
                print(f"{phase.__name__}: {time.monotonic() - began:.1f} s", flush=True)

    # -- the phases

    def without_configuration(self, server):
        """It runs all sets, does nothing, and says so."""
        server.run("sh", "-c", "rm -r /etc/salve/*")
        server.start()
        server.wait_for(lambda: self.states(server).keys() >= {*UNITS, "System"}, what="all sets")
        self.assertRegex(" ".join(server.json("version")["Warnings"]), "(?i)observ")
        responders = server.json("responder", "list")["Responders"]
        self.assertEqual({one["Mode"] for one in responders}, {"OBSERVE"})

    def armed(self, server):
        server.machine.install(LIMITS.encode(), "/etc/salve/throttle.xml")
        server.machine.install(b'boot_grace: "0s"', "/etc/salve/salve.textproto")
        for name in NAMES:
            server.ctl("healthset", "enable", name)
        # What looks once in ten minutes, too, looks first within one.
        began = time.monotonic()
        self.wait_until_well(server)
        print(f"all healthy after {time.monotonic() - began:.1f} s")
        responders = server.json("responder", "list")["Responders"]
        self.assertEqual({one["Mode"] for one in responders}, {"ACT"})

    def quiet(self, server):
        time.sleep(QUIET_SECONDS)
        for event in server.events("--channel", "MonitorResult"):
            self.assertFalse(event["IsAlert"], event)
        self.assertEqual(server.events("--channel", "RecoveryActionResults"), [])

    def hurried(self, server):
        for name in NAMES:
            path = f"/etc/salve/conf.d/{name}.textproto"
            text = server.run("cat", path).stdout
            server.machine.install(in_a_hurry(text).encode(), path)
        server.ctl("config", "reload")
        self.wait_until_well(server)

    def killed(self, server):
        """kill -9 of each main process, or, where systemd knows none, of all."""
        mark = self.newest(server)
        mains = [unit for unit in UNITS.values() if unit != UNITS["Postfix"]]
        server.run("sh", "-c", f"systemctl kill --kill-who=main -s KILL {' '.join(mains)}; "
                   f"systemctl kill -s KILL '{UNITS['Postfix']}'")
        healed = [name for name in UNITS if name not in LEFT_TO_SYSTEMD]
        self.wait_until(server, mark, 501, healed, "healed")
        self.wait_until_well(server)
        for name in healed:
            with self.subTest(name):
                self.assertRegex(self.words(server, mark, name), re.escape(UNITS[name].split("@")[0]
                                                                          .split(".")[0]))
        for name in LEFT_TO_SYSTEMD:
            with self.subTest(name):
                self.assertTrue(server.is_active(UNITS[name]))
                self.assertNotIn(name, self.attempts(server, mark, 500))

    def hung(self, server):
        """SIGSTOP of all processes: the units stay active, and nobody answers."""
        mark = self.newest(server)
        for unit in UNITS.values():
            server.run("systemctl", "kill", "-s", "STOP", unit)
        self.wait_until(server, mark, 501, UNITS, "healed")
        self.wait_until_well(server)
        for name in UNITS:
            with self.subTest(name):
                self.assertRegex(self.words(server, mark, name), "timed out|deadline|answer")

    def beyond_mending(self, server):
        """What a restart does not mend is named: a full disk, ended certificates, a configuration
        that cannot be read."""
        mark = self.newest(server)
        has_disk = self.fill_a_disk(server)
        server.run("sh", "-c", "cp /opt/ended.crt /etc/dovecot/private/dovecot.pem; "
                   "cp /opt/ended.key /etc/dovecot/private/dovecot.key; "
                   "systemctl reload dovecot postfix")
        expected = {"Dovecot": "expire|end", "Postfix": "expire|end"}
        if has_disk:
            expected["System"] = "/srv/data"
        for name, error in expected.items():
            with self.subTest(name):
                server.wait_for(lambda: re.search(error, self.words(server, mark, name)),
                                what=f"{name}'s word of it")

        mark = self.newest(server)
        server.run("sh", "-c", "".join(f"echo 'no such }}{{ language' > $(echo {path}); "
                                       for path in CONFIGURATIONS.values()))
        for unit in UNITS.values():
            server.run("systemctl", "kill", "-s", "KILL", unit)
        self.wait_until(server, mark, 502, UNITS, "tried in vain")
        for name, unit in UNITS.items():
            with self.subTest(name):
                self.assertIn(self.states(server)[name], ["UNHEALTHY", "DEGRADED"])
                told = [event["ExceptionMessage"] for event in self.results(server, mark)
                        if event["EventId"] == 502 and self.set_of(event) == name]
                print(f"{name}: {told[0]}")
                self.assertRegex(" ".join(told), "ended as failed, unit result")

    # -- what the agent says

    @staticmethod
    def states(server):
        return {one["Name"]: one["State"]
                for one in server.json("health", check=False).get("HealthSets", [])}

    def wait_until_well(self, server):
        """Sets of what is not there do not count."""
        def well():
            states = self.states(server)
            return states.keys() >= UNITS.keys() and \
                set(states.values()) <= {"HEALTHY", "NOT_APPLICABLE"}
        try:
            server.wait_for(well, timeout=HEALTHY_SECONDS, what="all healthy")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{server.ctl('health', check=False).stdout}") from None

    @staticmethod
    def newest(server):
        return max(int(event["RecordId"]) for event in server.events())

    @staticmethod
    def results(server, mark):
        return [event for event in server.events("--channel", "RecoveryActionResults")
                if int(event["RecordId"]) > mark]

    @staticmethod
    def set_of(event):
        return next((name for name, unit in UNITS.items()
                     if event["ResourceName"].split("/")[0] == unit), None)

    def attempts(self, server, mark, event_id):
        return {self.set_of(event) for event in self.results(server, mark)
                if event["EventId"] == event_id} - {None}

    def wait_until(self, server, mark, event_id, names, what):
        """Until an attempt of each set ended so."""
        try:
            server.wait_for(lambda: self.attempts(server, mark, event_id) >= set(names), timeout=90)
        except AssertionError:
            missing = set(names) - self.attempts(server, mark, event_id)
            stories = [f"{name}: {server.ctl('health', name, check=False).stdout}"
                       for name in sorted(missing)]
            ends = [f"{event['EventId']} {event['ResourceName']} {event['ExceptionMessage']}"
                    for event in self.results(server, mark)]
            raise AssertionError(f"not {what} in 90 s:\n" + "\n".join(stories + ends)) from None

    @staticmethod
    def words(server, mark, name):
        """What monitors of a set said when they alerted."""
        return "\n".join(f"{event['Reason']} {event['Evidence']}"
                         for event in server.events("--channel", "MonitorResult", "--set", name)
                         if int(event["RecordId"]) > mark and event["IsAlert"])

    @staticmethod
    def fill_a_disk(server):
        """A small file system of a loop device, filled. False: this kernel gives none."""
        done = server.run("sh", "-ec", """
            mkdir -p /srv/data
            [ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
            for i in $(seq 0 15); do [ -e /dev/loop$i ] || mknod /dev/loop$i b 7 $i; done
            head -c 16m /dev/zero > /opt/disk
            mkfs.ext4 -q /opt/disk
            mount -o loop /opt/disk /srv/data
            head -c 16m /dev/zero > /srv/data/full 2>/dev/null || true""", check=False)
        if done.returncode != 0:
            print(f"no loop device: {done.stderr.strip()}")
        return done.returncode == 0


# -- this file's own judgement

class InAHurryTest(unittest.TestCase):

    def test_times_are_short_and_limits_are_gone(self):
        text = ('  probe {\n    interval: "10s"  # Why.\n    timeout: "5s"\n    tcp { port: 1 }\n  }\n'
                '  probe {\n    name: "Clock"\n    interval: "1m"\n    clock {}\n  }\n'
                '  monitor {\n    clear_after: "30s"\n  }\n'
                '  responder {\n    timeout: "1h"\n    settle: "2m"\n    ineffective_after: 2\n'
                '    throttle {\n      # x\n'
                '      local_minimum_minutes_between_attempts: 10\n    }\n  }\n')
        self.assertEqual(
            in_a_hurry(text),
            '  probe {\n    interval: "1s"  # Why.\n    timeout: "900ms"\n    tcp { port: 1 }\n  }\n'
            '  probe {\n    name: "Clock"\n    interval: "1m"\n    clock {}\n  }\n'
            '  monitor {\n    clear_after: "1s"\n  }\n'
            '  responder {\n    timeout: "1h"\n    settle: "1s" retry_after: "1s"\n    \n  }\n')


if __name__ == "__main__":
    unittest.main()
