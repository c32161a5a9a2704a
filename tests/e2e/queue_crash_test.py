"""kill -9 of the agent at every write point of each operation on the queue: nothing is lost or doubled.

The points stand in the code (FaultPoint). One that many operations pass is passed N times by a
scenario, and the agent is killed at the first, the second … until the scenario ends without.
"""

import glob
import os
import signal
import subprocess
import tempfile
import unittest

from certificates import Authority, free_port
from mail_sink import MailSink
from queues import SALVECTL, QueueAgent, check
from server import ROOT, SALVED_WITH_FAULTS

# Of each commit, whatever it is of.
COMMIT_POINTS = ["queue.apply.written", "queue.apply.committed", "queue.apply.marked"]
DELIVERY_POINTS = ["queue.deliver.begin", "queue.deliver.ended"]
SET_POINTS = ["queue.set.begun", "queue.set.copied", "queue.set.complete", "queue.set.renamed"]
MAKE_POINTS = ["queue.make.database", "queue.make.mark", "queue.make.renamed", "queue.open.dirty"]
CLOSE_POINTS = ["queue.close.written", "queue.close.closing", "queue.close.checkpointed"]
TRANSFER_POINTS = ["queue.transfer.answer"]
SALVECTL_WITH_FAULTS = SALVECTL + "_with_faults"
PASSES_MAX = 60  # More is a scenario that never ends.


def points_of_the_code(prefix):
    out = subprocess.run(
        ["grep", "-rhoE", r'FaultPoint\("queue\.[a-z_.]+"\)', "queue",
         "--include=*.cc"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    points = {line.split('"')[1] for line in out.splitlines()}
    return sorted(point for point in points if point.startswith(prefix))


class Faulty(QueueAgent):
    """Is killed at a point of its next life."""

    def start_to_die_at(self, point):
        self.start(env={"SALVE_FAULT": point}, binary=SALVED_WITH_FAULTS)

    def is_dead(self):
        return self.process.poll() is not None

    def until_dead(self, condition, timeout=15):
        """True when it came true, False when the agent died before."""
        try:
            self.wait_for(condition, timeout)
            return True
        except AssertionError:
            if not self.is_dead():
                raise
            if self.process.returncode != -9:
                raise
            return False

    def outlives(self, condition):
        """Whether it lived until it came true, and through a clean end after that: its work in the
        background goes on, so it may die at any moment before. It is down then, either way."""
        if self.until_dead(condition):
            self.process.terminate()
        return self.process.wait(timeout=30) != -9


class QueueCrashTest(unittest.TestCase):

    def passes(self, point, scenario):
        """Runs `scenario("point:n")` for n = 1, 2, … until it says that the agent lived."""
        for n in range(1, PASSES_MAX):
            died = None
            with self.subTest(f"{point}:{n}"):
                died = scenario(f"{point}:{n}")
            if died is None:
                return  # It has failed.
            if not died:
                self.assertGreater(n, 1, f"{point}: never passed")
                print(f"{point}: {n - 1} passes")
                return
        self.fail(f"{point}: no end")

    # -- accept, deliver, acknowledge

    def tell_and_do(self, point):
        with MailSink("4xx") as sink, Faulty(2, {"thing": "true"}, sink=sink, start=False) as agent:
            agent.start_to_die_at(point)
            mids = []
            steps = [lambda: agent.tell(0), lambda: mids.append(agent.defer("thing")),
                     lambda: agent.tell(1)]
            agent.until_dead(agent.answers)
            for step in steps:
                if agent.is_dead():
                    break
                try:
                    step()
                except AssertionError:
                    if not agent.until_dead(lambda: False, timeout=2):
                        break
                    raise
            died = not agent.outlives(
                lambda: agent.answers() and len(agent.queue_events(40002)) == 3)
            agent.start()
            agent.wait_empty(timeout=30)
            agent.check(accepted=mids, limits={}, receipts={"ops": sink.receipts()})
            self.assertLessEqual(agent.effects("thing"), 1, point)
            # An escalation that was accepted arrives; one incident never tells twice.
            accepted = {event["Mid"]: event["Subject"] for event in agent.queue_events(40001)
                        if event["Type"] != "UP"}
            self.assertEqual(len(set(accepted.values())), len(accepted), accepted)
            return died

    def test_accepting_delivering_and_acknowledging(self):
        for point in COMMIT_POINTS + DELIVERY_POINTS:
            self.passes(point, self.tell_and_do)

    # -- re-register

    def reregister(self, point):
        with MailSink("5xx") as sink, Faulty(1, sink=sink) as agent:
            agent.tell(0)
            agent.wait_for(lambda: agent.queues() == {"dead": 1}, what="the dead message")
            row, = agent.json("dead", "list")["Messages"]
            agent.stop()
            agent.start_to_die_at(point)
            agent.until_dead(agent.answers)
            if not agent.is_dead():
                agent.ctl("dead", "reregister", row["Dmid"], "--unchecked", check=False)
            died = not agent.outlives(
                lambda: agent.answers() and len(agent.queue_events(40002)) == 1)
            agent.start()
            agent.wait_ready()
            if agent.json("dead", "list").get("Messages"):
                agent.ctl("dead", "reregister", row["Dmid"], "--unchecked")
            agent.wait_empty()
            agent.wait_for(lambda: agent.queue_events(40002), what="its end")
            self.assertEqual(len({event["NewMid"] for event in agent.queue_events(40013)}), 1)
            agent.check(accepted=[row["Mid"]])
            self.assertGreaterEqual(len(sink.taken()), 1)
            return died

    def test_reregistering(self):
        for point in COMMIT_POINTS:
            self.passes(point, self.reregister)

    # -- a transfer to an acceptor, and its acknowledgement

    def pair(self, folder, sink):
        """One that hands over, and one that accepts for others."""
        Authority(folder, "all")
        authority = Authority(folder, "servers")
        ports = {"web1": free_port(), "web2": free_port()}
        agents = []
        for name, mode in (("web1", "REMOTELY"), ("web2", "LOCALLY_FOR_OTHERS")):
            authority.issue(name, f"DNS:localhost,DNS:{name},IP:127.0.0.1")
            other = "web2" if name == "web1" else "web1"
            acceptor = (f'acceptor {{ server: "web2" address: "localhost:{ports["web2"]}" }}'
                        if name == "web1" else f'accept_address: "localhost:{ports[name]}" '
                        f'acceptor {{ server: "web2" address: "localhost:{ports["web2"]}" }}')
            agents.append(Faulty(1, sink=sink, server=name, start=False, settings=f"""remote {{
                listen: "127.0.0.1:{ports[name]}" certificate_file: "{folder}/{name}.crt"
                key_file: "{folder}/{name}.key" client_ca_file: "{authority.certificate}"
                role {{ role: PEER san: "{other}" }} }}
                """, queue=f'queue_processing: {mode} {acceptor} retry {{ times: 99 every: "1s" }}'))
        return agents

    def hand_over(self, point, who):
        with tempfile.TemporaryDirectory() as folder, MailSink() as sink:
            giver, taker = self.pair(folder, sink)
            with giver, taker:
                victim = (giver, taker)[who]
                for agent in (taker, giver):
                    if agent is victim:
                        agent.start_to_die_at(point)
                    else:
                        agent.start()
                other = (taker, giver)[who]
                other.wait_ready()
                # It may be dead at once, while both find each other, or later.
                if victim.until_dead(lambda: "would take" in giver.ctl(
                        "cluster", "test", check=False).stdout):
                    giver.ctl("notify", "T0/Told", "--fail", "--error", "trouble 0", check=False)
                died = not victim.outlives(lambda: victim.answers() and sink.taken()
                                           and not other.queues() and not victim.queues())
                victim.start()
                victim.wait_ready()
                giver.tell(0)  # What was accepted is not told a second time.
                sink.wait_for(1, timeout=30)
                for agent in (giver, taker):
                    agent.wait_ready()
                    agent.wait_empty(timeout=30)
                giver.check([taker], receipts={"ops": sink.receipts()})
                if point.partition(":")[0] in TRANSFER_POINTS:  # No mail was under way.
                    self.assertEqual(len(sink.taken()), 1)
                return died

    def test_handing_over_when_the_giver_dies(self):
        for point in COMMIT_POINTS:
            self.passes(point, lambda at: self.hand_over(at, 0))

    def test_handing_over_when_the_taker_dies(self):
        for point in COMMIT_POINTS + TRANSFER_POINTS:
            self.passes(point, lambda at: self.hand_over(at, 1))

    # -- the tools: a pack is made, recovered, defragmented and adopted; whatever dies is run again

    def adopt(self, point):
        with MailSink() as sink, Faulty(3, sink=sink) as lost, Faulty(
                1, sink=sink, server="web2") as heir:
            sink.down()
            lost.tell(0, 1, 2)
            lost.wait_for(lambda: len(lost.messages()) == 3, what="three that wait")
            mids = [row["Mid"] for row in lost.messages()]
            lost.stop(signal.SIGKILL)
            heir.ctl("queue", "db", "prepare", "--begin")
            heir.stop()
            pack = heir.path("pack")
            died = False
            for verb in (["pack", pack, "--state-dir", lost.state], ["recover", pack],
                         ["defrag", os.path.join(pack, "queue.db")],
                         ["adopt", pack, "--state-dir", heir.state, "--config-dir", heir.dir]):
                done = self.tool(verb, SALVE_FAULT=point)
                if done.returncode == -9:
                    died = True
                    # One that is whole is not written over.
                    if verb[0] == "pack" and self.tool(["verify", pack]).returncode == 0:
                        continue
                    done = self.tool(verb)
                self.assertEqual(done.returncode, 0, f"{verb}: {done.stdout}{done.stderr}")
            sink.up()
            heir.start()
            heir.wait_ready()
            sink.wait_for(3)
            heir.wait_empty()
            check([heir.state], abandoned=[lost.state], accepted=mids,
                  receipts={"ops": sink.receipts()})
            return died

    @staticmethod
    def tool(verb, **env):
        return subprocess.run([SALVECTL_WITH_FAULTS, "queue", "db", *verb], text=True,
                              env={**os.environ, **env}, capture_output=True, timeout=60)

    def test_taking_over_a_database(self):
        for step in ("pack", "recover", "defrag", "adopt", "swap"):
            for point in points_of_the_code(f"queue.db.{step}."):
                self.passes(point, self.adopt)

    # -- making a crash set, and a clean end

    def secure(self, point, recovery):
        with MailSink() as sink, Faulty(2, sink=sink, queue=f"recovery: {recovery} "
                                        'retry { times: 99 every: "1s" }') as agent:
            sink.down()
            agent.tell(0, 1)
            agent.wait_for(lambda: len(agent.messages()) == 2, what="two that wait")
            mids = [row["Mid"] for row in agent.messages()]
            agent.stop(signal.SIGKILL)
            agent.start_to_die_at(point)
            died = not agent.outlives(agent.answers)
            agent.start()
            agent.wait_ready()
            sets = glob.glob(os.path.join(agent.state, "crash", "*", "queue.db"))
            self.assertGreaterEqual(len(sets), 1, point)
            if recovery == "REVALIDATE":
                sink.up()
                sink.wait_for(2)
                agent.wait_empty()
                agent.check(accepted=mids, receipts={"ops": sink.receipts()})
            else:
                self.assertEqual(agent.queues(), {})
                agent.check(accepted=mids)
            return died

    def test_making_a_crash_set(self):
        for recovery in ("REVALIDATE", "HOLD"):
            for point in SET_POINTS:
                self.passes(point, lambda at, how=recovery: self.secure(at, how))
        for point in COMMIT_POINTS:
            self.passes(point, lambda at: self.secure(at, "HOLD"))

    def begin_and_end(self, point):
        with MailSink() as sink, Faulty(1, sink=sink, start=False) as agent:
            agent.start_to_die_at(point)
            died = not agent.until_dead(agent.answers)
            if died:
                agent.start()
                agent.wait_ready()
            sink.down()
            agent.tell(0)
            agent.wait_for(agent.messages, what="the message")
            agent.process.terminate()
            died = agent.process.wait(timeout=30) == -9 or died
            agent.start()
            agent.wait_ready()
            sink.up()
            sink.wait_for(1)
            agent.wait_empty()
            agent.check(receipts={"ops": sink.receipts()})
            return died

    def test_making_the_file_and_ending(self):
        for point in MAKE_POINTS + CLOSE_POINTS:
            self.passes(point, self.begin_and_end)


class OwnRulesTest(unittest.TestCase):
    def test_each_point_of_the_queue_is_crashed_at(self):
        # Those of `salvectl recover` are crashed at by recover_test.py.
        known = {*DELIVERY_POINTS, *SET_POINTS, *MAKE_POINTS, *CLOSE_POINTS, *TRANSFER_POINTS}
        tools = set(points_of_the_code("queue.db."))
        self.assertEqual(set(points_of_the_code("queue.")) - tools, known)


if __name__ == "__main__":
    unittest.main()
