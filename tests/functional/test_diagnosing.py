"""What failed is shown with its class, its cause and what to do."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.adapters.docker_socket import _container
from orchestrator.evidence import Holder
from orchestrator.inventory import GIB
from orchestrator.observation import LABEL, Gate
from tests.builders import container, gpu
from tests.fakes import FakeWorld
from tests.functional.cli import Command

SHM = "The container's shared memory is too small: 160 MiB required, 64 MiB free."
REMEDY = "Raise shm_mib in the registry entry."
PARKED: dict[str, Any] = {"gate": Gate("parked", SHM, cause="no-shared-memory"), "health": "unhealthy"}
DEAD: dict[str, Any] = {"state": "exited", "health": "", "gate": None}


def test_up_says_class_cause_and_remedy(here: FakeWorld, do: Command) -> None:
    here.compose.born = lambda c: replace(c, **{"state": "running", **PARKED})
    said = do("up", "demo")
    words = f"{SHM} {REMEDY} (no-shared-memory)"
    said.refused(1, f"demo-transformers: failed, parked: {words}\n")
    assert said.out.splitlines()[-1].endswith(words)


def test_up_for_programs_has_the_class_in_the_event_and_at_the_end(here: FakeWorld, do: Command) -> None:
    here.compose.born = lambda c: replace(c, **{"state": "running", **PARKED})
    said = do("up", "demo", "--json")
    events = [json.loads(line) for line in said.out.splitlines()]
    (failed,) = [event for event in events if event["event"] == "failed"]
    assert failed["cause"] == "no-shared-memory"
    assert events[-1]["models"][0]["cause"] == {"class": "no-shared-memory", "what": SHM, "remedy": REMEDY}
    assert {event["cause"] for event in events if "cause" in event and event is not failed} == {None}


def test_status_says_it_too(here: FakeWorld, do: Command) -> None:
    here.docker.add(container("a", **PARKED), container("b", port=25001))
    assert f"{SHM} {REMEDY} (no-shared-memory)\n" in do("status").out
    a, b = json.loads(do("status", "--json").out)["models"]
    assert a["cause"] == {"class": "no-shared-memory", "what": SHM, "remedy": REMEDY}
    assert b["cause"] is None
    assert here.log == [], "no log is read where the gate has spoken"


def test_a_process_of_somebody_else_s_is_named(here: FakeWorld, do: Command) -> None:
    gate = Gate("parked", "The GPU ran out of memory while the weights were loaded.", cause="gpu-memory-at-load")
    here.gpus.gpus = (gpu("GPU-a"), gpu("GPU-b"))
    here.gpus.processes = (
        Holder(7, "GPU-a", 3 * GIB, "python train.py", "bob"),
        Holder(8, "GPU-b", GIB, "python", "eve"),
        Holder(9, "GPU-a", GIB, "python", "root", "id-b-transformers"),
    )
    here.docker.add(container("a", gpus=("GPU-a",), health="unhealthy", gate=gate), container("b", port=25001))
    (cause,) = [m["cause"] for m in json.loads(do("status", "a", "--json").out)["models"]]
    assert cause["class"] == "other-process-on-gpu"
    assert "pid 7 (python train.py) of user bob holds 3.00 GiB" in cause["what"]
    assert "pid 8" not in cause["what"], "another GPU"
    assert "pid 9" not in cause["what"], "one of ours"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({**DEAD, "exit_code": 132}, "exit code 132. Name an image for this CPU"),
        ({**DEAD, "exit_code": 137, "oom": True}, "(killed-by-the-kernel)"),
        ({"state": "created", "gate": None, "error": "port is already allocated"}, "(port-taken)"),
    ],
)
def test_what_no_gate_could_say(here: FakeWorld, do: Command, changes: dict[str, Any], words: str) -> None:
    here.docker.add(container("a", **changes))
    said = do("status")
    assert said.code == 1
    assert words in said.out


def test_the_last_error_of_a_silent_container_is_shown(here: FakeWorld, do: Command) -> None:
    here.actor.prints["id-a-transformers"] = "start\nOSError: no tape\nbye\n"
    here.docker.add(container("a", **DEAD, exit_code=3))
    assert "exit code 3: OSError: no tape\n" in do("status").out


def test_docker_s_own_words_are_read() -> None:
    said = {"phase": "parked", "reason": "x", "cause": "no-disk", "detail": "", "restarts": 0, "progress": None}
    old = {key: word for key, word in said.items() if key != "cause"}

    def seen(output: dict[str, Any]) -> Any:
        log = [{"Start": "2026-11-29T10:00:01Z", "Output": json.dumps(output)}]
        state = {"Status": "running", "OOMKilled": True, "StartedAt": "2026-11-29T10:00:00Z", "Health": {"Log": log}}
        return _container(
            {"Id": "1", "Labels": {f"{LABEL}model": "a"}},
            {"State": state, "Config": {"Image": "i"}, "Image": "sha256:1"},
        )

    assert (seen(said).oom, seen(said).gate.cause) == (True, "no-disk")
    assert seen(old).gate.cause == "", "a gate of an older version"
