"""Faults of models that had answered: one table, whose models all come up in one ``up`` and are broken then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.integration.engine import Engine, wait_for
from tests.integration.faults.campaign import Fault

#: finds the engine's process in its container by its command line, and sends it a signal
_SIGNAL = (
    "import os, sys, pathlib\n"
    "for p in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
    "    words = p.read_bytes().split(b'\\0')\n"
    "    if words[1:3] == [b'-m', b'server']: os.kill(int(p.parent.name), int(sys.argv[1]))\n"
)
#: what the gate said of itself
_SAID = "{{range .State.Health.Log}}{{.Output}}{{end}}"


def _signalled(number: int) -> Callable[[Engine, str], None]:
    def hit(engine: Engine, container: str) -> None:
        engine.run("docker", "exec", container, "python3", "-c", _SIGNAL, str(number))

    return hit


def _docker(*words: str) -> Callable[[Engine, str], None]:
    def do(engine: Engine, container: str) -> None:
        engine.run("docker", *words, container)

    return do


def _told_to_break(engine: Engine, container: str) -> None:
    """Then it serves and breaks until its gate has had enough."""
    engine.run("docker", "exec", container, "touch", "/locks/break")

    def parked() -> bool:
        return '"phase": "parked"' in engine.run("docker", "inspect", "--format", _SAID, container).stdout

    wait_for(parked, f"the gate of {container} to park")


@dataclass(frozen=True, kw_only=True)
class Serving(Fault):
    """``hit``: breaks it. ``words`` are of ``status NAME --probe``, as is the exit code. ``knobs``: of the stub."""

    hit: Callable[[Engine, str], None]
    knobs: dict[str, str] = field(default_factory=dict)


SERVING = (
    Serving(
        name="engine-hung",
        broken="the engine hangs, and Docker calls its container healthy",
        how="SIGSTOP",
        hit=_signalled(19),
        exit=1,
        words="^engine-hung .* unresponsive ",
    ),
    Serving(
        name="engine-killed",
        broken="the engine is killed, and Docker calls its container healthy",
        how="SIGKILL",
        hit=_signalled(9),
        exit=0,
        words="^engine-killed .* pausing .*killed",
    ),
    Serving(
        name="container-killed",
        broken="somebody kills the container",
        how="`docker kill`",
        hit=_docker("kill"),
        exit=0,
        words="^container-killed .* stopped ",
    ),
    Serving(
        name="container-paused",
        broken="somebody pauses the container",
        how="`docker pause`",
        hit=_docker("pause"),
        exit=1,
        words="^container-paused .* paused ",
    ),
    Serving(
        name="container-removed",
        broken="somebody removes the container",
        how="`docker rm --force`",
        hit=_docker("rm", "--force"),
        exit=1,
        words="there is no container of container-removed .*\n.*\nhint:  'orchestrator up container-removed' starts it",
    ),
    Serving(
        name="gpu-memory-while-serving",
        broken="a request takes more GPU memory than there is, again and again",
        how="a log: written after the source of torch 2.13 and vLLM 0.33",
        hit=_told_to_break,
        knobs={"STUB_BREAK_SERVING": "log gpu-memory-while-serving-1 1"},
        exit=1,
        cause="gpu-memory-while-serving",
        words="parked .*ran out of memory while the engine served",
    ),
)
