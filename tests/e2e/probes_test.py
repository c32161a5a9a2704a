"""Probes against the servers that they are for, in one machine: each sees that all is well, and then
what is wrong."""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import unittest

import services
from server import Server, why_not

CHRONYD = "/opt/salve-tests/chrony/usr/sbin/chronyd"
REASON = why_not() or services.why_not() or (
    None if shutil.which("/usr/sbin/dnsmasq") else "dnsmasq is not installed") or (
    None if os.path.exists(CHRONYD) else "chrony is not unpacked")

TLS = f'tls {{ ca_file: "/opt/ca.crt" server_name: "{services.HOST}" }}'
VERIFIED = f'ca_file: "/opt/ca.crt" server_name: "{services.HOST}"'
LOGIN = f'user: "{services.USER}" password_file: "/opt/password"'
DNS = 'server: "127.0.0.1:5353"'
POSTGRES_SOCKET = '/run/postgresql/.s.PGSQL.5432'

# Name: (kind, values and attributes that a good look has, the error once all is broken; None: it
# stays as it is).
WELL = {
    "DnsA": (f'dns {{ name: "www.example.org" {DNS} expect: "^192\\\\.0\\\\.2\\\\.1$" }}',
             "latency_ms records server answer", "refused|timed out"),
    "DnsAaaa": (f'dns {{ name: "www.example.org" type: AAAA {DNS} expect: "2001:db8::1" }}',
                "records", "refused|timed out"),
    "DnsMx": (f'dns {{ name: "example.org" type: MX {DNS} expect: "10 mx.example.org" }}',
              "records", "refused|timed out"),
    "DnsTxt": (f'dns {{ name: "example.org" type: TXT {DNS} expect: "v=spf1 -all" }}', "records", None),
    "DnsSrv": (f'dns {{ name: "_imap._tcp.example.org" type: SRV {DNS} expect: "143 mx.example.org" }}',
               "records", None),
    "DnsCname": (f'dns {{ name: "web.example.org" type: CNAME {DNS} expect: "www.example.org" }}',
                 "records", None),
    "DnsPtr": (f'dns {{ name: "192.0.2.1" type: PTR {DNS} expect: "www.example.org" }}',
               "records", None),
    "DnsTcp": (f'dns {{ name: "www.example.org" tcp: true {DNS} }}', "records", "refused"),
    # Its records are no answer of 512 bytes: by UDP, and then by TCP.
    "DnsCut": (f'dns {{ name: "big.example.org" type: TXT {DNS} expect: "9{"x" * 99}" }}',
               "records", "refused|timed out"),
    "DnsNone": (f'dns {{ name: "no.example.org" {DNS} expect_nxdomain: true }}', "rcode",
                "refused|timed out"),
    "Clock": ('clock { ntp_server: "127.0.0.1" port: 11123 }', "offset_ms stratum latency_ms",
              "offset|ahead|behind"),
    "Smtp": ('smtp {}', "latency_ms banner remote_address", "[Cc]onnection refused"),
    "SmtpMail": (f'smtp {{ mail_from: "a@example.org" rcpt_to: "root@{services.HOST}" '
                 'banner_match: "ESMTP Postfix" }', "latency_ms", "[Cc]onnection refused"),
    "SmtpTls": (f'smtp {{ start_tls: true {TLS} }}', "tls_days_left", "[Cc]onnection refused"),
    "Imap": ('imap {}', "latency_ms banner remote_address", "timed out"),
    "ImapLogin": (f'imap {{ {LOGIN} mailbox: "INBOX" }}', "messages", "timed out"),
    "ImapStartTls": (f'imap {{ start_tls: true {TLS} {LOGIN} mailbox: "INBOX" }}',
                     "messages tls_days_left", "timed out"),
    "Imaps": (f'imap {{ {TLS} }}', "tls_days_left", "timed out"),
    "Pop3": ('pop3 {}', "latency_ms banner", "timed out"),
    "Pop3Login": (f'pop3 {{ {LOGIN} }}', "messages mailbox_bytes", "timed out"),
    "Pop3StartTls": (f'pop3 {{ start_tls: true {TLS} {LOGIN} }}', "messages tls_days_left",
                     "timed out"),
    "Pop3s": (f'pop3 {{ {TLS} }}', "tls_days_left", "timed out"),
    "Postgres": ('sql_ping { user: "probe" }', "latency_ms remote_address", "timed out"),
    "PostgresLogin": ('sql_ping { user: "probe" database: "postgres" password_file: "/opt/sql" }',
                      "latency_ms server_version", "timed out"),
    "PostgresSocket": (f'sql_ping {{ host: "{POSTGRES_SOCKET}" user: "probe" database: "postgres" '
                       'password_file: "/opt/sql" }', "server_version", "timed out"),
    "PostgresTls": (f'sql_ping {{ user: "probe" database: "postgres" password_file: "/opt/sql" {TLS} }}',
                    "tls_days_left", "timed out"),
    "Redis": ('sql_ping { server: REDIS }', "latency_ms", "[Cc]onnection refused"),
    "RedisOfPassword": ('sql_ping { server: REDIS port: 6380 }', "latency_ms",
                        "[Cc]onnection refused"),
    "RedisLogin": ('sql_ping { server: REDIS port: 6380 password_file: "/opt/sql" }',
                   "latency_ms", "[Cc]onnection refused"),
    "Certificate": (f'tls_certificate {{ port: 8443 {VERIFIED} }}',
                    "days_left chain_length subject issuer not_after tls_version", "expire|end"),
    "CertificateImap": (f'tls_certificate {{ port: 143 start_tls: IMAP {VERIFIED} }}', "days_left",
                        "timed out"),
    "CertificatePop3": (f'tls_certificate {{ port: 110 start_tls: POP3 {VERIFIED} }}', "days_left",
                        "timed out"),
    "CertificateSmtp": (f'tls_certificate {{ port: 25 start_tls: SMTP {VERIFIED} }}', "days_left",
                        "[Cc]onnection refused"),
    "CertificatePostgres": (f'tls_certificate {{ port: 5432 start_tls: POSTGRES {VERIFIED} }}',
                            "days_left", "timed out"),
    "CertificateFile": ('tls_certificate { file: "/opt/web.crt" ca_file: "/opt/ca.crt" '
                        f'server_name: "{services.HOST}" }}', "days_left", "expire|end"),
    "Grpc": ('grpc_health { port: 50051 }', "latency_ms serving_status", "502"),
    "Disk": ('disk { path: "/mnt/small" }', "free_percent free_bytes total_bytes mount",
             "/mnt/small .*% .*free"),
    "DiskWritable": ('disk { path: "/mnt/fixed" }', "free_percent", "/mnt/fixed.*read-only"),
    "DiskInodes": ('disk { path: "/mnt/few" min_free_percent: 0 }', "free_inodes_percent",
                   "/mnt/few .*inodes"),
    "File": ('file { path: "/opt/backup" max_age: "1h" min_bytes: 2 content_not_match: "ERROR" }',
             "age_seconds size_bytes", "ERROR"),
    "FileOld": ('file { path: "/opt/old" max_age: "1h" }', "age_seconds", "old|ago|age|written"),
    "FileGlob": ('file { path: "/opt/*.dump" max_age: "1h" }', "files", "no file|none|not there|nothing"),
    "FileNone": ('file { path: "/opt/lock" must_not_exist: true }', "", "/opt/lock"),
    "Queue": ('mail_queue {}', "queued", None),
    "QueueShort": ('mail_queue { max_queued: 1 }', "queued", "2 .*expected at most 1"),
    "Failed": ('systemd_failed_units {}', "failed_units", "broken.service"),
    "Interface": ('network_interface { interface: "card" }', "oper_state", "carrier|down"),
    "InterfaceAddress": ('network_interface { interface: "card" need_address: true }', "",
                         "carrier|down"),
    "Memory": ('memory { min_available_percent: 0 }', "available_percent available_bytes", None),
    "Cpu": ('cpu {}', "load1_per_core", None),
}

# Name: (kind, the error) of what is wrong from the start.
SICK = {
    "DnsUnknown": (f'dns {{ name: "no.example.org" {DNS} }}', "NXDOMAIN"),
    "DnsExpect": (f'dns {{ name: "www.example.org" {DNS} expect: "192.0.2.9" }}', "192.0.2.1"),
    "DnsExists": (f'dns {{ name: "www.example.org" {DNS} expect_nxdomain: true }}', "."),
    "SmtpUnknown": (f'smtp {{ mail_from: "a@example.org" rcpt_to: "nobody-there@{services.HOST}" }}',
                    "550"),
    "SmtpRelay": ('smtp { banner_match: "Exim" }', "Postfix"),
    "ImapWrong": (f'imap {{ user: "{services.USER}" password_file: "/opt/wrong" }}',
                  "AUTHENTICATIONFAILED|Authentication failed"),
    "ImapMailbox": (f'imap {{ {LOGIN} mailbox: "nothing" }}', "nothing|NO|exist"),
    "ImapUntrusted": ('imap { start_tls: true tls {} }', "certificate"),
    "Pop3Wrong": (f'pop3 {{ user: "{services.USER}" password_file: "/opt/wrong" }}',
                  "AUTH|Authentication failed"),
    "PostgresWrong": ('sql_ping { user: "probe" database: "postgres" password_file: "/opt/wrong" }',
                      "password authentication failed"),
    "PostgresNone": ('sql_ping { user: "probe" database: "nowhere" password_file: "/opt/sql" }',
                     "nowhere"),
    "RedisWrong": ('sql_ping { server: REDIS port: 6380 password_file: "/opt/wrong" }',
                   "WRONGPASS|password"),
    "RedisNeedsLogin": ('sql_ping { server: REDIS port: 6380 need_login: true }',
                        "NOAUTH|password|[Aa]uthentication"),
    "CertificateSoon": (f'tls_certificate {{ port: 8443 {VERIFIED} min_days_left: 90 }}', "90"),
    "CertificateName": ('tls_certificate { port: 8443 ca_file: "/opt/ca.crt" '
                        'server_name: "other.example.org" }', "other.example.org|name"),
    "CertificateChain": (f'tls_certificate {{ port: 8443 server_name: "{services.HOST}" }}', "."),
    "CertificateNoTls": ('tls_certificate { port: 80 }', "."),
    "GrpcUnknown": ('grpc_health { port: 50051 service: "nope" }', "nope"),
    "GrpcIsHttp1": ('grpc_health { port: 80 }', "."),
    "DiskBytes": ('disk { path: "/mnt/small" min_free_bytes: 1000000000000 }', "/mnt/small"),
    "FileMissing": ('file { path: "/opt/nothing" }', "/opt/nothing"),
    "InterfaceNone": ('network_interface { interface: "nowhere0" }', "nowhere0"),
    "MemoryBytes": ('memory { min_available_bytes: 1000000000000000 }', "."),
    "CpuLoad": ('cpu { max_load_per_core: 0.0000001 }', "."),
}

WELL["ClockChrony"] = ('clock { ntp_server: "127.0.0.1" port: 11124 }', "offset_ms stratum",
                       "refused|timed out")

# What lies is behind its bounds of time, or in time with its word of a fault.
TIMEOUT = "2s"

NGINX = f"""
server {{
  listen 127.0.0.1:8443 ssl;
  server_name {services.HOST};
  ssl_certificate /opt/web.crt;
  ssl_certificate_key /opt/web.key;
  return 200;
}}
# The agent's own health service, which listens at a Unix socket, behind a proxy that speaks HTTP/2.
server {{
  listen 127.0.0.1:50051 http2;
  location / {{ grpc_pass grpc://unix:/run/salve/salve.sock; }}
}}
"""

# A time server, wrong by what is in /opt/offset.
NTP = b"""
import socket, struct, time
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 11123))
while True:
    request, client = server.recvfrom(512)
    now = time.time() + 2208988800 + float(open("/opt/offset").read())
    stamp = struct.pack(">II", int(now), int(now % 1 * 2 ** 32))
    server.sendto(struct.pack(">BBbb", 0x24, 2, 6, -20) + struct.pack(">II", 0, 0) + b"TEST" +
                  stamp + request[40:48] + stamp + stamp, client)
"""

DNSMASQ = ["/usr/sbin/dnsmasq", "-k", "--conf-file=/dev/null", "--user=root", "--pid-file=",
           "--port=5353", "--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv",
           "--no-hosts", "--local=/example.org/", "--local=/192.in-addr.arpa/",
           "--host-record=www.example.org,192.0.2.1,2001:db8::1",
           "--mx-host=example.org,mx.example.org,10", "--txt-record=example.org,v=spf1 -all",
           "--srv-host=_imap._tcp.example.org,mx.example.org,143",
           "--cname=web.example.org,www.example.org",
           "--ptr-record=1.2.0.192.in-addr.arpa,www.example.org",
           *[f"--txt-record=big.example.org,{i}{'x' * 99}" for i in range(10)]]

CHRONY = [CHRONYD, "-d", "-x", "-u", "root", "port 11124", "bindaddress 127.0.0.1", "cmdport 0",
          "bindcmdaddress /", "pidfile /run/chronyd.pid", "allow 127.0.0.1", "local stratum 8"]

# All that is not there from the boot. In one script: each command from outside costs 50 ms.
MAKE = f"""
chgrp salve /run/salve 2>/dev/null || true
chmod 666 /run/salve/salve.sock
echo 0 > /opt/offset
systemd-run -q --unit=dns {' '.join(map(shlex.quote, DNSMASQ))}
systemd-run -q --unit=ntp /usr/bin/python3 /opt/ntp.py
systemd-run -q --unit=chrony-here {' '.join(map(shlex.quote, CHRONY))}
systemd-run -q --unit=redis-locked /usr/bin/redis-server --port 6380 --bind 127.0.0.1 \
  --requirepass secret --save ''
mkdir -p /mnt/small /mnt/fixed /mnt/few
mount -t tmpfs -o size=4m small /mnt/small
mount -t tmpfs -o size=4m fixed /mnt/fixed
mount -t tmpfs -o size=4m,nr_inodes=20 few /mnt/few
echo good > /opt/backup; echo good > /opt/old; echo good > /opt/monday.dump
ip link add card type veth peer name other
ip link set card up; ip link set other up; ip address add 192.0.2.7/24 dev card
P=/etc/postgresql/*/main
install -o postgres -m 600 /etc/dovecot/private/dovecot.key /var/lib/postgresql/server.key
install -o postgres -m 644 /etc/dovecot/private/dovecot.pem /var/lib/postgresql/server.crt
sed -i '1i local all probe scram-sha-256' $P/pg_hba.conf
cat >> $(echo $P/postgresql.conf) <<END
ssl = on
ssl_cert_file = '/var/lib/postgresql/server.crt'
ssl_key_file = '/var/lib/postgresql/server.key'
END
pg_ctlcluster $(echo $P | cut -d/ -f4) main reload
setpriv --reuid=postgres --regid=postgres --clear-groups psql -q -d postgres \
  -c "create role probe login password 'secret'"
systemctl reset-failed
"""

# Two mails that nobody can deliver. Postfix keeps them, stopped as well.
BREAK = f"""
for i in 1 2; do printf 'Subject: x\\n\\nx\\n' | sendmail -f a@example.org nobody@elsewhere.invalid; done
for i in $(seq 100); do
  [ "$(find /var/spool/postfix/deferred -type f | wc -l)" != 2 ] || break
  sleep 0.05
done
systemctl stop postfix dns redis-server redis-locked chrony-here
systemctl kill -s STOP dovecot '{services.postgres_unit() if not REASON else ''}'
echo 7200 > /opt/offset
cp /opt/ended.crt /opt/web.crt; cp /opt/ended.key /opt/web.key; nginx -s reload
chmod 600 /run/salve/salve.sock
head -c 4m /dev/zero > /mnt/small/full 2>/dev/null
mount -o remount,ro /mnt/fixed
touch $(seq -f /mnt/few/%g 19) 2>/dev/null
echo ERROR >> /opt/backup; touch -d '2 hours ago' /opt/old; rm /opt/monday.dump; touch /opt/lock
systemd-run -q --unit=broken --wait /bin/false
ip link set other down
true
"""


def ended_certificate(folder):
    """Files of a certificate that has ended."""
    authority = services.Authority(folder, "ended")
    return authority.issue("ended", f"DNS:{services.HOST}", days=-1)


@unittest.skipIf(REASON, REASON)
class ProbesTest(unittest.TestCase):

    def test_good_and_then_not(self):
        probes = "\n".join(f'probe {{ name: "{name}" interval: "24h" timeout: "{TIMEOUT}" {row[0]} }}'
                           for name, row in {**WELL, **SICK}.items())
        with tempfile.TemporaryDirectory() as folder:
            ended, ended_key = ended_certificate(folder)
            files = services.files(folder) + [
                (NGINX.encode(), "/etc/nginx/conf.d/probes.conf", 0o644),
                (NTP, "/opt/ntp.py", 0o644), (b"secret\n", "/opt/sql", 0o600),
                (ended, "/opt/ended.crt", 0o644), (ended_key, "/opt/ended.key", 0o644),
                (os.path.join(folder, "mail.crt"), "/opt/web.crt", 0o644),
                (os.path.join(folder, "mail.key"), "/opt/web.key", 0o644)]
            server = Server(f'health_set {{ name: "S"\n{probes}\n}}', files=files,
                            enable=services.UNITS)
        with server:
            server.run("sh", "-ec", MAKE)
            self.first(server)
            server.run("sh", "-c", BREAK)
            self.second(server)

    def looks(self, server, names):
        """Runs probes, eight at a time: {name: result}."""
        done = server.run(
            "sh", "-c", f"printf '%s\\n' {' '.join(names)} | "
            "xargs -P 8 -I@ salvectl -o jsonl probe run S/@", check=False, timeout=120)
        return {result["ResultName"]: result for result in map(json.loads, done.stdout.splitlines())}

    def first(self, server):
        # It was just told to read its configuration again, and answers as before until it has.
        server.wait_for(lambda: self.looks(server, ["PostgresTls"])["PostgresTls"]["ResultType"] ==
                        "Succeeded", what="postgres by TLS")
        results = self.looks(server, [*WELL, *SICK])
        for name, (_, wanted, _) in WELL.items():
            with self.subTest(name):
                result = results[name]
                self.assertEqual(result["ResultType"], "Succeeded", result["Error"])
                there = {one["Name"] for one in result["Values"] + result["Attributes"]}
                self.assertLessEqual(set(wanted.split()), there)
        for name, (_, error) in SICK.items():
            with self.subTest(name):
                self.assertEqual(results[name]["ResultType"], "Failed", results[name]["Error"])
                self.assertRegex(results[name]["Error"], error)

    def second(self, server):
        broken = {name: error for name, (_, _, error) in WELL.items() if error}
        results = self.looks(server, broken)
        for name, error in broken.items():
            with self.subTest(name):
                result = results[name]
                print(f"{name}: {result['ResultType']}: {result['Error']}")
                self.assertIn(result["ResultType"], ["Failed", "TimedOut"], result["Error"])
                self.assertRegex(result["Error"], error)


if __name__ == "__main__":
    unittest.main()
