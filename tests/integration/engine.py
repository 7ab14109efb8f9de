"""A Docker Engine of the tests' own, in namespaces of its own.

The host's engine, links and containers are never touched.

- The network namespace is entered by the pytest process itself, so that a port published on 127.0.0.1 is
  reached by the tests and by every program they start, and by nobody else.
- The mount and PID namespaces hold dockerd, containerd, the shims and the containers. ``keeper.py`` keeps
  them and waits for the end of a pipe: when pytest is gone, by whatever way, everything inside ends and is
  unmounted, and the folder and the control groups are removed.
- ``/run`` is a fresh tmpfs inside: dockerd would otherwise share a containerd that runs on the host.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import docker
from docker.client import DockerClient

from tests.integration import keeper

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 1
PROGRAMS = ("docker", "dockerd", "containerd", "runc", "iptables", "unshare", "nsenter", "setpriv")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOOK = """#!/bin/sh
# A dockerd that finds this name on its PATH accepts reservations of NVIDIA devices. Nothing is done with
# them.
exec cat >/dev/null
"""
# The engine starts in about half a second and stops in about one; the rest is patience with a loaded machine.
PATIENCE_S = 60.0


def missing() -> str:
    """Why a private engine can't run here, in one sentence; empty when it can."""
    if sys.platform != "linux":
        return "a private Docker Engine needs Linux"
    if os.geteuid() != 0:
        return "a private Docker Engine needs root: `make test`, or pytest through sudo"
    absent = [name for name in PROGRAMS if shutil.which(name, path=SYSTEM_PATH) is None]
    return f"not installed: {', '.join(absent)} (`make setup` installs what is missing)" if absent else ""


def wait_for(probe: Callable[[], T], what: str, *, seconds: float = PATIENCE_S, every: float = 0.02) -> T:
    """Ask ``probe`` until its answer is true and return the answer; after ``seconds``, a TimeoutError names
    ``what``."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(every)
    return answer


@contextmanager
def private_network() -> Iterator[int]:
    """Move this thread, and all it starts, to a network namespace that has only loopback; back again at the
    end.

    Yields a descriptor of the namespace that was left. Threads started earlier stay where they were.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(libc.unshare(CLONE_NEWNET), "unshare")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", IFF_UP))
        try:
            yield outside
        finally:
            _check(libc.setns(outside, CLONE_NEWNET), "setns")
    finally:
        os.close(outside)


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


@dataclass(frozen=True)
class Objects:
    """What is on an engine, by id (volumes by name): everything a test could leave behind."""

    containers: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()

    def __sub__(self, other: Objects) -> Objects:
        return Objects(self.containers - other.containers, self.networks - other.networks, self.volumes - other.volumes)

    def __bool__(self) -> bool:
        return bool(self.containers or self.networks or self.volumes)


@dataclass
class Engine:
    """The running private engine. ``outside`` is a descriptor of the host's network namespace."""

    folder: Path
    namespaces: int
    outside: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def socket_path(self) -> Path:
        return self.folder / "docker.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket_path}"

    @property
    def log(self) -> Path:
        return self.folder / "dockerd.log"

    @property
    def env(self) -> dict[str, str]:
        """The environment for programs that are to use this engine: ours, with DOCKER_HOST."""
        inherited = {name: value for name, value in os.environ.items() if name != "DOCKER_CONTEXT"}
        return inherited | {"DOCKER_HOST": self.url}

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    @contextmanager
    def client(self) -> Iterator[DockerClient]:
        """An SDK client, closed at the end."""
        client = docker.DockerClient(base_url=self.url)
        try:
            yield client
        finally:
            client.close()

    def run(self, *argv: str, timeout: float = 120.0, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program against this engine; its output is text, and a failure shows it."""
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    # Life of the daemon

    def start(self, *options: str) -> None:
        """Start dockerd, with more options of its own, and wait until it answers."""
        path = f"{self.folder / 'bin'}:{SYSTEM_PATH}"
        argv = ["dockerd", *options, "--host", self.url, "--data-root", str(self.folder / "data")]
        argv += ["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{self.folder.name}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._inside(*argv),
                stdout=log,
                stderr=log,
                env=os.environ | {"PATH": path},
                start_new_session=True,
            )
        wait_for(self._answers, "the private dockerd")

    def stop(self) -> None:
        """Stop dockerd as a shutdown of the host does, and its containers with it."""
        if self._runs():
            self.inside('kill "$(cat /run/docker.pid)"')
            self._ended()

    def cut_power(self) -> None:
        """End dockerd and every container at once, as a power cut does: no goodbye, and an empty /run."""
        self.inside("kill -KILL -1")
        self._ended()
        self.inside(f"umount --lazy --recursive /run && {keeper.FRESH_RUN}")

    def restart(self, *, power_cut: bool = False) -> None:
        """Stop and start again with all data; what comes back is up to the restart policies."""
        if power_cut:
            self.cut_power()
        else:
            self.stop()
        self.start()

    def _runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _ended(self) -> None:
        if self.process is not None:
            self.process.wait(PATIENCE_S)

    def inside(self, script: str) -> str:
        """What a shell script prints in the namespaces of dockerd and its containers."""
        argv = self._inside("sh", "-c", script)
        return subprocess.run(
            argv, check=True, env=os.environ | {"PATH": SYSTEM_PATH}, stdout=subprocess.PIPE, text=True
        ).stdout

    def _inside(self, *argv: str) -> list[str]:
        process = f"/proc/{self.namespaces}"
        enter = [f"--mount={process}/ns/mnt", f"--pid={process}/ns/pid_for_children"]
        # Entering a mount namespace leads to its topmost root, which in a chroot is not ours.
        enter += [f"--root={process}/root", "--wd=/"]
        return ["nsenter", *enter, "--", *argv]

    def _answers(self) -> bool:
        if not self._runs():
            raise RuntimeError(f"dockerd ended\n{self.log_tail()}")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            try:
                connection.connect(str(self.socket_path))
                connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in connection.recv(64)
            except OSError:
                return False

    # What is on it

    def objects(self) -> Objects:
        """Everything on the engine now, but its own networks."""
        with self.client() as client:
            return Objects(
                frozenset(c["Id"] for c in client.api.containers(all=True)),
                frozenset(n["Id"] for n in client.api.networks() if n["Name"] not in {"bridge", "host", "none"}),
                frozenset(v["Name"] for v in client.api.volumes()["Volumes"] or ()),
            )

    def remove(self, objects: Objects) -> None:
        """Remove the given things, in the order in which they let go of each other."""
        with self.client() as client:
            for container in objects.containers:
                client.api.remove_container(container, force=True, v=True)
            for network in objects.networks:
                client.api.remove_network(network)
            for volume in objects.volumes & self.objects().volumes:
                client.api.remove_volume(volume, force=True)

    def describe(self, tail: int = 30) -> str:
        """The state and the last lines of every container, for the report of a failed test."""
        texts = []
        with self.client() as client:
            for row in client.api.containers(all=True):
                output = client.api.logs(row["Id"], tail=tail).decode(errors="replace")
                texts.append(f"{row['Names'][0]}: {row['Status']} ({row['Image']})\n{output}")
        return "\n".join(texts)

    def outside_network(self, *argv: str) -> list[str]:
        """The argv that runs a program in the host's network: to be started with
        ``pass_fds=(engine.outside,)``."""
        return ["nsenter", f"--net=/proc/self/fd/{self.outside}", "--", *argv]


@contextmanager
def private_engine() -> Iterator[Engine]:
    """Start a private engine, in a private network; nothing of either is left at the end."""
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-", dir="/var/tmp"))
    folder.chmod(0o755)
    hook = folder / "bin" / "nvidia-container-runtime-hook"
    hook.parent.mkdir()
    hook.write_text(HOOK)
    hook.chmod(0o755)
    with private_network() as outside, _namespaces(folder) as namespaces:
        engine = Engine(folder, namespaces, outside)
        try:
            engine.start()
            yield engine
        finally:
            engine.stop()


@contextmanager
def _namespaces(folder: Path) -> Iterator[int]:
    argv = [sys.executable, "-I", "-S", keeper.__file__, str(folder), folder.name]
    # A session of its own: Ctrl-C at the terminal is for pytest alone, which then lets go of the pipe.
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, text=True
    ) as process:
        assert process.stdout is not None
        pid, ready = process.stdout.readline(), process.stdout.readline()
        assert ready == "ready\n", "the namespaces of the private engine did not start"
        yield int(pid)
