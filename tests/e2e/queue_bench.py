#!/usr/bin/env python3
"""What a queue of a million messages costs the agent; part of ./dev bench queue.

    queue_bench.py [MESSAGES]

Prints one line a figure; docs/PERFORMANCE.md says what is expected. Exits with 1 when a figure is
beyond its limit and there were a million messages.
"""

import os
import signal
import subprocess
import sys
import time

from queues import QueueAgent, smtp
from server import ROOT

FILL = os.environ.get("SALVE_FILL", os.path.join(ROOT, "bazel-bin/queue/fill"))
MILLION = 1_000_000
START_SECONDS_MAX, MEMORY_MIB_MAX, LIST_MS_MAX = 2, 30, 50
MIB = 2**20
SETTINGS = smtp("ops", 1)
BOUNDS = "bytes_max: 4294967296 messages_max: 2000000"
ROUNDS = 5


def start_seconds(agent):
    """From exec to the first answer."""
    begin = time.monotonic()
    agent.start()
    agent.wait_ready()
    return time.monotonic() - begin


def crashed_start_seconds(agent, recovery):
    agent.stop(signal.SIGKILL)
    agent.configure(SETTINGS, f"{BOUNDS} recovery: {recovery}")
    return start_seconds(agent)


def measure(agent):
    """(start_seconds, anonymous MiB, ms of `queue list`)"""
    started = start_seconds(agent)
    time.sleep(3)  # Past what a start does once.
    memory = agent.rss()[1] / MIB
    return started, memory, took_ms(agent, "queue", "list")


def took_ms(agent, *argv):
    """The best of some whole commands, from exec to exit."""
    times = []
    for _ in range(ROUNDS):
        begin = time.monotonic()
        agent.ctl(*argv)
        times.append(1000 * (time.monotonic() - begin))
    return min(times)


def agent_with(messages):
    agent = QueueAgent(0, settings=SETTINGS, start=False, queue=BOUNDS)
    os.makedirs(agent.state, exist_ok=True)
    if messages:
        begin = time.monotonic()
        subprocess.run([FILL, os.path.join(agent.state, "queue.db"), agent.server, str(messages)],
                       check=True)
        took = time.monotonic() - begin
        print(f"queue_fill_batches     {messages / took:.0f} messages/s")
    return agent


def main():
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else MILLION
    with agent_with(0) as agent:
        _, empty, _ = measure(agent)
    with agent_with(messages) as agent:
        started, full, listed = measure(agent)
        found = agent.queues()
        if found != {"remote/ops": messages}:
            raise SystemExit(f"not all are there: {found}")
        page = took_ms(agent, "queue", "message", "list", "remote/ops", "-n", "100")
        version = took_ms(agent, "version")
        size = os.path.getsize(os.path.join(agent.state, "queue.db")) / MIB
        revalidated = crashed_start_seconds(agent, "REVALIDATE")
        held = crashed_start_seconds(agent, "HOLD")
        if len(os.listdir(os.path.join(agent.state, "crash"))) != 1:
            raise SystemExit("one crash set was to be there: that of HOLD")
    print(f"queue_messages         {messages}")
    print(f"queue_file             {size:.0f} MiB")
    print(f"queue_start            {started:.2f} s")
    print(f"queue_start_crashed    {revalidated:.2f} s, under HOLD {held:.2f} s")
    print(f"queue_memory_more      {full - empty:.1f} MiB (empty: {empty:.1f} MiB)")
    print(f"queue_list             {listed:.0f} ms (salvectl version: {version:.0f} ms)")
    print(f"queue_message_list     {page:.0f} ms")
    slowest = max(started, revalidated, held)
    if messages >= MILLION and (slowest > START_SECONDS_MAX or full - empty > MEMORY_MIB_MAX
                                or listed > LIST_MS_MAX):
        raise SystemExit("beyond a limit")


if __name__ == "__main__":
    main()
