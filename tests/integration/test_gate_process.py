"""The gate with real processes, real locks and HTTP on the loopback address; no Docker is needed."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestrator.gate.signs import Signs

GATE = Path(__file__).parents[2] / "orchestrator" / "gate"
DEADLINE_S = 15.0
# Images bring their own Python; GATE_PYTHON=python3.8 runs all of this with that one.
PYTHON = os.environ.get("GATE_PYTHON", sys.executable)

# An engine in a few lines: `stub.py FOLDER PORT KNOB...`. It "loads" for a moment with a marker per GPU, and writes a
# violation when another one is loading on the same GPU; then it answers with the status in FOLDER/status.
STUB = """
import os, signal, socket, subprocess, sys, time
folder, port, knobs = sys.argv[1], int(sys.argv[2]), dict(knob.split("=", 1) for knob in sys.argv[3:])
def note(name, text):
    with open(os.path.join(folder, name), "a") as file:
        file.write(text + "\\n")
def until(condition):
    end = time.monotonic() + 15
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
note("pids", str(os.getpid()))
note("starts", knobs.get("name", ""))
if "dump" in knobs:
    note("dump", repr(os.environ.get(knobs["dump"])))
if "deaf" in knobs:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "child" in knobs:
    note("pids", str(subprocess.Popen(["sleep", "100"]).pid))
sys.stderr.write(knobs.get("say", ""))
sys.stderr.flush()
if "raw" in knobs:
    os.write(1, bytes(range(256)))
if "exit" in knobs and len(open(os.path.join(folder, "starts")).readlines()) <= int(knobs.get("fails", 99)):
    sys.exit(int(knobs["exit"]))
markers = [os.path.join(folder, "loading-" + gpu) for gpu in knobs.get("gpus", "").split(",") if gpu]
for marker in markers:
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        note("violations", marker)
        sys.exit(2)
if "meet" in knobs:
    until(lambda: os.path.exists(os.path.join(folder, "loading-" + knobs["meet"])))
    met = os.path.exists(os.path.join(folder, "loading-" + knobs["meet"]))
    note("met", knobs["name"] + " " + str(met))
    until(lambda: len(open(os.path.join(folder, "met")).readlines()) == 2)
time.sleep(float(knobs.get("load", 0)))
if "hold" in knobs:
    until(lambda: not os.path.exists(knobs["hold"]))
if "never" in knobs:
    signal.pause()
for marker in markers:
    os.unlink(marker)
server = socket.create_server(("127.0.0.1", port))
while True:
    link, _ = server.accept()
    path = link.recv(4096).split()[1].decode()
    name, status, body = ("status", "200", "") if path == "/health" else ("sleeping", "404", "no such path")
    try:
        told = open(os.path.join(folder, name)).read()
        status, body = (told, "") if name == "status" else ("200", told)
    except FileNotFoundError:
        pass
    note("asked", path)
    link.sendall(f"HTTP/1.1 {status} x\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}".encode())
    link.close()
"""


def until(what: Callable[[], object], told: Callable[[], object] = lambda: "") -> None:
    """Ask ``what`` until it is true or the deadline has come."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.01)
    pytest.fail(f"not within {DEADLINE_S} s: {told()}")


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Gate:
    """One `gate run` with the stub behind it."""

    def __init__(self, folder: Path, name: str, options: tuple[str, ...], engine: list[str], path: str) -> None:
        self.state = folder / f"{name}.json"
        self.out = folder / f"{name}.out"
        self.err = folder / f"{name}.err"
        argv = [PYTHON, str(GATE), "run", "--name", name, "--locks", str(folder / "locks")]
        argv += ["--state", str(self.state), "--poll", "0.05", *options, "--", *engine]
        environment = {**os.environ, "PATH": path, "HF_TOKEN": "inherited"}
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(argv, stdout=out, stderr=err, env=environment)

    def shown(self) -> dict[str, object]:
        try:
            found = json.loads(self.state.read_text())
        except FileNotFoundError:
            return {"phase": ""}
        assert isinstance(found, dict)
        return found

    def wait_for(self, phase: str) -> dict[str, object]:
        until(lambda: self.shown()["phase"] == phase, lambda: f"{phase}; {self.shown()}; {self.err.read_text()}")
        return self.shown()

    def health(self, *options: str) -> tuple[dict[str, object], int]:
        argv = [PYTHON, str(GATE), "health", "--state", str(self.state), *options]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        assert (done.stderr, done.stdout.count("\n")) == ("", 1)
        assert len(done.stdout) < 1024
        return json.loads(done.stdout), done.returncode

    def stop(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        return self.process.wait(DEADLINE_S)


class Host:
    """A folder with locks, a stub and gates; everything started here is killed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gates: list[Gate] = []
        (folder / "locks").mkdir()
        (folder / "bin").mkdir()
        (folder / "stub.py").write_text(STUB)

    def gate(self, name: str, *options: str, engine: list[str] | None = None, **knobs: object) -> Gate:
        port = free_port()
        told = [f"{key}={value}" for key, value in {**knobs, "name": name}.items()]
        stub = [sys.executable, "-S", "-I", str(self.folder / "stub.py"), str(self.folder), str(port), *told]
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        gate = Gate(self.folder, name, ("--port", str(port), *options), engine or stub, path)
        self.gates.append(gate)
        return gate

    def lines(self, name: str) -> list[str]:
        try:
            return (self.folder / name).read_text().splitlines()
        except FileNotFoundError:
            return []

    def free_memory(self, mib: int | None) -> None:
        """What nvidia-smi says of GPU-a from now on; None: it is not there."""
        program = self.folder / "bin" / "nvidia-smi"
        if mib is None:
            program.unlink(missing_ok=True)
            return
        draft = program.with_suffix(".new")
        draft.write_text(f"#!/bin/sh\necho 'GPU-a, {mib}, 8000'\n")
        draft.chmod(0o755)
        draft.replace(program)

    def is_locked(self, gpu: str) -> bool:
        with (self.folder / "locks" / f"gpu-{gpu}.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def clear(self) -> None:
        # Asked to stop, a gate takes its engine along, also one that has not written its number yet.
        for gate in self.gates:
            gate.process.terminate()
        for gate in self.gates:
            try:
                gate.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                gate.process.kill()
                gate.process.wait(DEADLINE_S)
        for pid in map(int, self.lines("pids")):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert isinstance(port, int)
    return port


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.clear()


# --- one at a time


def test_four_starts_on_one_gpu_stay_strictly_one_at_a_time(host: Host) -> None:
    gates = [host.gate(f"m{n}", "--gpu", "GPU-a", gpus="GPU-a", load=0.1) for n in range(4)]
    for gate in gates:
        gate.wait_for("ready")
    assert host.lines("violations") == []
    assert len(host.lines("starts")) == 4
    assert not host.is_locked("GPU-a")


def test_without_the_lock_the_stub_would_tell(host: Host) -> None:
    """The proof above is worth something: the same stubs without --gpu do collide."""
    host.gate("m0", gpus="GPU-a", never=1)
    until((host.folder / "loading-GPU-a").exists)
    host.gate("m1", gpus="GPU-a").wait_for("parked")
    assert host.lines("violations") == [str(host.folder / "loading-GPU-a")]


def test_two_gpus_start_in_parallel(host: Host) -> None:
    one = host.gate("one", "--gpu", "GPU-a", gpus="GPU-a", meet="GPU-b")
    two = host.gate("two", "--gpu", "GPU-b", gpus="GPU-b", meet="GPU-a")
    one.wait_for("ready")
    two.wait_for("ready")
    assert sorted(host.lines("met")) == ["one True", "two True"]


def test_groups_of_gpus_in_any_order_never_deadlock(host: Host) -> None:
    groups = [("GPU-a", "GPU-b"), ("GPU-b", "GPU-a"), ("GPU-b",), ("GPU-a",), ("GPU-b", "GPU-a")]
    gates = [
        host.gate(f"m{n}", *(word for gpu in group for word in ("--gpu", gpu)), gpus=",".join(group), load=0.02)
        for n, group in enumerate(groups)
    ]
    for gate in gates:
        gate.wait_for("ready")
    assert host.lines("violations") == []


def test_the_queue_tells_who_holds_the_gpu_and_kill_9_frees_it(host: Host) -> None:
    holder = host.gate("holder", "--gpu", "GPU-a", never=1)
    holder.wait_for("starting")
    queued = host.gate("queued", "--gpu", "GPU-a")
    detail = str(queued.wait_for("queued")["detail"])
    assert detail.startswith("GPU-a is held by holder (host ")
    assert f"pid {holder.process.pid}) since " in detail
    until(lambda: host.lines("starts") == ["holder"])
    holder.process.kill()
    queued.wait_for("ready")


def test_sigterm_while_queued_ends_at_once(host: Host) -> None:
    host.gate("holder", "--gpu", "GPU-a", never=1).wait_for("starting")
    queued = host.gate("queued", "--gpu", "GPU-a", "--poll", "60")
    queued.wait_for("queued")
    began = time.monotonic()
    assert queued.stop() == 0
    assert time.monotonic() - began < 2
    assert host.lines("starts") == ["holder"]


def test_an_unusable_lock_folder_is_parked_with_the_reason(host: Host) -> None:
    gate = host.gate("m", "--gpu", "GPU-a", "--locks", str(host.folder / "absent"))
    assert "No such file or directory" in str(gate.wait_for("parked")["reason"])
    assert host.lines("starts") == []


# --- memory


def test_waits_for_free_memory_with_the_numbers_and_holds_the_lock(host: Host) -> None:
    host.free_memory(1000)
    gate = host.gate("m", "--gpu", "GPU-a", "--claim-mib", "5300")
    assert gate.wait_for("waiting-memory")["detail"] == "GPU-a: 1000 of 8000 MiB free, 5300 claimed"
    assert host.is_locked("GPU-a")
    assert host.lines("starts") == []
    host.free_memory(5300)
    gate.wait_for("ready")


def test_sigterm_while_waiting_for_memory_ends_at_once(host: Host) -> None:
    host.free_memory(1000)
    gate = host.gate("m", "--gpu", "GPU-a", "--claim-mib", "5300", "--poll", "60")
    gate.wait_for("waiting-memory")
    assert gate.stop(signal.SIGINT) == 0
    assert not host.is_locked("GPU-a")


def test_a_claim_above_the_card_is_parked(host: Host) -> None:
    host.free_memory(8000)
    gate = host.gate("m", "--gpu", "GPU-a", "--claim-mib", "9000")
    assert "larger than the GPU: GPU-a: 8000 of 8000 MiB" in str(gate.wait_for("parked")["reason"])
    assert not host.is_locked("GPU-a")


def test_unknown_memory_is_said_and_the_start_goes_on(host: Host) -> None:
    gate = host.gate("m", "--gpu", "GPU-b", "--claim-mib", "5300", never=1)
    assert "free memory not known for GPU-b" in str(gate.wait_for("starting")["detail"])


# --- restarts and parking


def test_restarts_are_bounded_and_then_the_gpu_is_free(host: Host) -> None:
    options = ("--gpu", "GPU-a", "--restarts", "2", "--pause", "0.05")
    gate = host.gate("m", *options, exit=1, child=1)
    state = gate.wait_for("parked")
    assert (state["restarts"], state["exit_code"]) == (2, 1)
    assert state["reason"] == "The engine ended with exit code 1. Gave up after 2 restarts."
    assert len(host.lines("starts")) == 3
    assert not any(alive(int(pid)) for pid in host.lines("pids"))
    assert not host.is_locked("GPU-a")
    assert gate.process.poll() is None
    until(lambda: gate.err.read_text().splitlines().count(f"gate: parked: {state['reason']}") == 1)


def test_an_engine_that_comes_up_at_the_second_try_is_counted_and_then_forgiven(host: Host) -> None:
    options = ("--pause", "0.05", "--forget-after", "0.3")
    gate = host.gate("m", *options, exit=1, fails=1)
    until(lambda: "gate: ready" in gate.err.read_text())
    said = "gate: pausing: restart 1 of 3 after 0.05 s: The engine ended with exit code 1."
    assert said in gate.err.read_text()
    until(lambda: gate.shown()["restarts"] == 0 and gate.shown()["phase"] == "ready")
    assert not (host.folder / "locks" / "gate-m.json").exists()


def test_a_ready_engine_that_is_killed_starts_again_under_the_lock(host: Host) -> None:
    gate = host.gate("m", "--gpu", "GPU-a", "--pause", "0.05", gpus="GPU-a")
    gate.wait_for("ready")
    os.kill(int(host.lines("pids")[0]), signal.SIGKILL)
    until(lambda: len(host.lines("pids")) == 2)
    state = gate.wait_for("ready")
    assert (state["restarts"], state["exit_code"], state["reason"]) == (1, 137, "")


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"exit": 2}, "refused its configuration (exit code 2)"),
        ({"exit": 1, "say": "OSError: You are trying to access a gated repo.\n"}, "refused access"),
        ({"engine": ["no-such-engine"]}, "was not found (exit code 127)"),
        ({"engine": ["/"]}, "can't be executed (exit code 126)"),
    ],
)
def test_a_cause_that_can_not_heal_parks_at_once(host: Host, knobs: dict[str, object], told: str) -> None:
    gate = host.gate("m", "--gpu", "GPU-a", **knobs)  # type: ignore[arg-type]  # engine is among the knobs
    assert told in str(gate.wait_for("parked")["reason"])
    assert len(host.lines("starts")) <= 1
    assert not host.is_locked("GPU-a")


def test_a_park_survives_a_kill_and_is_forgotten_by_a_clean_stop(host: Host) -> None:
    first = host.gate("m", exit=2)
    first.wait_for("parked")
    first.process.kill()
    first.process.wait(DEADLINE_S)
    first.state.unlink()  # the container's tmpfs is lost with it
    same = [str(word) for word in first.process.args][first.process.args.index("--") + 1 :]  # type: ignore[arg-type, union-attr]
    second = host.gate("m", engine=same)
    assert "Kept over an unclean end" in str(second.wait_for("parked")["reason"])
    assert len(host.lines("starts")) == 1
    assert second.stop() == 0
    third = host.gate("m", engine=same)
    until(lambda: len(host.lines("starts")) == 2)
    third.wait_for("parked")


def test_starts_cut_by_a_kill_are_counted_over_it(host: Host) -> None:
    first = host.gate("m", "--pause", "0.05,60", never=1)
    until(lambda: len(host.lines("starts")) == 1)
    same = [str(word) for word in first.process.args][first.process.args.index("--") + 1 :]  # type: ignore[arg-type, union-attr]
    first.process.kill()
    first.process.wait(DEADLINE_S)
    second = host.gate("m", "--pause", "0.05,60", engine=same)
    until(lambda: len(host.lines("starts")) == 2)
    assert (second.shown()["phase"], second.shown()["restarts"]) == ("starting", 1)
    second.process.kill()
    second.process.wait(DEADLINE_S)
    third = host.gate("m", "--pause", "0.05,60", engine=same)
    state = third.wait_for("pausing")
    assert state["restarts"] == 2
    assert "restart 2 of 3 after 60 s: The container went down uncleanly" in str(state["detail"])
    assert third.stop() == 0


def test_a_wrong_command_line_parks_instead_of_looping(host: Host) -> None:
    gate = host.gate("m", "--claim-mib", "much")
    assert "must be a whole number from 0, got 'much'" in str(gate.wait_for("parked")["reason"])
    assert gate.stop() == 0


# --- stopping


def test_a_stop_reaches_the_engine_and_its_group(host: Host) -> None:
    gate = host.gate("m", "--gpu", "GPU-a", child=1)
    gate.wait_for("ready")
    assert gate.stop() == 0
    assert gate.shown()["phase"] == "stopping"
    assert not any(alive(int(pid)) for pid in host.lines("pids"))
    assert not (host.folder / "locks" / "gate-m.json").exists()


def test_a_stop_while_starting_keeps_the_lock_until_the_engine_is_gone(host: Host) -> None:
    gate = host.gate("m", "--gpu", "GPU-a", "--grace", "60", gpus="GPU-a", deaf=1, never=1)
    until((host.folder / "loading-GPU-a").exists)
    gate.process.send_signal(signal.SIGTERM)
    gate.wait_for("stopping")
    assert host.is_locked("GPU-a")
    os.kill(int(host.lines("pids")[0]), signal.SIGKILL)
    assert gate.process.wait(DEADLINE_S) == 137
    assert not host.is_locked("GPU-a")


def test_an_engine_that_ignores_the_stop_is_killed_after_the_grace(host: Host) -> None:
    gate = host.gate("m", "--grace", "0.2", deaf=1)
    gate.wait_for("ready")
    assert gate.stop() == 137
    assert "the engine did not stop within 0.2 s: killed" in gate.err.read_text()
    assert not any(alive(int(pid)) for pid in host.lines("pids"))


# --- secrets and output


def test_a_secret_reaches_the_engine_and_nobody_else(host: Host) -> None:
    secret = host.folder / "secret"
    secret.write_text("  hf_secret\n")
    gate = host.gate("m", "--secret", f"HF_TOKEN={secret}", dump="HF_TOKEN")
    gate.wait_for("ready")
    assert host.lines("dump") == ["'hf_secret'"]
    assert "hf_secret" not in gate.err.read_text() + gate.state.read_text() + gate.out.read_text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "can't be read: No such file or directory"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"a\0b", "does not hold one word"),
        (b"two words", "does not hold one word"),
        ("schlüssel".encode(), "does not hold one word"),
        (b"x" * 4097, "does not hold one word"),
    ],
)
def test_a_secret_that_is_none_is_parked(host: Host, text: bytes | None, told: str) -> None:
    secret = host.folder / "secret"
    if text is not None:
        secret.write_bytes(text)
    gate = host.gate("m", "--secret", f"HF_TOKEN={secret}")
    reason = str(gate.wait_for("parked")["reason"])
    assert f"The secret file of HF_TOKEN, {secret}, " in reason
    assert told in reason
    assert host.lines("starts") == []


def test_a_folder_in_place_of_a_secret_is_parked(host: Host) -> None:
    (host.folder / "secret").mkdir()
    reason = str(host.gate("m", "--secret", f"HF_TOKEN={host.folder / 'secret'}").wait_for("parked")["reason"])
    assert "is a folder; Docker makes one" in reason


def test_output_is_passed_on_unchanged(host: Host) -> None:
    gate = host.gate("m", raw=1, say="50%\r100%\nno end of line")
    gate.wait_for("ready")
    assert gate.out.read_bytes() == bytes(range(256))
    assert "50%\r100%\nno end of line" in gate.err.read_bytes().decode()


# --- health


def test_health_in_every_phase(host: Host) -> None:
    waits = ("--gpu", "GPU-a", "--claim-mib", "5300")
    host.free_memory(1000)
    hold = host.folder / "hold"
    hold.touch()
    gate = host.gate("m", *waits, "--restarts", "0", hold=hold)
    gate.wait_for("waiting-memory")
    told, code = gate.health()
    assert (told["phase"], code) == ("waiting-memory", 1)
    assert str(told["detail"]).startswith("GPU-a: 1000 of 8000 MiB free, 5300 claimed; for ")
    second = host.gate("q", *waits)
    second.wait_for("queued")
    assert (second.health()[0]["phase"], second.health()[1]) == ("queued", 1)
    second.stop()
    host.free_memory(8000)
    gate.wait_for("starting")
    assert (gate.health()[0]["phase"], gate.health()[1]) == ("starting", 1)
    hold.unlink()
    gate.wait_for("ready")
    told, code = gate.health()
    assert (told["phase"], told["reason"], told["exit_code"], code) == ("ready", "", None, 0)
    assert list(told) == ["schema", "phase", "since", "restarts", "reason", "cause", "detail", "exit_code", "progress"]
    (host.folder / "status").write_text("503")
    told, code = gate.health()
    assert (told["phase"], told["detail"], code) == ("unresponsive", "GET /health gave 503", 1)
    os.kill(int(host.lines("pids")[-1]), signal.SIGKILL)
    gate.wait_for("parked")
    told, code = gate.health()
    assert (told["phase"], told["exit_code"], code) == ("parked", 137, 1)


def test_a_health_check_that_waits_for_news_tells_them_at_once(host: Host) -> None:
    hold = host.folder / "hold"
    hold.touch()
    gate = host.gate("m", hold=hold)
    gate.wait_for("starting")
    began = time.monotonic()
    assert gate.health("--wait", "9")[0]["phase"] == "starting"
    assert time.monotonic() - began < 5, "what was never shown is news"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(gate.health, "--wait", "60")
        time.sleep(0.5)
        assert not waiting.done(), "it was shown already"
        hold.unlink()
        told, code = waiting.result(DEADLINE_S)
    assert (told["phase"], code) == ("ready", 0)
    began = time.monotonic()
    assert gate.health("--wait", "1") == (told, 0)
    assert time.monotonic() - began >= 1, "no news"


def test_a_health_check_that_can_remember_nothing_still_waits(tmp_path: Path) -> None:
    argv = [PYTHON, str(GATE), "health", "--state", str(tmp_path / "absent" / "gate.json"), "--wait", "1"]
    began = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (done.returncode, json.loads(done.stdout)["phase"]) == (1, "starting")
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(
    ("said", "phase"),
    [
        ('{"is_sleeping":true}', "asleep"),
        ('{"is_sleeping": true}', "asleep"),
        ('{"is_sleeping":false}', "ready"),
        ('{"is_sleeping":"yes"}', "ready"),
        ('["is_sleeping"]', "ready"),
        ("}", "ready"),
        (None, "ready"),
    ],
)
def test_an_engine_that_sleeps_is_healthy(host: Host, said: str | None, phase: str) -> None:
    """Whoever put it to sleep; what can't be read, or is not there, is no sleep."""
    gate = host.gate("m", "--sleep-mode")
    gate.wait_for("ready")
    if said is not None:
        (host.folder / "sleeping").write_text(said)
    told, code = gate.health()
    assert (told["phase"], told["detail"], code) == (phase, "", 0)
    assert list(told) == ["schema", "phase", "since", "restarts", "reason", "cause", "detail", "exit_code", "progress"]
    assert "/is_sleeping" in host.lines("asked")
    (host.folder / "status").write_text("503")
    assert (gate.health()[0]["phase"], gate.health()[1]) == ("unresponsive", 1)


def test_without_sleep_mode_nothing_is_asked_about_it(host: Host) -> None:
    (host.folder / "sleeping").write_text('{"is_sleeping":true}')
    gate = host.gate("m")
    gate.wait_for("ready")
    assert (gate.health()[0]["phase"], gate.health()[1]) == ("ready", 0)
    assert set(host.lines("asked")) == {"/health"}


def test_an_engine_that_ends_asleep_waits_for_its_memory_again(host: Host) -> None:
    """Others may have taken it meanwhile."""
    host.free_memory(8000)
    gate = host.gate("m", "--gpu", "GPU-a", "--claim-mib", "5300", "--sleep-mode", "--pause", "0.05")
    gate.wait_for("ready")
    (host.folder / "sleeping").write_text('{"is_sleeping":true}')
    assert gate.health()[0]["phase"] == "asleep"
    host.free_memory(3000)
    os.kill(int(host.lines("pids")[-1]), signal.SIGKILL)
    gate.wait_for("waiting-memory")
    told, code = gate.health()
    assert (told["phase"], code) == ("waiting-memory", 1)
    assert str(told["detail"]).startswith("GPU-a: 3000 of 8000 MiB free, 5300 claimed")
    (host.folder / "sleeping").unlink()
    host.free_memory(8000)
    gate.wait_for("ready")


def test_health_before_there_is_a_state(tmp_path: Path) -> None:
    argv = [PYTHON, str(GATE), "health", "--state", str(tmp_path / "absent")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    assert (told["phase"], told["since"], done.returncode, done.stderr) == ("starting", 0, 1, "")


def test_a_state_that_can_not_be_written_stops_no_engine_and_is_said(host: Host) -> None:
    lost = host.folder / "absent" / "state.json"
    gate = host.gate("m", "--state", str(lost))
    until(lambda: "gate: ready" in gate.err.read_text())
    assert gate.err.read_text().count("the state can't be shown") == 1
    gate.state = lost
    told, code = gate.health()
    assert (told["phase"], code) == ("starting", 1)
    assert told["reason"] == f"The gate can't show its state: {lost.parent} is missing or not writable."


def test_health_while_pausing_and_stopping(host: Host) -> None:
    gate = host.gate("m", "--pause", "60", exit=1)
    gate.wait_for("pausing")
    told, code = gate.health()
    assert (told["phase"], told["restarts"], code) == ("pausing", 1, 1)
    assert told["reason"] == "The engine ended with exit code 1."
    assert gate.stop() == 0
    assert (gate.health()[0]["phase"], gate.health()[1]) == ("stopping", 1)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"since": 1, "phase": "ready"}', "\xff"])
def test_health_of_a_damaged_state_fails_without_a_traceback(tmp_path: Path, text: str) -> None:
    state = tmp_path / "state.json"
    state.write_bytes(text.encode("latin-1"))
    argv = [PYTHON, "-m", "orchestrator.gate", "health", "--state", str(state)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=GATE.parents[1], check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["phase"] == "starting"


def test_health_imports_neither_argparse_nor_subprocess(tmp_path: Path) -> None:
    argv = [PYTHON, "-X", "importtime", str(GATE), "health", "--state", str(tmp_path / "absent")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"json", "socket"} <= loaded
    assert not loaded & {"argparse", "subprocess", "http.client", "dataclasses", "pathlib", "gate.core"}


# --- how far a start is


def test_the_phases_of_a_start_in_the_health_check_and_the_log(host: Host) -> None:
    hold, weights = host.folder / "hold", host.folder / "models--a--b"
    hold.touch()
    line = "2026-11-29 18:07:01,120 INFO server: loading weights: /demo, float32 on cpu\n"
    gate = host.gate("m", "--weights", str(weights), "--weights-bytes", "9000", hold=hold, say=line)

    def progress() -> dict[str, Any]:
        found = gate.health()[0]["progress"]
        assert isinstance(found, dict)
        return found

    gate.wait_for("starting")
    until(lambda: progress()["phase"] == "load", progress)
    assert (progress()["text"], progress()["total"]) == ("begins", 9000)
    (weights / "blobs").mkdir(parents=True)
    (weights / "blobs" / "x.incomplete").write_bytes(b"x" * 5000)
    until(lambda: progress()["phase"] == "weights", progress)
    assert progress()["bytes"] == 5000
    assert abs(progress()["moved"] - time.time()) < 5
    hold.unlink()
    gate.wait_for("ready")
    assert gate.health()[0]["progress"] is None
    said = [line for line in gate.err.read_text().splitlines() if line.startswith("gate: starting: ")]
    assert said[1:] == ["gate: starting: boot", "gate: starting: load", "gate: starting: weights"]


def test_a_hung_engine_makes_no_progress_and_a_silent_one_at_work_does(host: Host) -> None:
    busy = "import time\nwhile True: pass"
    hung = host.gate("hung", never=1)
    working = host.gate("working", engine=[sys.executable, "-S", "-I", "-c", busy])

    def moved(gate: Gate) -> float:
        found = gate.shown().get("progress")
        return float(found["moved"]) if isinstance(found, dict) else 0.0

    until(lambda: 0 < moved(hung) <= moved(working) - 3, lambda: (hung.shown(), working.shown()))


def test_what_is_on_the_disk_is_counted_and_old_parts_are_no_download(tmp_path: Path) -> None:
    signs = Signs(session=0, weights=tmp_path)
    assert (signs.look().bytes, signs.look().downloading) == (0, False), "no folder yet"
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "a").write_bytes(b"x" * 5000)
    part = tmp_path / "blobs" / "b.incomplete"
    part.write_bytes(b"x" * 3000)
    assert (signs.look().bytes, signs.look().downloading) == (8000, True)
    os.utime(part, (1, 1))
    assert (signs.look().bytes, signs.look().downloading) == (5000, False)
    with part.open("r+b") as file:
        file.truncate(10**9)
    assert (signs.look().bytes or 0) < 10**6, "a file that is long beforehand is not there yet"
    assert Signs(session=0, weights=None).look().bytes is None


def test_the_work_of_this_very_session_is_seen() -> None:
    signs = Signs(os.getsid(0), None)
    before, until = signs.look(), time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert signs.look().cpu > before.cpu


# --- it has to run on the Python of any image


@pytest.mark.parametrize("module", sorted(GATE.glob("*.py")), ids=lambda module: module.stem)
def test_sources_are_python_3_8_and_standard_library_only(module: Path) -> None:
    tree = ast.parse(module.read_text(), feature_version=(3, 8))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert all(alias.name.partition(".")[0] in sys.stdlib_module_names for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            assert str(node.module).partition(".")[0] in sys.stdlib_module_names
        assert not isinstance(node, ast.ImportFrom) or node.level < 2, "imports from the rest of orchestrator"
