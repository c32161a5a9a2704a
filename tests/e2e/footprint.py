#!/usr/bin/env python3
"""What the agent itself costs: 1,000 HTTP probes at 10 s intervals against a local nginx.

Part of ./dev bench. Prints one line a figure; docs/PERFORMANCE.md says what is expected.
"""

import os
import socket
import subprocess
import time

from plain import Agent

PROBES = 1000
SECONDS = 60


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    with Agent("", start=False) as agent:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        folder = agent.dir
        conf = agent.write("nginx.conf", f"""
            daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
            events {{ }} http {{ access_log off; server {{ listen 127.0.0.1:{port}; return 200 "hello"; }}
              client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
              fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5; }}""")
        nginx = subprocess.Popen(["/usr/sbin/nginx", "-e", f"{folder}/error.log", "-c", conf])
        try:
            probes = "\n".join(
                f'probe {{ name: "P{i}" interval: "10s" timeout: "3s" http {{ url: "http://127.0.0.1:{port}/" }} }}\n'
                f'monitor {{ name: "M{i}" probe: "P{i}" consecutive_failures {{ threshold: 3 }} }}'
                for i in range(PROBES))
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
            print(f"agent_cpu_of_one_core  {100 * cpu:.2f} %")
            print(f"agent_resident         {resident / 2**20:.1f} MiB")
            print(f"agent_anonymous        {anonymous / 2**20:.1f} MiB")
            print(f"loop_longest_turn      {info['LongestTurnMs']:.1f} ms")
            print(f"start_to_first_look    {info['FirstProbeMs']:.0f} ms")
            print(f"probes_skipped         {info['ProbesSkipped']}")
        finally:
            nginx.terminate()
            nginx.wait()


if __name__ == "__main__":
    main()
