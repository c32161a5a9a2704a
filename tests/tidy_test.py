"""The few rules of the code that must never slip; every one has a reason beside it.

Run by ./dev test and ./dev lint. A rule is a function from (path, text) to the
lines that break it, so that the second half of this file can show each one red.
"""

import os
import re
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OURS = ["agent", "api", "base", "channels", "cli", "config", "monitors", "probes", "queue",
        "responders", "tests", "throttling"]
README_LINES_MAX = 120

# Tests, benchmarks, and what they share: test_servers.h, benchmark_nginx.cc, ledger_fixture.h.
TEST_CODE = r"^tests/|_(test|benchmark|fuzz)\.cc$|/(test|benchmark)_\w+\.(cc|h)$|_fixture\.h$"

# (what is banned, where it is allowed, what to do instead)
BANNED = [
    (r"\babsl::(Now|GetCurrentTimeNanos)\b|\b(system|steady|high_resolution)_clock\s*::"
     r"|\bclock_gettime\b|\bgettimeofday\b|\btime\((NULL|nullptr|0)\)",
     r"^base/clock_|" + TEST_CODE,
     "time comes from the Clock that is handed in (base/clock.h)"),
    (r"\babsl::SleepFor\b|\bsleep_(for|until)\b|\b(usleep|nanosleep)\b|(?<![\w.>:])(::)?sleep\s*\(",
     TEST_CODE,
     "nothing waits by sleeping: use a timer of the EventLoop"),
    (r"\bthrow\b", r"^$", "no exceptions in our code: return a Status"),
    (r"\bstd::(jthread|thread|async)\b(?!::)|\bpthread_create\b",
     r"^base/(worker|blocking_calls)\.|^agent/|" + TEST_CODE,
     "threads are the agent's: hand blocking work to a Worker (base/worker.h)"),
    (r"(?<![\w.>:])(::)?(v?fork|popen|system|posix_spawnp?|execvp?e?)\s*\(",
     r"^base/|" + TEST_CODE,
     "processes are started through the one door to the machine (base/host.h)"),
]


# -- the rules

def code_of(text):
    """C++ without comments and the insides of literals; the lines stay where they are."""
    def blank(match):
        kept = match[0][0] * 2 if match[0][0] in "\"'" else ""
        return kept + "\n" * match[0].count("\n")
    return re.sub(r"//[^\n]*|/\*.*?\*/"
                  r'|R"(?P<tag>[^\s()\\]{0,16})\(.*?\)(?P=tag)"|"(\\.|[^"\\\n])*"'
                  r"|(?<![0-9A-Fa-f])'(\\.|[^'\\\n])*'", blank, text, flags=re.DOTALL)


def banned_calls(path, text):
    for number, line in enumerate(code_of(text).split("\n"), 1):
        for pattern, allowed, instead in BANNED:
            found = re.search(pattern, line)
            if found and not re.search(allowed, path):
                yield f"{path}:{number}: {found[0].strip()}: {instead}"


def header_guard(path, text):
    guard = "SALVE_" + re.sub(r"[/.-]", "_", path).upper() + "_"
    if not re.search(rf"^#ifndef {guard}\n#define {guard}\n", text, re.MULTILINE):
        yield f"{path}: the header guard must be {guard}"


def todo(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        found = re.search(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b", line)
        if found:
            yield f"{path}:{number}: {found[0]}: do it, or write it into an issue"


def broken_links(path, text, exists):
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:|#", target):
            continue
        place = os.path.normpath(os.path.join(os.path.dirname(path), target.split("#")[0]))
        if place.startswith("..") or not exists(place):
            yield f"{path}: broken link: {target}"


def unbuilt_sources(sources, builds):
    """builds: {folder: text of its BUILD}. A source belongs to the nearest BUILD above it."""
    for path in sources:
        package = os.path.dirname(path)
        while package and package not in builds:
            package = os.path.dirname(package)
        name = os.path.relpath(path, package or ".")
        text = re.sub(r"(?m)#.*", "", builds.get(package, ""))
        times = len(re.findall(rf'"{re.escape(name)}"', text))
        if times != 1:
            yield f"{path}: is in {times} targets of {package or '.'}/BUILD, must be in one"


# -- the tree

def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def files(*suffixes, folders=OURS):
    """Paths under the root. Only what is ours: no build output, no third party."""
    for top in folders:
        for folder, _, names in os.walk(os.path.join(ROOT, top)):
            for name in sorted(names):
                if name.endswith(suffixes):
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


class TidyTest(unittest.TestCase):

    def check(self, problems):
        problems = list(problems)
        if problems:
            self.fail("\n" + "\n".join(problems))

    def test_banned_calls_stay_behind_their_door(self):
        self.check(problem for path in files(".cc", ".h")
                   for problem in banned_calls(path, read(path)))

    def test_each_header_has_its_guard(self):
        self.check(problem for path in files(".h") for problem in header_guard(path, read(path)))

    def test_each_source_is_in_one_target(self):
        builds = {os.path.dirname(path): read(path) for path in files("BUILD")}
        self.check(unbuilt_sources(files(".cc", ".h", ".proto"), builds))

    def test_nothing_is_left_to_do(self):
        kinds = (".cc", ".h", ".py", ".sh", ".proto", ".bzl", ".md", "BUILD")
        places = list(files(*kinds, folders=OURS + ["docs", "packaging"]))
        places += [name for name in ["README.md", "dev", ".ci/run"] if os.path.exists(
            os.path.join(ROOT, name))]
        self.check(problem for path in places for problem in todo(path, read(path)))

    def test_no_relative_link_is_broken(self):
        places = [name for name in os.listdir(ROOT) if name.endswith(".md")]
        places += files(".md", folders=OURS + ["docs", "packaging", "third_party"])
        self.check(problem for path in places for problem in broken_links(
            path, read(path), lambda place: os.path.exists(os.path.join(ROOT, place))))

    def test_the_readme_is_short(self):
        self.assertLessEqual(len(read("README.md").splitlines()), README_LINES_MAX)


class RuleTest(unittest.TestCase):
    """Each rule, on both sides of its edge."""

    def bans(self, line, path="probes/x.cc"):
        return len(list(banned_calls(path, line)))

    def test_time_is_banned_but_for_the_clock_and_tests(self):
        for line in ["t = absl::Now();", "std::chrono::steady_clock::now()", "time(nullptr)",
                     "clock_gettime(CLOCK_REALTIME, &t);"]:
            self.assertEqual(self.bans(line), 1, line)
            for path in ["base/clock_system.cc", "probes/x_test.cc", "tests/fuzz/x.cc"]:
                self.assertEqual(self.bans(line, path), 0, (line, path))
        for line in ["clock_.Now()", "SystemClock system_clock_;", "time(now)"]:
            self.assertEqual(self.bans(line), 0, line)

    def test_sleeping_is_banned_but_in_tests(self):
        for line in ["absl::SleepFor(d);", "std::this_thread::sleep_for(d);", "::usleep(1);",
                     "  sleep(1);"]:
            self.assertEqual(self.bans(line, "base/x.cc"), 1, line)
            self.assertEqual(self.bans(line, "base/x_test.cc"), 0, line)
        self.assertEqual(self.bans("clock.sleep(1); asleep(1)"), 0)

    def test_exceptions_are_banned_everywhere(self):
        self.assertEqual(self.bans("throw 1;", "base/x_test.cc"), 1)
        self.assertEqual(self.bans("throw 1;", "agent/x.cc"), 1)
        self.assertEqual(self.bans("throwing_away = 1;"), 0)

    def test_threads_are_banned_but_for_the_worker_and_the_agent(self):
        for line in ["std::thread t;", "std::async(f)", "pthread_create(&t)"]:
            self.assertEqual(self.bans(line), 1, line)
            self.assertEqual(self.bans(line, "base/workers.cc"), 1, line)
            self.assertEqual(self.bans(line, "base/worker.cc"), 0, line)
            self.assertEqual(self.bans(line, "agent/main.cc"), 0, line)
        self.assertEqual(self.bans("std::thread::id id; std::this_thread::get_id()"), 0)

    def test_processes_are_banned_but_for_the_host(self):
        for line in ["pid = fork();", "if (::popen(c))", "system(c);", "execve(p, a, e);"]:
            self.assertEqual(self.bans(line), 1, line)
            self.assertEqual(self.bans(line, "base/spawn.cc"), 0, line)
        for line in ["host.system(c)", "Fork()", "my_system(c)", "file->popen(1)"]:
            self.assertEqual(self.bans(line), 0, line)

    def test_comments_and_literals_are_no_code(self):
        for line in ["// throw", "/* a\n throw */", 'f("throw \\" throw");', "'\"'; // throw '",
                     'R"(" throw)"', 'R"x(throw )" throw)x"', "1'000'000 /* throw */"]:
            self.assertEqual(self.bans(line), 0, line)
        self.assertEqual(list(banned_calls("base/x.cc", '"a" // b\n/*\n*/ throw 1;'))[0][:12],
                         "base/x.cc:3:")

    def test_the_guard_names_the_path(self):
        text = "#ifndef SALVE_BASE_EVENT_LOOP_H_\n#define SALVE_BASE_EVENT_LOOP_H_\n#endif\n"
        self.assertEqual(list(header_guard("base/event_loop.h", text)), [])
        self.assertEqual(len(list(header_guard("base/loop.h", text))), 1)
        self.assertEqual(len(list(header_guard("base/event_loop.h", "#pragma once\n"))), 1)

    def test_what_is_left_to_do_is_found(self):
        self.assertEqual(len(list(todo("a", "x\n# TO" "DO: y"))), 1)
        self.assertEqual(list(todo("a", "TODOS mastodon")), [])

    def test_links_are_looked_up_beside_their_file(self):
        def broken(text):
            return len(list(broken_links("docs/A.md", text, {"docs/B.md", "README.md"}.__contains__)))
        self.assertEqual(broken("[b](B.md) [b](B.md#part) [r](../README.md) [h](#here)"), 0)
        self.assertEqual(broken("[x](https://x.y/z) [m](mailto:a@b)\n```\n[c](C.md)\n```"), 0)
        self.assertEqual(broken("[c](C.md) [up](../../README.md)"), 2)

    def test_a_source_is_in_exactly_one_target(self):
        def wrong(build, path="base/a.cc"):
            return len(list(unbuilt_sources([path], {"base": build})))
        self.assertEqual(wrong('srcs = ["a.cc"]'), 0)
        self.assertEqual(wrong('srcs = ["aa.cc"]  # "a.cc"'), 1)
        self.assertEqual(wrong('srcs = ["a.cc"]) f(srcs = ["a.cc"]'), 1)
        self.assertEqual(wrong('srcs = ["deep/a.cc"]', "base/deep/a.cc"), 0)
        self.assertEqual(wrong('srcs = ["a.cc"]', "probes/a.cc"), 1)


if __name__ == "__main__":
    unittest.main()
