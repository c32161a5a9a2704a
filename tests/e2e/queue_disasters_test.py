"""Disasters for real: machines with systemd, a real SMTP server, a real etcd, cut networks.

The server is lost; the network is cut; a message is dead. (The agent crashed: recover_test.py.)
Each walk is that of docs/OPERATING.md, and the invariant tool reads all nodes after it.
"""

import contextlib
import email
import email.policy
import glob
import io
import os
import tarfile
import tempfile
import time
import unittest

from certificates import Authority
from queues import ANY_TIME, Telling, check, configuration, smtp
from server import SALVED_WITH_FAULTS, Bridge, FleetServer, why_not

from machine import MachineError  # server.py says where it is.

STATE = "/var/lib/salve"
MAIL_PORT, API_PORT, ETCD_PORT = 25, 7443, 2379
EXIT_DUPLICATE = 8

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


class QueueServer(Telling, FleetServer):
    """One of a fleet. jobs: as QueueAgent's."""

    def __init__(self, machine, authority, settings, tells=0, jobs=None, queue="",
                 throttle=ANY_TIME):
        self.name = machine.name
        self.jobs = dict(jobs or {})
        name = machine.name
        for path, inside in zip(authority.issue(
                name, f"DNS:{name}.peer.example.org,IP:{machine.address}"), ("crt", "key")):
            machine.install(path, f"/etc/salve/{name}.{inside}", 0o600)
        machine.install(authority.certificate, "/etc/salve/ca.crt")
        super().__init__(
            machine, configuration(tells, self.jobs, "/srv"), throttle,
            f'server: "{name}" boot_grace: "0s"\nqueue {{ retry {{ times: 999 every: "1s" }} '
            f'{queue} }}\n'
            + REMOTE.format(name=name, address=machine.address, port=API_PORT) + settings)
        with open(SALVED_WITH_FAULTS, "rb") as file:
            machine.install(file.read(), "/usr/local/sbin/salved-real", 0o755)
        machine.install(FAULTY, "/usr/local/sbin/salved", 0o755)

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

    def stay_down(self):
        """Is not started again by systemd when it dies, until the next boot."""
        self.run("sh", "-ec", "mkdir -p /run/systemd/system/salved.service.d; printf "
                 "'[Service]\\nRestart=no\\n' >/run/systemd/system/salved.service.d/no.conf;"
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

    def bridge(self, *names):
        bridge = Bridge(len(names), names=list(names))
        self.addCleanup(bridge.destroy)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.authority = Authority(self.folder, "fleet")
        self.bridge_ = bridge
        return bridge.machines

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


@unittest.skipIf(why_not(), why_not())
class TheNetworkIsCutTest(Disaster):
    def test_a_neighbour_tells_for_one_that_is_cut_off(self):
        a, b, mail, core = self.bridge("a", "b", "mail", "core")
        settings = (f'group: "web" coordinator {{ etcd {{ endpoint: "http://{core.address}:'
                    f'{ETCD_PORT}" }} }}\n' + smtp("ops", MAIL_PORT, mail.address))
        self.a = QueueServer(a, self.authority, settings, tells=4,
                             queue="queue_processing: REMOTELY")
        self.b = QueueServer(b, self.authority, settings,
                             queue="queue_processing: LOCALLY_FOR_OTHERS "
                                   f'accept_address: "{b.address}:{API_PORT}"')
        self.mail = MailServer(mail)
        self.bridge_.boot()
        self.mail.start()
        etcd = core.popen(["etcd", "--data-dir=/var/tmp/etcd",
                           f"--listen-client-urls=http://{core.address}:{ETCD_PORT}",
                           f"--advertise-client-urls=http://{core.address}:{ETCD_PORT}",
                           "--logger=zap", "--log-level=error"])
        self.addCleanup(lambda: (etcd.kill(), etcd.wait()))
        for server in (self.a, self.b):
            server.up()
        self.a.wait_for(lambda: "b" in self.acceptors(), what="the acceptor in etcd")
        self.assertEqual(self.a.ctl("cluster", "test").returncode, 0)

        self.a.cut(mail)
        self.assertTrue(self.told(0), "through the neighbour")
        self.assertTrue(self.a.queue_events(40014), "no word of the hand-over")

        # The neighbour can't be reached either: what is told waits here.
        self.a.cut(b)
        self.a.tell(1)
        # A connection that hangs is given up after 30 s.
        self.a.wait_for(lambda: self.a.queue_events(40003), timeout=90, what="a failure")
        time.sleep(2)  # It would come at once.
        self.assertEqual(len(self.mail.mails()), 1)
        self.assertEqual(sum(self.a.queues().values()), 1)
        self.a.cut(mail, False)
        self.wait_mails(2)
        self.a.cut(mail)
        self.a.cut(b, False)

        # The neighbour accepts, can't deliver, and loses its power.
        self.b.cut(mail)
        self.a.wait_for(lambda: self.a.ctl("cluster", "test", check=False).returncode == 0,
                        what="the neighbour again")
        self.a.tell(2)
        self.b.wait_for(self.b.queues, timeout=90, what="what it accepted")
        self.a.wait_for(lambda: not self.a.queues(), what="the hand-over")
        self.b.machine.kill()
        self.b.boot()  # The cut was of that boot.
        self.wait_mails(3)
        self.assertTrue(self.told(3), "as before")
        self.assertEqual(self.mail.subjects(), [f"[a] T{i}/Bad is UNHEALTHY" for i in range(4)])
        for server in (self.a, self.b):
            server.wait_empty()
        check([self.a.state(), self.b.state()], receipts={"ops": self.mail.receipts()})

    def acceptors(self):
        return [one["Server"] for one in
                self.a.json("cluster", "acceptors", check=False).get("Acceptors", [])]

    def wait_mails(self, count):
        self.a.wait_for(lambda: len(self.mail.mails()) >= count, what=f"{count} mails")

    def told(self, i):
        before = len(self.mail.mails())
        self.a.tell(i)
        self.wait_mails(before + 1)
        return True


@unittest.skipIf(why_not(), why_not())
class AMessageIsDeadTest(Disaster):
    def test_one_that_a_relay_refused_is_revived_and_one_that_had_arrived_is_not(self):
        a, mail, collector = self.bridge("a", "mail", "collector")
        self.a = QueueServer(
            a, self.authority, smtp("ops", MAIL_PORT, mail.address)
            + f'destination {{ name: "collector" forward {{ '
              f'address: "{collector.address}:{API_PORT}" }} }}\n',
            tells=2, queue='expire: "15s"')
        self.collector = QueueServer(collector, self.authority, "")
        self.mail = MailServer(mail)
        self.bridge_.boot()
        self.mail.start()
        self.mail.refuse()
        # The collector dies when it has taken the message and not yet answered, and stays down.
        self.collector.fault("queue.transfer.answer")
        self.collector.run("systemctl", "start", "salved")
        self.collector.wait_for(self.collector.answers, what="the collector")
        self.collector.stay_down()
        self.a.up()
        self.a.tell(0)
        self.a.wait_for(lambda: len(self.dead()) == 2, timeout=60, what="two dead messages")
        dead = {row["FormerQueue"]: row for row in self.dead()}
        self.assertFalse(self.collector.is_active("salved"))

        # As docs/OPERATING.md has it.
        refused = dead["remote/ops"]["Dmid"]
        self.assertIn("554", dead["remote/ops"]["Reason"])
        self.assertIn("trouble 0", self.a.ctl("dead", "show", "-i", refused).stdout)
        self.assertIn("unknown", self.a.ctl("dead", "check", refused, check=False).stdout)
        self.mail.refuse(False)
        self.a.ctl("dead", "reregister", refused, "--unchecked")
        self.a.wait_for(lambda: self.mail.mails(), what="the mail")

        arrived = dead["remote/collector"]["Dmid"]
        self.assertIn("expired", dead["remote/collector"]["Reason"])
        self.collector.fault(None)
        self.collector.up()
        checked = self.a.ctl("dead", "check", arrived, check=False)
        self.assertEqual(checked.returncode, EXIT_DUPLICATE, checked.stdout + checked.stderr)
        self.assertIn("arrived-", checked.stdout)
        again = self.a.ctl("dead", "reregister", arrived, check=False)
        self.assertEqual(again.returncode, EXIT_DUPLICATE, again.stdout + again.stderr)
        self.a.ctl("dead", "remove", arrived, "--reason", "it had arrived")

        self.a.wait_empty()
        self.assertEqual(self.mail.subjects(), ["[a] T0/Bad is UNHEALTHY"])
        self.assertEqual(len(self.collector.events("--from", "a", "--event-id", "40009")), 1)
        check([self.a.state(), self.collector.state()])

    def dead(self):
        return self.a.json("dead", "list").get("Messages", [])


@unittest.skipIf(why_not(), why_not())
class TheServerIsLostTest(Disaster):
    def test_its_queue_is_adopted_and_each_message_arrives_once(self):
        a, b, c = self.bridge("a", "b", "c")
        to_c = "".join(f'destination {{ name: "c{i}" forward {{ '
                       f'address: "{c.address}:{API_PORT}" }} }}\n' for i in (1, 2))
        self.a = QueueServer(a, self.authority, to_c, tells=5, jobs={"thing": "true"})
        self.b = QueueServer(b, self.authority, to_c, jobs={"thing": "true"})
        self.c = QueueServer(c, self.authority, "")
        self.boot(self.a, self.b)
        # Ten wait, for two destinations, and an action of its own that is held.
        self.a.ctl("actions", "pause", "--for", "2h", "--reason", "the test begins")
        for queue in ("remote/c1", "remote/c2"):
            self.a.ctl("queue", "suspend", queue, "--reason", "the test begins")
        self.a.tell(*range(5))
        self.a.defer("thing")
        self.a.wait_for(lambda: sum(self.a.queues().values()) == 11, what="eleven that wait")
        # Two were sent, and their acknowledgements lost: c dies before it answers.
        self.c.fault("queue.transfer.answer")
        self.c.stay_down()
        for queue in ("remote/c1", "remote/c2"):
            self.c.up()
            self.a.ctl("queue", "resume", queue)
            self.c.wait_for(lambda: not self.c.is_active("salved"), what="its end")
            self.a.ctl("queue", "suspend", queue, "--reason", "the test goes on")
        self.a.machine.kill()
        self.c.fault(None)
        self.c.up()
        self.assertEqual(len(self.received()), 2)

        self.adopt()

        self.c.wait_for(lambda: len(self.received()) == 10, what="ten of ten")
        self.b.wait_for(lambda: self.b.queues() == {"unreachable": 1}, what="what is left")
        unreachable, = self.b.messages("unreachable")
        self.assertEqual((unreachable["Type"], unreachable["Reason"]), ("UP", "host-bound:a"))
        self.assertEqual((self.a.effects("thing"), self.b.effects("thing")), (0, 0))
        before = self.b.queues(), self.b.effects("thing")

        # It comes back, with its old queue, again and again.
        for _ in range(2):
            self.a.boot()
            self.a.ctl("actions", "resume")
            self.a.ctl("queue", "resume", "--all")
            self.a.wait_for(lambda: not self.a.queues(), what="its own deliveries")
            self.a.machine.kill()
        self.assertEqual((self.b.queues(), self.b.effects("thing")), before)
        self.assertEqual(len(self.received()), 10)
        check([self.b.state(), self.c.state()], abandoned=[self.a.state()],
              effects=[("a", "thing")] * self.a.effects("thing"))

    def received(self):
        """MIDs of a. A crash of c may write an event twice, never take a message twice."""
        return {event["OriginMid"] for event in self.c.events(
            "--from", "a", "--channel", "Queue", "--event-id", "40009")}

    def adopt(self):
        """As docs/OPERATING.md has it, on b: /mnt/a is the disk of the lost server."""
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            archive.add(self.a.state(), arcname="salve")
        self.b.machine.run(["sh", "-ec", "mkdir -p /mnt/a/var/lib; tar -x -C /mnt/a/var/lib"],
                           input=tar.getvalue())
        db = lambda *argv, **options: self.b.ctl("queue", "db", *argv, **options)
        db("pack", "/var/tmp/a", "--state-dir", "/mnt/a/var/lib/salve")
        self.assertIn("Dirty", db("info", "/var/tmp/a").stdout)
        db("verify", "/var/tmp/a")
        db("recover", "/var/tmp/a")
        db("recover", "/var/tmp/a")  # May be run again.
        db("defrag", "/var/tmp/a/queue.db")
        self.assertIn("Clean", db("info", "/var/tmp/a").stdout)
        db("prepare", "--begin", "--reason", "takes over a", check=False)
        self.b.wait_for(lambda: db("prepare", check=False).returncode == 0, what="readiness")
        self.b.run("systemctl", "stop", "salved")
        db("adopt", "/var/tmp/a")
        self.b.up()
        self.b.ctl("queue", "resume", "--all")  # What a person suspended stays suspended.


if __name__ == "__main__":
    unittest.main()
