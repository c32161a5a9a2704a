#!/usr/bin/env python3
"""Counts test cases, the same way for every runner of the project.

    count.py bazel EVENTS EXIT_CODE   what a `bazel test --build_event_json_file=EVENTS` did
    count.py sum FILE...              adds the last counts printed in each file

Both print `N passed, N failed, N skipped`. A test target counts by its cases
(googletest), or as one when it has none; one that did not build, crashed or
ran out of time has failed. Exits with 1 when anything failed or nothing passed.
"""

import dataclasses
import json
import re
import sys
import urllib.parse
import xml.etree.ElementTree


@dataclasses.dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other):
        return Counts(self.passed + other.passed, self.failed + other.failed,
                      self.skipped + other.skipped)

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    @property
    def ok(self):
        return self.failed == 0 and self.passed > 0


def parse(text):
    """The last counts in a text, or None: a run that says nothing was cut short."""
    found = re.findall(r"(?m)^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", text)
    return Counts(*(int(number or 0) for number in found[-1])) if found else None


def of_xml(path, status):
    """The cases of one test.xml. A target that did not pass has a failure, whatever its file says."""
    counts = Counts()
    try:
        cases = list(xml.etree.ElementTree.parse(path).iter("testcase"))
    except (OSError, xml.etree.ElementTree.ParseError):
        cases = []
    for case in cases:
        if case.find("failure") is not None or case.find("error") is not None:
            counts.failed += 1
        elif case.find("skipped") is not None or case.get("status") == "notrun":
            counts.skipped += 1
        else:
            counts.passed += 1
    if status != "PASSED" and counts.failed == 0:
        counts.failed = 1
    if not cases and status == "PASSED":
        counts.passed = 1
    return counts


def of_bazel(events, exit_code):
    """Counts a run by its build events, a list of dicts."""
    tests, built, results = set(), set(), {}
    for event in events:
        kind, what = next(iter(event["id"].items()))
        if kind == "targetConfigured" and "testSize" in event.get("configured", {}):
            tests.add(what["label"])
        elif kind == "targetCompleted" and event.get("completed", {}).get("success"):
            built.add(what["label"])
        elif kind == "testResult":
            # Only the last attempt of a flaky one counts: events come in order.
            results[what["label"], what.get("run"), what.get("shard")] = event["testResult"]
    counts = Counts()
    for result in results.values():
        paths = [urllib.parse.unquote(urllib.parse.urlparse(output.get("uri", "")).path)
                 for output in result.get("testActionOutput", []) if output["name"] == "test.xml"]
        counts += of_xml(paths[0] if paths else "", result.get("status"))
    # What was built and not run was left out by a filter on purpose.
    unbuilt = tests - built - {label for label, _, _ in results}
    counts.failed += len(unbuilt)
    if exit_code != 0 and counts.failed == 0:
        counts.failed = 1
    return counts


def main(argv):
    if len(argv) == 4 and argv[1] == "bazel":
        with open(argv[2]) as file:
            counts = of_bazel([json.loads(line) for line in file], int(argv[3]))
    elif len(argv) > 2 and argv[1] == "sum":
        counts = Counts()
        for path in argv[2:]:
            with open(path, errors="replace") as file:
                counts += parse(file.read()) or Counts(failed=1)
    else:
        sys.exit(__doc__)
    print(counts)
    return 0 if counts.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
