"""A real etcd for tests, on loopback, in a folder of its own; or a cluster of three members.

    with Etcd() as etcd:
        etcd.ctl("get", "--prefix", "/salve")
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

from certificates import free_port


class Etcd:
    def __init__(self, prefix=(), address="127.0.0.1", ports=None, tls=None, member=None):
        """tls: a dict with ca, cert and key; clients then need a certificate of the ca.
        member: its name in a cluster, which begins its members itself."""
        self.dir = tempfile.mkdtemp(prefix="salve-etcd-")
        self.prefix = list(prefix)
        self.address = address
        self.tls = tls
        self.client_port, self.peer_port = ports or (free_port(), free_port())
        self.process = None
        self.name = member or "test"
        self.members = f"{self.name}={self.peer_url}"
        if member is None:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://{self.address}:{self.client_port}"

    @property
    def peer_url(self):
        return f"http://127.0.0.1:{self.peer_port}"

    def start(self, wait=True):
        argv = self.prefix + [
            "etcd", f"--name={self.name}", f"--data-dir={self.dir}/data",
            f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={self.peer_url}", f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={self.members}", "--logger=zap", "--log-level=error"]
        if self.tls:
            argv += [f"--cert-file={self.tls['cert']}", f"--key-file={self.tls['key']}",
                     f"--trusted-ca-file={self.tls['ca']}", "--client-cert-auth"]
        with open(os.path.join(self.dir, "log"), "a") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        if wait:
            self.await_health()

    def await_health(self):
        deadline = time.monotonic() + 20
        while self.ctl("endpoint", "health", check=False).returncode != 0:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError("etcd does not come up: "
                                     + open(os.path.join(self.dir, "log")).read())
            time.sleep(0.1)

    def kill(self):
        """As a power cut."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def hang(self, hang=True):
        self.process.send_signal(signal.SIGSTOP if hang else signal.SIGCONT)

    def ctl(self, *argv, check=True):
        tls = []
        if self.tls:
            tls = [f"--cacert={self.tls['ca']}", f"--cert={self.tls['cert']}",
                   f"--key={self.tls['key']}"]
        result = subprocess.run(self.prefix + ["etcdctl", f"--endpoints={self.url}", *tls, *argv],
                                env={**os.environ, "ETCDCTL_API": "3"}, text=True,
                                capture_output=True, timeout=30)
        if check and result.returncode != 0:
            raise AssertionError(f"etcdctl {argv}: {result.stderr}")
        return result

    def keys(self, prefix="/salve"):
        out = self.ctl("get", "--prefix", "--keys-only", prefix).stdout
        return [line for line in out.splitlines() if line]


class EtcdCluster:
    """Three members; `ctl` and `keys` ask one that runs."""

    def __init__(self, tls=None):
        self.members = [Etcd(tls=tls, member=f"m{i}") for i in range(3)]
        for member in self.members:
            member.members = ",".join(f"{one.name}={one.peer_url}" for one in self.members)
            member.start(wait=False)
        for member in self.members:
            member.await_health()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for member in self.members:
            member.__exit__(*exception)

    def leader(self):
        for member in self.members:
            if member.process.poll() is None:
                status = json.loads(member.ctl("endpoint", "status", "-w", "json").stdout)[0]["Status"]
                if status["header"]["member_id"] == status["leader"]:
                    return member
        return None

    def ctl(self, *argv):
        running = next(one for one in self.members if one.process.poll() is None)
        return running.ctl(*argv)
