"""The durable queue of a plain salved, with a relay whose answers are scripted.

After each test the invariant tool reads what is left.
"""

import glob
import os
import shutil
import signal
import tempfile
import time
import unittest

from certificates import Authority, free_port
from mail_sink import MailSink
from queues import SOON, QueueAgent, policy, smtp
from server import SALVED_WITH_FAULTS

EXIT_PRECONDITION, EXIT_DUPLICATE, EXIT_TIMED_OUT = 3, 8, 11
IS_ROOT = os.geteuid() == 0


class DeliveryTest(unittest.TestCase):
    def test_what_is_told_arrives_once_and_is_done(self):
        with MailSink() as sink, QueueAgent(sink=sink) as agent:
            agent.tell(0, 1, 2)
            sink.wait_for(3)
            agent.wait_empty()
            accepted = agent.queue_events(40001)
            self.assertEqual(len(accepted), 3)
            self.assertEqual({event["Type"] for event in accepted}, {"AF"})
            self.assertEqual(sorted(mail.id for mail in sink.mails),
                             sorted(event["Mid"] for event in accepted))
            agent.well(0)
            sink.wait_for(4)
            self.assertEqual(sink.subjects()[3], "[web1] T0/Bad is healthy again")
            agent.wait_empty()
            agent.wait_for(lambda: len(agent.queue_events(40002)) == 4, what="the ends")
            shown = agent.message(accepted[0]["Mid"])
            self.assertEqual(shown["State"], "done")
            agent.check(receipts={"ops": sink.receipts()})

    def test_a_relay_that_says_later_is_asked_again(self):
        with MailSink("4xx", "4xx") as sink, QueueAgent(sink=sink) as agent:
            agent.tell(0)
            agent.wait_for(lambda: agent.queue_events(40003), what="the first failure")
            sink.wait_for(1)
            agent.wait_empty()
            self.assertEqual([mail.answer for mail in sink.mails], ["4xx", "4xx", "accept"])
            self.assertEqual(len({mail.id for mail in sink.mails}), 1)
            self.assertIn("451 4.3.0 not now", agent.queue_events(40003)[0]["Reason"])
            agent.check(receipts={"ops": sink.receipts()})

    def test_a_relay_that_is_away_costs_no_delivery(self):
        with MailSink() as sink, QueueAgent(sink=sink, queue='deliveries_max: 1 '
                                            'retry { times: 9 every: "1s" }') as agent:
            sink.down()
            agent.tell(0)
            agent.wait_for(lambda: len(agent.queue_events(40003)) >= 2, what="two failures")
            row, = agent.messages()
            self.assertGreaterEqual(row["Attempts"], 2)
            self.assertEqual(row.get("Deliveries", 0), 0)
            self.assertEqual(row["Queue"], "remote/ops")
            sink.up()
            sink.wait_for(1)
            agent.wait_empty()
            agent.check(receipts={"ops": sink.receipts()})

    def test_what_waits_survives_kill_9_and_arrives(self):
        with MailSink() as sink, QueueAgent(sink=sink) as agent:
            sink.down()
            agent.tell(0, 1, 2)
            agent.wait_for(lambda: len(agent.messages()) == 3, what="three that wait")
            mids = [row["Mid"] for row in agent.messages()]
            agent.again(signal.SIGKILL)
            self.assertEqual(sorted(row["Mid"] for row in agent.messages()), sorted(mids))
            sink.up()
            sink.wait_for(3)
            agent.wait_empty()
            agent.check(accepted=mids, receipts={"ops": sink.receipts()})

    def test_a_lost_answer_brings_a_second_copy_under_the_same_name(self):
        with MailSink("drop") as sink, QueueAgent(sink=sink) as agent:
            agent.tell(0)
            sink.wait_for(2)
            agent.wait_empty()
            self.assertEqual(len({mail.id for mail in sink.mails}), 1)
            agent.check(receipts={"ops": sink.receipts()})

    def test_more_than_the_limit_of_a_window_go_as_one_digest(self):
        with MailSink() as sink, QueueAgent(
                6, sink=sink, settings='escalation { digest_after: 2 digest_window: "10s" }') as agent:
            agent.tell(*range(6))
            agent.wait_empty(timeout=40)
            self.assertEqual(len(sink.mails), 3, sink.subjects())
            digest = sink.mails[2].message.get_content()
            alone = {mail.subject for mail in sink.mails[:2]}
            for i in range(6):
                subject = f"[web1] T{i}/Bad is UNHEALTHY"
                self.assertTrue(subject in alone or f"T{i}/Bad" in digest, digest)
            agent.check(receipts={"ops": sink.receipts()})

    def test_a_stalling_relay_holds_up_nobody_else(self):
        with MailSink(then="stall") as slow, MailSink() as good, QueueAgent(
                sink=good, settings='escalation { timeout: "2s" digest_after: 1000 }\n'
                + smtp("slow", slow.port)) as agent:
            agent.tell(0, 1)
            good.wait_for(2)
            self.assertEqual({row["Queue"] for row in agent.messages()}, {"remote/slow"})
            agent.wait_for(lambda: agent.queue_events(40003), what="the slow one's time to be over")
            slow.answer()
            agent.wait_empty()
            agent.check(receipts={"ops": good.receipts(), "slow": slow.receipts()})


class ControlTest(unittest.TestCase):
    def test_a_suspended_queue_takes_and_delivers_nothing(self):
        with MailSink() as sink, QueueAgent(sink=sink) as agent:
            agent.ctl("queue", "suspend", "remote/ops", "--reason", "the relay moves")
            agent.tell(0)
            agent.wait_for(lambda: agent.messages("remote/ops"), what="the message")
            agent.again(signal.SIGTERM)
            row, = agent.json("queue", "list", "remote/ops")["Queues"]
            self.assertEqual((row["State"], row["Messages"]), ("suspended", "1"))
            self.assertEqual(sink.mails, [])
            waited = agent.ctl("queue", "wait-empty", "--timeout", "1s", check=False)
            self.assertEqual(waited.returncode, EXIT_TIMED_OUT, waited.stderr)
            self.assertIn("suspended: remote/ops", waited.stderr)
            agent.ctl("queue", "resume", "remote/ops")
            agent.ctl("queue", "wait-empty", "--timeout", "20s")
            self.assertEqual(len(sink.mails), 1)
            agent.check(receipts={"ops": sink.receipts()})

    def test_a_paused_service_neither_accepts_nor_delivers(self):
        with MailSink() as sink, QueueAgent(sink=sink, jobs={"thing": "true"}) as agent:
            sink.down()
            agent.tell(0)
            agent.wait_for(agent.messages, what="the message")
            agent.ctl("queue", "pause", "--reason", "moving")
            sink.up()
            refused = agent.ctl("action", "run", "thing/Run-thing", "--defer", check=False)
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("paused", refused.stderr)
            agent.again()  # It survives.
            self.assertTrue(agent.json("queue", "list")["Paused"])
            self.assertEqual(sink.mails, [])
            agent.ctl("queue", "resume-service")
            sink.wait_for(1)
            agent.wait_empty()
            agent.check(receipts={"ops": sink.receipts()})

    def test_removing_suspending_exporting_and_importing(self):
        with MailSink() as sink, MailSink() as there, QueueAgent(sink=sink) as agent, \
                QueueAgent(sink=there, server="web2") as other, \
                tempfile.TemporaryDirectory() as folder:
            sink.down()
            agent.tell(0, 1, 2)
            agent.wait_for(lambda: len(agent.messages()) == 3, what="three that wait")
            first, second, third = [row["Mid"] for row in agent.messages()]
            early = agent.ctl("queue", "message", "export", first, "-d", folder, check=False)
            self.assertEqual(early.returncode, EXIT_PRECONDITION, early.stderr)
            agent.wait_for(lambda: self.suspends(agent, first), what="its suspension")
            agent.ctl("queue", "message", "export", first, "-d", folder)
            exported, = glob.glob(os.path.join(folder, "*.msg"))
            again = agent.ctl("queue", "message", "export", first, "-d", folder, check=False)
            self.assertNotEqual(again.returncode, 0)
            here = agent.ctl("queue", "message", "import", exported, check=False)
            self.assertEqual(here.returncode, EXIT_DUPLICATE, here.stderr)
            agent.ctl("queue", "message", "remove", first, "--reason", "it goes elsewhere")
            other.ctl("queue", "message", "import", exported)
            there.wait_for(1)
            twice = other.ctl("queue", "message", "import", exported, check=False)
            self.assertEqual(twice.returncode, EXIT_DUPLICATE, twice.stderr)

            agent.ctl("queue", "message", "remove", second, "--reason", "told by phone")
            agent.wait_for(lambda: len(agent.queue_events(40007)) == 2, what="the removals")
            self.assertEqual(agent.message(second)["State"], "removed")
            sink.up()
            sink.wait_for(1)
            agent.wait_empty()
            other.wait_empty()
            self.assertEqual([mail.id for mail in sink.mails], [third])
            agent.check([other])

    def suspends(self, agent, mid):
        """It takes effect at once, or once the attempt under way has failed."""
        agent.ctl("queue", "message", "suspend", mid)
        return agent.message(mid)["State"] == "suspended"


class DeadTest(unittest.TestCase):
    def dead(self, agent):
        return agent.json("dead", "list").get("Messages", [])

    def test_one_that_is_refused_dies_and_is_reregistered(self):
        with MailSink("5xx") as sink, QueueAgent(sink=sink) as agent:
            agent.tell(0)
            agent.wait_for(lambda: self.dead(agent), what="the dead message")
            row, = self.dead(agent)
            self.assertRegex(row["Dmid"], "^[A-Z0-9-]{1,39}$")
            self.assertEqual(row["FormerQueue"], "remote/ops")
            self.assertIn("554 5.7.1 never", row["Reason"])
            event, = agent.queue_events(40012)
            self.assertEqual((event["Mid"], event["Dmid"], event["FormerQueue"]),
                             (row["Mid"], row["Dmid"], "remote/ops"))
            shown = agent.ctl("dead", "show", "-i", row["Dmid"]).stdout
            self.assertIn("trouble 0", shown)
            self.assertNotIn("trouble 0",
                             agent.ctl("dead", "show", "-n", "1", "-e", "5", "-p").stdout)
            # A relay can't be asked.
            checked = agent.ctl("dead", "check", row["Dmid"], check=False)
            self.assertEqual(checked.returncode, EXIT_PRECONDITION, checked.stdout)
            self.assertIn("unknown", checked.stdout)
            refused = agent.ctl("dead", "reregister", row["Dmid"], check=False)
            self.assertEqual(refused.returncode, EXIT_PRECONDITION, refused.stderr)
            agent.ctl("dead", "reregister", row["Dmid"], "--unchecked")
            sink.wait_for(1)
            agent.wait_empty()
            event, = agent.queue_events(40013)
            self.assertEqual(event["Mid"], row["Mid"])
            self.assertNotEqual(event["NewMid"], row["Mid"])
            agent.wait_for(lambda: agent.queue_events(40002, event["NewMid"]), what="its end")
            agent.check(accepted=[row["Mid"], event["NewMid"]])

    def test_one_that_fails_too_often_and_one_that_expires_die(self):
        with MailSink(then="4xx") as sink, MailSink() as away, QueueAgent(
                sink=sink, queue='deliveries_max: 2 expire: "5s" retry { times: 9 every: "1s" }',
                settings=smtp("away", away.port)) as agent:
            away.down()
            agent.tell(0)
            agent.wait_for(lambda: len(self.dead(agent)) == 2, what="both")
            reasons = {row["FormerQueue"]: row["Reason"] for row in self.dead(agent)}
            self.assertEqual(len(sink.mails), 2)
            self.assertIn("expired", reasons["remote/away"])
            self.assertIn("2", reasons["remote/ops"])
            gone = self.dead(agent)[0]["Dmid"]
            agent.ctl("dead", "remove", gone, "--reason", "told by phone")
            agent.again()
            self.assertEqual(len(self.dead(agent)), 1)
            agent.wait_for(lambda: len(agent.queue_events(40007)) == 1, what="its event")
            agent.check()


class DeferTest(unittest.TestCase):
    def test_a_deferred_action_runs_once(self):
        with QueueAgent(jobs={"thing": "true"}) as agent:
            mid = agent.defer("thing", "--reason", "asked by the desk")
            agent.wait_for(lambda: agent.effects("thing") == 1, what="the effect")
            agent.wait_empty()
            agent.wait_for(lambda: agent.queue_events(40002, mid), what="its end")
            attempt, = agent.json("action", "list")["Attempts"]
            self.assertTrue(attempt["Requester"].startswith(f"deferred:{mid}"), attempt)
            agent.again()
            agent.check(accepted=[mid])
            self.assertEqual(agent.effects("thing"), 1)

    def test_one_that_fails_is_failed_and_not_tried_again(self):
        with QueueAgent(jobs={"thing": "exit 3"}) as agent:
            mid = agent.defer("thing")
            agent.wait_for(lambda: agent.queue_events(40004, mid), what="its end")
            agent.wait_empty()
            self.assertEqual(agent.effects("thing"), 1)
            agent.check(accepted=[mid])

    def test_one_that_the_throttle_refuses_waits_until_it_expires(self):
        with QueueAgent(jobs={"thing": "true", "other": "true"},
                        throttle=policy(minutes=60, action="RunCommand")) as agent:
            first = agent.defer("thing")
            agent.wait_for(lambda: agent.effects("thing") == 1, what="the first")
            second = agent.defer("thing", "--expire", "5s")
            third = agent.defer("other")  # Another resource: not held up.
            agent.wait_for(lambda: agent.effects("other") == 1, what="the other")
            self.assertEqual([row["Mid"] for row in agent.messages("local/thing")], [second])
            agent.wait_for(lambda: agent.queue_events(40005, second), what="its end")
            self.assertIn("LocalMinimumMinutes", agent.queue_events(40005, second)[0]["Reason"])
            agent.wait_empty()
            self.assertEqual(agent.effects("thing"), 1)
            agent.check(accepted=[first, second, third], limits={"thing": 1})

    def test_those_of_a_resource_run_one_at_a_time_and_the_urgent_ones_first(self):
        with QueueAgent(jobs={"thing": "sleep 0.3", "other": "sleep 0.3"}, start=False) as agent:
            path = agent.path("conf.d/test.textproto")
            with open(path, encoding="utf-8") as file:
                agent.write(path, file.read().replace('resource: "other"', 'resource: "thing"'))
            agent.start()
            agent.wait_ready()
            mids = [agent.defer("thing", "--priority=-5") for _ in range(4)]
            urgent = agent.defer("other", "--priority=5")
            agent.wait_empty()
            agent.wait_for(lambda: len(agent.queue_events(40002)) == 5, what="the ends")
            ended = [event["Mid"] for event in agent.queue_events(40002)]
            self.assertEqual([mid for mid in ended if mid != urgent], mids)
            self.assertLess(ended.index(urgent), 4, ended)
            events = agent.events("--channel", "RecoveryActionResults")
            self.assertEqual([event["EventId"] for event in events], [500, 501] * 5)
            agent.check(accepted=[*mids, urgent],
                        effects=[("web1", "thing")] * (agent.effects("thing")
                                                       + agent.effects("other")))


class PoisonTest(unittest.TestCase):
    def test_an_action_that_kills_the_agent_twice_is_quarantined_and_the_rest_goes_on(self):
        kills = "while [ ! -e armed ]; do sleep 0.1; done; kill -9 $PPID"
        with MailSink() as sink, QueueAgent(sink=sink, jobs={"bad": kills, "good": "true"}) as agent:
            mids = [agent.defer("bad") for _ in range(4)]
            agent.write("armed", "")
            self.assertEqual(agent.process.wait(timeout=30), -9)
            agent.start()  # The second of them runs, and it dies again.
            self.assertEqual(agent.process.wait(timeout=30), -9)
            agent.start()
            agent.wait_ready()
            agent.wait_for(lambda: "local/bad" not in agent.queues(), what="its quarantine")
            poison = agent.messages("poison")
            self.assertEqual([row["Mid"] for row in poison], mids[1:])
            for row in poison:
                self.assertEqual(row["State"], "suspended")
                self.assertIn("killed the agent", row["Reason"])
            self.assertEqual(agent.message(mids[0])["State"], "failed")
            self.assertEqual(agent.effects("bad"), 2)
            self.assertTrue(any("poison" in warning for warning in agent.info()["Warnings"]),
                            agent.info())
            # The rest goes on.
            agent.tell(0)
            good = agent.defer("good")
            sink.wait_for(1)
            agent.wait_for(lambda: agent.effects("good") == 1, what="the good one")
            agent.wait_for(lambda: agent.queues() == {"poison": 3}, what="its end")
            # Not in bulk; one by one it may leave.
            agent.ctl("queue", "retry", "poison", "--resubmit", check=False)
            self.assertEqual(agent.queues(), {"poison": 3})
            agent.ctl("queue", "message", "remove", mids[1], "--reason", "it kills")
            agent.wait_for(lambda: agent.queue_events(40007, mids[1]), what="its end")
            agent.check(accepted=[*mids, good], receipts={"ops": sink.receipts()})


@unittest.skipUnless(IS_ROOT, "mounts a file system")
class FullDiskTest(unittest.TestCase):
    def test_own_messages_go_into_the_reserve_and_on_when_there_is_room(self):
        with MailSink() as sink, QueueAgent(40, sink=sink, start=False, prefix=[
                "unshare", "-m", "sh", "-c",
                'mount -t tmpfs -o size=48m none "$0/state" && exec "$@"']) as agent:
            os.mkdir(agent.state)
            agent.prefix.append(agent.dir)
            agent.start()
            agent.wait_ready()
            sink.down()
            inside = f"/proc/{agent.process.pid}/root{agent.state}"
            with open(f"{inside}/fill", "wb", buffering=0) as fill:
                try:
                    while True:
                        fill.write(b"x" * 65536)
                except OSError:
                    pass
            agent.tell(*range(20))
            agent.wait_for(lambda: len(agent.messages()) == 20, what="twenty on a full disk")
            sink.up()
            sink.wait_for(20)
            os.remove(f"{inside}/fill")
            agent.wait_empty(timeout=90)
            agent.tell(20)
            sink.wait_for(21)
            agent.wait_empty()
            agent.wait_for(lambda: len(agent.queue_events(40002)) == 21, timeout=90,
                           what="all ends in the store")
            agent.check(folders=[inside], receipts={"ops": sink.receipts()})


class BoundsTest(unittest.TestCase):
    def test_near_its_bounds_the_queue_says_so_and_still_takes_its_own(self):
        with MailSink() as sink, MailSink() as second, QueueAgent(
                45, sink=sink, queue="messages_max: 100 " + SOON,
                settings=smtp("second", second.port)) as agent:
            sink.down()
            second.down()
            agent.tell(*range(45))
            agent.wait_for(lambda: sum(agent.queues().values()) == 90, what="ninety that wait")
            agent.wait_for(lambda: agent.queue_events(40015), what="the word of it")
            self.assertIn("messages", agent.json("queue", "list")["BackPressure"])
            self.assertTrue(any("pressure" in warning for warning in agent.info()["Warnings"]),
                            agent.info())
            sink.up()
            second.up()
            agent.wait_empty(timeout=60)
            agent.wait_for(lambda: len(agent.queue_events(40015)) == 2, what="its end")
            self.assertFalse(agent.json("queue", "list").get("BackPressure"))
            agent.check(receipts={"ops": sink.receipts(), "second": second.receipts()})


class WarningsTest(unittest.TestCase):
    def test_a_start_that_fails_is_no_crash(self):
        with QueueAgent() as agent:
            agent.stop()
            if os.path.exists(agent.socket):
                os.remove(agent.socket)
            os.makedirs(os.path.join(agent.socket, "not empty"))  # What can't be bound.
            status, log = agent.refused()
            self.assertEqual(status, 3, log)
            self.assertIn("cannot start", log)
            shutil.rmtree(agent.socket)
            agent.start()
            agent.wait_ready()
            self.assertEqual(glob.glob(os.path.join(agent.state, "crash", "*", "queue.db")), [])

    def test_a_switched_off_journal_is_said_as_long_as_it_is(self):
        with QueueAgent(queue="recovery_journal: OFF") as agent:
            self.assertTrue(any("recovery_journal" in warning
                                for warning in agent.info()["Warnings"]), agent.info())
            agent.again()
            self.assertTrue(any("recovery_journal" in warning
                                for warning in agent.info()["Warnings"]))
            self.assertEqual(glob.glob(os.path.join(agent.state, "crash", "*", "queue.db")), [])
            agent.configure("", queue="")
            agent.again(signal.SIGTERM)
            self.assertFalse(any("recovery_journal" in warning
                                 for warning in agent.info().get("Warnings", [])))


def forwarder(name, port, folder):
    """The destination `name`: another Salve at this port."""
    return f"""destination {{ name: "{name}" forward {{
  address: "localhost:{port}" ca_file: "{folder}/servers-ca.crt"
  certificate_file: "{folder}/peer.crt" key_file: "{folder}/peer.key" }} }}
"""


def collector(port, folder):
    """settings of an agent that peers reach."""
    return f"""remote {{
  listen: "127.0.0.1:{port}" certificate_file: "{folder}/collector.crt"
  key_file: "{folder}/collector.key" client_ca_file: "{folder}/clients-ca.crt"
  role {{ role: PEER san: "*.peer.example.org" }}
}}
"""


class ForwardTest(unittest.TestCase):
    """From one Salve to another, by mutual TLS."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        Authority(self.folder, "servers").issue("collector", "DNS:localhost,IP:127.0.0.1")
        Authority(self.folder, "clients").issue("peer", "DNS:web1.peer.example.org")
        self.port = free_port()

    def pair(self, queue=SOON):
        collecting = QueueAgent(0, server="collector", settings=collector(self.port, self.folder))
        self.addCleanup(collecting.__exit__, None, None, None)
        agent = QueueAgent(settings=forwarder("collector", self.port, self.folder), queue=queue)
        self.addCleanup(agent.__exit__, None, None, None)
        return agent, collecting

    def received(self, collecting, *options):
        return collecting.events("--from", "web1", "--channel", "Queue", "--event-id", "40009",
                                 *options)

    def test_a_collector_remembers_and_shows_what_came(self):
        agent, collecting = self.pair()
        agent.tell(0, 1)
        collecting.wait_for(lambda: len(self.received(collecting)) == 2, what="both")
        events = self.received(collecting)
        self.assertEqual({event["OriginServer"] for event in events}, {"web1"})
        self.assertEqual(sorted(event["OriginMid"] for event in events),
                         sorted(event["Mid"] for event in agent.queue_events(40001)))
        self.assertTrue(any("trouble 0" in event["Message"] for event in events))
        self.assertEqual(collecting.events("--from", "web9"), [])
        agent.wait_empty()
        agent.check([collecting])

    def test_both_die_again_and_again_and_each_message_comes_once(self):
        agent, collecting = self.pair()
        collecting.stop(signal.SIGKILL)
        agent.tell(0, 1, 2)
        agent.wait_for(lambda: len(agent.messages()) == 3, what="three that wait")
        for _ in range(3):
            collecting.start()
            time.sleep(0.7)  # Somewhere in a delivery.
            collecting.stop(signal.SIGKILL)
            agent.again(signal.SIGKILL)
        collecting.start()
        collecting.wait_ready()
        agent.wait_empty(timeout=40)
        collecting.wait_for(
            lambda: {event["OriginMid"] for event in self.received(collecting)}
            == {event["Mid"] for event in agent.queue_events(40001)}, what="all three")
        agent.check([collecting])

    def test_one_that_arrived_is_not_reregistered(self):
        agent, collecting = self.pair('expire: "5s" ' + SOON)
        collecting.stop()
        # It takes the message, and dies before it answers.
        collecting.start(env={"SALVE_FAULT": "queue.transfer.answer"}, binary=SALVED_WITH_FAULTS)
        collecting.wait_ready()
        agent.tell(0)
        self.assertEqual(collecting.process.wait(timeout=20), -9)
        agent.wait_for(lambda: agent.queues() == {"dead": 1}, what="the dead message")
        dead, = agent.json("dead", "list")["Messages"]
        unknown = agent.ctl("dead", "check", dead["Dmid"], check=False)
        self.assertIn(unknown.returncode, (EXIT_PRECONDITION, EXIT_TIMED_OUT), unknown.stderr)
        collecting.start()
        collecting.wait_ready()
        arrived = agent.ctl("dead", "check", dead["Dmid"], check=False)
        self.assertEqual(arrived.returncode, EXIT_DUPLICATE, arrived.stdout + arrived.stderr)
        self.assertIn("arrived-", arrived.stdout)
        for options in ([], ["--unchecked"]):
            refused = agent.ctl("dead", "reregister", dead["Dmid"], *options, check=False)
            self.assertEqual(refused.returncode, EXIT_DUPLICATE, refused.stderr)
        collecting.wait_for(lambda: len(self.received(collecting)) == 1, what="its event")
        agent.check([collecting])

    def test_one_that_did_not_arrive_is_reregistered_without_a_word_more(self):
        agent, collecting = self.pair('expire: "5s" ' + SOON)
        collecting.stop()
        agent.tell(0)
        agent.wait_for(lambda: agent.queues() == {"dead": 1}, what="the dead message")
        dead, = agent.json("dead", "list")["Messages"]
        collecting.start()
        collecting.wait_ready()
        self.assertIn("not-arrived", agent.ctl("dead", "check", dead["Dmid"]).stdout)
        agent.ctl("dead", "reregister", dead["Dmid"])
        collecting.wait_for(lambda: len(self.received(collecting)) == 1, what="its arrival")
        agent.wait_empty()
        agent.check([collecting])


if __name__ == "__main__":
    unittest.main()
