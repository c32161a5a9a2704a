"""No window opens early by a wrong wall clock, nor across a real reboot.

Steps within the agent's life and three days of power-off are throttling/ledger_test.cc's, which
can inject them; here the agent is real, and so is the reboot.
"""

import ctypes
import time
import unittest

from group_test import EXIT_REFUSED, run
from plain import Agent
from server import SALVED_WITH_FAULTS, Server, policy, why_not

JOB = """
health_set {
  name: "Job"
  probe { name: "Up" interval: "1h" exec { command: "/bin/true" } }
  monitor { name: "Up" probe: "Up" consecutive_failures { threshold: 3 } }
  responder { name: "RunJob" monitor: "Up" on: UNHEALTHY settle: "0s"
              run_command { command: "/bin/true" resource: "job" } }
}
"""
HOUR, DAY = 3600, 86400


def clock_is_synchronised():
    """What adjtimex says, as the agent asks it: with it, time switched off counts."""
    buffer = ctypes.create_string_buffer(512)
    return ctypes.CDLL(None).adjtimex(buffer) != 5  # TIME_ERROR


class TimeTest(unittest.TestCase):
    def test_a_wrong_wall_clock_opens_no_window(self):
        with Agent(JOB, policy(minutes=60, hour=1, day=1, action="RunCommand"),
                   start=False) as agent:
            for i, offset in enumerate([0, HOUR, -HOUR, DAY, -DAY, 3 * DAY]):
                agent.start(binary=SALVED_WITH_FAULTS, env={"SALVE_WALL_OFFSET": str(offset)})
                agent.wait_for(lambda: agent.ctl("version", check=False).returncode == 0,
                               what="the socket")
                status, checks, _ = run(agent)
                if i == 0:
                    self.assertEqual(status, 0)
                else:
                    self.assertEqual(
                        (status, checks),
                        (EXIT_REFUSED, ["LocalMinimumMinutes", "LocalMaxInHour", "LocalMaxInDay"]),
                        offset)
                agent.stop()


@unittest.skipIf(why_not(), why_not())
class RebootTest(unittest.TestCase):
    def test_a_real_reboot_opens_no_window_whatever_the_clock_says(self):
        offsets = [0, -DAY, -HOUR] if clock_is_synchronised() else [0, HOUR, -HOUR, DAY, -DAY]
        with Server(JOB, policy(minutes=60, day=1, action="RunCommand"), nginx=False,
                    salved=SALVED_WITH_FAULTS,
                    environment="EnvironmentFile=-/etc/salve/offset") as server:
            self.assertEqual(server.ctl("action", "run", "Job/RunJob").returncode, 0)
            for offset in offsets:
                # As a machine whose clock is wrong from its boot on.
                server.run("sh", "-c",
                           f"echo SALVE_WALL_OFFSET={offset} >/etc/salve/offset; sync")
                before = server.machine.boot_id
                server.machine.reboot()
                self.assertNotEqual(server.machine.boot_id, before)
                server.start()
                server.wait_for(lambda: server.ctl("version", check=False).returncode == 0,
                                what="the socket")
                result = server.ctl("-o", "json", "action", "run", "Job/RunJob", check=False)
                self.assertEqual(result.returncode, EXIT_REFUSED, f"{offset}: {result.stdout}")
                self.assertIn("FailedChecks=LocalMinimumMinutes, LocalMaxInDay", result.stdout)


if __name__ == "__main__":
    unittest.main()
