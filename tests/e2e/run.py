#!/usr/bin/env python3
"""Runs unittest files, each in a process of its own with a time limit.

    run.py [--limit SECONDS] [--jobs N] FILE...

Most of these tests wait most of the time, so with --jobs some run side by side;
each one's output is then shown when it ends. A file that measures says so by a
line `ALONE = True`, and runs when nothing else does.

The last line is `N passed, N failed, N skipped`. A file that runs out of time
or dies counts the tests that had passed and one failure. The disks of machines
(tests/machine) go to a folder that is removed at the end, whatever happened.
"""

import argparse
import concurrent.futures
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from count import Counts

GRACE_SECONDS = 15  # for a test to clean up when its time is over


class Result(unittest.TextTestResult):
    """Notes the counts after every test, so that a later crash loses none."""

    def __init__(self, stream, descriptions, verbosity, *, path, **kwargs):
        super().__init__(stream, descriptions, verbosity, **kwargs)
        self.path = path
        self.passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.passed += 1

    def stopTest(self, test):
        super().stopTest(test)
        self.write(over=False)

    def write(self, over):
        # Several subtests of one test may fail: it is one test.
        failed = {getattr(test, "test_case", test).id()
                  for test, _ in self.failures + self.errors}
        failed |= {test.id() for test in self.unexpectedSuccesses}
        counts = {"passed": self.passed, "failed": len(failed), "skipped": len(self.skipped)}
        with open(self.path + ".new", "w") as file:
            json.dump({"counts": counts, "over": over}, file)
        os.rename(self.path + ".new", self.path)


def run_here(path, counts_path):
    """In the child: runs one file."""
    # A time-out is like ^C: the only exception that unittest does not take for a test's own.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.path.insert(0, os.path.dirname(path))
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    runner = unittest.TextTestRunner(
        verbosity=2,
        resultclass=lambda *args, **kwargs: Result(*args, path=counts_path, **kwargs))
    result = runner.run(suite)
    result.write(over=True)


def run_file(path, limit, folder, output):
    """Runs one file in a child that prints to `output`; returns its Counts."""
    counts_path = os.path.join(folder, "counts.json")
    if os.path.exists(counts_path):
        os.remove(counts_path)
    env = dict(os.environ)
    if not env.get("SALVE_KEEP_DISKS"):
        env["SALVE_MACHINE_DIR"] = folder
    child = subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), "--child", counts_path, path],
        stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        start_new_session=True, env=env)
    try:
        child.wait(limit)
    except subprocess.TimeoutExpired:
        print(f"{path}: did not end in {limit:g} s", file=output, flush=True)
        child.terminate()
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            pass
    finally:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()
    try:
        with open(counts_path) as file:
            said = json.load(file)
    except FileNotFoundError:
        return Counts(failed=1)
    counts = Counts(**said["counts"])
    if not said["over"]:
        counts.failed += 1
    return counts


def is_alone(path):
    with open(path) as file:
        return re.search(r"^ALONE = True", file.read(), re.MULTILINE) is not None


def run_captured(path, limit, folder):
    """As run_file, with a header and the time; returns the Counts and all that was printed."""
    start = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace", dir=folder) as output:
        with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as own:
            counts = run_file(path, limit, own, output)
        output.seek(0)
        said = output.read()
    took = time.monotonic() - start
    return counts, f"== {path}\n{said}== {path}: {counts} in {took:.1f} s"


def run_all(files, limit, jobs, folder):
    total = Counts()
    beside = [path for path in files if jobs > 1 and not is_alone(path)]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        runs = [pool.submit(run_captured, path, limit, folder) for path in beside]
        for run in concurrent.futures.as_completed(runs):
            counts, said = run.result()
            print(said, flush=True)
            total += counts
    for path in files:
        if path in beside:
            continue
        print(f"== {path}", flush=True)
        start = time.monotonic()
        counts = run_file(path, limit, folder, sys.stdout)
        print(f"== {path}: {counts} in {time.monotonic() - start:.1f} s", flush=True)
        total += counts
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=600, help="seconds for each file")
    parser.add_argument("--jobs", type=int, default=1, help="files that run side by side")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    if args.child:
        run_here(os.path.abspath(args.files[0]), args.child)
        return 0
    with tempfile.TemporaryDirectory(
            dir=os.environ.get("SALVE_MACHINE_DIR", "/var/tmp"), prefix="salve-e2e-",
            ignore_cleanup_errors=True) as folder:
        total = run_all(args.files, args.limit, args.jobs, folder)
    print(total)
    return 0 if total.ok else 1


if __name__ == "__main__":
    sys.exit(main())
