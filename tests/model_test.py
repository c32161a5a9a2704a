"""The model of the group's reservation, checked in every interleaving by spin.

Its seeded mistakes must be found: a model that finds nothing proves nothing.
"""

import concurrent.futures
import os
import re
import subprocess
import tempfile
import unittest

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "model", "reserve.pml")


def errors(*definitions):
    """The number of errors; an AssertionError when the search was not complete."""
    flags = [f"-D{definition}" for definition in definitions]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["spin", "-a", *flags, MODEL], cwd=folder, check=True, timeout=60)
        subprocess.run(["gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c"],
                       cwd=folder, check=True, timeout=120)
        out = subprocess.run(["./pan", "-m1000000"], cwd=folder, text=True, timeout=500,
                             stdout=subprocess.PIPE).stdout
    if "max search depth too small" in out or "out of memory" in out:
        raise AssertionError(out)
    return int(re.search(r"errors: (\d+)", out)[1])


class ModelTest(unittest.TestCase):
    def test_three_servers_never_overspend_nor_act_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            one = pool.submit(errors, "LIMIT=1", "OUTAGES=0")
            two = pool.submit(errors, "LIMIT=2", "OUTAGES=0")
            self.assertEqual((one.result(), two.result()), (0, 0))

    def test_a_check_and_a_write_in_two_steps_are_found_out(self):
        self.assertGreater(errors("LIMIT=1", "SPLIT"), 0)

    def test_a_slot_that_its_lease_alone_frees_is_found_out(self):
        self.assertGreater(errors("LIMIT=2", "OUTAGES=0", "LEASE_ONLY"), 0)

    def test_a_history_that_forgets_what_was_taken_back_is_found_out(self):
        self.assertGreater(errors("LIMIT=2", "OUTAGES=0", "FORGETS"), 0)


if __name__ == "__main__":
    unittest.main()
