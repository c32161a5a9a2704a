"""Servers and disasters of the durable queue, in machines with systemd, postfix and etcd.

    class TheRelayIsAwayTest(Disaster):
        def test_…(self):
            a, mail = self.bridge("a", "mail")
            server, relay = QueueServer(a, self.authority, smtp("ops", MAIL_PORT, mail.address)), MailServer(mail)
            self.boot(server)
"""

import contextlib
import email
import email.policy
import glob
import os
import tempfile
import unittest

from certificates import Authority
from queues import ANY_TIME, Telling, configuration
from server import SALVED_WITH_FAULTS, Bridge, FleetServer

from machine import MachineError  # server.py says where it is.

STATE = "/var/lib/salve"
MAIL_PORT, API_PORT, ETCD_PORT = 25, 7443, 2379

# Takes mail for ops@example.com into a folder, one file a mail.
POSTFIX = """compatibility_level = 3.6
myhostname = mail.example.com
mydestination =
mynetworks = 10.77.0.0/24
inet_interfaces = all
inet_protocols = ipv4
alias_maps =
alias_database =
biff = no
virtual_mailbox_domains = example.com
virtual_mailbox_maps = static:ops/
virtual_mailbox_base = /var/vmail
virtual_minimum_uid = 1
virtual_uid_maps = static:8
virtual_gid_maps = static:8
virtual_transport = virtual
"""

REMOTE = """remote {{
  listen: "{address}:{port}" certificate_file: "/etc/salve/{name}.crt"
  key_file: "/etc/salve/{name}.key" client_ca_file: "/etc/salve/ca.crt"
  role {{ role: PEER san: "*.peer.example.org" }}
}}
"""

# With a fault point that is armed while /etc/salve/fault is there.
FAULTY = b"""#!/bin/sh
[ ! -e /etc/salve/fault ] || export SALVE_FAULT="$(cat /etc/salve/fault)"
exec /usr/local/sbin/salved-real "$@"
"""


def group(name, machine):
    """Settings of a server of a group whose etcd is on this machine."""
    return (f'group: "{name}" coordinator {{ etcd {{ '
            f'endpoint: "http://{machine.address}:{ETCD_PORT}" }} }}\n')


class QueueServer(Telling, FleetServer):
    """One of a fleet. jobs: as QueueAgent's; sets: more health sets; every: between attempts."""

    def __init__(self, machine, authority, settings, tells=0, jobs=None, queue="",
                 throttle=ANY_TIME, sets="", every="1s"):
        self.name = machine.name
        self.jobs = dict(jobs or {})
        name = machine.name
        for path, inside in zip(authority.issue(
                name, f"DNS:{name}.peer.example.org,IP:{machine.address}"), ("crt", "key")):
            machine.install(path, f"/etc/salve/{name}.{inside}", 0o600)
        machine.install(authority.certificate, "/etc/salve/ca.crt")
        super().__init__(
            machine, configuration(tells, self.jobs, "/srv") + sets, throttle,
            f'server: "{name}" boot_grace: "0s"\nqueue {{ retry {{ times: 999 every: "{every}" }} '
            f'{queue} }}\n'
            + REMOTE.format(name=name, address=machine.address, port=API_PORT) + settings)
        with open(SALVED_WITH_FAULTS, "rb") as file:
            machine.install(file.read(), "/usr/local/sbin/salved-real", 0o755)
        for path in ("/usr/local/sbin/salved", "/usr/sbin/salved"):  # The latter: what recover runs.
            machine.install(FAULTY, path, 0o755)

    def state(self):
        """Its state folder, as the host sees it: also when it is off."""
        return f"{self.machine.disk}/upper{STATE}"

    def cut(self, other, cut=True):
        """This machine no longer reaches that one."""
        self.run("ip", "route", "add" if cut else "delete", "unreachable", f"{other.address}/32")

    def fault(self, point):
        """From its next start on; None: no more."""
        if point is None:
            self.run("rm", "-f", "/etc/salve/fault")
        else:
            self.machine.install(point.encode(), "/etc/salve/fault")

    def stay_down(self, down=True):
        """Is not started again by systemd when it dies, until the next boot."""
        restart = "no" if down else "always"
        self.run("sh", "-ec", "mkdir -p /run/systemd/system/salved.service.d; printf "
                 f"'[Service]\\nRestart={restart}\\n' >/run/systemd/system/salved.service.d/no.conf;"
                 "systemctl daemon-reload; systemctl reset-failed salved || true")

    def boot(self):
        self.machine.boot()
        self.up()

    def up(self):
        self.run("systemctl", "start", "salved")
        self.wait_for(self.answers, what=f"the agent of {self.name}")

    def effects(self, job):
        path = f"{self.machine.disk}/upper/srv/effects-{job}"
        if not os.path.exists(path):
            return 0
        with open(path, encoding="utf-8") as file:
            return file.read().count("ran")


class MailServer:
    """postfix in a machine."""

    def __init__(self, machine):
        self.machine = machine
        machine.install(POSTFIX.encode(), "/etc/postfix/main.cf")

    def start(self):
        self.machine.run(["sh", "-ec", "install -d -o mail -g mail /var/vmail; "
                                       "systemctl start postfix@-.service"])

    def refuse(self, refuse=True):
        rule = "check_recipient_access inline:{ops@example.com=reject}" if refuse else ""
        self.machine.run(["sh", "-ec", f"postconf -e 'smtpd_recipient_restrictions={rule}'; "
                                       "postfix reload"])

    def mails(self):
        found = []
        for path in glob.glob(f"{self.machine.disk}/upper/var/vmail/ops/new/*"):
            with open(path, "rb") as file:
                found.append(email.message_from_binary_file(file, policy=email.policy.default))
        return found

    def subjects(self):
        return sorted(str(mail["Subject"]) for mail in self.mails())

    def receipts(self):
        return [{"Id": str(mail["Message-ID"]).strip("<>").rpartition("@")[0], "Taken": True,
                 "Answer": "accept"} for mail in self.mails()]


class Disaster(unittest.TestCase):
    """Machines of these names on one network; a certificate authority."""

    def bridge(self, *names, **options):
        bridge = Bridge(len(names), names=list(names), **options)
        self.addCleanup(bridge.destroy)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.authority = Authority(self.folder, "fleet")
        self.bridge_ = bridge
        return bridge.machines

    def start_etcd(self, machine):
        url = f"http://{machine.address}:{ETCD_PORT}"
        etcd = machine.popen(["etcd", "--data-dir=/var/tmp/etcd", f"--listen-client-urls={url}",
                              f"--advertise-client-urls={url}", "--logger=zap",
                              "--log-level=error"])
        self.addCleanup(lambda: (etcd.kill(), etcd.wait()))

    def boot(self, *servers):
        self.bridge_.boot()
        for server in servers:
            server.up()

    def run(self, result=None):
        """With what the machines say when it fails."""
        done = super().run(result)
        if result is not None and any(test is self for test, _ in
                                      result.failures + result.errors):
            for machine in getattr(self, "bridge_", None) and self.bridge_.machines or []:
                with contextlib.suppress(OSError, MachineError):
                    print(machine.logs(40))
        return done
