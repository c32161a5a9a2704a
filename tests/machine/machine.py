"""Disposable machines with a real systemd, for tests (root only, see README.md).

A machine is this computer's own root file system under a writable layer, in
its own namespaces, with systemd as PID 1. It boots in about a second, can be
rebooted and cut from power, and leaves nothing behind:

    with Machine("web", enable=["nginx.service"]) as machine:
        machine.install("bazel-bin/agent/salved", "/usr/local/bin/salved", 0o755)
        machine.boot()
        print(machine.run(["systemctl", "is-active", "nginx"]).stdout)
"""

import atexit
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
REBOOTED, POWERED_OFF, KILLED = 129, 130, 137  # exit statuses of a machine

# Units of systemd itself that make no sense in a machine, or would touch what
# it shares with the host. Everything the host's administrator enabled is out anyway.
_MASKED = """
    dev-hugepages.mount getty.target kmod-static-nodes.service ldconfig.service
    proc-sys-fs-binfmt_misc.automount sys-fs-fuse-connections.mount sys-kernel-config.mount
    sys-kernel-debug.mount sys-kernel-tracing.mount systemd-ask-password-console.path
    systemd-ask-password-wall.path systemd-binfmt.service systemd-firstboot.service
    systemd-hwdb-update.service systemd-initctl.socket systemd-journald-audit.socket
    systemd-machine-id-commit.service systemd-modules-load.service systemd-pcrphase-sysinit.service
    systemd-pcrphase.service systemd-pstore.service systemd-random-seed.service
    systemd-remount-fs.service systemd-repart.service systemd-sysctl.service
    systemd-timesyncd.service systemd-tmpfiles-clean.timer systemd-udev-settle.service
    systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket
    systemd-udevd.service systemd-update-utmp-runlevel.service
""".split()

# Folders of the host that a machine starts with empty: enabled units and
# whatever makes units out of the host's disks and init scripts.
_HIDDEN = ["/etc/systemd/system", "/usr/lib/systemd/system-generators", "/etc/fstab.d"]


class MachineError(Exception):
    """A machine did not do what was asked; the message has the end of its logs."""


def why_not():
    """The reason why this host cannot boot a machine, or None."""
    if os.geteuid() != 0:
        return "a machine needs root"
    for tool in ["unshare", "nsenter", "setpriv", "pivot_root", "ip", "/usr/lib/systemd/systemd"]:
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if _cgroup_root() is None:
        return "no cgroup2 file system is mounted"
    trial = subprocess.run(
        ["unshare", "--fork", "--pid", "--mount", "--net", "--ipc", "--uts", "--cgroup", "--time",
         "mount", "-t", "tmpfs", "tmpfs", "/mnt"], stderr=subprocess.PIPE, text=True)
    if trial.returncode != 0:
        return "this host gives no namespaces or mounts: " + trial.stderr.strip()
    return None


def _cgroup_root():
    with open("/proc/self/mounts") as mounts:
        for line in mounts:
            _, place, kind = line.split()[:3]
            if kind == "cgroup2":
                return place
    return None


def _remove_cgroup(path):
    """Removes an empty tree of cgroups; those of a dying process may take a moment."""
    deadline = time.monotonic() + 5
    while os.path.isdir(path):
        for folder, _, _ in os.walk(path, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        if time.monotonic() > deadline:
            raise MachineError(f"{path} still has processes")
        time.sleep(0.005)


def _sweep_cgroups():
    """Removes what a harness left that was killed with -9."""
    for entry in os.scandir(_cgroup_root()):
        owner = re.fullmatch(r"salve-machine\..*\.(\d+)", entry.name)
        if owner and not os.path.exists(f"/proc/{owner[1]}"):
            _remove_cgroup(entry.path)


def _children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def enter_argv(init, cgroup, argv, env=None):
    """The command that runs argv inside the machine whose PID 1 is `init`."""
    variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                 "HOME": "/root", "LANG": "C.UTF-8", **(env or {})}
    # Joining the cgroup first keeps the process out of the host's accounts. --root: on a
    # host that is a chroot, the root of a mount namespace is outside of it. The rights
    # lost are those that inside.sh takes from systemd.
    return (["sh", "-c", 'echo 0 > "$0" && exec "$@"', f"{cgroup}/exec/cgroup.procs",
             "nsenter", "--target", str(init), "--all", "--root", "--wdns=/",
             "setpriv", "--bounding-set=-sys_time,-sys_module", "env", "-i"]
            + [f"{name}={value}" for name, value in variables.items()] + list(argv))


class Process(subprocess.Popen):
    """A process inside a machine: signals reach it, not the nsenter around it."""

    def send_signal(self, sig):
        if self.poll() is None:
            for pid in _children(self.pid) or [self.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sig)


class Machine:
    """One machine and its disk.

    disk: the folder of its disk; made when missing. None: a new one in `parent`.
        A disk that is there already is booted as it is.
    enable: units that start at boot, by name. None of the host's own do.
    parent: where a new disk is made: a file system with trusted xattrs that is
        no overlay itself (ext4, xfs, tmpfs). Default $SALVE_MACHINE_DIR or /var/tmp.

    One thread may use a machine at a time. If this process dies, however, so
    does the machine.
    """

    def __init__(self, name, disk=None, *, enable=(), parent=None):
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", name):
            raise ValueError(f"{name!r} is no host name")
        self.name = name
        self.address = None  # on a Bridge: its IPv4 address
        self.boots = 0
        self.exit_status = None  # of the last time it ended: REBOOTED, POWERED_OFF, KILLED, ...
        if disk is None:
            parent = parent or os.environ.get("SALVE_MACHINE_DIR", "/var/tmp")
            disk = tempfile.mkdtemp(prefix=f"salve-machine-{name}-", dir=parent)
        self.disk = os.path.abspath(disk)
        self._bridge = None
        self._init = None
        self._seen_boots = 0
        self._changed = threading.Condition()
        self._keeper = None
        self._lock = None
        self._cgroup = f"{_cgroup_root()}/salve-machine.{name}.{os.getpid()}"
        self._make_disk(enable)
        atexit.register(self.destroy)

    # -- the disk

    def _make_disk(self, enable):
        for folder in ["upper", "work", "root"]:
            os.makedirs(f"{self.disk}/{folder}", exist_ok=True)
        if os.path.exists(f"{self.disk}/upper/etc/machine-id"):
            return
        for folder in _HIDDEN + [f"/etc/rc{level}.d" for level in "0123456S"]:
            os.setxattr(self._upper_folder(folder), "trusted.overlay.opaque", b"y")
        for unit in _MASKED:
            os.symlink("/dev/null", f"{self.disk}/upper/etc/systemd/system/{unit}")
        wants = self._upper_folder("/etc/systemd/system/multi-user.target.wants")
        for unit in enable:
            os.symlink(f"/usr/lib/systemd/system/{unit}", f"{wants}/{unit}")
        self._upper_folder("/var/log/journal")  # its being there makes the journal stay
        hosts = f"127.0.0.1 localhost {self.name}\n::1 localhost\n"
        for path, text in {
            "/etc/fstab": "",
            "/etc/hostname": self.name + "\n",
            "/etc/hosts": hosts,
            "/etc/resolv.conf": "",  # no name leaves the machine
            "/etc/systemd/journald.conf.d/machine.conf":
                "[Journal]\nStorage=persistent\nSystemMaxUse=64M\nRateLimitBurst=0\n",
            "/etc/machine-id": uuid.uuid4().hex + "\n",
        }.items():
            self._install_before_boot(text.encode(), path, 0o644)

    def _upper_folder(self, path):
        """Makes a folder of the writable layer as the host has it; returns where it is.

        The mode and owner seen inside are those of the upper layer, and a folder
        there would hide a link (/lib) of the lower one: follow the host's links."""
        made = f"{self.disk}/upper"
        shutil.copystat("/", made)
        seen = ""
        for part in os.path.realpath(path).strip("/").split("/"):
            made, seen = f"{made}/{part}", f"{seen}/{part}"
            if not os.path.isdir(made):
                os.mkdir(made, 0o755)
                if os.path.isdir(seen):
                    shutil.copystat(seen, made)
                    owner = os.stat(seen)
                    os.chown(made, owner.st_uid, owner.st_gid)
        return made

    def _install_before_boot(self, content, path, mode):
        target = f"{self._upper_folder(os.path.dirname(path))}/{os.path.basename(path)}"
        with contextlib.suppress(FileNotFoundError):
            os.remove(target)
        with open(target, "wb") as file:
            file.write(content)
        os.chmod(target, mode)

    def install(self, source, path, mode=0o644):
        """Puts a file of the host (a path) or bytes at `path` inside, whether it runs or not."""
        if not isinstance(source, bytes):
            with open(source, "rb") as file:
                source = file.read()
        if self.running:
            script = ('mkdir -p "${1%/*}" && cat > "$1.new" && chmod "$2" "$1.new" '
                      '&& mv -f "$1.new" "$1"')
            self.run(["sh", "-ec", script, "sh", path, f"{mode:o}"], input=source)
            return
        if re.match(r"/(dev|proc|run|sys|tmp|var/run)(/|$)", path):
            raise ValueError(f"{path} is made anew at each boot: install it while the machine runs")
        self._install_before_boot(source, path, mode)

    # -- boot and end

    @property
    def running(self):
        return self._init is not None

    @property
    def boot_id(self):
        with open(f"{self.disk}/boot_id") as file:
            return file.read().strip()

    def boot(self, timeout=60):
        """Starts it and waits until systemd says running or degraded.

        On a machine that was cut or powered off: boots the same disk again."""
        self.start()
        self.wait_up(timeout)
        return self

    def start(self):
        """Starts it and does not wait. From then on it boots again whenever it reboots."""
        if self._keeper is not None and self._keeper.is_alive():
            raise MachineError(f"{self.name} is running")
        self._take_lock()
        _sweep_cgroups()
        self.exit_status = None
        self._seen_boots = self.boots
        self._keeper = threading.Thread(target=self._keep, name=f"machine {self.name}", daemon=True)
        self._keeper.start()

    def _take_lock(self):
        if self._lock is None:
            self._lock = open(f"{self.disk}/lock", "w")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.close()
                raise MachineError(f"{self.disk} is in use by another machine") from None

    def _keep(self):
        """The thread of a machine: boots it, and again after each reboot. The kernel
        kills the machine when this thread ends, so it stays for as long."""
        status = REBOOTED
        while status == REBOOTED:
            os.makedirs(f"{self._cgroup}/exec", exist_ok=True)
            # Its boot is now: clocks since boot begin at 0, as on a computer that was switched on.
            since_boot = {clock: str(-int(time.clock_gettime(number)))
                          for clock, number in [("boottime", time.CLOCK_BOOTTIME),
                                                ("monotonic", time.CLOCK_MONOTONIC)]}
            with open(f"{self.disk}/console.log", "ab") as console:
                namespaces = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", "unshare", "--fork", "--pid", "--mount",
                     "--uts", "--ipc", "--net", "--time", "--boottime", since_boot["boottime"],
                     "--monotonic", since_boot["monotonic"],
                     "--kill-child", f"{HERE}/inside.sh", "outer",
                     self.disk, self._cgroup, self.name],
                    stdin=subprocess.PIPE, stdout=console, stderr=console, start_new_session=True)
            init = None
            while not init and namespaces.poll() is None:
                time.sleep(0.001)
                init = next(iter(_children(namespaces.pid)), None)
            if init and (self._bridge is None or self._bridge.plug_in(self, init)):
                self._write_state(init)
                with self._changed:
                    self._init = init
                    self.boots += 1
                    self._changed.notify_all()
                with contextlib.suppress(BrokenPipeError):
                    namespaces.stdin.write(b"go\n")
                    namespaces.stdin.close()
            else:
                namespaces.kill()
            status = namespaces.wait()
            status = 128 - status if status < 0 else status
            if init and status == 1:  # unshare cannot end by SIGKILL as its child did
                status = KILLED
            with self._changed:
                self._init = None
                self.exit_status = status
                self._changed.notify_all()
            with contextlib.suppress(MachineError):
                _remove_cgroup(self._cgroup)

    def _write_state(self, init):
        """For the command line: what another process needs to enter the machine."""
        state = {"name": self.name, "harness": os.getpid(), "init": init, "cgroup": self._cgroup,
                 "boots": self.boots + 1}
        with open(f"{self.disk}/state.json.new", "w") as file:
            json.dump(state, file)
        os.rename(f"{self.disk}/state.json.new", f"{self.disk}/state.json")

    def wait_up(self, timeout=60):
        """Waits until the current (or coming) boot is over: running or degraded."""
        deadline = time.monotonic() + timeout
        state = "starting"
        while state not in ("running", "degraded"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._error(f"did not boot in {timeout} s, is {state}")
            if not self._keeper.is_alive():
                raise self._error(f"ended with {self.exit_status} while it booted")
            if self.running and os.path.exists(f"/proc/{self._init}/root/run/systemd/private"):
                with contextlib.suppress(MachineError):
                    state = self.run(["systemctl", "is-system-running", "--wait"], check=False,
                                     timeout=left).stdout.strip()
            if state not in ("running", "degraded"):
                time.sleep(0.01)
        self._seen_boots = self.boots

    def wait_reboot(self, timeout=60):
        """Waits until it has booted once more than when boot() or wait_reboot() last returned."""
        deadline = time.monotonic() + timeout
        with self._changed:
            if not self._changed.wait_for(
                    lambda: self.boots > self._seen_boots or not self._keeper.is_alive(), timeout):
                raise self._error(f"did not reboot in {timeout} s")
        self.wait_up(deadline - time.monotonic())

    def wait_end(self, timeout=60):
        """Waits until it has ended for good; returns its exit status."""
        self._keeper.join(timeout)
        if self._keeper.is_alive():
            raise self._error(f"did not end in {timeout} s")
        return self.exit_status

    def reboot(self, timeout=60):
        """`systemctl reboot` inside, then the next boot on the same disk."""
        self.run(["systemctl", "reboot"], check=False)
        self.wait_reboot(timeout)

    def poweroff(self, timeout=60):
        """An orderly shutdown. boot() brings it back."""
        self.run(["systemctl", "poweroff"], check=False)
        if self.wait_end(timeout) != POWERED_OFF:
            raise self._error(f"ended with {self.exit_status} instead of powering off")

    def kill(self):
        """A power cut: everything inside is gone at once, nothing inside is told.
        (What it had written stays written, synced or not: the kernel is the host's.)"""
        while self._keeper is not None and self._keeper.is_alive():
            with self._changed:
                if self._init is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self._init, signal.SIGKILL)
            self._keeper.join(0.05)

    def destroy(self):
        """Cuts the power and removes the disk. May be called twice."""
        self.kill()
        atexit.unregister(self.destroy)
        if os.environ.get("SALVE_KEEP_DISKS"):
            print(f"the disk of {self.name} is kept: {self.disk}")
        else:
            shutil.rmtree(self.disk, ignore_errors=True)
        self.close()

    def close(self):
        """Lets go of a machine that has ended; its disk stays."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.destroy()

    # -- inside

    def popen(self, argv, env=None, **kwargs):
        """Starts a process inside; the arguments are those of subprocess.Popen. It has
        no controlling terminal and an environment of its own (PATH, HOME, LANG, `env`)."""
        with self._changed:
            if self._init is None:
                raise self._error("is not running")
            argv = enter_argv(self._init, self._cgroup, argv, env)
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return Process(argv, start_new_session=True, **kwargs)

    def run(self, argv, check=True, timeout=60, input=None, env=None):
        """Runs a command inside; returns its subprocess.CompletedProcess (text).

        Raises MachineError on a time-out (the command is killed) and, with
        `check`, when it does not exit with 0."""
        if isinstance(input, str):
            input = input.encode()
        process = self.popen(
            argv, env, stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(input, timeout)
        except BaseException as failure:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(failure, subprocess.TimeoutExpired):
                raise self._error(f"{argv} took more than {timeout} s") from None
            raise
        done = subprocess.CompletedProcess(argv, process.returncode, out.decode(errors="replace"),
                                           err.decode(errors="replace"))
        if check and done.returncode != 0:
            raise MachineError(
                f"{self.name}: {argv} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    # -- the failing case

    def logs(self, lines=100):
        """The end of its console and its journal, of all boots; also when it is off."""
        with open(f"{self.disk}/console.log", errors="replace") as file:
            console = "".join(file.readlines()[-lines:])
        journal = subprocess.run(
            ["journalctl", "--no-pager", "--lines", str(lines), "--directory",
             f"{self.disk}/upper/var/log/journal"], capture_output=True, text=True)
        return f"--- console of {self.name}\n{console}--- its journal\n{journal.stdout}"

    def _error(self, what):
        with contextlib.suppress(OSError):
            what += "\n" + self.logs(40)
        return MachineError(f"{self.name}: {what}")


class Bridge:
    """`n` machines on one network of their own: 10.77.0.1 .. 10.77.0.n, n <= 250.

    Cables and bridge live in a network namespace of their own; the host's
    network is not touched and not reached."""

    def __init__(self, n, *, names=None, **kwargs):
        if not 1 <= n <= 250:
            raise ValueError(f"{n} machines: 1 to 250 fit on a bridge")
        self.machines = []
        self._namespace = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-ec",
             "ip link add br0 type bridge; ip link set br0 up; echo up; exec sleep infinity"],
            stdout=subprocess.PIPE, start_new_session=True)
        try:
            if self._namespace.stdout.readline() != b"up\n":
                raise MachineError("no bridge: `ip link add br0 type bridge` failed")
            for i in range(n):
                machine = Machine(names[i] if names else f"m{i + 1}", **kwargs)
                machine.address = f"10.77.0.{i + 1}"
                machine._bridge = self
                self.machines.append(machine)
        except BaseException:
            self.destroy()
            raise

    def plug_in(self, machine, init):
        """Gives a machine that is about to boot its network card. False: it could not."""
        n = self.machines.index(machine) + 1
        port = f"port{n}"
        outside = (f"ip link delete {port} 2>/dev/null; "  # of its boot before
                   f"ip link add {port} type veth "
                   # The same card at each boot: the others remember its address.
                   f"peer name eth0 address 02:00:0a:4d:00:{n:02x} netns {init} && "
                   f"ip link set {port} master br0 up")
        inside = f"ip address add {machine.address}/24 dev eth0 && ip link set eth0 up"
        return all(
            subprocess.run(["nsenter", "--target", str(pid), "--net", "sh", "-c", script],
                           stdin=subprocess.DEVNULL).returncode == 0
            for pid, script in [(self._namespace.pid, outside), (init, inside)])

    def boot(self, timeout=120):
        """Boots all, side by side."""
        for machine in self.machines:
            machine.start()
        for machine in self.machines:
            machine.wait_up(timeout)
        return self

    def destroy(self):
        for machine in self.machines:
            machine.destroy()
        self._namespace.kill()
        self._namespace.wait()
        self._namespace.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.destroy()
