"""Placement on any host: nothing over-committed, pins kept, what runs untouched, one answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.errors import FitError, OrchestratorError, RequestError
from orchestrator.inventory import GIB, Gpu, Host
from orchestrator.observation import Container, Observation, PortHolder
from orchestrator.plan.assignment import MARGIN, rooms
from orchestrator.plan.placement import Known, Placement, Placements, place
from orchestrator.plan.request import Request
from orchestrator.registry.spec import ModelSpec
from tests.builders import container, gpu, host, spec

#: totals of cards, so that some are equal
CARDS = (8.0, 12.0, 24.0, 48.0)


@dataclass(frozen=True)
class Case:
    """A host, what is on it, and what is asked of it."""

    entries: tuple[ModelSpec, ...]
    host: Host
    seen: Observation
    request: Request

    def place(self, **changes: Any) -> Placements:
        values = {"known": None, **changes}
        return place(
            values.pop("entries", self.entries),
            values.pop("request", self.request),
            values.pop("host", self.host),
            values.pop("seen", self.seen),
            values["known"],
        )


@st.composite
def entries(draw: st.DrawFn) -> tuple[ModelSpec, ...]:
    """Models that can be made smaller in every way, of two priorities."""
    found = []
    for at, weights in enumerate(draw(st.lists(st.floats(0.5, 30), min_size=1, max_size=5))):
        tiled = draw(st.booleans())
        small = {"max_model_len": 512} if tiled else {"max_model_len": 512, "max_pixels": 784 * 64}
        common = {"max_num_seqs": 4, "smallest": small}
        group = draw(st.sampled_from([[1], [1, 2], [2]]))
        both = {
            "vllm": {
                **common,
                "smallest": {**small, "max_tiles": 3} if tiled else small,
                "storages": ["16bit", "fp8"],
                "tensor_parallel": group,
                "keep_16bit": [],
            },
            "transformers": {**common, "storages": ["int8", "16bit"]},
        }
        engines: Any = {name: both[name] for name in draw(st.sampled_from([["vllm"], ["transformers"], list(both)]))}
        limit = {"tiles": {"most": 12, "argument": "crops"}} if tiled else {"max_pixels": 784 * 256}
        images = {**limit, "tokens": 256, "patches": 20_000, "bytes_per_patch": 50_000}
        made = spec(
            f"m{at}", gib=weights, port=25000 + at, images=images, architecture={"layers": 28, "kv_heads": 8}, **engines
        )
        found.append(made.model_copy(update={"priority": draw(st.integers(0, 1))}))
    return tuple(found)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    cards, others, there = [], {}, []
    for at in range(draw(st.integers(1, 4))):
        total = draw(st.sampled_from(CARDS))
        free = draw(st.none() | st.floats(0, total))
        card = gpu(f"GPU-{at}", total, free)
        kind = draw(st.sampled_from(["plain", "plain", "plain", "unknown", "unusable", "slice"]))
        if kind == "unknown":
            card = gpu(f"GPU-{at}", None, None, "no memory of its own")
        elif kind == "unusable":
            card = replace(card, usable=False, note="it fell off the bus")
        elif kind == "slice":
            card = replace(card, parent="GPU-x")
        cards.append(card)
        others[card.id] = draw(st.sampled_from([0, 0, GIB, 4 * GIB]))
        if draw(st.booleans()):
            claimed = draw(st.integers(GIB // 2, 6 * GIB))
            there.append(container(f"x{at}", project="lab", gpus=(card.id,), claim=claimed, port=26000 + at))
    models = draw(entries())
    wanted = draw(st.sampled_from(["", "", "0"]))
    names = tuple(entry.name for entry in models)
    request = Request(names, gpu=wanted, strategy=draw(st.sampled_from(["pack", "spread"])), move_ports=True)
    ports = tuple(PortHolder(c.port, f"container {c.name}", c.id) for c in there)
    request = replace(request, partial=draw(st.booleans()))
    return Case(models, host(*cards), Observation(tuple(there), ports=ports, others=others), request)


def claimed(items: Iterable[Placement]) -> Counter[str]:
    found: Counter[str] = Counter()
    for p in items:
        for card in p.gpus:
            found[card] += p.claim.total
    return found


def brought_up(found: Placements) -> tuple[Container, ...]:
    """Containers as the labels of these placements make them."""
    return tuple(
        container(
            p.model,
            p.engine,
            gpus=p.gpus,
            claim=p.claim.total,
            port=p.port,
            profile=str(p.profile),
            best=str(p.best),
        )
        for p in found.fleet
    )


def placed(case: Case) -> Placements:
    """The plan, of those cases that have one."""
    try:
        return case.place()
    except OrchestratorError:
        assume(condition=False)
        raise


@given(cases())
def test_nothing_is_over_committed(case: Case) -> None:
    found = placed(case)
    left = rooms(case.host, case.seen.containers, case.seen.others)
    for card, size in claimed(found.fleet).items():
        room = left[card]
        if room is None:
            assert case.request.gpu, "only a GPU that was named is taken without a check"
            continue
        assert size <= room
        whole = next(g for g in case.host.gpus if g.id == card)
        theirs = sum(c.claim for c in case.seen.containers if card in c.gpus) + case.seen.others[card]
        assert whole.cuda_total is not None
        assert size + theirs + MARGIN <= whole.cuda_total
        assert whole.free is None or size + MARGIN <= whole.free


@given(cases())
def test_each_model_is_on_gpus_that_may_be_used_together(case: Case) -> None:
    for p in placed(case).items:
        assert len(p.gpus) == len(set(p.gpus)) == p.profile.gpus
        assert all(card.usable for card in p.on)
        assert len({card.kind for card in p.on}) == 1
        if case.request.gpu:
            assert p.gpus == ("GPU-0",)


@given(cases())
def test_every_model_has_its_place_or_its_reason(case: Case) -> None:
    found = placed(case)
    named = [p.model for p in found.items]
    assert len(named) == len(set(named))
    left_out = {e.name for e in case.entries} - set(named)
    assert len(found.omitted) == len(left_out)
    assert all(any(error.what.startswith(f"{name} ") for error in found.omitted) for name in left_out)
    assert case.request.partial or not found.left_out


def answer(case: Case, **changes: Any) -> object:
    try:
        found = case.place(**changes)
    except OrchestratorError as error:
        return error.what
    return found.items, sorted(error.what for error in found.omitted)


@given(cases(), st.randoms(use_true_random=False))
def test_the_same_question_has_one_answer_in_any_order(case: Case, random: Any) -> None:
    models, cards = list(case.entries), list(case.host.gpus)
    random.shuffle(models)
    if not case.request.gpu:  # whose index says a position
        random.shuffle(cards)
    request = replace(case.request, models=tuple(model.name for model in models))
    shuffled = answer(case, entries=models, request=request, host=replace(case.host, gpus=tuple(cards)))
    assert answer(case) == answer(case)
    assert answer(case) == shuffled


@given(cases(), st.sampled_from(["pack", "spread"]), st.booleans())
def test_a_second_plan_changes_nothing_whatever_is_measured_and_however_little_is_free(
    case: Case, strategy: Any, named: bool
) -> None:
    first = placed(case)
    measured: Any = {(p.model, p.engine, str(p.profile)): p.claim.total // 2 for p in first.fleet}
    measured |= {(p.model, p.engine, str(p.best)): 1 for p in first.fleet}
    there = (*case.seen.containers, *brought_up(first))
    full = replace(case.host, gpus=tuple(replace(g, free=None if g.free is None else 0) for g in case.host.gpus))
    models = tuple(e for e in case.entries if e.name in {p.model for p in first.fleet})
    assume(models)
    request = replace(case.request, models=tuple(e.name for e in models), strategy=strategy)
    if named and len(models) == 1:
        request = replace(request, gpu=",".join(reversed(first.fleet[0].gpus)))
    seen = replace(
        case.seen,
        containers=there,
        ports=tuple(PortHolder(c.port, f"container {c.name}", c.id) for c in there),
        others={card.id: 100 * GIB for card in case.host.gpus},
    )
    again = case.place(entries=models, request=request, host=full, seen=seen, known=Known(measured=measured))
    assert not again.left_out

    def as_it_runs(p: Placement) -> object:
        return p.engine, p.gpus, p.profile, p.best, p.claim.total, p.claim.kv_cache, p.claim.outside, p.port

    before = {p.model: as_it_runs(p) for p in first.fleet}
    assert {p.model: as_it_runs(p) for p in again.fleet} == before


@given(cases())
def test_newcomers_leave_what_runs_where_it_is(case: Case) -> None:
    """The first model runs; all others are asked for beside it."""
    one = replace(case.request, models=(case.entries[0].name,), partial=False)
    try:
        first = case.place(entries=case.entries[:1], request=one)
    except OrchestratorError:
        assume(condition=False)
        raise
    (old,) = brought_up(first)
    there = (*case.seen.containers, old)
    found = case.place(request=replace(case.request, partial=True), seen=replace(case.seen, containers=there))
    kept = next(p for p in found.fleet if p.model == old.model)
    assert (kept.gpus, kept.claim.total, str(kept.profile)) == (old.gpus, old.claim, old.profile)
    new = claimed(p for p in found.fleet if p.model != old.model)
    left = rooms(case.host, there, case.seen.others)
    assert all(size <= (left[card] or 0) or left[card] is None for card, size in new.items())


# by example


def names(found: Placements) -> list[str]:
    return [p.model for p in found.fleet]


def asked(*models: ModelSpec, on: Host, seen: Observation | None = None, **more: Any) -> Placements:
    return place(models, Request(tuple(m.name for m in models), **more), on, seen or Observation())


def test_those_of_higher_priority_are_placed_first() -> None:
    small = [spec(f"small{at}", gib=3, port=25001 + at) for at in range(3)]
    large = spec("large", gib=10).model_copy(update={"priority": 1})
    on = host(gpu(total=12))
    assert names(asked(*small, large.model_copy(update={"priority": 0}), on=on, partial=True)) == [
        *("small0", "small1", "small2"),
    ]
    assert names(asked(*small, large, on=on, partial=True)) == ["large"]


def test_pack_leaves_whole_cards_free_and_spread_loads_them_alike() -> None:
    models = [spec(f"m{at}", gib=4, port=25000 + at) for at in range(4)]
    on = host(*(gpu(f"GPU-{at}") for at in range(4)))
    assert len(claimed(asked(*models, on=on).fleet)) == 1
    assert len(claimed(asked(*models, on=on, strategy="spread").fleet)) == 4


def test_a_model_that_is_too_large_for_a_card_is_divided_over_equal_ones() -> None:
    entry = spec(gib=30, vllm={"tensor_parallel": [1, 2]})
    on = host(gpu("GPU-a"), gpu("GPU-b", total=20), gpu("GPU-c"))
    (p,) = asked(entry, on=on).fleet
    assert (p.gpus, p.profile.gpus) == (("GPU-a", "GPU-c"), 2)
    assert p.claim.total < 24 * GIB
    with pytest.raises(FitError, match="does not fit"):
        asked(entry, on=host(gpu("GPU-a"), gpu("GPU-b", total=20)))


def test_one_card_is_preferred_where_it_is_enough() -> None:
    entry = spec(gib=10, vllm={"tensor_parallel": [1, 2]})
    assert [len(p.gpus) for p in asked(entry, on=host(gpu("GPU-a"), gpu("GPU-b"))).fleet] == [1]
    assert [p.gpus for p in asked(entry, on=host(gpu("GPU-a"), gpu("GPU-b")), gpu="1,0").fleet] == [("GPU-a", "GPU-b")]


def test_unequal_cards_each_take_what_they_can() -> None:
    models = [spec("large", gib=30), spec("small", gib=9, port=25001)]
    found = {p.model: p.gpus for p in asked(*models, on=host(gpu("GPU-a", total=12), gpu("GPU-b", total=40))).fleet}
    assert found == {"large": ("GPU-b",), "small": ("GPU-a",)}


def test_what_others_hold_is_theirs_though_the_driver_calls_it_free() -> None:
    seen = Observation(others={"GPU-a": 20 * GIB})
    with pytest.raises(FitError, match=r"the GPU has 3\.75 GiB left"):
        asked(spec(gib=5), on=host(gpu()), seen=seen)
    assert asked(spec(gib=5), on=host(gpu(), gpu("GPU-b")), seen=seen).fleet[0].gpus == ("GPU-b",)


def test_what_the_driver_reserves_is_nobody_s() -> None:
    """An inventory file knows no free memory, so that the total alone has to be right."""
    card = replace(gpu(free=None), reserved=2 * GIB)
    with pytest.raises(FitError, match=r"the GPU has 21\.75 GiB left"):
        asked(spec(gib=22), on=host(card))


def test_a_slice_is_a_gpu_of_its_own_and_its_card_none() -> None:
    card = replace(gpu("GPU-a", total=80), usable=False, note="it is divided into MIG slices")
    slices = [replace(gpu(f"MIG-{at}", total=10), parent="GPU-a", index=f"0:{at}") for at in range(2)]
    models = [spec(f"m{at}", gib=6, port=25000 + at) for at in range(2)]
    found = asked(*models, on=host(card, *slices))
    assert sorted(p.gpus[0] for p in found.fleet) == ["MIG-0", "MIG-1"]
    with pytest.raises(FitError, match=r"any GPU has at most 9\.75 GiB left"):
        asked(spec(gib=20), on=host(card, *slices))
    with pytest.raises(RequestError, match="can't be used"):
        asked(spec(gib=6), on=host(card, *slices), gpu="GPU-a")
    with pytest.raises(RequestError, match="not alike"):
        asked(spec(gib=6, vllm={"tensor_parallel": [1, 2]}), on=host(card, *slices), gpu="0:0,0:1")


def test_unified_memory_is_taken_only_by_name_and_in_full() -> None:
    board: Gpu = gpu("GPU-a", None, None, "memory is shared with the CPU")
    entry = spec(gib=100, vllm={"max_num_seqs": 8})
    with pytest.raises(FitError) as caught:
        asked(entry, on=host(board))
    assert caught.value.where == "GPU GPU-a: memory is shared with the CPU"
    (p,) = asked(entry, on=host(board), gpu="0").fleet
    assert (p.gpus, p.profile) == (("GPU-a",), p.best)


def test_a_gpu_that_can_not_be_named_is_no_reason_to_leave_out_each_model() -> None:
    with pytest.raises(RequestError, match="there is no GPU '7' on here"):
        asked(spec(), on=host(gpu()), gpu="7", partial=True)


def test_a_smaller_profile_is_given_only_where_it_has_to_be() -> None:
    entry = spec(
        gib=5, architecture={"layers": 32, "kv_heads": 32}, vllm={"max_num_seqs": 8, "storages": ["16bit", "fp8"]}
    )
    (full,) = asked(entry, on=host(gpu(total=24))).fleet
    assert (full.profile, full.gain) == (full.best, "")
    (less,) = asked(entry, on=host(gpu(total=8))).fleet
    assert less.profile != less.best
    assert less.profile.storage == "16bit", "sequences give way before bits"
    assert " more would buy: " in less.gain
    (least,) = asked(entry, on=host(gpu(total=5))).fleet
    assert least.profile.storage == "fp8"


def test_models_that_fit_only_when_all_are_made_smaller_are_made_so() -> None:
    models = [
        spec(f"m{at}", gib=4, port=25000 + at, architecture={"layers": 32, "kv_heads": 32}, vllm={"max_num_seqs": 8})
        for at in range(3)
    ]
    found = asked(*models, on=host(gpu(total=17)))
    assert len(found.fleet) == 3
    assert any(p.profile.sequences < 8 for p in found.fleet)
