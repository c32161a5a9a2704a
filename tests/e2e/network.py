"""Hosts on a network of their own, for tests that cut it: network namespaces and cables. Root only.

    with Network(3) as network:
        subprocess.run(network.prefix(0) + ["ping", "-c1", network.address(1)])
        network.cut(0)
"""

import subprocess


class Network:
    """`n` hosts 10.78.0.1 .. n on a bridge; nothing of it is on the host's own network."""

    def __init__(self, n):
        self.hosts = []
        self.switch = self._namespace("ip link add br0 type bridge; ip link set br0 up")
        for i in range(n):
            host = self._namespace("ip link set lo up")
            self.hosts.append(host)
            self._run(self.switch, f"ip link add port{i} type veth peer name eth0 netns {host.pid};"
                                   f"ip link set port{i} master br0 up")
            self._run(host, f"ip address add {self.address(i)}/24 dev eth0; ip link set eth0 up")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for holder in self.hosts + [self.switch]:
            holder.kill()
            holder.wait()
            holder.stdout.close()

    def address(self, i):
        return f"10.78.0.{i + 1}"

    def prefix(self, i):
        """What runs a command on host i."""
        return ["nsenter", f"--target={self.hosts[i].pid}", "--net"]

    def cut(self, i, cut=True):
        """Pulls the cable, with what is on it; or puts it back."""
        self._run(self.switch, f"ip link set port{i} {'down' if cut else 'up'}")

    @staticmethod
    def _namespace(script):
        holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-ec",
             script + "; echo up; exec sleep infinity"],
            stdout=subprocess.PIPE, start_new_session=True)
        if holder.stdout.readline() != b"up\n":
            raise AssertionError("no network namespace: " + script)
        return holder

    @staticmethod
    def _run(holder, script):
        subprocess.run(["nsenter", f"--target={holder.pid}", "--net", "sh", "-ec", script],
                       check=True, stdin=subprocess.DEVNULL)
