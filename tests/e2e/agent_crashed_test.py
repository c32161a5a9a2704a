"""The agent crashed, for real: killed in the middle of a restart by systemd, with three more that were
asked for later and five escalations waiting, in machines with systemd, postfix and etcd.

The walk is that of docs/OPERATING.md, and the invariant tool reads the server after it.
"""

import os
import time
import unittest

from disasters import MAIL_PORT, Disaster, MailServer, QueueServer, group
from queues import check, smtp
from server import why_not
from walks import Walk

EXIT_REFUSED = 6
ESCALATIONS, DEFERRED = 5, 3
RESTARTS = 1 + DEFERRED  # As many as a day allows: the one that crashed counts.

WEB = """
health_set {
  name: "Web"
  probe { name: "Unit" interval: "500ms" timeout: "400ms" systemd_unit { unit: "nginx" } }
  monitor { name: "Down" probe: "Unit" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  responder { name: "Restart" monitor: "Down" on: UNHEALTHY settle: "0s" restart_service { service: "nginx" } }
}
"""

THROTTLE = f"""<ThrottleEntries>
  <RestartService ResourceName="*"><ThrottleConfig Enabled="True" LocalMinimumMinutesBetweenAttempts="-1"
    LocalMaximumAllowedAttemptsInOneHour="-1" LocalMaximumAllowedAttemptsInADay="{RESTARTS}"
    GroupMinimumMinutesBetweenAttempts="-1" GroupMaximumAllowedAttemptsInADay="{RESTARTS}" /></RestartService>
  <RunCommand ResourceName="*"><ThrottleConfig Enabled="True" LocalMinimumMinutesBetweenAttempts="-1"
    LocalMaximumAllowedAttemptsInOneHour="-1" LocalMaximumAllowedAttemptsInADay="-1"
    GroupMinimumMinutesBetweenAttempts="-1" GroupMaximumAllowedAttemptsInADay="-1" /></RunCommand>
</ThrottleEntries>"""

# Each start is counted, and ends when /srv/hang is not there.
NGINX = b"""[Unit]
StartLimitIntervalSec=0
[Service]
ExecStartPre=/bin/sh -c "echo started >>/srv/starts; while [ -e /srv/hang ]; do sleep 0.05; done"
"""

# Kills the agent once all are asked for, until it is mended.
BAD = "while [ ! -e /srv/armed ]; do sleep 0.05; done; [ -e /srv/mended ] || kill -9 $PPID"


@unittest.skipIf(why_not(), why_not())
class TheAgentCrashedTest(Disaster):
    def begin(self, recovery):
        a, mail = self.bridge("web1", "mail", enable=["nginx.service"])
        self.a = QueueServer(a, self.authority, group("web", mail) + smtp("ops", MAIL_PORT, mail.address),
                             tells=ESCALATIONS, jobs={"bad": BAD}, queue=f"recovery: {recovery}",
                             throttle=THROTTLE, sets=WEB)
        a.install(NGINX, "/etc/systemd/system/nginx.service.d/e2e.conf")
        self.mail = MailServer(mail)
        self.bridge_.boot()
        self.start_etcd(mail)
        self.a.up()
        self.a.wait_for(lambda: self.a.health_of("Web") == "HEALTHY", what="health")
        self.assertEqual(self.restarts(), 0)

    def die_in_the_middle(self):
        """MIDs of the deferred restarts; systemd is at the first one when the agent dies."""
        self.a.run("touch", "/srv/hang")
        self.a.kill("nginx")
        self.a.wait_for(lambda: self.restarts() == 1, what="the restart")
        mids = [self.a.json("action", "run", "Web/Restart", "--defer")["Mid"] for _ in range(DEFERRED)]
        self.a.tell(*range(ESCALATIONS))
        self.a.wait_for(lambda: self.a.queues() == {"local/nginx.service": DEFERRED,
                                                    "remote/ops": ESCALATIONS}, what="what waits")
        self.assertTrue(self.throttle()["Local"]["IsRecoveryInProgress"])
        self.a.kill("salved")
        return mids

    def let_it_end(self):
        self.a.run("rm", "/srv/hang")
        self.a.wait_for(lambda: self.a.is_active("nginx"), what="the end of systemd's job")
        self.assertEqual(self.restarts(), 1)

    def restarts(self):
        """All starts but that of the boot."""
        with open(f"{self.a.machine.disk}/upper/srv/starts", encoding="utf-8") as file:
            return len(file.readlines()) - 1

    def attempts(self):
        return [one for one in self.a.json("action", "list")["Attempts"]
                if one["ActionId"] == "RestartService"]

    def throttle(self):
        return self.a.json("throttle", "status", "RestartService", "nginx.service", "--group")["Entries"][0]

    def crash_set(self):
        """Its name in the page, and here."""
        name, = os.listdir(f"{self.a.state()}/crash")
        return {"web1-1c5d0a31-20261129T031207Z": name}

    def assert_all_is_done_once(self, mids):
        self.a.wait_for(lambda: len(self.mail.mails()) >= ESCALATIONS, what="the mails")
        self.a.wait_for(lambda: not self.a.queues(), what="empty queues")
        self.assertEqual(self.mail.subjects(),
                         [f"[web1] T{i}/Bad is UNHEALTHY" for i in range(ESCALATIONS)])
        self.assertEqual(self.restarts(), RESTARTS)
        self.assertTrue(self.a.is_active("nginx"))
        self.assertEqual([self.a.message(mid)["State"] for mid in mids], ["done"] * DEFERRED)
        results = [one["Result"] for one in self.attempts()]
        self.assertEqual(sorted(results), ["Crashed"] + ["Succeeded"] * DEFERRED)
        self.assertEqual(len(self.a.events("--channel", "RecoveryActionResults", "--event-id", "503")), 1)
        # The one that crashed is over, and counts: here and in the group.
        throttle = self.throttle()
        for place in ("Local", "GroupResult"):
            self.assertFalse(throttle[place]["IsRecoveryInProgress"], throttle)
            self.assertEqual(throttle[place]["TotalInOneDay"], RESTARTS, throttle)
        refused = self.a.ctl("action", "run", "Web/Restart", check=False)
        self.assertEqual(refused.returncode, EXIT_REFUSED, refused.stderr)
        self.assertIn("LocalMaxInDay", refused.stdout)

    def check(self, mids):
        check([self.a.state()], accepted=mids, receipts={"ops": self.mail.receipts()},
              effects=[("web1", "nginx.service")] * self.restarts()
              + [("web1", "bad")] * self.a.effects("bad"), limits={"nginx.service": RESTARTS})

    def test_revalidate_closes_the_restart_and_goes_on_with_the_rest(self):
        self.begin("REVALIDATE")
        self.a.stay_down()
        mids = self.die_in_the_middle()
        self.let_it_end()
        self.a.stay_down(False)
        self.a.up()
        self.a.wait_for(lambda: self.restarts() == RESTARTS, what="the deferred ones")
        self.assertEqual(self.mail.mails(), [])
        self.mail.start()
        self.assert_all_is_done_once(mids)

        walk = Walk("The agent crashed", blocks=slice(2))
        walk.step(self.a, "salvectl version")
        self.assertIn(*self.crash_set().values(), walk.step(self.a, "salvectl events").stdout)
        walk.step(self.a, "salvectl queue list")
        self.assertNotIn("bad", walk.step(self.a, "salvectl queue message list poison").stdout)
        begun, *others = poison = self.die_twice()
        walk.names = dict(zip(("web1-0193a5b2c3d4-1f", "web1-0193a5b2c3d4-20"), others))
        self.assertIn("killed the agent", walk.step(self.a, "salvectl queue message show").stdout)
        self.a.run("touch", "/srv/mended")
        walk.step(self.a, "salvectl queue message resume")
        self.a.wait_for(lambda: self.a.effects("bad") == 3, what="once more")
        walk.step(self.a, "salvectl queue message remove")
        walk.end()
        self.a.ctl("queue", "message", "resume", begun)
        self.a.wait_for(lambda: not self.a.queues(), what="empty queues")
        self.assertEqual([self.a.message(mid)["State"] for mid in poison],
                         ["failed", "done", "removed"])
        self.assertEqual(self.a.effects("bad"), 3)
        self.check(mids + poison)

    def die_twice(self):
        """MIDs of three that are poison: the first had begun, and was the second to kill the agent."""
        mids = [self.a.defer("bad") for _ in range(4)]
        self.a.run("touch", "/srv/armed")
        poison = lambda: self.a.json("queue", "message", "list", "poison", check=False)
        self.a.wait_for(lambda: len(poison().get("Messages", [])) == 3, what="the quarantine")
        self.assertEqual(self.a.effects("bad"), 2)
        return mids[1:]

    def test_hold_leaves_all_of_it_to_a_person(self):
        self.begin("HOLD")
        mids = self.die_in_the_middle()
        # systemd has it back at once, while the restart goes on.
        self.a.wait_for(self.a.answers, what="the agent again")
        self.a.wait_for(lambda: self.a.queue_events(40011), what="the crash set")
        self.let_it_end()
        self.mail.start()
        time.sleep(2)  # Whatever were done would be done now.
        self.assertEqual((self.a.queues(), self.mail.mails(), self.restarts()), ({}, [], 1))

        walk = Walk("The agent crashed", self.crash_set(), blocks=slice(2, None))
        walk.step(self.a, "systemctl stop salved")
        self.assertIn(*self.crash_set().values(), walk.step(self.a, "ls").stdout)
        listed = walk.step(self.a, "salvectl recover -l").stdout
        for state, kind, count in (("ERR-NOREC", "RA", 1), ("ACT-NOEXE", "UP", DEFERRED)):
            self.assertEqual(sum(line.split()[0] == state and line.split()[3] == kind
                                 for line in listed.splitlines()), count, listed)
        walk.step(self.a, "salvectl recover -r")
        self.assertEqual(self.restarts(), 1)
        walk.step(self.a, "salvectl recover -e -t AF")
        walk.step(self.a, "salvectl recover -e -t UP")
        self.assertEqual(self.restarts(), RESTARTS)
        walk.step(self.a, "systemctl start salved")
        walk.end()
        self.a.wait_for(self.a.answers, what="the agent")
        self.assert_all_is_done_once(mids)
        self.check(mids)


class WalkTest(unittest.TestCase):
    """This file's own judgement, and that of queue_disasters_test.py."""

    PAGE = ("## One\n```sh\nsalvectl health   # all\ntrue \\\n  --or\n```\ntext\n"
            "```sh\ntrue two\n```\n## Two\n```sh\ntrue three\n```\n")

    def test_a_walk_has_the_commands_of_its_section(self):
        walk = Walk("One", text=self.PAGE)
        self.assertEqual(walk.left, ["salvectl health   # all", "true   --or", "true two"])
        self.assertEqual(Walk("One", blocks=slice(1, None), text=self.PAGE).left, ["true two"])

    def test_what_the_page_has_and_the_test_has_not_is_a_failure(self):
        walk = Walk("One", text=self.PAGE)
        with self.assertRaisesRegex(AssertionError, "has `salvectl health   # all` where"):
            walk.step(None, "salvectl version")
        with self.assertRaisesRegex(AssertionError, "more than was run"):
            walk.end()
        with self.assertRaisesRegex(AssertionError, "no section"):
            Walk("Three", text=self.PAGE)
        walk = Walk("Two", text=self.PAGE)
        walk.left.clear()
        with self.assertRaisesRegex(AssertionError, "no more"):
            walk.step(None, "true")


if __name__ == "__main__":
    unittest.main()
