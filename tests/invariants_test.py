"""Tests of invariants.py, on databases made by hand: each rule is seen red and green."""

import contextlib
import io
import json
import os
import sqlite3
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import invariants
from invariants import Node, Violation, World

AF, UP = 1, 3
FINALS = {name: i for i, name in enumerate(invariants.FINALS)}

# As queue/store_schema.cc makes them, but for what nobody here reads.
QUEUE_SCHEMA = """
  CREATE TABLE meta(server TEXT, signature TEXT, told INTEGER);
  CREATE TABLE queues(number INTEGER PRIMARY KEY, name TEXT UNIQUE);
  CREATE TABLE messages(sequence INTEGER PRIMARY KEY, mid TEXT, queue INTEGER, held INTEGER,
                        flags INTEGER, body BLOB);
  CREATE TABLE ended(number INTEGER PRIMARY KEY, mid TEXT, origin_server TEXT, origin_mid TEXT,
                     type INTEGER, final INTEGER, queue TEXT, reason TEXT);
"""


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def encode(values):
    """A protobuf message of {number: int, str, or a dictionary of the same}."""
    out = b""
    for number, value in values.items():
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
            continue
        value = encode(value) if isinstance(value, dict) else value.encode()
        out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


class Folder:
    """A state folder made by hand."""

    def __init__(self, path, server):
        self.path, self.server = path, server
        os.makedirs(path, exist_ok=True)
        self.write("queue.db", QUEUE_SCHEMA)
        self.write("queue.db", "INSERT INTO meta VALUES (?, ?, 1000)", server, "5" + server)
        self.write("events.db", "CREATE TABLE events(record_id INTEGER PRIMARY KEY, kind INTEGER,"
                                " payload BLOB)")
        self.write("ledger.db", "CREATE TABLE attempts(server TEXT, resource TEXT, requester TEXT)")

    def write(self, name, sql, *values):
        with contextlib.closing(sqlite3.connect(os.path.join(self.path, name))) as database:
            if values:
                database.execute(sql, values)
            else:
                database.executescript(sql)
            database.commit()

    def put(self, mid, queue="remote/ops", type=AF, suspended=0, origin=None, body=None):
        origin = origin or self.server
        message = encode({1: mid, 2: origin, 3: mid, 4: type, **(body or {})})
        self.write("queue.db", "INSERT OR IGNORE INTO queues(name) VALUES (?)", queue)
        self.write("queue.db", "INSERT INTO messages(mid, queue, held, flags, body) "
                   "SELECT ?, number, ?, 0, ? FROM queues WHERE name = ?",
                   mid, suspended, message, queue)

    def end(self, mid, final="done", queue="remote/ops", type=AF, reason="", origin=None,
            origin_mid=None, event=True):
        self.write("queue.db", "INSERT INTO ended(mid, origin_server, origin_mid, type, final, queue,"
                   " reason) VALUES (?, ?, ?, ?, ?, ?, ?)", mid, origin or self.server, origin_mid,
                   type, FINALS[final], queue, reason)
        if event:
            self.tell(min(invariants.FINAL_EVENTS[final]), mid)

    def tell(self, event_id, mid, more=None):
        payload = encode({1: 1, 32: {1: mid, **(more or {})}})
        self.write("events.db", "INSERT INTO events(kind, payload) VALUES (?, ?)",
                   invariants.QUEUE_CHANNEL * 65536 + event_id, payload)

    def attempt(self, resource, requester):
        self.write("ledger.db", "INSERT INTO attempts VALUES (?, ?, ?)", self.server, resource,
                   requester)


def receipt(mid, answer="accept"):
    return {"Id": mid, "Taken": answer in ("accept", "drop"), "Answer": answer}


class InvariantsTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.a, self.b = self.make("a"), self.make("b")

    def make(self, server):
        return Folder(os.path.join(self.folder, server), server)

    def check(self, abandoned=(), **said):
        nodes = [Node(one.path, one in abandoned) for one in (self.a, self.b)]
        return World(nodes, **said).check()

    def assert_rules(self, violations, *expected):
        self.assertEqual([(one.rule, one.mid) for one in violations], list(expected),
                         "\n".join(map(str, violations)))

    def test_a_message_in_one_place_is_well(self):
        self.a.put("a-1")
        self.a.end("a-2")
        self.b.put("b-1", "inbox", origin="a")
        self.assertEqual(self.check(accepted=["a-1", "a-2"]), [])

    def test_an_accepted_one_that_is_nowhere_is_lost(self):
        self.assert_rules(self.check(accepted=["a-1"]), ("one-place", "a-1"))
        self.a.tell(invariants.ACCEPTED, "a-2")
        self.assert_rules(self.check(), ("one-place", "a-2"))

    def test_one_in_two_places_is_doubled(self):
        self.a.put("a-1")
        self.b.put("a-1", origin="a")
        self.assert_rules(self.check(), ("one-place", "a-1"))

    def test_a_transfer_whose_answer_is_lost_is_in_doubt_and_not_doubled(self):
        self.a.put("a-1", body={44: "b"})
        self.b.put("b-1", origin="a", body={3: "a-1"})
        self.assertEqual(self.check(), [])
        self.b.put("a-1", origin="a")
        self.assertIn("one-place", [one.rule for one in self.check()])

    def test_one_handed_over_must_be_with_the_acceptor(self):
        self.a.end("a-1", queue="relay/b")
        self.assert_rules(self.check(), ("one-place", "a-1"))
        self.b.put("b-1", origin="a", body={3: "a-1"})  # Under a MID of its own.
        self.assertEqual(self.check(), [])
        self.b.put("b-2", origin="a", body={3: "a-1"})
        self.assert_rules(self.check(), ("one-place", "a-1"))

    def test_a_transfer_that_failed_after_its_commit_is_told_once(self):
        self.a.end("a-1")
        self.a.tell(invariants.MOVED, "a-1", {3: "remote/ops", 4: "relay/b"})
        self.b.put("b-1", origin="a", body={3: "a-1", 45: 1})  # Until it is withdrawn.
        self.assertEqual(self.check(receipts={"ops": [receipt("a-1")]}), [])
        self.b.put("b-2", origin="a", body={3: "a-1"})
        self.assert_rules(self.check(), ("one-place", "a-1"))

    def test_one_that_was_withdrawn_is_told_by_its_sender(self):
        self.a.end("a-1")
        self.b.end("b-1", "removed", origin="a", origin_mid="a-1", reason="withdrawn by a, where …")
        self.assertEqual(self.check(), [])

    def test_one_that_both_told_is_excused_by_the_word_of_it_alone(self):
        self.a.end("a-1")
        self.b.end("b-1", origin="a", origin_mid="a-1")
        twice = {"ops": [receipt("a-1"), receipt("a-1")]}
        self.assert_rules(self.check(receipts=twice), ("at-most-once", "a-1"), ("one-place", "a-1"))
        self.a.tell(invariants.TWICE, "a-1")
        self.assertEqual(self.check(receipts=twice), [])

    def test_what_an_acceptor_told_has_arrived_under_the_name_of_its_origin(self):
        self.b.end("b-1", origin="a", origin_mid="a-1")
        self.assert_rules(self.check(receipts={"ops": []}), ("at-least-once", "b-1"))
        self.assertEqual(self.check(receipts={"ops": [receipt("a-1")]}), [])

    def test_one_handed_over_to_a_server_that_is_not_read_is_there(self):
        self.a.end("a-1", queue="relay/c")
        self.assertEqual(self.check(), [])

    def test_what_was_forgotten_after_its_time_is_known_by_its_event(self):
        self.a.tell(invariants.ACCEPTED, "a-1")
        self.a.tell(invariants.DONE, "a-1")
        self.assertEqual(self.check(), [])

    def test_one_in_a_pack_is_there_until_it_is_adopted(self):
        pack = self.make("pack")
        pack.put("a-1", origin="a")
        read = invariants.read_queue(os.path.join(pack.path, "queue.db"))
        self.assertEqual(self.check(packs=[read], accepted=["a-1"]), [])
        self.b.put("a-1", origin="a")
        self.assertEqual(self.check(packs=[read], accepted=["a-1"]), [])

    def test_what_an_adopted_server_left_is_no_place(self):
        self.a.put("a-1")
        self.assert_rules(self.check(abandoned=[self.a], accepted=["a-1"]), ("one-place", "a-1"))
        self.b.put("a-1", origin="a")
        self.assertEqual(self.check(abandoned=[self.a], accepted=["a-1"]), [])

    def test_one_held_in_a_crash_set_must_be_in_it(self):
        self.a.end("a-1", "held-in-set", reason="a-boot-1")
        self.assert_rules(self.check(), ("one-place", "a-1"))
        held = Folder(os.path.join(self.a.path, "crash", "a-boot-1"), "a")
        held.put("a-1")
        self.assertEqual(self.check(), [])

    def test_a_crash_set_of_what_went_on_is_no_second_place(self):
        self.a.put("a-1")
        Folder(os.path.join(self.a.path, "crash", "a-boot-1"), "a").put("a-1")
        self.assertEqual(self.check(), [])

    def test_an_exported_one_that_was_removed_may_live_elsewhere(self):
        self.a.end("a-1", "removed")
        self.b.put("a-1", origin="a")
        self.assert_rules(self.check(), ("one-place", "a-1"))
        self.a.tell(invariants.EXPORTED, "a-1")
        self.assertEqual(self.check(), [])

    def test_dead_attributes_are_only_in_dead_and_whole(self):
        whole = {43: {1: "D-1", 2: "remote/ops", 3: "expired", 4: 5}}
        self.a.put("a-1", "dead", body=whole)
        self.assertEqual(self.check(), [])
        self.a.put("a-2", body={43: {**whole[43], 1: "D-2"}})
        self.a.put("a-3", "dead")
        self.a.put("a-4", "dead", body={43: {1: "d 4", 2: "remote/ops", 3: "expired", 4: 5}})
        self.a.put("a-5", "dead", body={43: {1: "D-5"}})
        self.assert_rules(self.check(), *[("dead-attributes", f"a-{i}") for i in (2, 3, 4, 5)])

    def test_what_is_in_poison_is_suspended(self):
        self.a.put("a-1", "poison", suspended=1)
        self.assertEqual(self.check(), [])
        self.a.put("a-2", "poison")
        self.assert_rules(self.check(), ("poison", "a-2"))

    def test_names_never_repeat(self):
        self.a.put("a-1")
        self.a.end("a-1")
        self.assert_rules(self.check(), ("one-place", "a-1"), ("unique", "a-1"))

    def test_a_dmid_names_one_message(self):
        self.a.put("a-1", "dead", body={43: {1: "D-1", 2: "remote/ops", 3: "expired", 4: 5}})
        self.a.end("a-2", "reregistered")
        self.a.tell(invariants.DEAD, "a-2", {11: "D-1"})
        self.assert_rules(self.check(), ("unique", "D-1"))

    def test_a_mid_given_twice_is_seen(self):
        self.a.put("a-1")
        self.a.tell(invariants.ACCEPTED, "a-1", {6: "one"})
        self.a.tell(invariants.ACCEPTED, "a-1", {6: "one"})  # Told again after a crash.
        self.assertEqual(self.check(), [])
        self.a.tell(invariants.ACCEPTED, "a-1", {6: "another"})
        self.assert_rules(self.check(), ("unique", "a-1"))

    def test_a_reregistered_message_lives_on_under_one_new_name(self):
        self.a.end("a-1", "reregistered", queue="dead")
        self.a.tell(invariants.REREGISTERED, "a-1", {14: "a-2", 11: "D-1"})
        self.assert_rules(self.check(), ("one-place", "a-2"))
        self.a.put("a-2")
        self.assertEqual(self.check(), [])
        self.a.tell(invariants.REREGISTERED, "a-0", {14: "a-2", 11: "D-0"})
        self.assert_rules(self.check(), ("unique", "a-2"))

    def test_no_end_without_its_event(self):
        self.a.end("a-1", event=False)
        self.a.end("a-2", "failed", event=False)
        self.a.tell(invariants.DONE, "a-2")
        self.assert_rules(self.check(), ("event", "a-1"), ("event", "a-2"), ("event", "a-2"))

    def test_what_is_not_told_yet_is_a_fault_only_when_all_is_settled(self):
        self.a.end("a-1", event=False)
        self.assert_rules(self.check(settled=False), ("event", "a-1"))
        self.a.write("queue.db", "UPDATE meta SET told = 0")
        self.assert_rules(self.check(), ("event", "a-1"))
        self.assertEqual(self.check(settled=False), [])

    def test_what_is_done_has_arrived(self):
        self.a.end("a-1")
        self.assert_rules(self.check(receipts={"ops": []}), ("at-least-once", "a-1"))
        self.assert_rules(self.check(receipts={"ops": [receipt("a-1", "5xx")]}),
                          ("at-least-once", "a-1"))
        self.assertEqual(self.check(receipts={"ops": [receipt("a-1")]}), [])
        self.assertEqual(self.check(receipts={"other": []}), [])

    def test_what_went_in_a_digest_has_arrived_with_it(self):
        self.a.end("a-1", reason="told in digest a-9")
        self.assertEqual(self.check(receipts={"ops": [receipt("a-9")]}), [])

    def test_a_second_copy_needs_a_lost_answer_or_a_crash(self):
        self.a.end("a-1")
        twice = {"ops": [receipt("a-1"), receipt("a-1")]}
        self.assert_rules(self.check(receipts=twice), ("at-most-once", "a-1"))
        self.assertEqual(
            self.check(receipts={"ops": [receipt("a-1", "drop"), receipt("a-1")]}), [])
        self.a.tell(invariants.CRASH_COUNTED, "a-1")
        self.assertEqual(self.check(receipts=twice), [])

    def test_an_inbox_takes_a_message_once(self):
        self.b.put("a-1", "inbox", origin="a")
        self.b.end("a-1", queue="inbox", origin="a", event=False)
        self.assert_rules(self.check(), ("at-most-once", "a-1"), ("unique", "a-1"))

    def test_effects_have_their_entries_and_these_their_limit(self):
        self.a.attempt("thing", "Web/Restart")
        effects = [("a", "thing")]
        self.assertEqual(self.check(effects=effects, limits={"thing": 1}), [])
        self.assert_rules(self.check(effects=effects * 2), ("limits", "thing"))
        self.a.attempt("Thing", "Web/Restart")
        self.assert_rules(self.check(limits={"thing": 1}), ("limits", "thing"))

    def test_a_deferred_action_is_attempted_once_and_at_home(self):
        self.a.end("a-1", queue="local/thing", type=UP)
        self.a.attempt("thing", "deferred:a-1:root")
        self.assertEqual(self.check(), [])
        self.b.attempt("thing", "deferred:a-1:root")
        self.assert_rules(self.check(), ("at-most-once", "a-1"), ("foreign", "a-1"))

    def test_a_foreign_deferred_action_only_waits_as_unreachable(self):
        self.b.put("a-1", "unreachable", type=UP, origin="a")
        self.assertEqual(self.check(), [])
        self.b.put("a-2", "local/thing", type=UP, origin="a")
        self.assert_rules(self.check(), ("foreign", "a-2"))

    def test_reading_changes_nothing_and_replays_the_log(self):
        path = os.path.join(self.a.path, "queue.db")
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("INSERT INTO queues(name) VALUES ('x')")
            database.commit()
            self.a.put("a-1")  # Stays in the log while the first one is open.
            before = {name: os.stat(os.path.join(self.a.path, name)).st_mtime_ns
                      for name in os.listdir(self.a.path)}
            self.assertEqual([one.mid for one in Node(self.a.path).queue.messages], ["a-1"])
            self.assertEqual(before, {name: os.stat(os.path.join(self.a.path, name)).st_mtime_ns
                                      for name in os.listdir(self.a.path)})

    def test_a_database_of_only_a_log_is_no_empty_one(self):
        with self.assertRaises(ValueError):
            invariants.fields(b"\x0b\x01")
        with open(os.path.join(self.a.path, "queue.db"), "wb") as file:
            file.write(b"no database at all, but some text that is long enough")
        with self.assertRaises(sqlite3.DatabaseError):
            Node(self.a.path)

    def run_command(self, *argv):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = invariants.main(list(argv))
        return code, out.getvalue(), err.getvalue()

    def file(self, *rows):
        path = os.path.join(self.folder, f"file{len(os.listdir(self.folder))}")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(rows))
        return path

    def test_the_command_prints_each_violation_and_exits_with_1(self):
        self.a.end("a-1")
        self.a.attempt("thing", "Web/Restart")
        effects = self.file(json.dumps({"Server": "a", "Resource": "thing"}))
        whole = self.file(json.dumps(receipt("a-1")))
        argv = [self.a.path, "--effects", effects, "--limit", "thing=1"]
        self.assertEqual(self.run_command(*argv, "--receipts", f"ops={whole}"),
                         (0, "", "0 violations\n"))
        code, out, err = self.run_command(*argv, "--accepted", self.file("a-1", "a-7"))
        self.assertEqual((code, out, err), (1, "one-place: a-7: lost: it is nowhere\n",
                                            "1 violations\n"))

    def test_what_cannot_be_read_is_not_taken_for_well(self):
        code, _, err = self.run_command(os.path.join(self.folder, "none"))
        self.assertEqual((code, "no such folder" in err), (2, True))

    def test_a_violation_reads_as_a_line(self):
        self.assertEqual(str(Violation("unique", "a-1", "twice")), "unique: a-1: twice")


if __name__ == "__main__":
    unittest.main()
