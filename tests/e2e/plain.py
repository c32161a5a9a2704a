"""salved as a plain process in a folder of its own: any user, no systemd.

    with Agent(CONFIGURATION, policy) as agent:
        agent.wait_for(lambda: agent.health() == "HEALTHY")
"""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

from server import SALVECTL, SALVED

# Fails while the file `ok` is not there; the responder makes it.
TOUCH = """
health_set {
  name: "Files"
  probe { name: "File" interval: "200ms" timeout: "200ms" exec { command: "/bin/sh" command: "-c" command: "test -e ok || exit 2" } }
  monitor { name: "Gone" probe: "File" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  responder { name: "Touch" monitor: "Gone" on: UNHEALTHY settle: "1s" run_command { command: "/usr/bin/touch" command: "ok" } }
}
"""


class Agent:
    def __init__(self, configuration, throttle=None, agent='boot_grace: "0s"', start=True,
                 prefix=()):
        self.dir = tempfile.mkdtemp(prefix="salve-e2e-")
        self.state = os.path.join(self.dir, "state")
        self.socket = os.path.join(self.dir, "s.sock")
        self.prefix = list(prefix)  # E.g. unshare, to run it in a namespace.
        self.process = None
        self.write("conf.d/test.textproto", configuration)
        self.write("salve.textproto", agent)
        if throttle is not None:
            self.write("throttle.xml", throttle)
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if exception[0] is not None:
            print(self.log())
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w" if isinstance(text, str) else "wb") as file:
            file.write(text)
        return path

    def log(self):
        with open(self.path("log")) as file:
            return file.read()

    def argv(self, *more, binary=SALVED):
        return self.prefix + [binary, "--config-dir", self.dir, "--state-dir", self.state,
                              "--socket", self.socket, *more]

    def start(self, *more, env=None, binary=SALVED):
        """Starts the agent, and returns at once."""
        log = open(self.path("log"), "a")
        self.process = subprocess.Popen(self.argv(*more, binary=binary), stdout=log, stderr=log,
                                        stdin=subprocess.DEVNULL, cwd=self.dir,
                                        env={**os.environ, **(env or {})})
        log.close()

    def refused(self, *more):
        """Starts the agent, expects it to end by itself, returns (exit status, log)."""
        self.start(*more)
        return self.process.wait(timeout=20), self.log()

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(timeout=90)

    def kill_with_all_written(self):
        """kill -9 once all events that can be asked for are on disk, as they are after 100 ms or
        so: what was asked for is answered from memory, too."""
        told = max((int(event["RecordId"]) for event in self.events()), default=0)

        def written():
            with contextlib.closing(sqlite3.connect(
                    f"file:{self.state}/events.db?mode=ro", uri=True)) as database:
                return database.execute("SELECT max(record_id) FROM events").fetchone()[0] or 0

        self.wait_for(lambda: written() >= told, what=f"event {told} on disk")
        self.stop(signal.SIGKILL)

    def ctl(self, *argv, check=True):
        result = subprocess.run([SALVECTL, "--socket", self.socket, *argv], text=True,
                                capture_output=True, timeout=60)
        if check and result.returncode != 0:
            raise AssertionError(f"salvectl {argv}: {result.returncode}\n{result.stderr}")
        return result

    def json(self, *argv):
        return json.loads(self.ctl("-o", "json", *argv, check=False).stdout or "{}")

    def events(self, *argv):
        out = self.ctl("-o", "jsonl", "events", "-n", "1000", *argv, check=False).stdout
        return [json.loads(line) for line in out.splitlines()]

    def event_ids(self, channel):
        return [event["EventId"] for event in self.events("--channel", channel)]

    def health(self):
        return self.json("health").get("State")

    def probe(self, name):
        """The last result of a probe, or {}."""
        for probe in self.json("probe", "list").get("Probes", []):
            if probe["Name"] == name and probe.get("Last"):
                return probe["Last"]
        return {}

    def info(self):
        return self.json("version")

    def rss(self):
        """(resident, anonymous) memory in bytes."""
        with open(f"/proc/{self.process.pid}/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return tuple(int(fields[key].split()[0]) * 1024 for key in ("VmRSS", "RssAnon"))

    def wait_for(self, condition, timeout=20, what="the condition"):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"salved ended with {self.process.returncode}\n{self.log()}")
            value = condition()
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"{what} did not come true in {timeout} s\n{self.log()}\n"
                             + self.ctl("explain", "--last", check=False).stdout)
