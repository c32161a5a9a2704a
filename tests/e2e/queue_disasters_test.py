"""Disasters for real: machines with systemd, a real SMTP server, a real etcd, cut networks.

The server is lost; the network is cut; a message is dead. (The agent crashed: agent_crashed_test.py.)
Each walk is that of docs/OPERATING.md, and the invariant tool reads all nodes after it.
"""

import io
import tarfile
import unittest

from disasters import API_PORT, MAIL_PORT, Disaster, MailServer, QueueServer, group
from queues import check, smtp
from server import why_not
from walks import Walk

EXIT_DUPLICATE = 8


@unittest.skipIf(why_not(), why_not())
class TheNetworkIsCutTest(Disaster):
    def test_a_neighbour_tells_for_one_that_is_cut_off(self):
        walk = Walk("The network is cut")
        a, b, mail, core = self.bridge("a", "b", "mail", "core")
        settings = group("web", core) + smtp("ops", MAIL_PORT, mail.address)
        self.a = QueueServer(a, self.authority, settings, tells=4, every="1h")
        self.b = QueueServer(b, self.authority, settings,
                             queue="queue_processing: LOCALLY_FOR_OTHERS "
                                   f'accept_address: "{b.address}:{API_PORT}"')
        self.mail = MailServer(mail)
        self.bridge_.boot()
        self.mail.start()
        self.start_etcd(core)
        for server in (self.a, self.b):
            server.up()
        self.a.wait_for(lambda: "b" in self.acceptors(), what="the acceptor in etcd")

        self.a.cut(mail)
        self.a.tell(0)
        self.a.wait_for(lambda: self.a.queue_events(40003), what="a failure")
        self.assertIn("unreachable", walk.step(self.a, "salvectl queue list").stdout)
        self.assertIn(b.address, walk.step(self.a, "salvectl cluster acceptors").stdout)
        walk.step(self.a, "salvectl cluster test")
        walk.step(self.a, "salvectl cluster mode REMOTELY")
        self.wait_mails(1)
        self.assertTrue(self.a.queue_events(40014), "no word of the hand-over")
        self.assertTrue(self.told(1), "through the neighbour")

        # The neighbour accepts, can't deliver, and loses its power.
        self.b.cut(mail)
        self.a.tell(2)
        self.b.wait_for(self.b.queues, what="what it accepted")
        self.a.wait_for(lambda: not self.a.queues(), what="the hand-over")
        self.b.machine.kill()
        self.b.boot()  # The cut was of that boot.
        self.wait_mails(3)

        # It can't be reached either: what is told waits here.
        self.a.cut(b)
        self.a.tell(3)
        self.a.wait_for(lambda: self.a.queues() == {"remote/ops": 1}, timeout=90,
                        what="what waits")  # A connection that hangs is given up after 30 s.
        self.assertEqual(len(self.mail.mails()), 3)
        self.a.cut(mail, False)
        walk.step(self.a, "salvectl queue retry")
        walk.step(self.a, "salvectl queue wait-empty")
        walk.step(self.a, "salvectl cluster mode default")
        walk.end()
        self.assertIn("mode            LOCALLY", self.a.ctl("cluster", "list").stdout)
        self.assertEqual(self.mail.subjects(), [f"[a] T{i}/Bad is UNHEALTHY" for i in range(4)])
        for server in (self.a, self.b):
            server.wait_empty()
        check([self.a.state(), self.b.state()], receipts={"ops": self.mail.receipts()})

    def acceptors(self):
        return [one["Server"] for one in
                self.a.json("cluster", "acceptors", check=False).get("Acceptors", [])]

    def wait_mails(self, count):
        self.a.wait_for(lambda: len(self.mail.mails()) >= count, timeout=90,
                        what=f"{count} mails")

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
        refused, arrived = dead["remote/ops"]["Dmid"], dead["remote/collector"]["Dmid"]
        self.assertFalse(self.collector.is_active("salved"))

        walk = Walk("A message is dead", {"WEB1-0193A5B2C3D4-1F": refused,
                                          "WEB1-0193A5B2C3D4-20": arrived})
        listed = walk.step(self.a, "salvectl dead list").stdout
        self.assertIn("554", listed)
        self.assertIn("expired", listed)
        self.assertIn("trouble 0", walk.step(self.a, "salvectl dead show").stdout)
        self.assertIn("unknown", walk.step(self.a, "salvectl dead check", expected=3).stdout)
        self.mail.refuse(False)
        walk.step(self.a, "salvectl dead reregister")
        walk.step(self.a, "salvectl queue wait-empty")
        self.assertEqual(len(self.mail.mails()), 1)

        self.collector.fault(None)
        self.collector.up()
        checked = self.a.ctl("dead", "check", arrived, check=False)
        self.assertEqual(checked.returncode, EXIT_DUPLICATE, checked.stdout + checked.stderr)
        self.assertIn("arrived-", checked.stdout)
        again = self.a.ctl("dead", "reregister", arrived, check=False)
        self.assertEqual(again.returncode, EXIT_DUPLICATE, again.stdout + again.stderr)
        walk.step(self.a, "salvectl dead remove")
        walk.end()

        self.a.wait_empty()
        self.assertEqual(self.mail.subjects(), ["[a] T0/Bad is UNHEALTHY"])
        self.assertEqual(len(self.collector.events("--from", "a", "--event-id", "40009")), 1)
        check([self.a.state(), self.collector.state()])

    def dead(self):
        return self.a.json("dead", "list").get("Messages", [])


@unittest.skipIf(why_not(), why_not())
class TheServerIsLostTest(Disaster):
    def test_its_queue_is_adopted_and_each_message_arrives_once(self):
        self.walk = Walk("The server is lost", {"--discard 10": "--discard 2"})
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
        self.b.ctl("queue", "resume", "--all")  # What a person suspended stays suspended.

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

        # Emptied before its agent starts, it does no more of what it held.
        done = self.a.effects("thing")
        self.a.boot()
        self.a.ctl("actions", "pause", "--for", "2h", "--reason", "the test ends")
        for _ in range(2):
            self.a.defer("thing")
        self.a.run("systemctl", "stop", "salved")
        self.walk.step(self.a, "salvectl queue db reset")
        self.walk.end()
        self.a.up()
        self.a.ctl("actions", "resume")
        self.assertEqual((self.a.queues(), self.a.effects("thing")), ({}, done))

    def received(self):
        """MIDs of a. A crash of c may write an event twice, never take a message twice."""
        return {event["OriginMid"] for event in self.c.events(
            "--from", "a", "--channel", "Queue", "--event-id", "40009")}

    def adopt(self):
        """On b: /mnt/web1 is the disk of the lost server."""
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            archive.add(self.a.state(), arcname="salve")
        self.b.machine.run(["sh", "-ec", "mkdir -p /mnt/web1/var/lib; tar -x -C /mnt/web1/var/lib"],
                           input=tar.getvalue())
        db = lambda begins, **options: self.walk.step(self.b, "salvectl queue db " + begins, **options)
        db("pack")
        self.assertIn("Dirty", db("verify").stdout)
        db("recover")
        self.b.ctl("queue", "db", "recover", "/var/tmp/web1")  # May be run again.
        db("defrag")
        self.assertIn("Clean", self.b.ctl("queue", "db", "info", "/var/tmp/web1").stdout)
        db("prepare --begin")
        db("prepare", within=30)
        self.walk.step(self.b, "systemctl stop salved")
        db("adopt")
        self.walk.step(self.b, "systemctl start salved")
        self.b.up()
        self.assertIn("suspended", self.walk.step(self.b, "salvectl queue list").stdout)
        self.walk.step(self.b, "salvectl queue message list unreachable")


if __name__ == "__main__":
    unittest.main()
