"""How single things are broken around one model, ``tiny``. Each is whole again when its block ends."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingUnixStreamServer

from tests.integration.cli import Cli, read_yaml, write_yaml
from tests.integration.engine import wait_for
from tests.integration.nvml.library import DRIVER_NOT_LOADED, GPU_IS_LOST, Card, script
from tests.integration.stub_image import STUB_IMAGE
from tests.serving import served

PORT = 24900
CARD = "GPU-aaaa"
TOTAL, RESERVED = 32607, 500

Inject = Callable[[Cli], AbstractContextManager[None]]


@contextmanager
def variables(cli: Cli, **values: str) -> Iterator[None]:
    """Variables of the environment."""
    before = dict(cli.extra)
    cli.extra |= values
    try:
        yield
    finally:
        cli.extra = before


def variable(**values: str) -> Inject:
    """The same, to be written in a table."""
    return lambda cli: variables(cli, **values)


def entry(**changes: object) -> Inject:
    """Other things in the entry's ``source``."""

    @contextmanager
    def inject(cli: Cli) -> Iterator[None]:
        path = cli.registry / "tiny.yaml"
        before = path.read_bytes()
        found = read_yaml(path)
        found["source"] |= changes
        write_yaml(path, found)
        yield
        path.write_bytes(before)

    return inject


def stub(*, expect: str = "", **knobs: str) -> Inject:
    """The stub told something, or expected to answer so. What was started is taken down at the end."""

    @contextmanager
    def inject(cli: Cli) -> Iterator[None]:
        path = cli.registry / "tiny.yaml"
        before = path.read_bytes()
        found = read_yaml(path)
        found["probe"] |= {"expect": expect} if expect else {}
        found["engines"]["transformers"]["environment"] = {"STUB_LOAD_SECONDS": "0", **knobs}
        write_yaml(path, found)
        yield
        cli.run("down", "tiny")
        path.write_bytes(before)

    return inject


# Docker


@contextmanager
def engine_stopped(cli: Cli) -> Iterator[None]:
    cli.engine.stop()
    try:
        yield
    finally:
        cli.engine.start()


@contextmanager
def no_gpu_runtime(cli: Cli) -> Iterator[None]:
    """dockerd looks for the hook when it starts."""
    hook = cli.engine.folder / "bin" / "nvidia-container-runtime-hook"
    away = hook.with_suffix(".away")
    hook.rename(away)
    try:
        cli.engine.restart()
        yield
    finally:
        away.rename(hook)
        cli.engine.restart()


def answering(text: str) -> Inject:
    """A socket that gives this answer to whatever it is asked."""

    class Answer(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(text.encode())

    @contextmanager
    def inject(cli: Cli) -> Iterator[None]:
        place = cli.folder / "other.sock"
        with served(ThreadingUnixStreamServer(str(place), Answer)), variables(cli, DOCKER_HOST=f"unix://{place}"):
            yield
        place.unlink()

    return inject


_PODMAN = {"Version": "5.4.2", "Components": [{"Name": "Podman Engine", "Version": "5.4.2"}]}
podman = answering(f"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{json.dumps(_PODMAN)}")
no_docker = answering("SSH-2.0-OpenSSH_9.2\r\n")


def docker_command(script: str) -> Inject:
    """Another ``docker`` on PATH, written in shell; without a script there is none. ``$REAL`` is the real one."""

    @contextmanager
    def inject(cli: Cli) -> Iterator[None]:
        folder = cli.folder / "bin"
        folder.mkdir()
        for program in ("env", "sh", "seq", "sleep"):
            (folder / program).symlink_to(shutil.which(program) or program)
        if script:
            command = folder / "docker"
            command.write_text(f"#!/bin/sh\nREAL={shutil.which('docker')}\n{script}\n")
            command.chmod(0o755)
        with variables(cli, PATH=str(folder)):
            yield
        shutil.rmtree(folder)

    return inject


#: holds tiny's port as soon as Compose is called for its container
_LISTEN = f"import socket, time; s = socket.create_server(('127.0.0.1', {PORT})); print(flush=True); time.sleep(60)"
port_taken_late = docker_command(
    'case "$*" in *--detach*) ;; *) exec "$REAL" "$@" ;; esac\n'
    f'{sys.executable} -c "{_LISTEN}" > "$TMPDIR/listens" &\n'
    'for i in $(seq 100); do [ -s "$TMPDIR/listens" ] || sleep 0.1; done\n'
    '"$REAL" "$@"; code=$?; kill $!; exit $code'
)


# What the CLI finds on this host


def private_mount(*mounts: str) -> Inject:
    """Mounts that only the command line sees. ``{state}`` is its state folder."""

    @contextmanager
    def inject(cli: Cli) -> Iterator[None]:
        cli.state.mkdir(exist_ok=True)
        commands = " && ".join(mount.format(state=cli.state) for mount in mounts)
        before = cli.program
        cli.program = ("unshare", "--mount", "sh", "-c", f'{commands} && exec "$@"', "sh", *before)
        yield
        cli.program = before

    return inject


read_only_state = private_mount("mount --bind {state} {state}", "mount -o remount,ro,bind {state}")
full_state = private_mount("mount -t tmpfs -o size=4k none {state}")


def plugins_away(cli: Cli) -> AbstractContextManager[None]:
    """The folders in which docker looks for Compose are empty."""
    folders = [
        folder
        for folder in (f"/usr/{where}/docker/cli-plugins" for where in ("local/lib", "local/libexec", "lib", "libexec"))
        if Path(folder).is_dir()
    ]
    cli.extra["DOCKER_CONFIG"] = str(cli.folder / "docker-config")
    return private_mount(*(f"mount -t tmpfs none {folder}" for folder in folders))(cli)


def file(name: str, text: str) -> Inject:
    """A file in the command line's folder."""

    @contextmanager
    def inject(cli: Cli) -> Iterator[None]:
        place = cli.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        yield
        place.unlink()

    return inject


def together(*parts: Inject) -> Inject:
    """Two things at once."""

    @contextmanager
    def inject(cli: Cli) -> Iterator[None]:
        first, *rest = parts
        with first(cli), together(*rest)(cli) if rest else _nothing():
            yield

    return inject


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def process_listens(cli: Cli) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", PORT)):
        yield


def foreign(name: str, *options: str) -> Inject:
    """A container that is not ours."""

    @contextmanager
    def inject(cli: Cli) -> Iterator[None]:
        cli.engine.run("docker", "run", "--detach", "--init", "--name", name, *options, STUB_IMAGE, "sleep", "infinity")
        yield
        cli.engine.run("docker", "rm", "--force", name)

    return inject


@contextmanager
def no_such_manifest(cli: Cli) -> Iterator[None]:
    """A registry that has no image, and an entry that names one of it."""

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            missing = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            self.send_response(200 if self.path == "/v2/" else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(json.dumps(missing).encode())

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    with served(server), image(f"127.0.0.1:{server.server_port}/an/engine:1")(cli):
        yield


def image(reference: str) -> Inject:
    """An entry with another image."""

    @contextmanager
    def inject(cli: Cli) -> Iterator[None]:
        path = cli.registry / "tiny.yaml"
        before = path.read_text()
        path.write_text(before.replace(STUB_IMAGE, reference))
        yield
        path.write_text(before)

    return inject


# GPUs


def driver(*cards: Card, fails: dict[str, int] | None = None) -> Inject:
    """What the driver says, for a model on a GPU."""

    @contextmanager
    def inject(cli: Cli) -> Iterator[None]:
        place = cli.folder / "nvml.script"
        before = place.read_text()
        place.write_text(script(*cards, fails=fails))
        yield
        place.write_text(before)

    return inject


def well() -> str:
    """The script of a driver with one card that nobody uses."""
    return script(Card(CARD, "Stub RTX 5090", TOTAL, TOTAL - RESERVED, RESERVED))


gpu_lost = driver(Card(CARD, fails={"*": GPU_IS_LOST}))
no_driver = driver(fails={"nvmlInitWithFlags": DRIVER_NOT_LOADED})
gpu_taken = driver(
    Card(CARD, "Stub RTX 5090", TOTAL, 600, RESERVED, compute={os.getpid(): TOTAL - RESERVED - 600}),
)


@contextmanager
def locks_of_root(cli: Cli) -> Iterator[None]:
    """The volume with the locks belongs to root, as one does that was made by hand. ``doctor --fix`` mends it."""
    spoil = "touch /l/x && chown -R 0:0 /l && chmod 755 /l"
    words = ("--user", "0", "--entrypoint", "sh", "--volume", "orchestrator-locks:/l", STUB_IMAGE, "-c", spoil)
    cli.engine.run("docker", "run", "--rm", *words)
    yield
    cli.run("down", "tiny")
    cli.run("doctor", "--fix", code=None)


@contextmanager
def memory_kept(cli: Cli) -> Iterator[None]:
    """A process in no container has the GPU's memory as soon as tiny's container, which had it, is gone."""
    place = cli.folder / "nvml.script"

    def held_by(pid: int) -> None:
        card = Card(CARD, "Stub RTX 5090", TOTAL, TOTAL - RESERVED - 11469, RESERVED, compute={pid: 11469})
        fresh = place.with_suffix(".new")
        fresh.write_text(script(card))
        fresh.rename(place)

    def hand_over(pid: int) -> None:
        wait_for(lambda: not cli.ids(), "the container to go")
        held_by(pid)

    cli.run("up", "tiny", "--no-wait")
    held_by(cli.process("orchestrator-tiny-transformers"))
    with subprocess.Popen(["sleep", "1000"]) as process:
        watcher = threading.Thread(target=hand_over, args=(process.pid,))
        watcher.start()
        yield
        watcher.join()
        process.kill()
    place.write_text(well())
