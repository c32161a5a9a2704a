"""Agents whose durable queue is tested: they tell and do what is asked for, and all is counted.

    with MailSink() as sink, QueueAgent(sink=sink) as agent:
        agent.tell(0)
        sink.wait_for(1)
        agent.check(receipts={"ops": sink.receipts()})
"""

import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import invariants  # noqa: E402

from plain import Agent  # noqa: E402
from server import SALVECTL, policy  # noqa: E402,F401

# What can be ill at a word, and tells people.
TELLING = """
health_set {{
  name: "T{i}"
  probe {{ name: "Told" notification {{}} }}
  monitor {{ name: "Bad" probe: "Told" consecutive_failures {{ threshold: 1 }} transition {{ to: UNHEALTHY }} }}
  responder {{ name: "Call{i}" monitor: "Bad" on: UNHEALTHY escalate {{}} }}
}}
"""

# What can be done at a word; each run leaves a line in effects-NAME.
JOB = """
health_set {{
  name: "{name}"
  probe {{ name: "Never" notification {{}} }}
  monitor {{ name: "Never" probe: "Never" consecutive_failures {{ threshold: 1 }} }}
  responder {{ name: "Run-{name}" monitor: "Never" on: UNHEALTHY settle: "0s"
    run_command {{ command: "/bin/sh" command: "-c" command: "echo ran >> {folder}/effects-{name}; {command}" resource: "{name}" }} }}
}}
"""

ANY_TIME = policy(action="RunCommand", minutes=-1, hour=-1, day=-1)
SETTLE_SECONDS = 3
NO_DIGESTS = "escalation { digest_after: 1000 }\n"
SOON = 'retry { times: 1000 every: "1s" }'


def smtp(name, port, address="127.0.0.1"):
    return (f'destination {{ name: "{name}" smtp {{ url: "smtp://{address}:{port}" '
            f'from: "salve@example.com" to: "ops@example.com" }} }}\n')


def configuration(tells, jobs, folder):
    return ("".join(TELLING.format(i=i) for i in range(tells))
            + "".join(JOB.format(name=name, command=command, folder=folder)
                      for name, command in jobs.items()))


class Telling:
    """What Agents and Servers have in common: `ctl`, `json`, `events` and `wait_for` are theirs."""

    def tell(self, *numbers):
        """These sets fall ill: one escalation each."""
        for i in numbers:
            self.ctl("notify", f"T{i}/Told", "--fail", "--error", f"trouble {i}")

    def well(self, *numbers):
        """And are healthy again, which is told too."""
        for i in numbers:
            self.ctl("notify", f"T{i}/Told", "--pass")

    def defer(self, job, *options):
        """The MID of a deferred action."""
        answer = self.json("action", "run", f"{job}/Run-{job}", "--defer", *options)
        if not answer.get("Mid"):
            raise AssertionError(f"not deferred: {answer}")
        return answer["Mid"]

    def queues(self):
        """{queue: messages} of those that hold any."""
        rows = self.json("queue", "list").get("Queues", [])
        return {row["Name"]: int(row.get("Messages", 0)) for row in rows
                if int(row.get("Messages", 0))}

    def messages(self, *queue):
        return self.json("queue", "message", "list", *queue).get("Messages", [])

    def message(self, mid):
        return self.json("queue", "message", "show", mid)

    def queue_events(self, event_id, mid=None):
        return [event for event in self.events("--channel", "Queue", "--event-id", str(event_id))
                if mid is None or event.get("Mid") == mid]

    def wait_empty(self, timeout=20):
        self.wait_for(lambda: self.answers() and not self.queues(), timeout=timeout,
                      what="empty queues")

    def answers(self):
        return self.ctl("version", check=False).returncode == 0


class QueueAgent(Telling, Agent):
    """A plain salved. tells: how many sets can be ill; jobs: {name: what else its command does};
    queue: fields of Queue; settings: of Agent."""

    def __init__(self, tells=3, jobs=None, sink=None, queue=SOON, settings="", server="web1",
                 throttle=ANY_TIME, start=True, **options):
        self.server = server
        super().__init__("", throttle, agent="", start=False, **options)
        self.jobs = dict(jobs or {})
        self.write("conf.d/test.textproto", configuration(tells, self.jobs, self.dir))
        self.configure(settings + (smtp("ops", sink.port) if sink else ""), queue)
        if start:
            self.start()
            self.wait_ready()

    def configure(self, settings, queue=SOON):
        if "escalation {" not in settings:
            settings += NO_DIGESTS
        self.write("salve.textproto", f'server: "{self.server}" boot_grace: "0s"\n'
                                      f'queue {{ {queue} }}\n{settings}')

    def wait_ready(self):
        self.wait_for(self.answers, what="the socket")

    def again(self, how=9, **options):
        """Killed (or stopped), and started once more."""
        if self.process.poll() is None:
            self.stop(how)
        self.start(**options)
        self.wait_ready()

    def effects(self, job):
        path = self.path(f"effects-{job}")
        if not os.path.exists(path):
            return 0
        with open(path, encoding="utf-8") as file:
            return file.read().count("ran")

    def said(self):
        """What this agent's actions did, for invariants."""
        return [(self.server, job) for job in self.jobs for _ in range(self.effects(job))]

    def check(self, others=(), folders=None, **said):
        """Fails when an invariant is broken on this agent and these others. `folders`: where their
        state is, when it is not where they have it."""
        agents = [self, *others]
        said.setdefault("effects", [effect for agent in agents for effect in agent.said()])
        check(folders or [agent.state for agent in agents], **said)


def check(folders, **said):
    """Fails when an invariant is broken in these state folders. What agents that run have still to
    write is waited for: events are written some 100 ms later."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (violations := invariants.check(folders, **said)) and time.monotonic() < deadline:
        time.sleep(0.2)
    if violations:
        raise AssertionError("invariants:\n" + "\n".join(map(str, violations)))
