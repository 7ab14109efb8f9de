"""What sleeps holds its residue only, and gets its claim back before anybody says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.errors import FitError, OrchestratorError, RequestError
from orchestrator.inventory import GIB, Host
from orchestrator.observation import RESIDUE, Container, Gate, Observation
from orchestrator.plan.placement import Placements, place
from orchestrator.plan.request import Request
from orchestrator.plan.waking import refuse_while_starting, room_to_wake
from orchestrator.registry.spec import ModelSpec
from tests.builders import PROFILE, container, gpu, host, spec

ASLEEP = Gate("asleep")
COMMAND = ("run", "--port", "8000", "--sleep-mode", "--", "vllm", "serve", "x", "--enable-sleep-mode")


def sleepy(model: str = "phi", claim: float = 10.0, **changes: Any) -> Container:
    """A vLLM container that can sleep, and does unless told otherwise."""
    values = {"gpus": ("GPU-a",), "claim": int(claim * GIB), "command": COMMAND, "gate": ASLEEP}
    return container(model, "vllm", **{**values, **changes})


def test_a_container_tells_by_its_gates_option_whether_it_can_sleep() -> None:
    assert sleepy().can_sleep
    assert not replace(sleepy(), command=("run", "--port", "8000")).can_sleep
    assert not replace(sleepy(), command=("run", "--", "engine", "--sleep-mode")).can_sleep


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, RESIDUE),
        ({"gate": Gate("ready")}, 10 * GIB),
        ({"gate": Gate("waiting-memory"), "health": "unhealthy"}, 10 * GIB),
        ({"state": "exited"}, 0),
        ({"claim": GIB}, GIB),
        ({"claim": 0, "gpus": ()}, 0),
    ],
)
def test_what_it_holds(changes: dict[str, Any], holds: int) -> None:
    assert replace(sleepy(), **changes).holds == holds


def test_asleep_is_neither_ready_nor_failed() -> None:
    assert (sleepy().asleep, sleepy().ready, sleepy().failed, sleepy().phase) == (True, False, False, "asleep")


# --- room to wake


def room(*containers: Container, on: Host | None = None, others: dict[str, int] | None = None) -> float:
    """GiB that are left on GPU-a once all that sleep are awake."""
    sleepers = [c for c in containers if c.asleep]
    left, stuck = room_to_wake(sleepers, on or host(gpu()), containers, others or {})
    for error in stuck.values():
        raise error
    return (left["GPU-a"] or 0) / GIB


def test_it_wakes_where_its_claim_is_left() -> None:
    assert room(sleepy(), on=host(gpu(free=22.5))) == 24 - 10 - 0.25
    assert room(sleepy(), on=host(gpu(free=8.75))) == 0


@pytest.mark.parametrize(
    ("beside", "free", "others", "missing", "words"),
    [
        ([container("big", gpus=("GPU-a",), claim=15 * GIB)], 22.5, 0, "1.25", "orchestrator-big-transformers claims"),
        ([], 8.0, 0, "0.75", "nobody that Docker or the driver names"),
        ([], 22.5, 15 * GIB, "1.25", "processes in no container of ours hold 15.00 GiB"),
        ([sleepy("nap", 20, gate=Gate("ready"))], 22.5, 0, "6.25", "orchestrator-nap-vllm claims 20.00 GiB"),
    ],
)
def test_who_took_it_is_named(beside: list[Container], free: float, others: int, missing: str, words: str) -> None:
    with pytest.raises(FitError) as refused:
        room(sleepy(), *beside, on=host(gpu(free=free)), others={"GPU-a": others})
    assert refused.value.exit_code == 3
    assert refused.value.what == (f"phi can't wake: it claims 10.00 GiB of GPU GPU-a, and {missing} GiB are missing")
    assert words in refused.value.where


@pytest.mark.parametrize(
    ("beside", "hint"),
    [
        ([container("big", gpus=("GPU-a",), claim=15 * GIB)], "'orchestrator stop big' makes room"),
        (
            [sleepy("nap", 15, gate=Gate("ready"))],
            "'orchestrator sleep nap' or 'orchestrator stop nap' makes room",
        ),
        ([sleepy("nap", 22, project="other", gate=Gate("ready"), id="id-2")], "'orchestrator --project other sleep"),
        ([], "'nvidia-smi' shows"),
    ],
)
def test_what_makes_room_is_named(beside: list[Container], hint: str) -> None:
    with pytest.raises(FitError) as refused:
        room(sleepy(), *beside, on=host(gpu(free=8.0)))
    assert refused.value.hint.startswith(hint)


def test_two_that_fit_alone_and_not_together() -> None:
    left, stuck = room_to_wake(
        [sleepy("a", 14), sleepy("b", 14)], host(gpu(free=21)), [sleepy("a", 14), sleepy("b", 14)], {}
    )
    assert list(stuck) == ["b"]
    assert left["GPU-a"] == (24 - 14) * GIB - RESIDUE - GIB // 4


def test_a_gpu_that_does_not_tell_its_memory_refuses_nobody() -> None:
    left, stuck = room_to_wake([sleepy()], host(gpu(total=None, free=None)), [sleepy()], {})
    assert (dict(left), stuck) == ({"GPU-a": None}, {})
    assert room_to_wake([sleepy()], host(), [sleepy()], {}) == ({}, {})


@pytest.mark.parametrize(
    ("phase", "gpus", "busy"),
    [
        ("starting", "GPU-a", True),
        ("starting", "GPU-b", False),
        ("waiting-memory", "GPU-a", False),
        ("ready", "GPU-a", False),
    ],
)
def test_nothing_changes_on_a_gpu_while_an_engine_measures_it(phase: str, gpus: str, busy: bool) -> None:
    other = container("new", gpus=(gpus,), gate=Gate(phase), health="healthy" if phase == "ready" else "starting")
    if busy:
        with pytest.raises(OrchestratorError, match="orchestrator-new-transformers is starting on the GPU of phi"):
            refuse_while_starting(sleepy(), [sleepy(), other])
    else:
        refuse_while_starting(sleepy(), [sleepy(), other])


# --- in the plan


def plan(*entries: ModelSpec, seen: tuple[Container, ...], on: Host, **asked: Any) -> Placements:
    return place(entries, Request(tuple(e.name for e in entries), **asked), on, Observation(seen))


def started(model: str = "phi", **changes: Any) -> Container:
    return sleepy(model, **{"profile": str(PROFILE), "best": str(PROFILE), "port": 25050, **changes})


def test_another_model_gets_the_place_of_one_that_sleeps() -> None:
    entry, card = spec("new", gib=16, port=25100), host(gpu(free=22))
    with pytest.raises(FitError):
        plan(entry, seen=(sleepy(gate=Gate("ready")),), on=card)
    assert plan(entry, seen=(sleepy(),), on=card).items[0].gpus == ("GPU-a",)


def test_one_that_sleeps_stays_where_it_is_if_it_fits() -> None:
    entry = spec("phi", gib=2, vllm={"sleep_mode": True})
    (found,) = plan(entry, seen=(started(),), on=host(gpu("GPU-b"), gpu(free=22))).items
    assert (found.gpus, found.claim.total, found.sleep_mode) == (("GPU-a",), 10 * GIB, True)
    with pytest.raises(FitError, match="phi can't wake"):
        plan(entry, seen=(started(),), on=host(gpu("GPU-b"), gpu(free=3)))
    partial = plan(entry, seen=(started(),), on=host(gpu(free=3)), partial=True)
    assert partial.items == ()
    assert "phi can't wake" in partial.omitted[0].what


def test_it_wakes_before_others_get_its_memory() -> None:
    phi, new = spec("phi", gib=2, vllm={"sleep_mode": True}), spec("new", gib=16, port=25100)
    with pytest.raises(FitError, match="new does not fit"):
        plan(phi, new, seen=(started(),), on=host(gpu(free=22)))


# --- who may reach it


def test_sleep_mode_stays_on_loopback() -> None:
    entry = spec("phi", vllm={"sleep_mode": True})
    with pytest.raises(RequestError, match="opens vLLM's development endpoints") as refused:
        plan(entry, seen=(), on=host(gpu()), mode="vllm", address="0.0.0.0")
    assert "sleep_mode" in refused.value.hint
    (found,) = plan(entry, seen=(), on=host(gpu()), mode="vllm").items
    assert any("sleep mode opens vLLM's development endpoints" in words for words in found.warnings)


@pytest.mark.parametrize("vllm", [{}, {"sleep_mode": True, "devices": ["cpu"]}])
def test_without_it_or_on_the_cpu_nothing_is_opened(vllm: dict[str, Any]) -> None:
    (found,) = plan(spec("phi", vllm=vllm), seen=(), on=host(gpu()), mode="vllm", address="0.0.0.0").items
    assert not found.sleep_mode
