#!/usr/bin/env python3
"""An SMTP server whose answers are scripted, and which counts.

    with MailSink("4xx", "drop") as sink:   # the third message and all after it: accept
        ... f"smtp://127.0.0.1:{sink.port}" ...
        sink.wait_for(1)

    mail_sink.py --port 25 --log /var/tmp/mails.jsonl [ANSWER...]     # the same as a program

What it answers to a message: accept; 4xx and 5xx, at the end of DATA; drop: takes it, and the
connection is gone before the answer; stall: takes it and never answers; and no-rcpt: refuses the
recipient by 550, which is before DATA. Each message is told as a line of JSON, which
tests/invariants.py reads: {"Id", "Subject", "Answer", "Taken", "Time"}.
"""

import argparse
import email
import email.policy
import json
import socket
import socketserver
import threading
import time

ANSWERS = ("accept", "4xx", "5xx", "drop", "stall", "no-rcpt")
TAKEN = ("accept", "drop")  # These the relay has and would deliver.
TALK_SECONDS = 60


class Mail:
    def __init__(self, answer, data):
        self.answer = answer
        self.time = time.time()
        self.message = email.message_from_bytes(data, policy=email.policy.default)
        self.subject = str(self.message["Subject"] or "")
        # "<MID@SERVER>"
        self.id = str(self.message["Message-ID"] or "").strip().strip("<>").rpartition("@")[0]

    @property
    def taken(self):
        return self.answer in TAKEN

    def json(self):
        return json.dumps({"Id": self.id, "Subject": self.subject, "Answer": self.answer,
                           "Taken": self.taken, "Time": self.time})


class Talk(socketserver.StreamRequestHandler):
    timeout = TALK_SECONDS

    def handle(self):
        try:
            self.talk(self.server.sink)
        except OSError:
            pass  # The client has had enough.

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def talk(self, sink):
        self.say("220 sink ESMTP")
        while line := self.rfile.readline(4096):
            verb = line[:4].upper()
            if verb == b"QUIT":
                return self.say("221 bye")
            if verb == b"RCPT" and sink.peek() == "no-rcpt":
                sink.note(b"")
                self.say("550 5.1.1 no such user here")
            elif verb == b"DATA":
                self.say("354 go on")
                if not self.data(sink):
                    return None
            else:
                self.say("250 fine")
        return None

    def data(self, sink):
        """Reads a message and answers it. False: the connection is over."""
        lines = []
        while (line := self.rfile.readline(65536)) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        if not line:
            return False  # Cut in the middle: it was never sent whole.
        answer = sink.note(b"".join(lines))
        if answer == "stall":
            sink.over.wait(TALK_SECONDS)
        if answer in ("drop", "stall"):
            return False
        self.say({"accept": "250 2.0.0 taken", "4xx": "451 4.3.0 not now",
                  "5xx": "554 5.7.1 never"}[answer])
        return True


class Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 100


class MailSink:
    """Use as a context manager; any thread."""

    def __init__(self, *script, then="accept", address="127.0.0.1", port=0, log=None):
        for answer in (*script, then):
            if answer not in ANSWERS:
                raise ValueError(f"{answer!r} is none of {', '.join(ANSWERS)}")
        self.script = list(script)
        self.then = then
        self.address, self.port = address, port
        self.log = log
        self.mails = []
        self.over = threading.Event()
        self._changed = threading.Condition()
        self._listener = None

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *exception):
        self.down()

    def up(self):
        """Listens; after down() at the same port."""
        self.over.clear()
        self._listener = Listener((self.address, self.port), Talk)
        self._listener.sink = self
        self.port = self._listener.server_address[1]
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()

    def down(self):
        """As if it were not there: connections are refused."""
        self.over.set()
        if self._listener is not None:
            self._listener.shutdown()
            self._listener.server_close()
            self._listener = None

    def peek(self):
        with self._changed:
            return self.script[0] if self.script else self.then

    def note(self, data):
        """Keeps a message, and says how it is answered."""
        with self._changed:
            answer = self.script.pop(0) if self.script else self.then
            mail = Mail(answer, data)
            self.mails.append(mail)
            if self.log:
                with open(self.log, "a", encoding="utf-8") as file:
                    file.write(mail.json() + "\n")
            self._changed.notify_all()
            return answer

    def answer(self, *script, then="accept"):
        """From now on."""
        with self._changed:
            self.script, self.then = list(script), then

    def taken(self):
        return [mail for mail in list(self.mails) if mail.taken]

    def subjects(self):
        return [mail.subject for mail in self.taken()]

    def wait_for(self, count, timeout=20):
        """Waits until so many messages were taken."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while len(self.taken()) < count:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise AssertionError(f"{len(self.taken())} of {count} messages in {timeout} s: "
                                         + "; ".join(mail.json() for mail in self.mails))

    def receipts(self):
        """What tests/invariants.py reads."""
        return [json.loads(mail.json()) for mail in list(self.mails)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="0.0.0.0")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--then", default="accept", choices=ANSWERS)
    parser.add_argument("answers", nargs="*", help=", ".join(ANSWERS))
    args = parser.parse_args()
    with MailSink(*args.answers, then=args.then, address=args.address, port=args.port,
                  log=args.log):
        print("up", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
