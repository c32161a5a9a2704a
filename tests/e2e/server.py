"""A server under Salve in a disposable machine: real systemd, real nginx, real salved.

    with Server(configuration=WEB) as server:
        server.machine.run(["systemctl", "kill", "-s", "KILL", "nginx"])
        server.wait_for(lambda: server.health() == "HEALTHY")
"""

import json
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "machine"))
from machine import Bridge, Machine, why_not  # noqa: E402,F401

SALVED = os.environ.get("SALVED", os.path.join(ROOT, "bazel-bin/agent/salved"))
SALVED_WITH_FAULTS = SALVED + "_with_faults"
SALVECTL = os.environ.get("SALVECTL", os.path.join(ROOT, "bazel-bin/cli/salvectl"))

# systemd's own start limit is not what is tested: our limits are.
NGINX_DROP_IN = "[Unit]\nStartLimitIntervalSec=0\n"

UNIT = """[Unit]
After=dbus.socket
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart=/usr/local/sbin/salved
Restart=always
RestartSec=100ms
WatchdogSec=30
KillMode=process
RuntimeDirectory=salve
StateDirectory=salve
{environment}
[Install]
WantedBy=multi-user.target
"""


def policy(minutes=0, hour=-1, day=-1, action="RestartService"):
    """A throttle.xml with one entry for everything of one action."""
    return f"""<ThrottleEntries><{action} ResourceName="*"><ThrottleConfig Enabled="True"
      LocalMinimumMinutesBetweenAttempts="{minutes}" LocalMaximumAllowedAttemptsInOneHour="{hour}"
      LocalMaximumAllowedAttemptsInADay="{day}" GroupMinimumMinutesBetweenAttempts="-1"
      GroupMaximumAllowedAttemptsInADay="-1" /></{action}></ThrottleEntries>"""


class Server:
    """A booted machine with nginx and salved running. Use as a context manager."""

    def __init__(self, configuration, throttle=None, agent='boot_grace: "0s"', nginx=True,
                 salved=None, environment="", files=(), start=True, unit=None, enable=()):
        self.machine = Machine("e2e", enable=(["nginx.service"] if nginx else []) + list(enable))
        try:
            self.install(configuration, throttle, agent, salved, environment, unit)
            for file in files:
                self.machine.install(*file)
            self.machine.boot()
            if start:
                self.start()
        except BaseException:
            self.machine.destroy()
            raise

    def install(self, configuration, throttle, agent, salved=None, environment="", unit=None):
        install = self.machine.install
        install(salved or SALVED, "/usr/local/sbin/salved", 0o755)
        install(SALVECTL, "/usr/local/bin/salvectl", 0o755)
        install((unit or UNIT.format(environment=environment)).encode(),
                "/etc/systemd/system/salved.service")
        install(NGINX_DROP_IN.encode(), "/etc/systemd/system/nginx.service.d/e2e.conf")
        self.configure(configuration, throttle, agent)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if exception[0] is not None:
            print(self.machine.logs(200), file=sys.stderr)
        self.machine.destroy()

    def configure(self, configuration, throttle=None, agent='boot_grace: "0s"'):
        self.machine.install(configuration.encode(), "/etc/salve/conf.d/test.textproto")
        self.machine.install(agent.encode(), "/etc/salve/salve.textproto")
        if throttle is not None:
            self.machine.install(throttle.encode(), "/etc/salve/throttle.xml")

    def start(self):
        self.run("systemctl", "start", "salved")

    def run(self, *argv, check=True, timeout=60):
        return self.machine.run(list(argv), check=check, timeout=timeout)

    def ctl(self, *argv, check=True):
        return self.run("salvectl", *argv, check=check)

    def json(self, *argv, check=True):
        return json.loads(self.ctl("-o", "json", *argv, check=check).stdout or "{}")

    def json_rows(self, *argv):
        """The rows of a list, however they are wrapped."""
        answer = self.json(*argv, check=False)
        return answer if isinstance(answer, list) else next(
            (rows for rows in answer.values() if isinstance(rows, list)), [])

    def events(self, *argv):
        """Events as dictionaries, oldest first."""
        out = self.ctl("-o", "jsonl", "events", "-n", "1000", *argv).stdout
        return [json.loads(line) for line in out.splitlines()]

    def event_ids(self, channel):
        return [event["EventId"] for event in self.events("--channel", channel)]

    def health(self):
        """The server's state, or None while the agent can't be asked."""
        result = self.ctl("-o", "json", "health", check=False)
        return json.loads(result.stdout)["State"] if result.returncode in (0, 1) else None

    def health_of(self, health_set):
        """The state of one health set, or None while the agent can't be asked."""
        result = self.ctl("-o", "json", "health", health_set, check=False)
        if result.returncode not in (0, 1):
            return None
        return json.loads(result.stdout)["HealthSets"][0]["State"]

    def main_pid(self, unit):
        return int(self.run("systemctl", "show", "-P", "MainPID", unit).stdout)

    def is_active(self, unit):
        return self.run("systemctl", "is-active", unit, check=False).stdout.strip() == "active"

    def kill(self, unit, signal="KILL"):
        """Signals all processes of a unit, or only the main one of salved."""
        who = "main" if unit == "salved" else "all"
        self.run("systemctl", "kill", f"--kill-who={who}", "-s", signal, unit)

    def wait_for(self, condition, timeout=30, what="the condition"):
        """Polls until `condition` is true; the agent's own words are in the failure."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.05)
        story = self.ctl("explain", "--last", check=False).stdout
        raise AssertionError(f"{what} did not come true in {timeout} s\n{story}")


class FleetServer(Server):
    """One of several on a Bridge, which boots and destroys them."""

    def __init__(self, machine, configuration, throttle, agent):
        self.machine = machine
        self.install(configuration, throttle, agent)


def parse_time(text):
    """Seconds since the epoch of an RFC 3339 time with any number of decimals."""
    whole, fraction = re.fullmatch(r"(.*?)(\.\d+)?Z", text).groups()
    import calendar
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(fraction or 0)
