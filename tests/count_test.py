"""Tests of count.py."""

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import count
from count import Counts

GTEST = """<testsuites tests="4" failures="1" disabled="1" errors="0" name="AllTests">
  <testsuite name="A"><testcase name="One" status="run" result="completed"/>
    <testcase name="Two" status="run" result="completed"><failure message="x"/></testcase>
    <testcase name="Three" status="notrun" result="suppressed"/>
    <testcase name="Four" status="run" result="skipped"><skipped message=""/></testcase>
  </testsuite></testsuites>"""
PLAIN = '<testsuites><testsuite name="t"><testcase name="t" status="run"/></testsuite></testsuites>'


class CountTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def configured(self, label, test=True):
        return {"id": {"targetConfigured": {"label": label}},
                "configured": {"targetKind": "x", **({"testSize": "SMALL"} if test else {})}}

    def completed(self, label, success=True):
        return {"id": {"targetCompleted": {"label": label}},
                "completed": {"success": True} if success else {}}

    def result(self, label, xml, status="PASSED", attempt=1):
        path = self.write(f"{len(os.listdir(self.folder))} test.xml", xml)
        return {"id": {"testResult": {"label": label, "run": 1, "shard": 1, "attempt": attempt}},
                "testResult": {"status": status, "testActionOutput": [
                    {"name": "test.log", "uri": "file:///dev/null"},
                    {"name": "test.xml", "uri": "file://" + path.replace(" ", "%20")}]}}

    def run_of(self, *events, exit_code=0):
        return count.of_bazel(events, exit_code)

    def test_counts_the_cases_of_a_target(self):
        self.assertEqual(self.run_of(self.result("//a", GTEST, "FAILED"), exit_code=3),
                         Counts(1, 1, 2))

    def test_a_target_without_cases_counts_as_one(self):
        self.assertEqual(self.run_of(self.result("//a", PLAIN)), Counts(1, 0, 0))
        self.assertEqual(self.run_of(self.result("//a", "")), Counts(1, 0, 0))

    def test_a_target_that_crashed_has_failed_whatever_its_cases_say(self):
        for status in ["FAILED", "TIMEOUT", "INCOMPLETE"]:
            self.assertEqual(self.run_of(self.result("//a", PLAIN, status), exit_code=3),
                             Counts(1, 1, 0))
            self.assertEqual(self.run_of(self.result("//a", "", status), exit_code=3),
                             Counts(0, 1, 0))

    def test_a_target_that_did_not_build_has_failed(self):
        self.assertEqual(
            self.run_of(self.configured("//a"), self.configured("//b"), self.completed("//a"),
                        self.completed("//b", success=False), self.result("//a", PLAIN),
                        exit_code=1), Counts(1, 1, 0))

    def test_a_library_is_no_test(self):
        self.assertEqual(
            self.run_of(self.configured("//a", test=False), self.completed("//a"),
                        self.result("//t", PLAIN)), Counts(1, 0, 0))

    def test_what_a_filter_left_out_does_not_count(self):
        self.assertEqual(
            self.run_of(self.configured("//a"), self.completed("//a"), self.result("//t", PLAIN)),
            Counts(1, 0, 0))

    def test_only_the_last_attempt_counts(self):
        self.assertEqual(
            self.run_of(self.result("//a", GTEST, "FAILED"), self.result("//a", PLAIN, attempt=2)),
            Counts(1, 0, 0))

    def test_a_run_that_failed_without_a_failing_test_has_failed(self):
        self.assertEqual(self.run_of(exit_code=1), Counts(0, 1, 0))

    def test_nothing_run_is_not_ok(self):
        self.assertFalse(Counts(0, 0, 3).ok)
        self.assertFalse(Counts(9, 1, 0).ok)
        self.assertTrue(Counts(1, 0, 0).ok)

    def test_the_last_counts_of_a_text_count(self):
        self.assertEqual(count.parse("1 passed, 2 failed\nx\n3 passed, 0 failed, 4 skipped\n"),
                         Counts(3, 0, 4))
        self.assertEqual(count.parse("5 passed, 2 failed\n"), Counts(5, 2, 0))
        self.assertIsNone(count.parse("it said 5 passed, 2 failed\n"))

    def test_the_command_adds_files_and_one_cut_short_is_a_failure(self):
        good = self.write("good", "noise\n2 passed, 0 failed\n")
        cut = self.write("cut", "noise\n")
        for paths, line, code in [([good, good], "4 passed, 0 failed, 0 skipped\n", 0),
                                  ([good, cut], "2 passed, 1 failed, 0 skipped\n", 1)]:
            with contextlib.redirect_stdout(io.StringIO()) as out:
                self.assertEqual(count.main(["count.py", "sum", *paths]), code)
            self.assertEqual(out.getvalue(), line)

    def test_the_command_reads_a_file_of_events(self):
        events = self.write("events", json.dumps(self.result("//a", GTEST, "FAILED")) + "\n")
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertEqual(count.main(["count.py", "bazel", events, "3"]), 1)
        self.assertEqual(out.getvalue(), "1 passed, 1 failed, 2 skipped\n")


if __name__ == "__main__":
    unittest.main()
