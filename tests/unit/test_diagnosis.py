"""Which class a failure is of: real logs, Docker's errors, and what the host sees besides the gate's word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.diagnosis import FAILURES, diagnose, docker_said, last_error
from orchestrator.gate.verdict import classify, named
from orchestrator.observation import Gate
from tests.builders import container

LOGS = Path(__file__).parent / "logs"
#: by name ``<class>-<n>``. ``real``: seen, not written after a source; ``held_out``: made when the rules were done;
#: ``first``: whether the rules, as they were then, had its class right
INDEX: dict[str, dict[str, Any]] = json.loads((LOGS / "index.json").read_text(encoding="utf-8"))
#: parts of all classes that have to be right
SHARE = 0.95


def found(name: str) -> str:
    given = INDEX[name]
    text = (LOGS / f"{name}.txt").read_text(encoding="utf-8")
    if given.get("from") == "docker":
        return docker_said(text)
    return classify(given["exit"], text.splitlines()[-400:], was_ready=given.get("ready", False)).cause


def share(names: list[str]) -> float:
    return sum(found(name) == name.rpartition("-")[0] for name in names) / len(names)


def test_the_classes_of_the_logs_are_right() -> None:
    wrong = [f"{name} is taken for {found(name)}" for name in INDEX if found(name) != name.rpartition("-")[0]]
    assert share(list(INDEX)) >= SHARE, wrong
    held_out = [name for name, given in INDEX.items() if given["held_out"]]
    assert len(held_out) * 3 >= len(INDEX), "a third is held out"
    assert share(held_out) >= SHARE, wrong
    first = sum(INDEX[name]["first"] for name in held_out)
    print(f"{len(INDEX)} logs, {share(list(INDEX)):.0%} right; of {len(held_out)} held out {first} were right at first")


def test_every_log_is_in_the_index_and_names_a_class() -> None:
    assert {path.stem for path in LOGS.glob("*.txt")} == set(INDEX)
    assert {name.rpartition("-")[0] for name in INDEX} <= set(FAILURES)


def test_whatever_the_gate_names_is_in_the_table() -> None:
    assert named() <= set(FAILURES)


def test_a_class_says_what_to_do() -> None:
    for name, failure in FAILURES.items():
        assert failure.sees, name
        assert failure.why.endswith("."), name
        assert failure.remedy.endswith("."), name


PARKED: dict[str, Any] = {"health": "unhealthy"}
DEAD: dict[str, Any] = {"state": "exited", "health": "", "gate": None}


def words(name: str = "a", others: tuple[str, ...] = (), said: str = "", **changes: Any) -> tuple[str, str]:
    why = diagnose(container(name, **changes), others, said)
    assert why
    return why.cause, why.words


def test_the_gate_s_class_brings_its_remedy() -> None:
    gate = Gate("parked", "Too little shared memory: 2 MiB free.", cause="no-shared-memory")
    said = "Too little shared memory: 2 MiB free. Raise shm_mib in the registry entry. (no-shared-memory)"
    assert words(**PARKED, gate=gate) == ("no-shared-memory", said)


def test_a_remedy_names_the_model() -> None:
    _, said = words("phi", **PARKED, gate=Gate("parked", "A file is damaged.", cause="corrupted-weights"))
    assert "'orchestrator down phi --purge'" in said
    assert "NAME" not in said


@pytest.mark.parametrize("cause", ["", "unknown", "of-a-newer-gate"])
def test_what_is_not_known_is_told_as_it_was_said(cause: str) -> None:
    assert words(**PARKED, gate=Gate("parked", "boom", cause=cause)) == ("unknown", "boom")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"state": "created", "error": 'could not select device driver "nvidia"'}, "gpu-runtime-missing"),
        ({"state": "created", "error": "port is already allocated"}, "port-taken"),
        ({**DEAD, "exit_code": 132}, "wrong-cpu-instructions"),
        ({**DEAD, "exit_code": 127}, "image-incomplete"),
        ({**DEAD, "exit_code": 126}, "image-incomplete"),
        ({**DEAD, "exit_code": 125}, "unknown"),
        ({**DEAD, "exit_code": 137, "oom": True}, "killed-by-the-kernel"),
        ({**PARKED, "oom": True, "gate": Gate("parked", "It ended.", cause="unknown")}, "killed-by-the-kernel"),
        ({**PARKED, "oom": True, "gate": Gate("parked", "No disk.", cause="no-disk")}, "no-disk"),
    ],
)
def test_what_only_the_host_sees(changes: dict[str, Any], cause: str) -> None:
    assert words(**{"gate": None, **changes})[0] == cause


def test_who_else_is_on_the_gpu_explains_a_lack_of_its_memory() -> None:
    gate = Gate("parked", "The GPU ran out of memory.", cause="gpu-memory-at-load")
    cause, said = words(**PARKED, gate=gate, gpus=("GPU-a",), others=("pid 7 (python) of user bob holds 3.0 GiB",))
    assert cause == "other-process-on-gpu"
    assert said.startswith("The GPU ran out of memory; on its GPU too: pid 7 (python) of user bob holds 3.0 GiB. See")
    assert words(**PARKED, gate=Gate("parked", "x", cause="no-disk"), others=("pid 7",))[0] == "no-disk"


def test_the_last_error_of_the_log_is_told_where_the_gate_is_silent() -> None:
    said = last_error(["Traceback", "ValueError: first", "OSError: no tape", "bye"])
    assert said == "OSError: no tape"
    assert words(**DEAD, exit_code=3, said=said) == ("unknown", "exit code 3: OSError: no tape")
    assert last_error(["all is well"]) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"state": "created", "gate": None},
        {"state": "paused", "gate": None},
        {**DEAD, "exit_code": 0},
        {**DEAD, "exit_code": 137},
        {"gate": Gate("starting"), "health": "starting"},
        {"gate": Gate("pausing", "out of memory", cause="gpu-memory-at-load"), "health": "unhealthy"},
    ],
)
def test_what_may_yet_serve_or_was_stopped_has_not_failed(changes: dict[str, Any]) -> None:
    assert diagnose(container(**changes)) is None
