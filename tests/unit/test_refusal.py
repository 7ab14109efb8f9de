"""Refusals name the missing GiB, what would fit instead, and what could be stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.errors import FitError
from orchestrator.inventory import GIB, Host, gib
from orchestrator.memory import claim, context_size
from orchestrator.observation import Container, Observation
from orchestrator.plan.assignment import MARGIN
from orchestrator.plan.placement import Known, place
from orchestrator.plan.request import Request
from orchestrator.registry.spec import ModelSpec
from tests.builders import PROFILE, container, gpu, host, spec


def refused(*entries: ModelSpec, on: Host, seen: Observation | None = None, **more: Any) -> FitError:
    """What is said to a request for these; ``catalogue``: the other entries there are."""
    catalogue = more.pop("catalogue", ())
    request = Request(tuple(entry.name for entry in entries), **more)
    with pytest.raises(FitError) as caught:
        place(entries, request, on, seen or Observation(), Known(catalogue=(*entries, *catalogue)))
    return caught.value


def holding(model: str, claimed: float, on: str = "GPU-a", **changes: Any) -> Container:
    return container(model, **{"gpus": (on,), "claim": int(claimed * GIB), "port": 26000 + ord(model[0]), **changes})


def size(entry: ModelSpec) -> int:
    return claim(entry, "transformers", PROFILE, context_size(())).total


def test_the_smallest_profile_is_what_is_missing_memory() -> None:
    entry = spec(gib=10, vllm={"storages": ["16bit", "fp8"], "max_num_seqs": 8})
    found = refused(entry, on=host(gpu(total=4)))
    assert "phi does not fit on here: at its smallest it claims 5.91 GiB " in found.what
    assert "with vllm, and the GPU has 3.75 GiB left: 2.16 GiB are missing" in found.what


def test_what_the_best_gpu_lacks_is_told() -> None:
    entry = spec(gib=10)
    found = refused(entry, on=host(gpu("GPU-a", total=8), gpu("GPU-b", total=10), gpu("GPU-c", total=4)))
    missing = gib(size(entry) + MARGIN - 10 * GIB)
    assert f"any GPU has at most 9.75 GiB left: {missing} are missing" in found.what


def test_a_group_lacks_what_its_fullest_card_lacks() -> None:
    """Two cards of 6 GiB of which one is nearly full: the single one lacks most, the pair what is gone from it."""
    entry = spec(gib=8, vllm={"tensor_parallel": [2]})
    found = refused(entry, on=host(gpu("GPU-a", total=16), gpu("GPU-b", total=16, free=2)))
    assert "on each of 2 GPUs with vllm, and any GPU has at most 1.75 GiB left" in found.what


def test_a_named_gpu_lacks_what_it_lacks() -> None:
    found = refused(spec(gib=10), on=host(gpu("GPU-a"), gpu("GPU-b", total=8)), gpu="1")
    assert "and GPU GPU-b has 7.75 GiB left" in found.what
    assert "what would fit: phi on transformers without --gpu" in found.hint


def test_the_fewest_and_smallest_that_make_room_are_named() -> None:
    there = (holding("a", 10), holding("b", 6), holding("c", 2), holding("d", 3))
    found = refused(spec(gib=5), on=host(gpu(free=3)), seen=Observation(there))
    assert "'orchestrator down d' would make room on GPU GPU-a" in found.hint
    found = refused(spec(gib=13), on=host(gpu(free=3)), seen=Observation(there))
    assert "'orchestrator down a c' would make room on GPU GPU-a" in found.hint


def test_the_gpu_where_fewest_have_to_go_is_named() -> None:
    there = (holding("a", 5), holding("b", 5), holding("c", 10, "GPU-b"))
    on = host(gpu("GPU-a", total=12), gpu("GPU-b", total=12))
    assert (
        "'orchestrator down c' would make room on GPU GPU-b"
        in refused(spec(gib=9), on=on, seen=Observation(there)).hint
    )


def test_only_what_makes_room_where_the_request_wants_it_is_named() -> None:
    there = (holding("a", 20), holding("c", 20, "GPU-b"))
    on = host(gpu("GPU-a"), gpu("GPU-b"))
    assert (
        "'orchestrator down c' would make room on GPU GPU-b"
        in refused(spec(gib=9), on=on, seen=Observation(there), gpu="1").hint
    )


def test_containers_of_other_projects_are_named_with_their_project() -> None:
    there = (holding("a", 12, project="lab"), holding("b", 11))
    assert (
        "'orchestrator --project lab down a' would make room"
        in refused(spec(gib=12), on=host(gpu()), seen=Observation((there[0],))).hint
    )
    found = refused(spec(gib=20), on=host(gpu()), seen=Observation(there))
    assert "'orchestrator --project lab down a' and 'orchestrator down b' would make room" in found.hint


def test_nothing_is_to_be_stopped_where_that_would_not_help() -> None:
    found = refused(spec(gib=30), on=host(gpu()), seen=Observation((holding("a", 5),)))
    assert "down" not in found.hint
    stopped = replace(holding("a", 20), state="exited")
    assert "down" not in refused(spec(gib=10), on=host(gpu(free=4)), seen=Observation((stopped,))).hint


def test_the_same_model_on_the_other_engine_would_fit() -> None:
    entry = spec(gib=10, vllm={}, transformers={"storages": ["int8"]})
    found = refused(entry, on=host(gpu(total=9)), mode="vllm", catalogue=[spec("small", port=25001)])
    assert "what would fit: phi on transformers, " in found.hint


def test_else_the_largest_other_model_would_fit() -> None:
    others = [spec("small", gib=1, port=25001), spec("medium", gib=5, port=25002), spec("large", gib=9, port=25003)]
    found = refused(spec(gib=10), on=host(gpu(total=8)), catalogue=others)
    assert "what would fit: medium on transformers, 5.6" in found.hint


def test_what_was_asked_for_and_code_of_unknown_revision_are_no_suggestions() -> None:
    loose = spec("loose", gib=5, port=25001, source={"remote_code": True})
    small = spec("small", gib=1, port=25002)
    found = refused(spec(gib=10), small, on=host(gpu(total=8)), catalogue=[loose])
    assert "what would fit" not in found.hint
    assert (
        "what would fit: loose"
        in refused(spec(gib=10), small, on=host(gpu(total=8)), catalogue=[loose], allow_unpinned=True).hint
    )


def test_all_that_do_not_fit_are_named() -> None:
    entries = [spec(name, gib=30, port=25000 + at) for at, name in enumerate("ba")]
    found = refused(*entries, on=host(gpu()))
    assert found.what.startswith("2 models do not fit\n  a does not fit on here: ")
    assert "\n  b does not fit on here: " in found.what


def test_what_does_not_fit_even_alone_lacks_what_the_empty_host_lacks() -> None:
    entries = [spec("small", gib=10), spec("vast", gib=30, port=25001)]
    found = place(entries, Request(("small", "vast"), partial=True), host(gpu()), Observation())
    (vast,) = found.omitted
    assert "the GPU has 23.75 GiB left" in vast.what
