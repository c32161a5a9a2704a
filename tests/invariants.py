#!/usr/bin/env python3
"""Checks what must hold of the durable queue, over all nodes, after whatever happened to them.

    invariants.py [OPTIONS] FOLDER...     state folders of all nodes: queue.db, ledger.db, events.db

    --abandoned FOLDER    one whose queue was adopted elsewhere: a copy, its messages have no place there
    --pack FOLDER         a pack of `salvectl queue db pack`: the place of what is nowhere else
    --accepted FILE       MIDs that submitters were told, one a line
    --receipts NAME=FILE  what destination NAME got, as lines of JSON (tests/e2e/mail_sink.py)
    --effects FILE        effects of actions as lines of JSON: {"Server", "Resource"}
    --limit RESOURCE=N    attempts that the throttle allows of it on one server
    --unsettled           an agent may be dead or busy: what it would still do at its next start is no fault

Prints `RULE: MID: what is wrong` for each violation; exits with 1 when there is any, with 2 when
something can't be read. All files are copied first and opened as copies, so that nothing changes.

Rules (docs/QUEUE.md): one-place, at-most-once, at-least-once, limits, foreign, dead-attributes,
poison, unique, event.
"""

import argparse
import collections
import contextlib
import dataclasses
import glob
import json
import os
import shutil
import sqlite3
import sys
import tempfile

QUEUE_CHANNEL = 13
HELD_TOLD_MAX = 5000
# Event ids of the channel Queue.
ACCEPTED, DONE, FAILED, REJECTED, OBSOLETE, REMOVED = 40001, 40002, 40004, 40005, 40006, 40007
MOVED, RECEIVED, SET, DEAD, REREGISTERED, HANDED_OVER = 40008, 40009, 40011, 40012, 40013, 40014
EXPORTED, CRASH_COUNTED, TWICE = 40018, 40021, 40022
FINAL_EVENTS = {"done": {DONE, HANDED_OVER}, "failed": {FAILED}, "rejected": {REJECTED},
                "obsolete": {OBSOLETE}, "removed": {REMOVED}, "reregistered": {REREGISTERED},
                "held-in-set": {SET}}
FINALS = list(FINAL_EVENTS)  # In the order of enum Final.
TYPES = {0: "", 1: "AF", 2: "AR", 3: "UP"}


# -- reading

def fields(blob):
    """{number: [values]} of a serialized protobuf message; numbers and bytes."""
    found = collections.defaultdict(list)
    place = 0

    def varint():
        nonlocal place
        value = shift = 0
        while True:
            byte = blob[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(blob):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            value = varint()
        else:
            size = {1: 8, 5: 4}.get(kind) or (varint() if kind == 2 else None)
            if size is None or place + size > len(blob):
                raise ValueError(f"no protobuf message: wire type {kind} at {place}")
            value = bytes(blob[place:place + size])
            place += size
        found[tag >> 3].append(value)
    return found


def text(found, number):
    return found[number][-1].decode(errors="replace") if number in found else ""


def number(found, key):
    return found[key][-1] if key in found else 0


@dataclasses.dataclass
class Message:
    """A row of a queue: queue/message.proto, and where it stands."""
    mid: str
    origin_server: str = ""
    origin_mid: str = ""
    type: str = ""
    queue: str = ""
    suspended: bool = False
    delivering: bool = False
    crash_count: int = 0
    subject: str = ""
    handed_to: str = ""
    unconfirmed: bool = False  # Its sender's word is waited for.
    dead: dict = None  # Its four attributes.


def parse_message(blob):
    found = fields(blob)
    message = Message(text(found, 1), text(found, 2), text(found, 3), TYPES[number(found, 4)],
                      crash_count=number(found, 9), subject=text(found, 21),
                      handed_to=text(found, 44), unconfirmed=45 in found)
    if 43 in found:
        dead = fields(found[43][-1])
        message.dead = {"dmid": text(dead, 1), "former_queue": text(dead, 2),
                        "reason": text(dead, 3), "moved_at": number(dead, 4)}
    return message


@dataclasses.dataclass
class Ended:
    mid: str
    origin_server: str
    origin_mid: str
    type: str
    final: str
    queue: str
    reason: str
    told: bool  # Its event is known to be written; known a little later than true.


@dataclasses.dataclass
class Queue:
    """A queue.db."""
    server: str = ""
    signature: str = ""
    messages: list = dataclasses.field(default_factory=list)
    ended: list = dataclasses.field(default_factory=list)


@contextlib.contextmanager
def copied(path):
    """A database as a copy, with its log; None: there is none."""
    if not os.path.exists(path):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="salve-invariants-") as folder:
        copy = os.path.join(folder, os.path.basename(path))
        for suffix in ("", "-wal"):
            if os.path.exists(path + suffix):
                shutil.copyfile(path + suffix, copy + suffix)
        with contextlib.closing(sqlite3.connect(copy)) as database:
            database.row_factory = sqlite3.Row
            yield database


def read_queue(path):
    """A queue.db, by queue/store_schema.h; None: there is none."""
    with copied(path) as database:
        if database is None:
            return None
        meta = database.execute("SELECT * FROM meta").fetchone()
        queue = Queue(meta["server"], meta["signature"])
        names = dict(database.execute("SELECT number, name FROM queues").fetchall())
        for row in database.execute("SELECT * FROM messages"):
            message = parse_message(row["body"])
            if row["mid"] != message.mid:
                raise ValueError(f"{path}: row {row['mid']} holds {message.mid}")
            message.queue = names[row["queue"]]
            message.suspended = bool(row["held"])
            message.delivering = bool(row["flags"] & 1)
            queue.messages.append(message)
        for row in database.execute("SELECT * FROM ended"):
            queue.ended.append(Ended(row["mid"], row["origin_server"],
                                     row["origin_mid"] or row["mid"], TYPES[row["type"]],
                                     FINALS[row["final"]], row["queue"], row["reason"],
                                     row["number"] <= meta["told"]))
        return queue


def read_events(path):
    """The events of the channel Queue: dictionaries of queue/api's QueueEvent, what is needed of it."""
    events = []
    with copied(path) as database:
        if database is None:
            return events
        first = QUEUE_CHANNEL * 65536
        for kind, payload in database.execute(
                "SELECT kind, payload FROM events WHERE kind >= ? AND kind < ? ORDER BY record_id",
                (first, first + 65536)):
            found = fields(fields(payload)[32][-1])
            events.append({"id": kind - first, "mid": text(found, 1), "queue": text(found, 3),
                           "former_queue": text(found, 4),
                           "subject": text(found, 6), "reason": text(found, 7),
                           "origin_server": text(found, 9), "origin_mid": text(found, 10),
                           "dmid": text(found, 11), "new_mid": text(found, 14)})
    return events


def read_attempts(path):
    """The ledger: (server, resource, requester)."""
    with copied(path) as database:
        if database is None:
            return []
        return [(row["server"], row["resource"].lower(), row["requester"]) for row in
                database.execute("SELECT server, resource, requester FROM attempts")]


class Node:
    """A state folder. `settled`: its agent runs and has nothing left to say of the past."""

    def __init__(self, folder, abandoned=False):
        self.folder = folder
        self.abandoned = abandoned
        self.queue = read_queue(os.path.join(folder, "queue.db")) or Queue()
        self.name = self.queue.server or os.path.basename(os.path.normpath(folder))
        self.events = read_events(os.path.join(folder, "events.db"))
        self.attempts = read_attempts(os.path.join(folder, "ledger.db"))
        self.sets = {os.path.basename(os.path.dirname(path)): read_queue(path)
                     for path in sorted(glob.glob(os.path.join(folder, "crash", "*", "queue.db")))}

    def event_ids(self, mid):
        return {event["id"] for event in self.events if event["mid"] == mid}


# -- judging

@dataclasses.dataclass(frozen=True, order=True)
class Violation:
    rule: str
    mid: str
    what: str

    def __str__(self):
        return f"{self.rule}: {self.mid}: {self.what}"


class World:
    """Everything that was read. `check` gives the violations, sorted.

    A mail's Message-ID is the MID at its origin."""

    def __init__(self, nodes, packs=(), accepted=(), receipts=None, effects=(), limits=None,
                 settled=True):
        """nodes: [Node]; packs: [Queue]; receipts: {destination: [mail_sink's dictionaries]};
        effects: [(server, resource)]; limits: {resource: attempts}."""
        self.nodes, self.packs = list(nodes), list(packs)
        self.receipts = receipts or {}
        self.effects = collections.Counter((server, resource.lower())
                                           for server, resource in effects)
        self.limits = {resource.lower(): most for resource, most in (limits or {}).items()}
        self.settled = settled
        self.accepted = set(accepted) | self.known()
        self.violations = set()

    def known(self):
        """MIDs that were accepted, as the nodes themselves tell."""
        mids = set()
        for node in self.nodes:
            for event in node.events:
                if event["id"] == ACCEPTED:
                    mids.add(event["mid"])
                if event["new_mid"]:
                    mids.add(event["new_mid"])
            mids |= {one.mid for one in node.queue.messages + node.queue.ended
                     if one.queue != "inbox"}
        for pack in self.packs:
            mids |= {one.mid for one in pack.messages + pack.ended if one.queue != "inbox"}
        return mids

    def say(self, rule, mid, what):
        self.violations.add(Violation(rule, mid, what))

    def check(self):
        self.index()
        for mid in sorted(self.accepted):
            self.check_place(mid)
        self.check_origins()
        self.check_unique()
        self.check_attributes()
        self.check_events()
        self.check_arrivals()
        self.check_actions()
        return sorted(self.violations)

    def index(self):
        self.live = collections.defaultdict(list)   # MID: [(node, Message)], without inboxes
        self.ended = collections.defaultdict(list)  # MID: [(node, Ended)]
        self.inbox = collections.defaultdict(list)  # (origin server, origin MID): [node]
        self.origins = collections.defaultdict(list)  # As inbox: [(node, Message or Ended)]
        self.happened = collections.defaultdict(list)  # MID: [(node, event)]
        for node in self.nodes:
            for event in node.events:
                self.happened[event["mid"]].append((node, event))
            if node.abandoned:
                continue
            for message in node.queue.messages:
                if message.queue == "inbox":
                    self.inbox[message.origin_server, message.origin_mid].append(node)
                else:
                    self.live[message.mid].append((node, message))
                    self.origins[message.origin_server, message.origin_mid].append((node, message))
            for ended in node.queue.ended:
                if ended.queue == "inbox":
                    self.inbox[ended.origin_server, ended.origin_mid].append(node)
                else:
                    self.ended[ended.mid].append((node, ended))
                    if (ended.final != "reregistered" and not is_handed_over(ended)
                            and not is_withdrawn(ended)):
                        self.origins[ended.origin_server, ended.origin_mid].append((node, ended))

    # one-place: every accepted MID is in a queue, a crash set, a pack, or final.
    def check_place(self, mid):
        places, handed = [], []
        for node, message in self.live[mid]:
            places.append((node, f"{node.name}: {message.queue}", message))
        for node, ended in self.ended[mid]:
            if ended.final == "held-in-set":
                places += self.places_in_sets(mid, node, ended)
            elif is_handed_over(ended):
                handed.append(ended)
            elif ended.final == "removed" and self.was_exported(mid) and self.is_elsewhere(
                    mid, node):
                continue
            else:
                places.append((node, f"{node.name}: {ended.final} ({ended.queue})", ended))
        places = self.without_doubts(places)
        if len(places) > 1:
            self.say("one-place", mid, "is in " + ", ".join(where for _, where, _ in places))
        if not places and not self.is_packed(mid):
            self.check_gone(mid, handed)

    def is_packed(self, mid):
        packed = {pack.signature for pack in self.packs
                  if any(one.mid == mid for one in pack.messages + pack.ended)}
        if len(packed) > 1:
            self.say("one-place", mid, "is in packs of different databases")
        return bool(packed)

    def check_gone(self, mid, handed):
        """Of one that has no place in what was read."""
        if handed:
            to = handed[-1].queue.removeprefix("relay/")
            origin = handed[-1].origin_server, handed[-1].origin_mid
            if (to in {node.name for node in self.nodes if not node.abandoned}
                    and to not in {node.name for node, _ in self.origins[origin]}):
                self.say("one-place", mid, f"lost: handed over to {to}, which does not have it")
            return
        if self.all_ids(mid) & {DONE, FAILED, REJECTED, OBSOLETE, REMOVED, REREGISTERED}:
            return  # Forgotten after its time.
        abandoned = [node.name for node in self.nodes if node.abandoned
                     and any(one.mid == mid for one in node.queue.messages)]
        self.say("one-place", mid, "lost: it is nowhere" + (
            f" but in what {', '.join(abandoned)} left" if abandoned else ""))

    def places_in_sets(self, mid, node, ended):
        found = [(node, f"{node.name}: crash/{name}", ended) for name, queue in node.sets.items()
                 if queue is not None and any(one.mid == mid for one in queue.messages)]
        named = [place for place in found if place[1].split("crash/")[1] in ended.reason]
        if not found:
            self.say("one-place", mid, f"lost: held in a set ({ended.reason}) that does not have it")
            return [(node, "nowhere", ended)]
        return (named or found)[:1]

    # An acceptor gives it a MID of its own, and keeps where it came from.
    def check_origins(self):
        for (server, mid), places in self.origins.items():
            names = {node.name for node, _ in places}
            # What an acceptor may have is asked for first; what waits for its sender's word is his.
            sure = [(node, one) for node, one in places
                    if getattr(one, "handed_to", "") not in names - {node.name}
                    and not (getattr(one, "unconfirmed", False) and len(names) > 1)
                    and not self.is_told_twice(one.mid)]
            if len({one.mid for _, one in sure}) > 1:
                self.say("one-place", mid, f"of {server}: is "
                         + ", ".join(f"{one.mid} in {node.name}: {one.queue}" for node, one in sure))

    def is_told_twice(self, mid):
        """Whether it is said that an acceptor told it, too: cut off for longer than it waited."""
        return TWICE in self.all_ids(mid)

    def was_exported(self, mid):
        return EXPORTED in self.all_ids(mid)

    def is_elsewhere(self, mid, node):
        return any(other is not node for other, _ in self.live[mid] + self.ended[mid])

    def without_doubts(self, places):
        """Without what waits here only because a transfer's answer is not known: the acceptor drops
        the second one."""
        names = {node.name for node, _, _ in places}
        return [place for place in places
                if not (len(places) > 1 and getattr(place[2], "handed_to", "") in names)]

    # unique: MIDs and DMIDs never repeat.
    def check_unique(self):
        for node in self.nodes:
            counts = collections.Counter(
                (one.mid, one.queue == "inbox") for one in node.queue.messages + node.queue.ended)
            for (mid, _), count in counts.items():
                if count > 1:
                    self.say("unique", mid, f"{count} times in {node.name}")
            for event in node.events:
                if event["new_mid"] == event["mid"] != "":
                    self.say("unique", event["mid"], "re-registered under its own MID")
        owners = collections.defaultdict(set)
        subjects = collections.defaultdict(set)
        fresh = collections.Counter()
        for node in self.nodes:
            for message in node.queue.messages:
                if message.dead:
                    owners[message.dead["dmid"]].add(message.mid)
            for event in node.events:
                if event["id"] == DEAD:
                    owners[event["dmid"]].add(event["mid"])
                if event["id"] == ACCEPTED:
                    subjects[event["mid"]].add((event["origin_server"], event["subject"]))
            fresh.update({(event["new_mid"], event["mid"]) for event in node.events
                          if event["id"] == REREGISTERED})
        for dmid, mids in owners.items():
            if len(mids) > 1:
                self.say("unique", dmid, "names " + " and ".join(sorted(mids)))
        for mid, said in subjects.items():
            if len(said) > 1:
                self.say("unique", mid, f"was accepted as {sorted(said)}")
        for mid, count in collections.Counter(new for new, _ in fresh).items():
            if count > 1:
                self.say("unique", mid, f"is the new one of {count} dead messages")

    # dead-attributes: only in `dead`, all four. poison: only suspended ones.
    def check_attributes(self):
        for node in self.nodes:
            for message in node.queue.messages:
                if (message.queue == "dead") != bool(message.dead):
                    self.say("dead-attributes", message.mid,
                             f"{node.name}: {message.queue} with {message.dead}")
                elif message.dead and not all(message.dead.values()):
                    self.say("dead-attributes", message.mid, f"{node.name}: {message.dead}")
                if message.dead and not is_dmid(message.dead["dmid"]):
                    self.say("dead-attributes", message.mid, f"DMID {message.dead['dmid']!r}")
                if message.queue == "poison" and not message.suspended:
                    self.say("poison", message.mid, f"{node.name}: is not suspended")

    # event: no final state without one, and no one of another end.
    def check_events(self):
        for node in self.nodes:
            for ended in node.queue.ended:
                if ended.queue == "inbox":
                    continue
                if ended.final == "held-in-set" and len(node.queue.ended) > HELD_TOLD_MAX:
                    continue  # Of so many one event tells how many they are.
                if (not self.all_ids(ended.mid) & FINAL_EVENTS[ended.final]
                        and (ended.told or self.settled and not node.abandoned)):
                    self.say("event", ended.mid, f"{node.name}: {ended.final} without its event")
                others = node.event_ids(ended.mid) & (
                    {DONE, FAILED, REJECTED, OBSOLETE, REMOVED} - FINAL_EVENTS[ended.final])
                if others:
                    self.say("event", ended.mid,
                             f"{node.name}: {ended.final}, and told as {sorted(others)}")

    def all_ids(self, mid):
        """Event ids of it on any node: what was adopted had its end elsewhere."""
        return {event["id"] for _, event in self.happened[mid]}

    # at-most-once, at-least-once: of what is told.
    def check_arrivals(self):
        for (server, mid), nodes in self.inbox.items():
            for node, count in collections.Counter(nodes).items():
                if count > 1:
                    self.say("at-most-once", mid, f"of {server}: {count} times at {node.name}")
        crashes = collections.Counter(
            event["origin_mid"] or event["mid"] for node in self.nodes for event in node.events
            if event["id"] == CRASH_COUNTED)
        for destination, receipts in self.receipts.items():
            copies = collections.defaultdict(list)
            for receipt in receipts:
                if receipt["Taken"]:
                    copies[receipt["Id"]].append(receipt["Answer"])
            for mid, answers in copies.items():
                # A lost answer and a crash before it was noted can't be told from no delivery;
                # the receiver knows the second copy by its Message-ID.
                doubts = answers.count("drop") + (
                    crashes[mid] if mid in self.accepted else sum(crashes.values())) + (
                        self.is_told_twice(mid))
                if len(answers) > 1 + doubts:
                    self.say("at-most-once", mid,
                             f"{destination} got it {len(answers)} times, {doubts} with a reason")
            self.check_told(destination, set(copies))

    def check_told(self, destination, arrived):
        for mid, ends in self.ended.items():
            for node, ended in ends:
                if ended.final != "done" or ended.queue != f"remote/{destination}":
                    continue
                if not {mid, ended.origin_mid} & arrived and not any(
                        one in ended.reason for one in arrived if one):
                    self.say("at-least-once", mid,
                             f"{node.name}: done ({ended.reason}), {destination} does not have it")

    # limits: effects <= ledger entries <= limits, once a UP. foreign: no UP anywhere but at home.
    def check_actions(self):
        attempts = collections.Counter()
        deferred = collections.defaultdict(list)
        for node in self.nodes:
            for server, resource, requester in node.attempts:
                attempts[server, resource] += 1
                if requester.startswith("deferred:"):
                    deferred[requester.split(":")[1]].append(server)
        for (server, resource), count in self.effects.items():
            if count > attempts[server, resource]:
                self.say("limits", resource, f"{server}: {count} effects, "
                                             f"{attempts[server, resource]} ledger entries")
        for (server, resource), count in attempts.items():
            if count > self.limits.get(resource, count):
                self.say("limits", resource,
                         f"{server}: {count} ledger entries, {self.limits[resource]} allowed")
        origins = {one.mid: one.origin_server for node in self.nodes
                   for one in node.queue.messages + node.queue.ended}
        for mid, servers in deferred.items():
            if len(servers) > 1:
                self.say("at-most-once", mid, f"{len(servers)} attempts in the ledger")
            for server in servers:
                if server != origins.get(mid, server):
                    self.say("foreign", mid, f"of {origins[mid]} ran on {server}")
        for mid, found in self.live.items():
            for node, message in found:
                if (message.type == "UP" and message.origin_server != node.name
                        and message.queue not in ("unreachable", "dead", "poison")):
                    self.say("foreign", mid, f"{node.name}: a UP of {message.origin_server} "
                                             f"in {message.queue}")


def is_handed_over(ended):
    return ended.final == "done" and ended.queue.startswith("relay/")


def is_withdrawn(ended):
    """At an acceptor: its sender had told it itself."""
    return ended.final == "removed" and ended.reason.startswith("withdrawn by ")


def is_dmid(dmid):
    return 0 < len(dmid) <= 39 and not set(dmid) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


def check(folders, abandoned=(), packs=(), **said):
    """For tests: the violations of these state folders; `said` as World takes it."""
    nodes = [Node(folder) for folder in folders]
    nodes += [Node(folder, abandoned=True) for folder in abandoned]
    read = [read_queue(os.path.join(pack, "queue.db")) for pack in packs]
    return World(nodes, [pack for pack in read if pack], **said).check()


# -- the command

def lines(path, parse=str):
    with open(path, encoding="utf-8") as file:
        return [parse(line.strip()) for line in file if line.strip()]


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    for option in ("--abandoned", "--pack", "--accepted", "--receipts", "--effects", "--limit"):
        parser.add_argument(option, action="append", default=[])
    parser.add_argument("--unsettled", action="store_true")
    args = parser.parse_args(argv)
    try:
        receipts = {name: lines(path, json.loads)
                    for name, _, path in (one.partition("=") for one in args.receipts)}
        effects = [(one["Server"], one["Resource"]) for path in args.effects
                   for one in lines(path, json.loads)]
        limits = {name: int(most) for name, _, most in (one.rpartition("=") for one in args.limit)}
        accepted = [mid for path in args.accepted for mid in lines(path)]
        for folder in args.folders + args.abandoned:
            if not os.path.isdir(folder):
                raise ValueError(f"{folder}: no such folder")
        violations = check(args.folders, args.abandoned, args.pack, accepted=accepted,
                           receipts=receipts, effects=effects, limits=limits,
                           settled=not args.unsettled)
    except (OSError, ValueError, KeyError, IndexError, sqlite3.Error) as error:
        print(f"invariants: {error}", file=sys.stderr)
        return 2
    for violation in violations:
        print(violation)
    print(f"{len(violations)} violations", file=sys.stderr)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
