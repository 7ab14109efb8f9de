"""What the environment lacks, through the real adapters: the socket, DOCKER_HOST, the docker command on PATH."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import socketserver
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.docker_socket import SocketReader
from orchestrator.app.world import RealWorld
from orchestrator.errors import EnvironmentProblem
from orchestrator.observation import LABEL
from tests.fakes import FakeActor, FakeDocker, FakeGpus
from tests.functional.cli import Command, command
from tests.serving import served

DOCKER = {"/version": {"Version": "28.5.2", "Components": [{"Name": "Engine"}]}, "/containers/json?all=1": []}
PODMAN = {"/version": {"Version": "5.4.0", "Components": [{"Name": "Podman Engine"}]}}


@contextmanager
def engine(path: Path, replies: Mapping[str, Any]) -> Iterator[None]:
    """A server on a unix socket that knows these paths; bytes are sent as they are."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = replies.get(self.path)
            body = found if isinstance(found, bytes) else json.dumps(found or {"message": "no such thing"}).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

        def address_string(self) -> str:
            return "test"

    server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    server.daemon_threads = True
    with served(server):
        yield


class Machine:
    """This machine with a socket, a PATH and a state folder of its own; no GPU is looked for."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.socket = root / "docker.sock"
        self.bin = root / "bin"
        self.bin.mkdir()
        for name in ("DOCKER_CONTEXT", "COMPOSE_FILE", "COMPOSE_PROJECT_NAME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{self.socket}")
        monkeypatch.setenv("DOCKER_CONFIG", str(root / "config"))
        monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(root / "state"))
        monkeypatch.setenv("PATH", str(self.bin))
        self.world = RealWorld(lambda _: None)
        self.log: list[str] = []
        self.world.gpus = FakeGpus()
        self.world.actor = FakeActor(FakeDocker(), self.log)
        self.world.docker = SocketReader()
        self.do: Command = command(self.world, capsys)

    def docker(self, script: str) -> None:
        """Put a ``docker`` on PATH; it notes how it is called."""
        file = self.bin / "docker"
        file.write_text(f'#!/bin/sh\necho "$@" >> {self.root}/called\n{script}\n', encoding="utf-8")
        file.chmod(0o755)

    def nothing_started(self) -> None:
        """No container was touched, no document written, Compose was only asked for its version."""
        assert self.log == []
        assert not (self.root / "state").exists()
        called = self.root / "called"
        lines = called.read_text(encoding="utf-8").splitlines() if called.exists() else ()
        assert set(lines) <= {"compose version --short"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Machine:
    return Machine(tmp_path, monkeypatch, capsys)


VERBS = (["up", "demo"], ["plan", "demo"], ["inventory"])


@pytest.mark.parametrize("arguments", [*VERBS, ["status"], ["down", "--all", "--yes"], ["logs", "demo"]])
def test_no_socket(machine: Machine, arguments: list[str]) -> None:
    said = machine.do(*arguments)
    said.refused(4, "no Docker Engine answers", f"where: {machine.socket}", "install and start Docker")
    assert machine.log == []


def test_nobody_behind_the_socket(machine: Machine) -> None:
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(machine.socket))
    machine.do("up", "demo").refused(4, "no Docker Engine answers", "Connection refused")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may talk to every socket")
def test_a_socket_that_is_not_for_this_user(machine: Machine) -> None:
    with engine(machine.socket, DOCKER):
        machine.socket.chmod(0)
        machine.do("up", "demo").refused(4, "this user may not talk to Docker", "join the group 'docker'")


NO_REPLIES = (b"<html>hello</html>", b"", b"[1, 2", b"null", b'"text"')


@pytest.mark.parametrize(
    ("arguments", "reply"),
    [*((["up", "demo"], r) for r in (*NO_REPLIES, b"[]")), *((["status"], r) for r in (*NO_REPLIES, b"{}"))],
)
def test_something_else_behind_the_socket(machine: Machine, arguments: list[str], reply: bytes) -> None:
    with engine(machine.socket, {"/version": reply, "/containers/json?all=1": reply}):
        machine.do(*arguments).refused(4, "no Docker Engine answers", f"where: {machine.socket}")


@pytest.mark.parametrize("arguments", VERBS)
def test_podman_behind_the_socket(machine: Machine, arguments: list[str]) -> None:
    machine.docker("echo 2.40.3")
    with engine(machine.socket, PODMAN):
        said = machine.do(*arguments)
    said.refused(4, "Podman 5.4.0 answers on Docker's socket", "point DOCKER_HOST at a Docker Engine")
    machine.nothing_started()


def test_containers_without_labels(machine: Machine) -> None:
    listed = [{"Id": "0123456789abcdef", "Names": ["/web"], "Labels": None, "Ports": None}]
    with engine(machine.socket, {**DOCKER, "/containers/json?all=1": listed}):
        said = machine.do("status")
    assert (said.code, said.out) == (0, "nothing runs in project orchestrator\n")


@pytest.mark.parametrize("host", ["tcp://10.0.0.1:2375", "ssh://somebody@box", "npipe:////./pipe/docker", "box"])
@pytest.mark.parametrize("arguments", [*VERBS, ["status"]])
def test_a_remote_docker(machine: Machine, monkeypatch: pytest.MonkeyPatch, arguments: list[str], host: str) -> None:
    machine.docker("echo 2.40.3")
    monkeypatch.setenv("DOCKER_HOST", host)
    said = machine.do(*arguments)
    said.refused(4, f"Docker at {host} is remote", "where: DOCKER_HOST", "run orchestrator on that machine")
    machine.nothing_started()


def test_a_remote_docker_context(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    meta = machine.root / "config/contexts/meta" / hashlib.sha256(b"far").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text('{"Endpoints": {"docker": {"Host": "ssh://box"}}}', encoding="utf-8")
    machine.do("status").refused(4, "Docker at ssh://box is remote", "where: the current Docker context")


@pytest.mark.parametrize("arguments", VERBS)
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("", "the docker command is not on PATH"),
        ("echo \"docker: 'compose' is not a docker command.\" >&2; exit 1", "Docker has no Compose plugin"),
        ("echo Usage: docker [OPTIONS] COMMAND", "Docker has no Compose plugin"),
        ("echo 1.29.2", "Docker Compose 1.29.2 is too old, 2.20 or newer is needed"),
        ("echo v2.19.9", "Docker Compose 2.19.9 is too old"),
    ],
)
def test_no_compose_or_an_old_one(machine: Machine, arguments: list[str], script: str, words: str) -> None:
    if script:
        machine.docker(script)
    with engine(machine.socket, DOCKER):
        machine.do(*arguments).refused(4, words, "install Compose v2")
    machine.nothing_started()


@pytest.mark.parametrize("version", ["2.20.0", "v2.26.1", "2.26.1-4", "5.0.0-rc.1"])
def test_compose_that_is_new_enough(machine: Machine, version: str) -> None:
    machine.docker(f"echo {version}")
    with engine(machine.socket, DOCKER):
        assert f"compose  {version.removeprefix('v')}" in machine.do("inventory").out
    machine.nothing_started()


def test_a_docker_that_can_not_be_run(machine: Machine) -> None:
    (machine.bin / "docker").write_text("#!/nowhere/sh\n", encoding="utf-8")
    (machine.bin / "docker").chmod(0o755)
    with engine(machine.socket, DOCKER):
        machine.do("up", "demo").refused(4, "the docker command can't be run")
    machine.nothing_started()


def test_compose_is_asked_in_a_clean_environment(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSE_FILE", "/tmp/other.yaml")
    machine.docker('test -z "$COMPOSE_FILE" && echo 2.40.3')
    with engine(machine.socket, DOCKER):
        assert machine.do("inventory").code == 0


def test_doctor_tells_all_of_it(machine: Machine) -> None:
    said = machine.do("doctor")
    assert said.code == 4
    assert said.out.count("no Docker Engine answers") == 1
    assert "not looked at: see Docker Engine" in said.out
    assert "the docker command is not on PATH" in said.out
    assert "Traceback" not in said.err


@pytest.mark.parametrize("state", ["file", "readonly/state"])
def test_a_state_folder_that_can_not_be_made(machine: Machine, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    (machine.root / "file").write_text("", encoding="utf-8")
    (machine.root / "readonly").mkdir(mode=0o500)
    if state != "file" and os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(machine.root / state))
    machine.docker("echo 2.40.3")
    with engine(machine.socket, DOCKER):
        machine.do("up", "demo").refused(1, "can't", str(machine.root / state))
    assert machine.log == []


@pytest.mark.parametrize(
    ("words", "said", "published", "engine_says", "phase", "asked"),
    [
        (["--sleep-mode", "--"], "ready", True, True, "asleep", True),
        (["--sleep-mode", "--"], "asleep", True, False, "ready", True),
        (["--sleep-mode", "--"], "asleep", True, True, "asleep", True),
        (["--sleep-mode", "--"], "asleep", True, None, "asleep", True),
        (["--sleep-mode", "--"], "ready", True, None, "ready", True),
        (["--sleep-mode", "--"], "starting", True, True, "starting", False),
        (["--sleep-mode", "--"], "ready", False, True, "ready", False),
        (["--", "--sleep-mode"], "ready", True, True, "ready", False),
    ],
)
def test_whether_an_engine_sleeps_is_its_own_word(
    machine: Machine,
    words: list[str],
    said: str,
    published: bool,
    engine_says: bool | None,
    phase: str,
    asked: bool,
) -> None:
    """That of the last health check may be seconds old. Only one that can sleep is asked, at a port that is its own."""
    labels = {f"{LABEL}{key}": value for key, value in {"schema": "1", "address": "127.0.0.1", "port": "24000"}.items()}
    line = json.dumps({"phase": said, "reason": "", "detail": "", "restarts": 0})
    log = [{"Start": "2026-01-01T00:00:01Z", "Output": line}]
    healthy = "healthy" if said != "starting" else "starting"
    detail = {
        "State": {"Status": "running", "Health": {"Status": healthy, "Log": log}, "StartedAt": "2026-01-01T00:00:00Z"},
        "Config": {"Image": "an-image:1", "Cmd": ["run", *words]},
        "HostConfig": {},
        "Image": "sha256:1",
        "Name": "/a",
    }
    ports = [{"IP": "127.0.0.1", "PrivatePort": 8000, "PublicPort": 24000, "Type": "tcp"}] if published else []
    replies = {
        "/containers/json?all=1": [{"Id": "c1", "Names": ["/a"], "Labels": labels, "Ports": ports}],
        "/containers/c1/json": detail,
    }
    questions: list[tuple[str, int]] = []

    def sleeps(host: str, port: int) -> bool | None:
        questions.append((host, port))
        return engine_says

    with engine(machine.socket, replies):
        (found,) = SocketReader(sleeps=sleeps).observe().containers
    assert found.phase == phase
    assert questions == ([("127.0.0.1", 24000)] if asked else [])


@pytest.mark.parametrize(
    ("ports", "published"),
    [
        ([{"IP": "10.0.0.1", "PrivatePort": 8000, "PublicPort": 24000, "Type": "tcp"}], True),
        ([{"IP": "10.0.0.1", "PrivatePort": 8000, "PublicPort": 24001, "Type": "tcp"}], False),
        ([{"IP": "10.0.0.2", "PrivatePort": 8000, "PublicPort": 24000, "Type": "tcp"}], False),
        ([{"IP": "10.0.0.1", "PrivatePort": 8000, "PublicPort": 24000, "Type": "udp"}], False),
        ([{"PrivatePort": 8000, "Type": "tcp"}], False),
        ([], False),
    ],
)
def test_where_a_container_is_published_is_docker_s_word_and_not_the_label_s(
    machine: Machine, ports: list[dict[str, object]], published: bool
) -> None:
    labels = {f"{LABEL}{key}": value for key, value in {"schema": "1", "address": "10.0.0.1", "port": "24000"}.items()}
    detail = {
        "State": {"Status": "running"},
        "Config": {"Image": "an-image:1"},
        "HostConfig": {},
        "Image": "sha256:1",
        "Name": "/a",
        "Mounts": [
            {"Type": "volume", "Source": "/var/lib/docker/volumes/w/_data", "Destination": "/weights"},
            {"Type": "bind", "Source": "/etc/keys/mine", "Destination": "/run/secrets/api_key"},
        ],
    }
    replies = {
        "/containers/json?all=1": [{"Id": "c1", "Names": ["/a"], "Labels": labels, "Ports": ports}],
        "/containers/c1/json": detail,
    }
    with engine(machine.socket, replies):
        (found,) = SocketReader().observe().containers
    assert (found.published, found.key_file) == (published, "/etc/keys/mine")


def test_a_registry_is_asked_by_docker(machine: Machine) -> None:
    with engine(machine.socket, {"/distribution/owner/name%3Av1/json": {"Descriptor": {}}}):
        assert SocketReader().reachable("owner/name:v1")
        assert not SocketReader().reachable("owner/other:v1")


def test_a_registry_that_does_not_answer_has_nothing_for_us(machine: Machine) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(machine.socket))
        silent.listen()
        assert not SocketReader(registry_patience=0.2).reachable("owner/name:v1")


def test_without_docker_nobody_asks_a_registry(machine: Machine) -> None:
    with pytest.raises(EnvironmentProblem, match="no Docker Engine answers"):
        SocketReader().reachable("owner/name:v1")


@pytest.mark.parametrize(
    ("told", "used"),
    [
        ({"usage": 500, "stats": {"inactive_file": 200}}, 300),
        ({"usage": 500, "stats": {"total_inactive_file": 100, "inactive_file": 7}}, 400),
        ({"usage": 500}, 500),
        ({}, None),
        (None, None),
    ],
)
def test_the_memory_of_a_container(machine: Machine, told: dict[str, Any] | None, used: int | None) -> None:
    """File cache that nobody uses is not counted: by cgroup v2, by v1, and where the engine tells nothing."""
    with engine(machine.socket, {"/containers/c1/stats?stream=false&one-shot=true": {"memory_stats": told}}):
        assert SocketReader().memory_of("c1") == used
        assert SocketReader().memory_of("gone") is None
