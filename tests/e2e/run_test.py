"""Tests of run.py."""

import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
MIXED = """
import unittest
class T(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.fail()
    def test_error(self): raise OSError
    def test_subtests(self):
        for i in range(3):
            with self.subTest(i): self.fail()
    @unittest.skip("why")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    @unittest.expectedFailure
    def test_unexpected(self): pass
"""
HANGS = """
import time, unittest
class T(unittest.TestCase):
    def test_a(self): pass
    def test_b(self):
        try:
            time.sleep(600)
        finally:
            print("cleaned up", flush=True)
    def test_c(self): pass
"""
DIES = """
import os, unittest
class T(unittest.TestCase):
    def test_a(self): open(os.environ["SALVE_MACHINE_DIR"] + "/left", "w").close()
    def test_b(self): os._exit(0)
"""
# Passes only beside another of its kind.
MEETS = """
import os, pathlib, time, unittest
class T(unittest.TestCase):
    def test_meets(self):
        folder = pathlib.Path(__file__).parent
        (folder / f"here-{os.getpid()}").touch()
        while len(list(folder.glob("here-*"))) < 2: time.sleep(0.01)
        print("met", flush=True)
"""
# Passes only when nobody else runs.
ALONE = """
import pathlib, unittest
ALONE = True  # it measures
class T(unittest.TestCase):
    def test_alone(self):
        self.assertEqual(len(list(pathlib.Path(__file__).parent.glob("here-*"))), 2)
"""


class RunTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        os.mkdir(f"{self.folder}/machines")

    def run_files(self, *texts, limit=60, jobs=1):
        paths = []
        for i, text in enumerate(texts):
            paths.append(f"{self.folder}/x{i}_test.py")
            with open(paths[-1], "w") as file:
                file.write(text)
        done = subprocess.run(
            [sys.executable, f"{HERE}/run.py", f"--limit={limit}", f"--jobs={jobs}", *paths],
            text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "SALVE_MACHINE_DIR": f"{self.folder}/machines"})
        self.output = done.stdout
        return done.stdout.splitlines()[-1], done.returncode

    def test_counts_tests_by_their_end(self):
        self.assertEqual(self.run_files(MIXED), ("2 passed, 4 failed, 1 skipped", 1))

    def test_adds_up_files(self):
        one = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n"
        self.assertEqual(self.run_files(one, one), ("2 passed, 0 failed, 0 skipped", 0))

    def test_a_file_that_hangs_is_ended_and_may_clean_up(self):
        self.assertEqual(self.run_files(HANGS, limit=2), ("1 passed, 1 failed, 0 skipped", 1))
        self.assertIn("cleaned up", self.output)
        self.assertIn("did not end in 2 s", self.output)

    def test_a_file_that_dies_keeps_its_counts_and_leaves_no_disk(self):
        self.assertEqual(self.run_files(DIES), ("1 passed, 1 failed, 0 skipped", 1))
        self.assertEqual(os.listdir(f"{self.folder}/machines"), [])

    def test_a_file_that_cannot_be_read_is_a_failure(self):
        self.assertEqual(self.run_files("import nonsense_of_no_module"),
                         ("0 passed, 1 failed, 0 skipped", 1))

    def test_a_class_that_cannot_be_set_up_is_a_failure(self):
        text = ("import unittest\nclass T(unittest.TestCase):\n"
                "    @classmethod\n    def setUpClass(cls): 1 / 0\n"
                "    def test_a(self): pass\n")
        self.assertEqual(self.run_files(text), ("0 passed, 1 failed, 0 skipped", 1))

    def test_jobs_run_side_by_side_and_show_what_they_said(self):
        self.assertEqual(self.run_files(ALONE, MEETS, MEETS, jobs=2, limit=20),
                         ("3 passed, 0 failed, 0 skipped", 0))
        self.assertEqual(self.output.count("met\n"), 2)

    def test_without_jobs_one_runs_after_the_other(self):
        self.assertEqual(self.run_files(MEETS, MEETS, limit=1),
                         ("1 passed, 1 failed, 0 skipped", 1))

    def test_nothing_run_is_no_success(self):
        self.assertEqual(self.run_files(""), ("0 passed, 0 failed, 0 skipped", 1))


if __name__ == "__main__":
    unittest.main()
