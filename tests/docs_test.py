"""The documents are true: what they show as a whole file is accepted, and what they tell to type is there."""

import functools
import os
import re
import shlex
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SALVECTL = os.environ.get("SALVECTL", os.path.join(ROOT, "bazel-bin/cli/salvectl"))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def blocks(text, language):
    """(number of its first line, text) of each fenced block of a language."""
    for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, found.start()) + 2, found[1]


def files_of(example):
    """{path: content} of an example whose first line says which file it is, or None.

    `# conf.d/web.textproto; salve.textproto has component { name: "web" }` tells of another file
    what this one needs of it."""
    first = re.match(r"# (\S+\.textproto)(?:; (\S+\.textproto) has (.*))?\n", example)
    if not first:
        return None
    files = {first[1]: example}
    if first[2]:
        files[first[2]] = first[3] + "\n"
    return files


def verbs_of(text):
    """The salvectl commands of fenced blocks and of `code`, as lists of words up to the first
    that is an option, a name in capitals or anything else that is no verb."""
    code = [block for _, block in blocks(text, r"\w*")]
    code += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    found = set()
    for piece in code:
        for words in re.findall(r"(?:^|[\s(|;&$])salvectl((?: +[a-z][a-z-]*(?![\w/.:*=-]))*)", piece):
            if words:
                found.add(tuple(words.split()))
    return sorted(found)


class DocsTest(unittest.TestCase):

    def test_each_example_of_the_configuration_is_accepted(self):
        checked = 0
        for line, example in blocks(read("docs/CONFIG.md"), "textproto"):
            files = files_of(example)
            with self.subTest(line=line):
                self.assertIsNotNone(files, "its first line must say which file it is")
                with tempfile.TemporaryDirectory() as folder:
                    for path, content in files.items():
                        os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
                        with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
                            file.write(content)
                    done = subprocess.run([SALVECTL, "config", "check", folder], text=True,
                                          capture_output=True, timeout=30)
                self.assertEqual(done.returncode, 0, done.stderr)
            checked += 1
        self.assertGreater(checked, 50)

    def test_each_command_that_the_engineer_is_told_to_type_is_there(self):
        documents = ["README.md"] + sorted(f"docs/{name}" for name in os.listdir(f"{ROOT}/docs")
                                           if name.endswith(".md"))
        self.assertIn("docs/OPERATING.md", documents)
        for document in documents:
            for words in verbs_of(read(document)):
                with self.subTest(document=document, command=" ".join(words)):
                    self.assertTrue(self.is_command(words), "no such command")

    @staticmethod
    @functools.lru_cache(maxsize=None)
    def help_of(words):
        return subprocess.run([SALVECTL, *words, "--help"], text=True, capture_output=True,
                              timeout=30).stdout

    def is_command(self, words):
        """The help of an unknown verb is that of the verb before it. `config check a b` is one, too."""
        said = self.help_of(tuple(words))
        usage = re.search(r"^Usage: salvectl((?: [a-z-]+)*)", said, re.MULTILINE)
        path = usage[1].split() if usage else []
        return path == list(words[:len(path)]) and bool(path) and "\nVerbs:" not in said \
            or path == list(words)

    def test_each_option_that_the_engineer_is_told_to_type_is_there(self):
        for document in ["docs/OPERATING.md"]:
            for _, block in blocks(read(document), "sh"):
                for line in re.sub(r"\\\n", " ", block).splitlines():
                    words = shlex.split(line, comments=True)
                    if "salvectl" not in words:
                        continue
                    words = words[words.index("salvectl") + 1:]
                    verb = tuple(word for word in words if re.fullmatch("[a-z][a-z-]*", word))
                    said = "".join(self.help_of(verb[:n]) for n in range(4))
                    for option in words:
                        if option.startswith("-"):
                            with self.subTest(line=line, option=option):
                                self.assertTrue(
                                    re.search(rf"[ ,]{re.escape(option)}[ ,\n]", said),
                                    "no such option")


# -- this file's own judgement

class OwnRulesTest(unittest.TestCase):

    def test_blocks_have_the_line_of_their_text(self):
        text = "a\n```sh\nls\n```\n```textproto\n# x\n```\n"
        self.assertEqual(list(blocks(text, "textproto")), [(6, "# x\n")])

    def test_an_example_may_need_a_line_of_another_file(self):
        self.assertEqual(files_of("# conf.d/a.textproto\nx\n"),
                         {"conf.d/a.textproto": "# conf.d/a.textproto\nx\n"})
        example = '# conf.d/a.textproto; salve.textproto has component { name: "w" }\nx\n'
        self.assertEqual(files_of(example), {"conf.d/a.textproto": example,
                                             "salve.textproto": 'component { name: "w" }\n'})
        self.assertIsNone(files_of("health_set {}\n"))

    def test_commands_are_found_with_their_verbs(self):
        text = ("`salvectl health`, `salvectl config check [DIR]`, salvectl nothing\n"
                "```sh\nsudo salvectl probe run Web/Ping\nsalvectl -o json health\n```\n")
        self.assertEqual(verbs_of(text), [("config", "check"), ("health",), ("probe", "run")])

    def test_an_unknown_command_is_seen(self):
        test = DocsTest()
        self.assertTrue(test.is_command(["config", "check"]))
        self.assertTrue(test.is_command(["config"]))
        self.assertTrue(test.is_command(["health", "web"]))
        self.assertFalse(test.is_command(["config", "chekc"]))
        self.assertFalse(test.is_command(["helth"]))


if __name__ == "__main__":
    unittest.main()
