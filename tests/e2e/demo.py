#!/usr/bin/env python3
"""./dev demo: nginx is killed, healed, killed again, refused, and explained.

As root in a disposable machine with a real systemd; as an ordinary user with nginx as a plain
process. All that is shown below a `$ salvectl …` line is the running agent's own answer.
"""

import os
import socket
import subprocess
import sys
import time

from plain import Agent
from server import ROOT, Server, why_not

EXAMPLES = os.path.join(ROOT, "packaging/examples")
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


def say(text):
    print(f"\n{BOLD}--- {text}{PLAIN}", flush=True)


def example(name):
    with open(os.path.join(EXAMPLES, name)) as file:
        return file.read()


class InMachine:
    """nginx under systemd."""

    where = "a disposable machine with its own systemd"
    service = "nginx.service"

    def __init__(self):
        self.server = Server(example("web.textproto"), example("throttle.xml"))
        self.close = self.server.machine.destroy

    def ctl(self, *argv):
        return self.server.ctl(*argv, check=False).stdout

    def pid(self):
        return self.server.main_pid("nginx")

    def kill(self):
        self.server.kill("nginx")


class AsUser:
    """nginx as a plain process, which the agent restarts with a command of its own."""

    where = "a folder of yours, without systemd"
    service = "nginx"

    def __init__(self):
        self.agent = Agent("", example("throttle.xml").replace("nginx.service", "nginx"),
                           start=False)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        folder = self.agent.dir
        conf = self.agent.write("nginx.conf", f"""
            worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
            events {{ }}
            http {{ access_log off; server {{ listen 127.0.0.1:{port}; return 200 "hello"; }}
              client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
              fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5; }}""")
        self.nginx = ["/usr/sbin/nginx", "-e", f"{folder}/error.log", "-c", conf]
        self.agent.write("conf.d/test.textproto", f"""health_set {{ name: "Web"
          probe {{ name: "NginxPing" interval: "1s" timeout: "500ms" http {{ url: "http://127.0.0.1:{port}/" }} }}
          monitor {{ name: "NginxDown" probe: "NginxPing" consecutive_failures {{ threshold: 2 }}
                    transition {{ to: UNHEALTHY }} }}
          responder {{ name: "NginxRestart" monitor: "NginxDown" on: UNHEALTHY restart_service {{
            service: "nginx" {" ".join(f'command: "{a}"' for a in self.nginx)} }} }} }}""")
        subprocess.run(self.nginx, check=True)
        self.agent.start()

    def close(self):
        if self.pid():
            os.kill(self.pid(), 15)
        self.agent.__exit__(None)

    def ctl(self, *argv):
        return self.agent.ctl(*argv, check=False).stdout

    def pid(self):
        """The master's, or 0 when none runs."""
        try:
            with open(self.agent.path("nginx.pid")) as file:
                pid = int(file.read())
            os.kill(pid, 0)
            return pid
        except (OSError, ValueError):
            return 0

    def kill(self):
        pid = self.pid()
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
        for victim in [pid, *map(int, children.stdout.split())]:
            os.kill(victim, 9)


def show(demo, *argv):
    print(f"{BOLD}$ salvectl {' '.join(argv)}{PLAIN}", flush=True)
    print(demo.ctl(*argv), end="", flush=True)


def wait_for(demo, condition, what, timeout=30):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"demo: {what} did not come in {timeout} s\n{demo.ctl('explain', '--last')}")
        time.sleep(0.1)


def run(demo):
    say(f"nginx and salved run in {demo.where}")
    wait_for(demo, lambda: "UNINITIALIZED" not in demo.ctl("health") and
             "HEALTHY" in demo.ctl("health"), "health")
    show(demo, "health")

    first = demo.pid()
    say(f"kill -9 of nginx (pid {first})")
    began = time.monotonic()
    demo.kill()
    wait_for(demo, lambda: demo.pid() not in (0, first), "a new nginx")
    say(f"nginx runs again as pid {demo.pid()}, {time.monotonic() - began:.1f} s after the kill")
    wait_for(demo, lambda: "healthy again" in demo.ctl("explain", "--last"), "health again")
    show(demo, "explain", "--last")

    say("the looks settle for 15 s; then nginx is killed once more")
    time.sleep(17)
    demo.kill()
    wait_for(demo, lambda: "2051" in demo.ctl("events", "--event-id", "2051"), "the refusal", 40)
    say("one restart in ten minutes is what packaging/examples/throttle.xml allows: refused (2051)")
    show(demo, "events", "--channel", "RecoveryActionLogs")
    show(demo, "throttle", "check", "RestartService", demo.service)

    say("the whole story, and what comes next")
    show(demo, "explain", "--last")


def main():
    demo = AsUser() if why_not() else InMachine()
    try:
        run(demo)
    finally:
        demo.close()


if __name__ == "__main__":
    main()
