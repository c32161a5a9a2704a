"""What hostile servers and plugins do to one agent, all at once: every look ends in time with the
outcome it ought to have, and an ordinary probe beside them is not held up."""

import asyncio
import os
import struct
import subprocess
import time
import unittest

from plain import Agent
from servers import Servers, dns_with, http

INTERVAL_MS = 1000
TIMEOUT_MS = 800
LOOKS = 3  # of each probe: what leaks or is stuck shows at the second
ALONE = True  # What is hostile takes both cores.
FORKED = "sleep 4243"  # what the plugin leaves running


# -- what they do

async def silence(reader, writer):
    await asyncio.Event().wait()


def drip(text):
    """One byte a second, for ever."""
    async def talk(reader, writer):
        while True:
            for byte in text:
                writer.write(bytes([byte]))
                await asyncio.sleep(1)
    return talk


def endless(begin, piece):
    async def talk(reader, writer):
        writer.write(begin)
        while True:
            writer.write(piece)
            await writer.drain()
    return talk


def says(text):
    """Answers whatever comes, and then is silent."""
    async def talk(reader, writer):
        await reader.read(1)
        writer.write(text)
        await asyncio.Event().wait()
    return talk


def ntp_with_another_cookie(request):
    """As an attacker who cannot see what is asked."""
    return [struct.pack(">BBbb", 0x24, 2, 6, -20) + b"\0" * 8 + b"GOOD" + b"\1" * 32] * 100


# -- the probes: kind, the outcomes that may be, what must be in the error

PIPE = b"x" * 65536


def probes_of(servers):
    tcp, udp = servers.tcp, servers.udp
    silent = tcp(silence)
    loop = tcp(http(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"))
    owner = b"\xc0\x0c\0\1\0\1\0\0\0\x3c"  # the name that was asked for, A, IN, a minute
    return {
        "HttpDrip": (f'http {{ url: "http://127.0.0.1:{tcp(drip(b"HTTP/1.1 200 OK"))}/" }}',
                     "TimedOut", ""),
        "HttpHeaders": (f'http {{ url: "http://127.0.0.1:'
                        f'{tcp(endless(b"HTTP/1.1 200 OK", b"X: y" + bytes([13, 10]) + b"a" * 9))}/" }}',
                        "Failed|TimedOut", ""),
        "HttpManyHeaders": ('http { url: "http://127.0.0.1:%d/" }' %
                            tcp(endless(b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n" * 1000)),
                            "Failed|TimedOut", ""),
        "HttpRedirects": (f'http {{ url: "http://127.0.0.1:{loop}/" max_redirects: 5 }}',
                          "Failed", "redirect"),
        # What is asked of a body is read, and no more: the answer itself is good.
        "HttpBody": ('http { url: "http://127.0.0.1:%d/" body_not_match: "y" }' %
                     tcp(endless(b"HTTP/1.1 200 OK\r\n\r\n", PIPE)), "Succeeded", ""),
        "HttpsStalled": (f'http {{ url: "https://127.0.0.1:{silent}/" }}', "TimedOut", ""),
        "TcpStalled": (f'tcp {{ port: {silent} tls {{}} }}', "TimedOut", "TLS"),
        "TcpEndless": ('tcp { port: %d expect: "never" }' % tcp(endless(b"", PIPE)), "Failed", ""),
        "CertificateStalled": (f'tls_certificate {{ port: {silent} }}', "TimedOut", ""),
        "CertificateNoTls": ('tls_certificate { port: %d }' % tcp(endless(b"", PIPE)), "Failed", ""),
        "CertificateDrip": ('tls_certificate { port: %d start_tls: SMTP }' % tcp(drip(b"220 x")),
                            "TimedOut", ""),
        "ImapGreeting": ('imap { port: %d }' % tcp(endless(b"* OK ", b"x" * (10 << 20))),
                         "Failed", ""),
        "ImapStalled": (f'imap {{ port: {silent} tls {{}} }}', "TimedOut", ""),
        "Pop3Drip": ('pop3 { port: %d }' % tcp(drip(b"+OK ")), "TimedOut", ""),
        "SmtpLine": ('smtp { port: %d }' % tcp(endless(b"220 ", PIPE)), "Failed", ""),
        "SmtpLines": ('smtp { port: %d }' % tcp(endless(b"", b"220-x\r\n" * 1000)),
                      "Failed", ""),
        "SmtpSilent": (f'smtp {{ port: {silent} }}', "TimedOut", ""),
        "RedisLength": ('sql_ping { server: REDIS port: %d }' % tcp(says(b"$999999999999\r\n")),
                        "Failed|TimedOut", ""),
        "RedisEndless": ('sql_ping { server: REDIS port: %d }' % tcp(endless(b"+", PIPE)),
                         "Failed", ""),
        "PostgresLength": ('sql_ping { port: %d }' % tcp(says(b"R\x7f\xff\xff\xff\0\0\0\0")),
                           "Failed|TimedOut", ""),
        "PostgresNotices": ('sql_ping { port: %d }' %
                            tcp(endless(b"", b"N\0\0\0\x0bSxxxxx\0" * 1000)),
                            "Failed|TimedOut", ""),
        "GrpcIsHttp1": ('grpc_health { port: %d }' %
                        tcp(endless(b"HTTP/1.1 200 OK\r\n\r\n", PIPE)), "Failed", ""),
        "GrpcSilent": (f'grpc_health {{ port: {silent} }}', "TimedOut", ""),
        # 100 records are promised, and one is there; a record is longer than its message; a name
        # that points at itself; lengths over TCP of what never comes.
        "DnsCounts": ('dns { name: "a.example" server: "127.0.0.1:%d" }' %
                      udp(dns_with(100, owner + b"\0\4\x7f\0\0\1")), "Failed|TimedOut", ""),
        "DnsLength": ('dns { name: "a.example" server: "127.0.0.1:%d" }' %
                      udp(dns_with(1, owner + b"\xff\xff\x7f\0\0\1")), "Failed|TimedOut", ""),
        "DnsLoop": ('dns { name: "a.example" type: MX server: "127.0.0.1:%d" }' %
                    udp(dns_with(1, b"\xc0\x1b\0\x0f\0\1\0\0\0\x3c\0\4\0\1\xc0\x1b")),
                    "Failed|TimedOut", ""),
        "DnsTcpLength": ('dns { name: "a.example" tcp: true server: "127.0.0.1:%d" }' %
                         tcp(says(b"\xff\xff" + b"\0" * 12)), "Failed|TimedOut", ""),
        "ClockCookie": ('clock { ntp_server: "127.0.0.1" port: %d }' %
                        udp(ntp_with_another_cookie), "TimedOut", ""),
        "PluginForks": ('exec { command: "/bin/sh" command: "-c" command: "for i in 1 2 3 4 5; do '
                        f'{FORKED} & done; wait" }}', "TimedOut", ""),
        "PluginPrints": ('exec { command: "/usr/bin/yes" command: "hello" }', "TimedOut", ""),
    }


class HostileTest(unittest.TestCase):
    def test_all_at_once(self):
        with Servers() as servers:
            hostile = probes_of(servers)
            good = servers.tcp(http(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
            probes = "\n".join(
                f'probe {{ name: "{name}" interval: "{INTERVAL_MS}ms" timeout: "{TIMEOUT_MS}ms" '
                f'{kind} }}' for name, (kind, _, _) in hostile.items())
            with Agent(f'''health_set {{ name: "Hostile" {probes} }}
                health_set {{ name: "Ordinary"
                  probe {{ name: "Http" interval: "400ms" timeout: "400ms"
                           http {{ url: "http://127.0.0.1:{good}/" }} }} }}''') as agent:
                self.watch(agent, hostile)

    def watch(self, agent, hostile):
        def looks():
            return {probe["Name"]: int(probe["Looks"])
                    for probe in agent.json("probe", "list").get("Probes", [])}
        agent.wait_for(lambda: min(looks().values(), default=0) >= 1, what="a look of each")
        descriptors = self.descriptors(agent)
        began, ordinary = time.monotonic(), looks()["Http"]
        agent.wait_for(lambda: min(looks().values()) >= LOOKS, timeout=15, what="more looks of each")
        ordinary, took = looks()["Http"] - ordinary, time.monotonic() - began

        results = {}
        for event in agent.events("--channel", "ProbeResult"):
            results.setdefault(event["Name"], []).append(event)
        for name, (_, outcomes, error) in hostile.items():
            with self.subTest(name):
                self.assertGreaterEqual(len(results[name]), LOOKS)
                for result in results[name]:
                    self.assertIn(result["ResultType"], outcomes.split("|"), result["Error"])
                    self.assertIn(error, result["Error"])
                    self.assertLess(len(result["Error"]), 2000)
                    # The deadline, and what the process may wait for the processor.
                    self.assertLess(result["DurationMs"], TIMEOUT_MS + self.patience_ms())
                print(f"{name}: {results[name][-1]['ResultType']}: {results[name][-1]['Error'][:120]}")
        for result in results["Http"]:
            self.assertEqual(result["ResultType"], "Succeeded", result["Error"])
        # Five in two seconds; half of them would be held up.
        self.assertGreater(ordinary, took * 1.25, "the ordinary probe was held up")

        longest = agent.info()["LongestTurnMs"]
        print(f"longest_turn_ms {longest:.1f}")
        self.assertLess(longest, self.patience_ms())
        self.assertLess(agent.rss()[0], 64 << 20)
        # Each look holds a few while it lasts; what is kept after it would be some for each.
        self.assertLess(self.descriptors(agent), descriptors + len(hostile))
        self.assertEqual(agent.stop(), 0)
        self.assertEqual(subprocess.run(["pgrep", "-f", f"^{FORKED}$"],
                                        capture_output=True).stdout, b"")

    @staticmethod
    def patience_ms():
        """As in escalate_test: others' load may hold the process up."""
        return max(100, 100 * os.getloadavg()[0])

    @staticmethod
    def descriptors(agent):
        return len(os.listdir(f"/proc/{agent.process.pid}/fd"))


if __name__ == "__main__":
    unittest.main()
