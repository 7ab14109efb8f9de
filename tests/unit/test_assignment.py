"""What is left on each GPU, and which of the cards a group would take."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from orchestrator.inventory import GIB, Gpu
from orchestrator.plan.advice import recommend
from orchestrator.plan.assignment import MARGIN, most_room, rooms
from orchestrator.plan.options import Option, options
from orchestrator.plan.request import Request
from orchestrator.report.recommend import recommend_json, recommend_text
from tests.builders import container, gpu, host, spec


def room(card: Gpu, claimed: float = 0, others: float = 0, state: str = "running") -> float | None:
    there = [container("a", gpus=(card.id,), claim=int(claimed * GIB), state=state)]
    found = rooms(host(card), there, {card.id: int(others * GIB)})[card.id]
    return None if found is None else (found + MARGIN) / GIB


@pytest.mark.parametrize(
    ("card", "claimed", "others", "left"),
    [
        (gpu(), 0, 0, 24),
        (gpu(free=10), 0, 0, 10),
        (gpu(free=None), 0, 0, 24),
        (gpu(), 4, 0, 20),
        (gpu(free=22), 4, 0, 20),
        (gpu(free=18), 4, 0, 18),
        (gpu(), 4, 6, 14),
        (gpu(free=5), 4, 6, 5),
        (gpu(total=None, free=7), 0, 0, 7),
        (replace(gpu(), reserved=1 * GIB), 0, 0, 23),
    ],
)
def test_a_newcomer_gets_the_least_of_free_and_unclaimed_memory(
    card: Gpu, claimed: float, others: float, left: float
) -> None:
    assert room(card, claimed, others) == left


def test_where_the_reserve_is_not_told_a_little_more_is_left_alone() -> None:
    unknown = replace(gpu(total=100), reserved=None)
    assert room(unknown) == 99 - 384 / 1024


def test_there_is_never_less_than_nothing() -> None:
    assert rooms(host(gpu(free=0.1)), (), {})["GPU-a"] == 0
    assert rooms(host(gpu()), [container("a", gpus=("GPU-a",), claim=30 * GIB)], {})["GPU-a"] == 0


def test_what_does_not_run_claims_nothing() -> None:
    assert room(gpu(), 4, state="exited") == 24
    assert room(gpu(), 4, state="restarting") == 20


def test_a_gpu_that_tells_nothing_has_no_known_room_and_one_that_can_not_be_used_none_at_all() -> None:
    assert room(gpu(total=None, free=None)) is None
    assert rooms(host(replace(gpu(), usable=False)), (), {}) == {}


def test_a_group_has_the_room_of_its_fullest_card() -> None:
    entry = spec(vllm={"tensor_parallel": [1, 2, 3]})
    on = host(gpu("GPU-a", free=4), gpu("GPU-b", free=8), gpu("GPU-c", free=6), gpu("GPU-d", total=48))
    left = rooms(on, (), {})
    ways = {o.profile.gpus: o for o in options(entry, Request(("phi",)), on, None, {})}

    def most(option: Option) -> float:
        found = most_room(option, on, left)
        assert found is not None
        return (found + MARGIN) / GIB

    assert [most(ways[width]) for width in (1, 2, 3)] == [48, 6, 4]
    assert most(replace(ways[2], pinned=("GPU-a", "GPU-b"))) == 4
    assert most_room(replace(ways[3], pinned=("GPU-a", "GPU-b")), on, left) is None


# advice


def test_advice_for_every_engine_and_what_the_plan_would_choose() -> None:
    entry = spec(gib=10, vllm={}, transformers={"storages": ["int8"]})
    large = recommend([entry], host(gpu(total=24)))
    assert [(a.engine, a.chosen, a.missing) for a in large] == [("vllm", True, 0), ("transformers", False, 0)]
    vllm, transformers = recommend([entry], host(gpu(total=8)))
    assert (transformers.chosen, transformers.missing) == (True, 0)
    assert not vllm.chosen
    assert vllm.missing == vllm.option.claim.total + MARGIN - 8 * GIB


def test_advice_leaves_out_what_can_never_be() -> None:
    entries = [spec(), spec("b", vllm={"possible": False})]
    assert [(a.model, a.engine) for a in recommend(entries, host(gpu()))] == [("phi", "transformers")]
    assert recommend([spec()], host()) == ()


def test_what_the_report_does_not_allow_is_advised_but_not_chosen() -> None:
    entry = spec(vllm={"report": {"allowed": False}}, transformers={})
    assert [(a.engine, a.chosen) for a in recommend([entry], host(gpu()))] == [("vllm", False), ("transformers", True)]


def test_where_no_driver_tells_what_is_free_nothing_is_said_to_fit_or_to_be_missing() -> None:
    board = host(gpu(total=None, note="memory is shared with the CPU"))
    (found,) = recommend([spec()], board)
    assert (found.chosen, found.missing) == (False, None)
    assert "nobody tells what is free; --gpu takes it anyway" in recommend_text([found], board)
    (shown,) = cast("list[dict[str, object]]", recommend_json([found], board)["models"])
    assert (shown["fits"], shown["missing_bytes"], shown["chosen"]) == (None, None, False)


def test_advice_takes_the_largest_profile_that_fits() -> None:
    entry = spec(gib=5, architecture={"layers": 32, "kv_heads": 32}, vllm={"max_num_seqs": 8})
    found = [recommend([entry], host(gpu(total=size)))[0].option.profile.sequences for size in (24, 9, 8)]
    assert found == sorted(found, reverse=True)
    assert found[0] == 8
    assert found[-1] < 8
