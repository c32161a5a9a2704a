"""The health sets that ship: each loads with the checks of all kinds, alone and together, and does
what its policy tests say."""

import glob
import json
import os
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SETS = os.path.join(ROOT, "config", "healthsets")
SALVED = os.environ.get("SALVED", os.path.join(ROOT, "bazel-bin", "agent", "salved"))
SALVECTL = os.environ.get("SALVECTL", os.path.join(ROOT, "bazel-bin", "cli", "salvectl"))

NAMES = sorted(os.path.basename(path)[:-len(".textproto")]
               for path in glob.glob(os.path.join(SETS, "*.textproto"))
               if not path.endswith(".test.textproto"))


def salvectl(*args):
    # No agent of this computer is meant.
    return subprocess.run([SALVECTL, "--socket", "/nonexistent/socket", *args],
                          capture_output=True, text=True, timeout=120)


class Folder(tempfile.TemporaryDirectory):
    def __enter__(self):
        return self

    def ctl(self, verb, *args):
        return salvectl("healthset", verb, *args, "--config-dir", self.name)


class HealthSetsTest(unittest.TestCase):
    def test_those_in_the_program_are_those_of_the_folder(self):
        listed = json.loads(salvectl("healthset", "list", "-o", "json").stdout)["Sets"]
        self.assertEqual([entry["Name"] for entry in listed], NAMES)
        for name in NAMES:
            with open(os.path.join(SETS, name + ".textproto")) as file:
                self.assertEqual(salvectl("healthset", "show", name).stdout, file.read(), name)

    def test_each_is_enabled_alone_observing_and_acting(self):
        for name in NAMES:
            for flags in ([], ["--observe"]):
                with self.subTest(name=name, flags=flags), Folder() as folder:
                    done = folder.ctl("enable", name, *flags)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    checked = salvectl("config", "check", folder.name)
                    self.assertEqual(checked.returncode, 0, checked.stderr)
                    self.assertEqual(folder.ctl("disable", name).returncode, 0)
                    self.assertEqual(os.listdir(os.path.join(folder.name, "conf.d")), [])

    def test_all_are_enabled_together(self):
        with Folder() as folder:
            for name in NAMES:
                done = folder.ctl("enable", name)
                self.assertEqual(done.returncode, 0, done.stderr)
            checked = salvectl("config", "check", folder.name)
            self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_an_empty_folder_is_a_configuration(self):
        with Folder() as folder:
            checked = salvectl("config", "check", folder.name)
            self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_each_has_its_section_in_the_documentation(self):
        with open(os.path.join(ROOT, "docs", "HEALTHSETS.md")) as file:
            page = file.read()
        for name in NAMES:
            self.assertIn(f"\n## {name}\n", page)

    def test_they_do_what_their_policy_tests_say(self):
        files = sorted(glob.glob(os.path.join(SETS, "*.test.textproto")))
        tested = {os.path.basename(path).split(".")[0] for path in files}
        self.assertEqual(set(NAMES) - tested, set())
        done = salvectl("test", *files)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Agent:
    """salved with an empty configuration folder."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.config = os.path.join(self.folder.name, "etc")
        self.socket = os.path.join(self.folder.name, "socket")
        os.mkdir(self.config)
        with open(os.path.join(self.folder.name, "log"), "w") as log:
            self.process = subprocess.Popen(
                [SALVED, "--config-dir", self.config, "--socket", self.socket,
                 "--state-dir", os.path.join(self.folder.name, "state")], stderr=log)
        until = time.monotonic() + 20
        while self.ctl("version").returncode != 0:
            if time.monotonic() > until or self.process.poll() is not None:
                log = self.log()
                self.__exit__()
                raise AssertionError("salved does not start: " + log)
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.folder.cleanup()

    def ctl(self, *args):
        return subprocess.run([SALVECTL, "--socket", self.socket, *args],
                              capture_output=True, text=True, timeout=30)

    def json(self, *args):
        return json.loads(self.ctl(*args, "-o", "json").stdout)

    def log(self):
        with open(os.path.join(self.folder.name, "log")) as log:
            return log.read()


class WithoutConfigurationTest(unittest.TestCase):
    def test_all_observe_until_there_is_one(self):
        with Agent() as agent:
            sets = {entry["Name"] for entry in agent.json("health")["HealthSets"]}
            self.assertLessEqual({"System", "Nginx", "Postgresql"}, sets)
            modes = {entry["Mode"] for entry in agent.json("responder", "list")["Responders"]}
            self.assertEqual(modes, {"OBSERVE"})
            self.assertIn("only observe", " ".join(agent.json("version")["Warnings"]))
            self.assertEqual(agent.log().count("only observe"), 1)

            done = agent.ctl("healthset", "enable", "system", "--config-dir", agent.config)
            self.assertIn("the agent has taken it up", done.stdout, done.stderr)
            sets = {entry["Name"] for entry in agent.json("health")["HealthSets"]}
            self.assertEqual(sets, {"System", "Certificates"})
            self.assertEqual(agent.json("version")["Warnings"], [])

            done = agent.ctl("healthset", "disable", "system", "--config-dir", agent.config)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("only observe", " ".join(agent.json("version")["Warnings"]))


if __name__ == "__main__":
    unittest.main()
