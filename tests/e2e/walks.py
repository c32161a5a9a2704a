"""The walks of docs/OPERATING.md: their commands are taken out of the page and run as they stand there.

    walk = Walk("A message is dead", {"WEB1-0193A5B2C3D4-1F": dmid})  # what the page leaves to its reader
    walk.step(server, "salvectl dead list")               # the next command; it must begin so
    walk.step(server, "salvectl dead check", expected=3)  # its exit status
    walk.end()                                            # the page has no more

A page that says something else than was run fails its test.
"""

import os
import re
import time

from server import ROOT

PAGE = "docs/OPERATING.md"


def blocks_of(section, text=None):
    """The commands of each of a section's blocks of sh, by line."""
    if text is None:
        with open(os.path.join(ROOT, PAGE), encoding="utf-8") as file:
            text = file.read()
    found = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    if not found:
        raise AssertionError(f"{PAGE} has no section '{section}'")
    blocks = re.findall(r"^```sh\n(.*?)^```$", found[1], re.M | re.S)
    return [[line for line in block.replace("\\\n", "").splitlines() if line.strip()]
            for block in blocks]


class Walk:
    def __init__(self, section, names=(), blocks=slice(None), text=None):
        """names: {what stands in the page: what it is here}; blocks: only these of the section."""
        self.names = dict(names)
        self.left = [line for block in blocks_of(section, text)[blocks] for line in block]

    def step(self, server, begins, expected=0, within=0):
        """Runs the next command, in a shell of the server; again, until it ends as expected."""
        line = self.left.pop(0) if self.left else "(no more)"
        if not line.startswith(begins):
            raise AssertionError(f"{PAGE} has `{line}` where its test has `{begins}`")
        for name in sorted(self.names, key=len, reverse=True):
            line = line.replace(name, self.names[name])
        deadline = time.monotonic() + within
        while True:
            done = server.run("bash", "-c", line, check=False, timeout=120)
            if done.returncode == expected:
                return done
            if time.monotonic() >= deadline:
                raise AssertionError(f"`{line}` ended with {done.returncode}, not {expected}\n"
                                     f"{done.stdout}{done.stderr}")
            time.sleep(0.2)

    def end(self):
        if self.left:
            raise AssertionError(f"{PAGE} has more than was run: {self.left}")
