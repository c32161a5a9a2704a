"""Overrides against the real agent: the examples of the source article as typed, a file that people
edit, kill -9 in the middle, and how soon an override is in force."""

import os
import random
import re
import sys
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
from plain import Agent  # noqa: E402

# The items of the article. What they do here is nothing; their limits are what is looked at.
ITEMS = """
health_set {
  name: "Search"
  probe { name: "IndexFailure" interval: "1h" timeout: "1s" exec { command: "true" } }
  monitor { name: "SearchIndexFailure" probe: "IndexFailure" consecutive_failures { threshold: 3 } }
  responder { name: "SearchIndexFailureRestartSearchService" monitor: "SearchIndexFailure" on: UNHEALTHY
              restart_service { service: "MSExchangeFastSearch" command: "true" } }
}
health_set {
  name: "ActiveSync.Protocol"
  probe { name: "ActiveSyncSelfTest" interval: "1h" timeout: "1s" exec { command: "true" } }
  monitor { name: "ActiveSyncSelfTestMonitor" probe: "ActiveSyncSelfTest" failure_count { threshold: 3 window: "10m" } }
  responder { name: "ActiveSyncSelfTestRestartWebAppPool" monitor: "ActiveSyncSelfTestMonitor" on: UNHEALTHY
              run_command { command: "true" resource: "MSExchangeSyncAppPool" } }
}
health_set {
  name: "Store"
  probe { name: "StoreService" interval: "1h" timeout: "1s" exec { command: "true" } }
  monitor { name: "StoreServiceMonitor" probe: "StoreService" consecutive_failures { threshold: 3 } }
  responder { name: "StoreServiceKillServer" monitor: "StoreServiceMonitor" on: UNHEALTHY
              run_command { command: "true" resource: "server" } }
}
"""
AGENT = 'boot_grace: "0s" version: "15.0.1044.25"'

THROTTLE = """<ThrottleEntries>
  <RestartService ResourceName="*"><ThrottleConfig Enabled="True" LocalMinimumMinutesBetweenAttempts="60"
    LocalMaximumAllowedAttemptsInOneHour="-1" LocalMaximumAllowedAttemptsInADay="4"
    GroupMinimumMinutesBetweenAttempts="-1" GroupMaximumAllowedAttemptsInADay="-1" /></RestartService>
  <RunCommand ResourceName="*"><ThrottleConfig Enabled="True" LocalMinimumMinutesBetweenAttempts="60"
    LocalMaximumAllowedAttemptsInOneHour="-1" LocalMaximumAllowedAttemptsInADay="4"
    GroupMinimumMinutesBetweenAttempts="600" GroupMaximumAllowedAttemptsInADay="4" /></RunCommand>
</ThrottleEntries>
"""

PREFIX = "ThrottleAttributes."
LOCAL_MINIMUM = PREFIX + "LocalMinimumMinutesBetweenAttempts"
GROUP_MINIMUM = PREFIX + "GroupMinimumMinutesBetweenAttempts"
GROUP_MAXIMUM = PREFIX + "GroupMaximumAllowedAttemptsInADay"
SEARCH = r"Search\SearchIndexFailureRestartSearchService"


def start(**more):
    agent = Agent(ITEMS, throttle=THROTTLE, agent=AGENT, **more)
    agent.wait_for(lambda: os.path.exists(agent.socket) and agent.info().get("Version"),
                   what="the agent's answer")
    return agent


def add(agent, identity, name, value, *more, item_type="Responder", check=True):
    if not any(word in more for word in ("--apply-version", "--duration")):
        more += ("--apply-version", "15.00.1044.025")
    scope = () if "--global" in more else ("--local",)
    return agent.ctl("override", "add", *scope, "--item-type", item_type, "--identity", identity,
                     "--property-name", name, "--property-value", value, *more, check=check)


def limits(agent, name):
    """{attribute: (value, source)} of a responder, and the line of `throttle config`."""
    shown = agent.json("responder", "show", name)
    shown = shown.get("Responders", [shown])[0]
    return {limit["Attribute"]: (limit["Value"], limit["Source"])
            for limit in shown["LimitSources"]}


def override_xml(value, identity=SEARCH, until="2100-01-01T00:00:00Z"):
    return f"""<MonitoringOverrides>
  <Override ItemType="Responder" Identity="{identity}" PropertyName="{LOCAL_MINIMUM}"
    PropertyValue="{value}" ExpirationTime="{until}" CreatedBy="editor" Reason="by hand" />
</MonitoringOverrides>
"""


class ArticleTest(unittest.TestCase):
    def test_the_examples_of_the_article_work_as_typed(self):
        with start() as agent:
            name = "SearchIndexFailureRestartSearchService"
            self.assertEqual(limits(agent, name)[LOCAL_MINIMUM[len(PREFIX):]], (60, "policy"))
            add(agent, SEARCH, LOCAL_MINIMUM, "240")
            self.assertEqual(limits(agent, name)[LOCAL_MINIMUM[len(PREFIX):]],
                             (240, "local override"))

            name = "ActiveSyncSelfTestRestartWebAppPool"
            add(agent, "ActiveSync.Protocol/" + name, LOCAL_MINIMUM, "120", "--apply-version",
                "Version 15.0 (Build 1044.25)")
            self.assertEqual(limits(agent, name)[LOCAL_MINIMUM[len(PREFIX):]],
                             (120, "local override"))

            name = "StoreServiceKillServer"
            add(agent, "Store\\" + name, GROUP_MINIMUM, "60", "--apply-version", "15.0.1044.25")
            add(agent, "Store\\" + name, GROUP_MAXIMUM, "-1", "--apply-version", "15.0.1044.25")
            shown = limits(agent, name)
            self.assertEqual(shown[GROUP_MINIMUM[len(PREFIX):]], (60, "local override"))
            self.assertEqual(shown[GROUP_MAXIMUM[len(PREFIX):]], (-1, "local override"))
            self.assertEqual(shown[LOCAL_MINIMUM[len(PREFIX):]], (60, "policy"))

            listed = agent.json("override", "list")["Overrides"]
            self.assertEqual([one["InForce"] for one in listed], [True] * 4)
            config = agent.json("throttle", "config")["Entries"]
            sources = {entry["Identity"].split("/")[3]: entry["Source"] for entry in config}
            self.assertEqual(sources["StoreServiceKillServer"], "local override")

    def test_an_override_decides_what_the_gate_says_and_ends_with_its_removal(self):
        with start() as agent:
            name = "Store/StoreServiceKillServer"
            identity = "Store\\StoreServiceKillServer"
            for attribute in (LOCAL_MINIMUM, GROUP_MINIMUM):
                add(agent, identity, attribute, "0")
            self.assertEqual(agent.ctl("action", "run", name).returncode, 0)
            self.assertEqual(agent.ctl("action", "run", name).returncode, 0)
            add(agent, identity, LOCAL_MINIMUM, "240")
            refused = agent.ctl("action", "run", name, check=False)
            self.assertEqual(refused.returncode, 6, refused.stdout)
            self.assertIn("LocalMinimumMinutes", refused.stdout)
            self.assertIn('MinimumMinutes="240"', refused.stdout)
            agent.ctl("override", "remove", "--local", "--item-type", "Responder", "--identity",
                      identity, "--property-name", LOCAL_MINIMUM)
            self.assertIn('MinimumMinutes="60"',
                          agent.ctl("action", "run", name, check=False).stdout)

    def test_what_is_wrong_is_refused_with_the_agreed_exit_status(self):
        with start() as agent:
            typo = add(agent, r"Search\SearchIndexFailureRestartSearchServic", LOCAL_MINIMUM, "1",
                       check=False)
            self.assertEqual(typo.returncode, 4)
            self.assertIn(f"did you mean '{SEARCH}'", typo.stderr)
            for identity, attribute, value in ((SEARCH, LOCAL_MINIMUM, "-2"),
                                               (SEARCH, LOCAL_MINIMUM, "x"),
                                               (SEARCH, "ThrottlePolicyXml", "<a/>"),
                                               (SEARCH, "ThrottleAttributes.Nothing", "1"),
                                               ("Search", LOCAL_MINIMUM, "1")):
                self.assertEqual(add(agent, identity, attribute, value, check=False).returncode, 2)
            shared = add(agent, SEARCH, LOCAL_MINIMUM, "1", "--global", check=False)
            self.assertEqual(shared.returncode, 3)
            self.assertIn(agent.path("global-overrides.xml"), shared.stderr)
            self.assertEqual(agent.json("override", "list")["Overrides"], [])

    def test_a_dry_run_says_before_and_after(self):
        with start() as agent:
            said = add(agent, SEARCH, LOCAL_MINIMUM, "240", "--dry-run").stdout
            self.assertRegex(said, r'before +.*BetweenAttempts="60"')
            self.assertRegex(said, r'after +.*BetweenAttempts="240"')
            self.assertEqual(agent.json("override", "list")["Overrides"], [])


class FileTest(unittest.TestCase):
    def within_a_second(self, condition, what):
        began = time.monotonic()
        while not condition():
            self.assertLess(time.monotonic() - began, 1, what)

    def value(self, agent):
        return limits(agent, "SearchIndexFailureRestartSearchService")[
            LOCAL_MINIMUM[len(PREFIX):]]

    def test_an_edited_file_is_in_force_within_a_second_and_a_faulty_one_changes_nothing(self):
        with start() as agent:
            local = agent.write("state/overrides.xml", override_xml(90))
            self.within_a_second(lambda: self.value(agent) == (90, "local override"), "in place")
            with open(local + ".new", "w") as file:
                file.write(override_xml(100))
            os.rename(local + ".new", local)
            self.within_a_second(lambda: self.value(agent) == (100, "local override"), "renamed")

            agent.write("state/overrides.xml", override_xml(110).replace("ItemType", "ItemTipe"))
            agent.wait_for(lambda: 4 in agent.event_ids("Overrides"), what="the error event")
            time.sleep(1)
            errors = [event for event in agent.events("--channel", "Overrides")
                      if event["EventId"] == 4]
            self.assertEqual(len(errors), 1)
            self.assertIn("overrides.xml:2:13: unknown attribute 'ItemTipe'", errors[0]["Why"])
            self.assertEqual(self.value(agent), (100, "local override"))
            self.assertIn("ItemTipe", agent.ctl("override", "list").stderr)
            self.assertEqual(add(agent, SEARCH, GROUP_MINIMUM, "1", check=False).returncode, 3)

            # The last good ones also hold after a restart.
            agent.stop()
            agent.start()
            agent.wait_for(lambda: agent.info().get("Version"))
            self.assertEqual(self.value(agent), (100, "local override"))
            os.remove(local)
            self.within_a_second(lambda: self.value(agent) == (60, "policy"), "removed")

    def test_a_global_file_is_watched_and_shadowed_by_a_local_override(self):
        with start() as agent:
            agent.write("global-overrides.xml", override_xml(90))
            self.within_a_second(lambda: self.value(agent) == (90, "global override"), "global")
            self.assertEqual(agent.ctl("config", "check", agent.dir).returncode, 0)
            add(agent, SEARCH, LOCAL_MINIMUM, "240", "--duration", "00.00:00:02")
            self.assertEqual(self.value(agent), (240, "local override"))
            listed = {one["Scope"]: one for one in agent.json("override", "list")["Overrides"]}
            self.assertEqual(listed["global"]["WhyNot"], "shadowed by a local one")
            agent.wait_for(lambda: self.value(agent) == (90, "global override"), timeout=5,
                           what="the end of the local one")
            self.assertIn(3, agent.event_ids("Overrides"))
            agent.write("global-overrides.xml", "<MonitoringOverrides>")
            checked = agent.ctl("config", "check", agent.dir, check=False)
            self.assertEqual(checked.returncode, 2)
            self.assertRegex(checked.stderr, "global-overrides.xml:1:[0-9]+:")


class CrashTest(unittest.TestCase):
    def test_after_kill_9_the_file_is_whole_and_holds_what_was_confirmed(self):
        with start() as agent:
            confirmed = []
            for round_number in range(8):
                stop = threading.Event()

                def keep_adding():
                    value = 1000 * round_number
                    while not stop.is_set():
                        value += 1
                        done = add(agent, SEARCH, LOCAL_MINIMUM, str(value), check=False)
                        if done.returncode == 0:
                            confirmed.append(value)

                adding = threading.Thread(target=keep_adding)
                adding.start()
                time.sleep(random.uniform(0.05, 0.5))
                agent.process.kill()
                agent.process.wait()
                stop.set()
                adding.join()
                agent.start()
                agent.wait_for(lambda: agent.info().get("Version"))
                listed = agent.json("override", "list")
                self.assertEqual(listed.get("Faults", []), [])
                if not confirmed:
                    continue
                # The last confirmed one, or one that was written and could not be confirmed.
                self.assertGreaterEqual(int(listed["Overrides"][0]["PropertyValue"]), confirmed[-1])
            self.assertGreater(len(confirmed), 0)


class SpeedTest(unittest.TestCase):
    def test_with_a_thousand_items_it_holds_when_the_command_ends(self):
        sets = []
        for i in range(334):
            sets.append(f"""health_set {{ name: "S{i}"
              probe {{ name: "P" interval: "1h" timeout: "1s" exec {{ command: "true" }} }}
              monitor {{ name: "M" probe: "P" consecutive_failures {{ threshold: 3 }} }}
              responder {{ name: "R{i}" monitor: "M" on: UNHEALTHY
                          run_command {{ command: "true" resource: "r{i}" }} }} }}""")
        with Agent("\n".join(sets), agent=AGENT) as agent:
            agent.wait_for(lambda: os.path.exists(agent.socket) and agent.info().get("Version"))
            took = {}
            for item_type, identity, name, value in (
                    ("Responder", r"S7\R7", LOCAL_MINIMUM, "240"),
                    ("Probe", r"S7\P", "interval", "2h"),
                    ("Monitor", r"S7\M", "threshold", "5")):
                began = time.monotonic()
                add(agent, identity, name, value, item_type=item_type)
                took[name] = time.monotonic() - began
                listed = agent.json("override", "list")["Overrides"]
                self.assertTrue(all(one["InForce"] for one in listed), listed)
            self.assertEqual(limits(agent, "R7")[LOCAL_MINIMUM[len(PREFIX):]],
                             (240, "local override"))
            self.assertEqual(agent.events("--channel", "ResponderDefinition", "--name", "R7")[-1]
                             ["Enabled"], True)
            with open(agent.path("state/overrides.xml")) as file:
                text = file.read()
            edited = re.sub('PropertyValue="240"', 'PropertyValue="250"', text)
            agent.write("state/overrides.xml", edited)
            began = time.monotonic()
            while limits(agent, "R7")[LOCAL_MINIMUM[len(PREFIX):]][0] != 250:
                self.assertLess(time.monotonic() - began, 1, "an edited file")
            took["an edited file"] = time.monotonic() - began

            # One for each item, all at once.
            elements = [f'''<Override ItemType="{item_type}" Identity="S{i}\\{name}" PropertyName="{prop}"
                PropertyValue="{value}" ExpirationTime="2100-01-01T00:00:00Z" />'''
                        for i in range(334)
                        for item_type, name, prop, value in (
                            ("Responder", f"R{i}", LOCAL_MINIMUM, "77"),
                            ("Probe", "P", "interval", "3h"), ("Monitor", "M", "threshold", "9"))]
            agent.write("state/overrides.xml",
                        "<MonitoringOverrides>" + "\n".join(elements) + "</MonitoringOverrides>")
            began = time.monotonic()
            while limits(agent, "R7")[LOCAL_MINIMUM[len(PREFIX):]][0] != 77:
                self.assertLess(time.monotonic() - began, 1, "a file of 1,002 overrides")
            took["a file of 1,002 overrides"] = time.monotonic() - began
            began = time.monotonic()
            add(agent, r"S7\R7", LOCAL_MINIMUM, "78")
            took["one more beside 1,002"] = time.monotonic() - began
            took["longest turn of the loop"] = agent.info()["LongestTurnMs"] / 1000
            for what, seconds in took.items():
                print(f"1,000 items: {what}: {seconds * 1000:.0f} ms")
                self.assertLess(seconds, 1)


if __name__ == "__main__":
    unittest.main()
