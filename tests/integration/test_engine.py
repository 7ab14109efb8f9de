"""The tests' own engine keeps its promises: isolation, reservations, restarts, nothing left behind."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.engine import Engine, wait_for

REPOSITORY = Path(__file__).parents[2]
PORT = 24990
SERVE = ["python3", "-m", "server", "--model", "any/model", "--served-name", "demo"]


@contextmanager
def connection() -> Iterator[http.client.HTTPConnection]:
    link = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
    try:
        yield link
    finally:
        link.close()


def get(path: str, body: object = None) -> tuple[int, object]:
    """Status and JSON of one request to the published port; 0 when nobody answers."""
    with connection() as link:
        try:
            link.request("POST" if body else "GET", path, json.dumps(body) if body else None)
            reply = link.getresponse()
            return reply.status, json.loads(reply.read())
        except OSError:
            return 0, None


def link_addresses(text: str) -> set[str]:
    """The hardware addresses in the output of `ip -o link`, without that of the loopback."""
    return {line.split("link/ether ")[1].split()[0] for line in text.splitlines() if "link/ether " in line}


def start_stub(engine: Engine, image: str, *options: str, command: list[str] = SERVE) -> None:
    engine.run("docker", "run", "--detach", "--name", "stub", "--init", *options, image, *command)


def exit_code(engine: Engine) -> int:
    return int(engine.run("docker", "wait", "stub").stdout)


def test_a_published_port_is_reached(engine: Engine, stub_image: str, leaves_nothing: None) -> None:
    start_stub(engine, stub_image, "--publish", f"127.0.0.1:{PORT}:8000")
    wait_for(lambda: get("/health")[0] == 200, "the stub's health")

    assert get("/v1/models")[1] == {
        "object": "list",
        "data": [{"id": "demo", "object": "model", "owned_by": "stub"}],
    }
    content = [
        {"type": "text", "text": "?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    _, answer = get("/v1/chat/completions", {"model": "demo", "messages": [{"role": "user", "content": content}]})
    assert isinstance(answer, dict)
    assert answer["choices"][0]["message"]["content"] == "stub demo saw 1 images"
    assert get("/v1/chat/completions", {"model": "other", "messages": []})[0] == 404
    engine.run("docker", "rm", "--force", "stub")


def test_no_link_of_the_engine_is_on_the_host(engine: Engine, stub_image: str) -> None:
    """Compared by address: the links of a host change by themselves while its own engine is at work."""
    start_stub(engine, stub_image)
    inside = link_addresses(engine.run("ip", "-o", "link").stdout)
    argv = engine.outside_network("ip", "-o", "link")
    outside = subprocess.run(argv, pass_fds=(engine.outside,), capture_output=True, text=True, check=True).stdout
    assert len(inside) == 2, "the bridge and one container's link"
    assert not inside & link_addresses(outside)


def test_a_reservation_hands_over_the_planned_device(engine: Engine, stub_image: str) -> None:
    start_stub(engine, stub_image, "--gpus", '"device=GPU-aaaa,GPU-bbbb"')
    environ = engine.run("docker", "exec", "stub", "cat", "/proc/1/environ").stdout.split("\0")
    assert "NVIDIA_VISIBLE_DEVICES=GPU-aaaa,GPU-bbbb" in environ


def test_the_stand_in_of_nvidia_smi_answers_the_gates_query(engine: Engine, stub_image: str) -> None:
    query = ["nvidia-smi", "--query-gpu=uuid,memory.free,memory.total", "--format=csv,noheader,nounits"]
    start_stub(engine, stub_image, "--gpus", "device=GPU-aaaa", "--env", "STUB_FREE_MIB=1024", command=query)
    assert exit_code(engine) == 0
    assert engine.run("docker", "logs", "stub").stdout == "GPU-aaaa, 1024, 24576\n"


def test_two_loaders_on_one_gpu_are_a_violation(engine: Engine, stub_image: str) -> None:
    shared = ["--volume", "test-locks:/locks", "--gpus", "device=GPU-aaaa"]
    start = ["docker", "run", "--detach", *shared, "--name"]
    engine.run(*start, "first", "--env", "STUB_NEVER_READY=1", stub_image, *SERVE)
    wait_for(lambda: marked(engine), "the marker of the first loader")
    start_stub(engine, stub_image, *shared)

    assert exit_code(engine) == 1
    assert "began to load on GPU-aaaa while" in engine.run("docker", "logs", "stub").stderr
    violations = engine.run("docker", "exec", "first", "ls", "/locks/violations").stdout.split()
    assert len(violations) == 1


def marked(engine: Engine) -> bool:
    return engine.run("docker", "exec", "first", "ls", "/locks").stdout.split() == ["stub-loading-GPU-aaaa"]


def test_the_gate_keeps_two_loaders_on_one_gpu_apart(engine: Engine, stub_image: str) -> None:
    hardened = [
        "--init",
        "--read-only",
        "--cap-drop",
        "ALL",
        "--tmpfs",
        "/tmp",
        "--tmpfs",
        "/run/orchestrator:mode=1777",
    ]
    shared = ["--volume", "test-locks:/locks", "--gpus", "device=GPU-aaaa", "--env", "STUB_LOAD_SECONDS=1"]
    health = ["--health-cmd", "python3 /opt/orchestrator/gate health", "--health-interval", "1s"]
    gate = ["python3", "/opt/orchestrator/gate", "run", "--port", "8000", "--gpu", "GPU-aaaa", "--claim-mib", "1000"]
    names = ("first", "second")
    for name in names:
        run = ["docker", "run", "--detach", "--name", name, *hardened, *shared, *health, stub_image]
        engine.run(*run, *gate, "--name", name, "--", *SERVE)

    wait_for(lambda: all(health_of(engine, name) == "healthy" for name in names), "both healthy", every=0.1)
    assert "violations" not in engine.run("docker", "exec", "first", "ls", "/locks").stdout


def health_of(engine: Engine, name: str) -> str:
    return engine.run("docker", "inspect", "--format", "{{.State.Health.Status}}", name).stdout.strip()


@pytest.mark.parametrize(("knob", "code"), [("STUB_EXIT=2", 2), ("STUB_EXIT=137", 137)])
def test_the_stub_ends_as_told(engine: Engine, stub_image: str, knob: str, code: int) -> None:
    start_stub(engine, stub_image, "--env", knob)
    assert exit_code(engine) == code


@pytest.mark.parametrize("power_cut", [False, True])
def test_data_and_restart_policies_survive_a_restart_of_the_engine(
    engine: Engine, stub_image: str, power_cut: bool
) -> None:
    start_stub(engine, stub_image, "--restart", "unless-stopped", "--publish", f"127.0.0.1:{PORT}:8000")
    wait_for(lambda: get("/health")[0] == 200, "the stub's health")
    started = engine.run("docker", "inspect", "--format", "{{.State.StartedAt}}", "stub").stdout
    engine.restart(power_cut=power_cut)
    wait_for(lambda: get("/health")[0] == 200, "the stub's health after the restart")
    assert engine.run("docker", "inspect", "--format", "{{.State.StartedAt}}", "stub").stdout != started


HOLD = """
from tests.integration.engine import private_engine
with private_engine() as engine:
    with engine.client() as client:
        client.volumes.create("left-behind")
    print(engine.folder, flush=True)
    input()
"""


def test_nothing_is_left_when_the_tests_are_killed(engine: Engine) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert (folder / "docker.sock").is_socket()
        os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not folder.exists(), "the keeper's clearing up")
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{folder.name}"))
    wait_for(lambda: not users_of(folder), "the end of the keeper")


def users_of(folder: Path) -> list[str]:
    """Command lines of running processes that name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if folder.name in line:
            found.append(line)
    return found
