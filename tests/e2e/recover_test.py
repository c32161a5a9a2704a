"""The agent dies in the middle of an action, with three deferred ones and five escalations waiting:
what its next start makes of it under REVALIDATE and under HOLD, and `salvectl recover` by hand."""

import glob
import os
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from mail_sink import MailSink
from queues import ANY_TIME, SOON, QueueAgent, smtp
from server import SALVECTL, SALVED, policy

ESCALATIONS = 5
# The first run is under way when the agent dies; what it began ends by itself.
JOB = "test -e {begun} && exit 0; touch {begun}; sleep 4"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@unittest.skipIf(os.geteuid() != 0, "salvectl recover is for root")
class RecoverTest(unittest.TestCase):
    def agent(self, recovery, throttle=ANY_TIME):
        """One whose mail server is not there yet, in its own folder."""
        self.queue = f"{SOON} recovery: {recovery}"
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        job = JOB.format(begun=os.path.join(folder, "begun"))
        return QueueAgent(tells=ESCALATIONS, jobs={"job": job}, queue=self.queue,
                          settings=smtp("ops", free_port()), throttle=throttle)

    def die_in_the_middle(self, agent, suspended=0):
        """MIDs of the deferred actions, the first of which is under way, the last are suspended."""
        mids = [agent.defer("job") for _ in range(4)]
        agent.wait_for(lambda: agent.effects("job") == 1, what="the first action")
        agent.tell(*range(ESCALATIONS))
        agent.wait_for(lambda: len(agent.messages("remote/ops")) == ESCALATIONS,
                       what="the escalations")
        for mid in mids[len(mids) - suspended:]:
            agent.ctl("queue", "message", "suspend", mid)
        agent.stop(9)
        return mids

    def start_with(self, agent, sink):
        agent.configure(smtp("ops", sink.port), self.queue)
        agent.start()
        agent.wait_ready()

    def argv(self, agent, *options, folder=None):
        return [SALVECTL, "recover", *options, "-d", folder or self.the_set(agent), "--config-dir",
                agent.dir, "--state-dir", agent.state, "--salved", SALVED]

    def call(self, agent, *options, folder=None):
        return subprocess.run(self.argv(agent, *options, folder=folder), text=True,
                              capture_output=True, timeout=120)

    def stop_before_it_begins(self, agent):
        """SIGTERM while systemd and the group are waited for: nothing is done, and that is said."""
        mark = os.path.join(agent.state, "recover.running")
        process = subprocess.Popen(self.argv(agent, "-e"), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not os.path.exists(mark) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.terminate()
        self.assertEqual(process.wait(timeout=20), 1)
        self.assertFalse(os.path.exists(mark))

    def recover(self, agent, *options, folder=None, expected=0):
        result = self.call(agent, *options, folder=folder)
        self.assertEqual(result.returncode, expected, result.stdout + result.stderr)
        return result

    def recover_in_flight(self, agent):
        """-r, once what the agent had begun, and what outlived it, has ended."""
        deadline = time.monotonic() + 20
        while True:
            runs = "still runs" in (said := self.call(agent, "-r")).stderr
            if not runs or time.monotonic() > deadline:
                return self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
            time.sleep(0.2)

    def the_set(self, agent):
        sets = glob.glob(os.path.join(agent.state, "crash", "*"))
        self.assertEqual(len(sets), 1, sets)
        return sets[0]

    def states(self, agent, folder=None):
        """{MSGID: STATE} of the list, and how many of each (STATE, TYPE)."""
        lines = self.recover(agent, "-l", folder=folder).stdout.splitlines()
        self.assertEqual(lines[0].split(), ["STATE", "HOST", "KEY", "TYPE", "OWNER", "DEST",
                                            "MSGID", "SUBJECT"])
        rows = [line.split(None, 7) for line in lines[1:]]
        counts = {}
        for row in rows:
            counts[row[0], row[3]] = counts.get((row[0], row[3]), 0) + 1
        return {row[6]: row[0] for row in rows}, counts

    def test_revalidate_closes_what_was_in_flight_and_goes_on_with_the_rest(self):
        with MailSink() as sink, self.agent("REVALIDATE") as agent:
            mids = self.die_in_the_middle(agent)
            self.start_with(agent, sink)
            sink.wait_for(ESCALATIONS)
            agent.wait_for(lambda: agent.effects("job") == 4, timeout=60, what="the deferred ones")
            agent.wait_empty(timeout=60)
            self.assertEqual(agent.message(mids[0])["State"], "failed")
            agent.stop()
            states, _ = self.states(agent)
            self.assertEqual(states[mids[0]], "ERR-RECOV")
            # What the agent did meanwhile is known, and not done again.
            self.recover(agent, "-e", "-r")
            states, _ = self.states(agent)
            self.assertEqual(set(states.values()), {"ERR-RECOV", "ACT-EXEC"})
            self.assertEqual(agent.effects("job"), 4)
            self.assertEqual(len(sink.mails), ESCALATIONS)
            agent.check(receipts={"ops": sink.receipts()})

    def test_hold_leaves_all_of_it_to_a_person(self):
        with MailSink() as sink, self.agent("HOLD") as agent:
            mids = self.die_in_the_middle(agent)
            self.start_with(agent, sink)
            agent.wait_for(lambda: agent.queue_events(40011), what="the crash set")
            agent.wait_for(lambda: not agent.queues(), what="all of it in the set")
            refused = self.recover(agent, "-e", expected=3)
            self.assertIn("Service of salved is active", refused.stderr)
            agent.again(how=15)  # A clean end and start changes nothing of it.
            agent.stop()
            self.assertEqual((agent.effects("job"), len(sink.mails)), (1, 0))

            states, counts = self.states(agent)
            self.assertEqual(counts["ERR-NOREC", "RA"], 1)
            self.assertEqual(counts["ERR-NOREC", "UP"], 1)
            self.assertEqual(counts["ACT-NOEXE", "UP"], 3)
            self.assertEqual(counts.get(("ACT-NOEXE", "AF"), 0)
                             + counts.get(("ERR-NOREC", "AF"), 0), ESCALATIONS)
            pending = counts.get(("ACT-NOEXE", "AF"), 0)
            copy = agent.path("copy")
            shutil.copytree(self.the_set(agent), copy)

            self.stop_before_it_begins(agent)
            self.assertEqual(self.states(agent)[0], states)
            self.recover(agent, "-e", "-t", "AF")
            self.assertEqual((agent.effects("job"), len(sink.mails)), (1, pending))
            # On a resource whose action was in flight nothing is done before that is recovered.
            refused = self.recover(agent, "-e", expected=1)
            self.assertIn("LocalRecoveryInProgress", refused.stderr)
            self.recover_in_flight(agent)
            self.assertEqual((agent.effects("job"), len(sink.mails)), (1, pending))
            self.recover(agent, "-e")
            self.assertEqual((agent.effects("job"), len(sink.mails)), (4, pending))
            self.recover(agent, "-e", folder=copy)  # Copied twice, done once.
            self.assertEqual((agent.effects("job"), len(sink.mails)), (4, pending))
            self.assertEqual(self.states(agent, copy)[0][mids[1]], "ACT-EXEC")

            states, counts = self.states(agent)
            self.assertEqual({state for state, _ in counts}, {"ERR-RECOV", "ACT-EXEC"})
            agent.start()
            agent.wait_ready()
            sink.wait_for(ESCALATIONS)
            agent.wait_empty()
            self.assertEqual(agent.effects("job"), 4)
            attempts = agent.json("action", "list")["Attempts"]
            self.assertEqual([a["State"] for a in attempts], ["Finished"] * 4)
            self.assertEqual([a["Result"] for a in attempts].count("Crashed"), 1)
            agent.check(receipts={"ops": sink.receipts()})

    def test_a_bug_what_a_person_had_suspended_was_executed(self):
        with MailSink() as sink, self.agent("HOLD") as agent:
            mid = self.die_in_the_middle(agent, suspended=1)[-1]
            self.start_with(agent, sink)
            agent.stop()
            listed = self.recover(agent, "-l").stdout.splitlines()
            self.assertEqual([mid in line for line in listed if "(suspended)" in line], [True])
            self.recover_in_flight(agent)
            refused = self.recover(agent, "-e", expected=1)
            self.assertIn(f"salvectl queue message resume {mid}", refused.stderr)
            self.assertEqual(agent.effects("job"), 3)
            agent.start()
            agent.wait_ready()
            sink.wait_for(ESCALATIONS)
            self.assertEqual(agent.message(mid)["State"], "suspended")
            self.assertEqual(agent.effects("job"), 3)
            agent.ctl("queue", "message", "resume", mid)
            agent.wait_for(lambda: agent.effects("job") == 4, what="the one that was resumed")
            agent.wait_empty()
            agent.check(receipts={"ops": sink.receipts()})

    def test_what_the_throttle_refuses_stays_in_the_set(self):
        with MailSink() as sink, self.agent("HOLD", policy(action="RunCommand", day=1)) as agent:
            self.die_in_the_middle(agent)
            self.start_with(agent, sink)
            agent.stop()
            result = self.recover(agent, "-e", "-t", "UP", expected=1)
            self.assertIn("LocalMaxInDay", result.stderr)
            self.assertEqual(agent.effects("job"), 1)
            self.assertEqual(self.states(agent)[1]["ACT-NOEXE", "UP"], 3)
            agent.start()
            agent.wait_ready()
            self.assertEqual(agent.queues(), {})

    def test_a_configuration_that_does_not_load_leaves_the_set_as_it_is(self):
        with MailSink() as sink, self.agent("HOLD") as agent:
            self.die_in_the_middle(agent)
            self.start_with(agent, sink)
            agent.stop()
            agent.write("conf.d/broken.textproto", "what")
            listed = self.recover(agent, "-l")
            self.assertIn("?????", listed.stdout)
            self.assertIn("not readable", listed.stderr)
            self.recover(agent, "-e", "-r", expected=3)
            os.remove(agent.path("conf.d/broken.textproto"))
            self.recover_in_flight(agent)
            self.recover(agent, "-e")
            self.assertEqual(agent.effects("job"), 4)

    def test_the_live_folder_is_refused_also_through_a_link(self):
        with self.agent("HOLD") as agent:
            agent.stop()
            link = agent.path("link")
            os.symlink(agent.state, link)
            for folder in (agent.state, link):
                self.assertIn("live folder",
                              self.recover(agent, "-l", folder=folder, expected=3).stderr)

    def test_without_the_journal_no_set_is_made_and_that_is_said(self):
        with MailSink() as sink, self.agent("REVALIDATE") as agent:
            self.queue += " recovery_journal: OFF"
            self.die_in_the_middle(agent)
            self.start_with(agent, sink)
            self.assertEqual(glob.glob(os.path.join(agent.state, "crash", "*")), [])
            agent.wait_for(lambda: any("recovery_journal" in warning
                                       for warning in agent.info().get("Warnings", [])),
                           what="the warning")
            sink.wait_for(ESCALATIONS)
            agent.wait_for(lambda: agent.effects("job") == 4, timeout=60, what="the deferred ones")
            agent.wait_empty(timeout=60)
            agent.check(receipts={"ops": sink.receipts()})


if __name__ == "__main__":
    unittest.main()
