"""Event-driven detection on a real systemd: how fast, and that nothing hung slows it."""

import statistics
import time
import unittest

from server import Server, policy, why_not

ALONE = True  # Its bounds are milliseconds.
ROUNDS = 20

VICTIM = b"""[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sleep infinity
Restart=no
"""

VICTIM_SET = """
health_set {
  name: "Victim"
  probe   { name: "Unit" interval: "10s" systemd_unit { unit: "victim" } }
  monitor { name: "Down" probe: "Unit" consecutive_failures { threshold: 1 } transition { to: UNHEALTHY } }
  responder { name: "Restart" monitor: "Down" on: UNHEALTHY settle: "0s" retry_after: "1s"
              restart_service { service: "victim" } }
}
"""

# 50 HTTP probes on a listener that never answers, 20 plugins that never end, and a name
# server that never answers: each look runs into its deadline.
HUNG_SET = """
health_set {
  name: "Hung"
""" + "\n".join(
    f'  probe {{ name: "Http{i}" interval: "2s" timeout: "1900ms" http {{ url: "http://127.0.0.1:9999/{i}" }} }}'
    for i in range(50)) + "\n" + "\n".join(
    f'  probe {{ name: "Exec{i}" interval: "2s" timeout: "1900ms" exec {{ command: "/bin/sleep" command: "1000" }} }}'
    for i in range(20)) + "\n" + "\n".join(
    f'  probe {{ name: "Name{i}" interval: "2s" timeout: "1900ms" http {{ url: "http://name{i}.invalid/" }} }}'
    for i in range(5)) + "\n}\n"

# A listener that accepts into its backlog and never reads, a name server that never answers.
SILENCE = """
import socket, time
tcp = socket.socket(); tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
tcp.bind(("127.0.0.1", 9999)); tcp.listen(4096)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.9", 53))
print("silent", flush=True)
time.sleep(3600)
"""

# Kills the unit's process and prints the milliseconds until systemd announced a new job for it: the
# restart job is queued then. The bus monitor puts the time on the message itself.
KILL = """
import json, os, subprocess, time
monitor = subprocess.Popen(["busctl", "monitor", "--json=short", "--match",
                            "type='signal',member='JobNew',interface='org.freedesktop.systemd1.Manager'"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
monitor.stderr.readline()  # "Monitoring bus message stream."
pid = int(subprocess.check_output(["systemctl", "show", "-P", "MainPID", "victim"]))
t = time.time()
os.kill(pid, 9)
for line in monitor.stdout:
    message = json.loads(line)
    if "victim.service" in json.dumps(message["payload"]):
        break
monitor.kill()
print(message["timestamp-realtime"] / 1000 - t * 1000)
"""


@unittest.skipIf(why_not(), why_not())
class SpeedTest(unittest.TestCase):
    def reaction_ms(self, server):
        """From kill -9 to the restart job in systemd's queue."""
        before = server.main_pid("victim")
        reaction = float(server.run("python3", "-c", KILL, timeout=20).stdout)
        server.wait_for(lambda: server.main_pid("victim") not in (0, before) and
                        server.health_of("Victim") == "HEALTHY", what="a heal")
        return reaction

    def median(self, server):
        server.run("systemctl", "start", "victim")
        server.wait_for(lambda: server.health_of("Victim") == "HEALTHY", what="health at start")
        times = sorted(self.reaction_ms(server) for _ in range(ROUNDS))
        print(f"reaction over {ROUNDS} kills: min {times[0]:.1f}, median "
              f"{statistics.median(times):.1f}, max {times[-1]:.1f} ms")
        return statistics.median(times)

    def best_median(self, server, limit):
        """Of at most three series: a neighbour that takes the cores for one of them says nothing."""
        best = self.median(server)
        for _ in range(2):
            if best > limit:
                best = min(best, self.median(server))
        return best

    def test_a_killed_unit_is_being_restarted_within_20_ms_also_beside_hung_probes(self):
        with Server(VICTIM_SET, policy(), nginx=False,
                    files=[(VICTIM, "/etc/systemd/system/victim.service", 0o644)]) as server:
            alone = self.best_median(server, 20)
            self.assertLessEqual(alone, 20)

            server.machine.install(b"nameserver 127.0.0.9\n", "/etc/resolv.conf")
            silence = server.machine.popen(["python3", "-c", SILENCE], stdout=-1)
            silence.stdout.readline()
            server.configure(VICTIM_SET + HUNG_SET, policy())
            server.ctl("config", "reload")
            time.sleep(5)  # Until all of them hang: two of their turns.
            hung = [p for p in server.json("probe", "list")["Probes"]
                    if p.get("Last", {}).get("ResultType") == "TimedOut"]
            self.assertGreaterEqual(len(hung), 75)
            limit = max(alone * 1.2, alone + 10)
            self.assertLessEqual(self.best_median(server, limit), limit)
            info = server.json("version")
            print(f"longest turn of the loop: {info['LongestTurnMs']:.1f} ms")
            self.assertLess(info["LongestTurnMs"], 100)
            silence.kill()
            silence.wait()


if __name__ == "__main__":
    unittest.main()
