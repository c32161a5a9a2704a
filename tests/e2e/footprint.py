#!/usr/bin/env python3
"""What the agent itself costs with 1,000 probes at 10 s intervals.

    footprint.py [http|mixed]

`http`: all of them ask a local nginx. `mixed`: some of each kind, against nginx, redis and small
servers of this script. Part of ./dev bench. Prints one line a figure; docs/PERFORMANCE.md says what
is expected.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time

from plain import Agent
from servers import Servers, dns_with, line_by_line

PROBES = 1000
SECONDS = 60
CRLF = b"\r\n"


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def running(argv):
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def nginx(agent, port):
    folder = agent.dir
    conf = agent.write("nginx.conf", f"""
        daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
        events {{ }} http {{ access_log off; server {{ listen 127.0.0.1:{port}; return 200 "hello"; }}
          client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
          fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5; }}""")
    return running(["/usr/sbin/nginx", "-e", f"{folder}/error.log", "-c", conf])


# -- the small servers: each knows as much as a look asks

def smtp(line):
    return b"250 ok\r\n" if not line.upper().startswith(b"QUIT") else None


def imap(line):
    tag, command = (line.split() + [b"", b""])[:2]
    if command.upper() == b"LOGOUT":
        return None
    capability = b"* CAPABILITY IMAP4rev1\r\n" if command.upper() == b"CAPABILITY" else b""
    return capability + tag + b" OK done\r\n"


def pop3(line):
    return b"+OK\r\n" if not line.upper().startswith(b"QUIT") else None


async def postgres(reader, writer):
    length = int.from_bytes(await reader.readexactly(4), "big")
    await reader.readexactly(length - 4)
    writer.write(b"R\0\0\0\x0c\0\0\0\5salt")  # A password, please, by MD5.
    await reader.read()


def mixed_kinds(agent, servers, web, redis):
    """(how many, kind)"""
    file = agent.write("watched", "all is well\n")
    dns = servers.udp(dns_with(1, b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1"))
    kinds = [
        (200, f'http {{ url: "http://127.0.0.1:{web}/" }}'),
        (150, f'tcp {{ port: {web} }}'),
        (100, f'dns {{ name: "www.example.org" server: "127.0.0.1:{dns}" }}'),
        (50, f'smtp {{ port: {servers.tcp(line_by_line(b"220 here ESMTP" + CRLF, smtp))} }}'),
        (50, f'imap {{ port: {servers.tcp(line_by_line(b"* OK ready" + CRLF, imap))} }}'),
        (50, f'pop3 {{ port: {servers.tcp(line_by_line(b"+OK ready" + CRLF, pop3))} }}'),
        (50, f'sql_ping {{ port: {servers.tcp(postgres)} }}'),
        (50, 'disk { path: "/" min_free_percent: 0 min_free_inodes_percent: 0 read_only_ok: true }'),
        (50, "memory { min_available_percent: 0 }"),
        (50, "cpu {}"),
        (90, f'file {{ path: "{file}" max_age: "24h" content_match: "well" }}'),
        (50, f'process {{ pid_file: "{agent.dir}/nginx.pid" }}'),
        (10, 'exec { command: "/bin/true" }'),
    ]
    if redis:
        kinds.append((30, f"sql_ping {{ server: REDIS port: {redis} }}"))
    if os.path.isdir("/run/systemd/system"):
        kinds.append((20, 'systemd_unit { unit: "dbus.service" }'))
    return kinds + [(PROBES - sum(count for count, _ in kinds), f'tcp {{ port: {web} }}')]


def measure(agent, kinds):
    probes = "\n".join(
        f'probe {{ name: "P{i}-{j}" interval: "10s" timeout: "3s" {kind} }}\n'
        f'monitor {{ name: "M{i}-{j}" probe: "P{i}-{j}" consecutive_failures {{ threshold: 3 }} }}'
        for i, (count, kind) in enumerate(kinds) for j in range(count))
    agent.write("conf.d/test.textproto", f'health_set {{ name: "Load"\n{probes}\n}}')
    agent.start()
    agent.wait_for(lambda: agent.health() == "HEALTHY", timeout=60, what="health")
    time.sleep(10)  # Past the start.
    pid = agent.process.pid
    before, began = cpu_seconds(pid), time.monotonic()
    time.sleep(SECONDS)
    cpu = (cpu_seconds(pid) - before) / (time.monotonic() - began)
    resident, anonymous = agent.rss()
    info = agent.info()
    sick = {probe["Name"]: probe["Last"]["Error"] for probe in agent.json("probe", "list")["Probes"]
            if (probe.get("Last") or {}).get("ResultType") != "Succeeded"}
    if sick:
        raise SystemExit(f"{len(sick)} looks did not succeed: {list(sick.items())[:3]}")
    print(f"agent_cpu_of_one_core  {100 * cpu:.2f} %")
    print(f"agent_resident         {resident / 2**20:.1f} MiB")
    print(f"agent_anonymous        {anonymous / 2**20:.1f} MiB")
    print(f"loop_longest_turn      {info['LongestTurnMs']:.1f} ms")
    print(f"start_to_first_look    {info['FirstProbeMs']:.0f} ms")
    print(f"probes_skipped         {info['ProbesSkipped']}")


def main():
    which = sys.argv[1] if len(sys.argv) > 1 else "http"
    if which not in ["http", "mixed"]:
        raise SystemExit(__doc__)
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(Agent("", start=False))
        web = free_port()
        stack.enter_context(nginx(agent, web))
        kinds = [(PROBES, f'http {{ url: "http://127.0.0.1:{web}/" }}')]
        if which == "mixed":
            redis = free_port() if shutil.which("redis-server") else None
            if redis:
                stack.enter_context(running(["redis-server", "--port", str(redis), "--save", "",
                                             "--bind", "127.0.0.1", "--dir", agent.dir]))
            kinds = mixed_kinds(agent, stack.enter_context(Servers()), web, redis)
        measure(agent, kinds)


if __name__ == "__main__":
    main()
