"""Placement: nothing over-committed, what runs untouched, the same answer in any order, all or nothing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import FitError, RequestError
from orchestrator.inventory import GIB, Gpu, Host, gib
from orchestrator.memory import claim, context_size
from orchestrator.observation import Container, Observation, PortHolder
from orchestrator.plan.assignment import MARGIN
from orchestrator.plan.placement import Placement, place
from orchestrator.plan.request import Mode, Request
from orchestrator.profile import Profile
from orchestrator.registry.spec import EngineName, ModelSpec
from tests.builders import PROFILE, container, gpu, host, spec

EMPTY = Observation()
TWO = host(gpu("GPU-a"), gpu("GPU-b"))


def placed(
    *entries: ModelSpec,
    on: Host = TWO,
    seen: Observation = EMPTY,
    mode: Mode = "auto",
    wanted: str = "",
    port: int = 0,
    move: bool = True,
    address: str = "",
    api_key: bool | None = None,
) -> dict[str, Placement]:
    names = tuple(entry.name for entry in entries)
    request = Request(names, mode=mode, gpu=wanted, port=port, move_ports=move, address=address, api_key=api_key)
    return {p.model: p for p in place(entries, request, on, seen).items}


def size(entry: ModelSpec, engine: EngineName = "transformers", profile: Profile = PROFILE) -> int:
    """Bytes that the entry claims of a small card."""
    return claim(entry, engine, profile, context_size(())).total


def running(entry: ModelSpec, **changes: Any) -> Container:
    """A container that serves the entry on GPU-a as the plan would have it."""
    engine = changes.pop("engine", "transformers")
    asked = str(PROFILE)
    values = {"gpus": ("GPU-a",), "claim": size(entry, engine), "port": 25000, "profile": asked, "best": asked}
    return container(entry.name, engine, **{**values, **changes})


def seen(*containers: Container) -> Observation:
    return Observation(containers, ports=tuple(PortHolder(c.port, f"container {c.name}", c.id) for c in containers))


SIZES = st.floats(0.5, 30)


@st.composite
def hosts(draw: st.DrawFn) -> Host:
    cards = []
    for at in range(draw(st.integers(1, 3))):
        total = draw(st.floats(4, 80))
        cards.append(gpu(f"GPU-{at}", total, draw(st.one_of(st.none(), st.floats(0, total)))))
    return host(*cards)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[tuple[ModelSpec, ...], Host, Observation]:
    """Some models on a host where other projects' containers and some of the models themselves run already."""
    entries = tuple(
        spec(f"m{at}", gib=weights, port=25000 + at, vllm={} if draw(st.booleans()) else None, transformers={})
        for at, weights in enumerate(draw(st.lists(SIZES, min_size=1, max_size=4)))
    )
    machine = draw(hosts())
    left = {g.id: min(b for b in (g.total, g.free) if b is not None) for g in machine.gpus}
    there = []
    for at, other in enumerate(draw(st.lists(st.integers(GIB // 10, 10 * GIB), max_size=3))):
        card = draw(st.sampled_from(machine.gpus)).id
        if other <= left[card]:
            left[card] -= other
            there.append(container(f"x{at}", project="other", gpus=(card,), claim=other, port=26000 + at))
    for entry in entries:
        card = draw(st.sampled_from(machine.gpus)).id
        if draw(st.booleans()) and size(entry) <= left[card]:
            left[card] -= size(entry)
            there.append(running(entry, gpus=(card,), port=entry.engines.transformers.port))  # type: ignore[union-attr]
    return entries, machine, seen(*there)


@given(fleets())
def test_nothing_is_over_committed_and_what_runs_is_untouched(
    world: tuple[tuple[ModelSpec, ...], Host, Observation],
) -> None:
    entries, machine, observation = world
    try:
        found = placed(*entries, on=machine, seen=observation)
    except FitError:
        return
    there = {c.model: c for c in observation.containers}
    new: dict[str, int] = defaultdict(int)
    for name, p in found.items():
        if name in there:
            assert (p.engine, p.gpus, p.port) == (there[name].engine, there[name].gpus, there[name].port)
        else:
            new[p.gpus[0]] += p.claim.total
    for card in machine.gpus:
        old = sum(c.claim for c in observation.containers if card.id in c.gpus)
        assert card.total is not None
        if new[card.id]:
            assert old + new[card.id] + MARGIN <= card.total
            assert card.free is None or new[card.id] + MARGIN <= card.free


@given(fleets())
def test_the_order_of_the_request_does_not_matter(world: tuple[tuple[ModelSpec, ...], Host, Observation]) -> None:
    entries, machine, observation = world

    def answer(order: tuple[ModelSpec, ...]) -> object:
        try:
            return placed(*order, on=machine, seen=observation)
        except FitError as error:
            return sorted(error.what.splitlines())

    assert answer(entries) == answer(tuple(reversed(entries)))


def test_the_fullest_gpu_that_still_has_room_is_taken() -> None:
    assert placed(spec(gib=4), on=host(gpu("GPU-a"), gpu("GPU-b", free=6)))["phi"].gpus == ("GPU-b",)


def test_several_go_to_one_gpu_until_it_is_full() -> None:
    entries = [spec(f"m{at}", gib=7, port=25000 + at) for at in range(6)]
    found = placed(*entries)
    assert sorted(p.gpus[0] for p in found.values()) == ["GPU-a"] * 3 + ["GPU-b"] * 3


def test_all_or_nothing() -> None:
    entries = [spec("small", gib=1), spec("huge", gib=30, port=25001), spec("vast", gib=40, port=25002)]
    with pytest.raises(FitError, match="2 models do not fit") as caught:
        placed(*entries)
    assert "huge does not fit on here: at its smallest it claims 3" in caught.value.what
    assert "vast does not fit" in caught.value.what
    assert "small does" not in caught.value.what


def test_what_is_missing_is_told() -> None:
    entry = spec(gib=10)
    missing = gib(size(entry) + MARGIN - 8 * GIB)
    with pytest.raises(FitError, match=rf"the GPU has 7\.75 GiB left: {missing} are missing"):
        placed(entry, on=host(gpu(total=8)))
    with pytest.raises(FitError, match=rf"any GPU has at most 7\.75 GiB left: {missing} are missing"):
        placed(entry, on=host(gpu("GPU-a", total=8), gpu("GPU-b", total=6)))


def test_a_smaller_engine_is_taken_where_the_preferred_one_does_not_fit() -> None:
    entry = spec(gib=10, vllm={}, transformers={"storages": ["int8"]})
    assert placed(entry, on=host(gpu(total=24)))["phi"].engine == "vllm"
    assert placed(entry, on=host(gpu(total=8)))["phi"].engine == "transformers"


def test_models_that_fit_only_with_the_smaller_engine_share() -> None:
    entries = [spec(f"m{at}", gib=8, port=25000 + at, vllm={}, transformers={"storages": ["int8"]}) for at in range(3)]
    found = placed(*entries, on=host(gpu(total=22)))
    assert sorted(p.engine for p in found.values()) == ["transformers", "transformers", "vllm"]


def test_the_named_gpu_is_taken_or_refused() -> None:
    on = host(gpu("GPU-a"), gpu("GPU-b", total=8))
    assert placed(spec(gib=4), on=on, wanted="0")["phi"].gpus == ("GPU-a",)
    with pytest.raises(FitError, match=r"GPU GPU-b has 7\.75 GiB left"):
        placed(spec(gib=10), on=on, wanted="1")


@pytest.mark.parametrize("card", [gpu(total=None, free=None, note="its memory can't be read: N/A")])
def test_memory_that_can_not_be_read_takes_an_explicit_gpu(card: Gpu) -> None:
    with pytest.raises(FitError, match="nobody tells what the GPU has left") as caught:
        placed(spec(), on=host(card))
    assert "its memory can't be read: N/A" in caught.value.where
    assert "--gpu" in caught.value.hint
    assert placed(spec(), on=host(card), wanted="0")["phi"].gpus == ("GPU-a",)


def test_what_runs_stays_though_its_gpu_is_full() -> None:
    entry = spec(gib=10, vllm={}, transformers={})
    found = placed(entry, on=host(gpu(free=0.1), gpu("GPU-b")), seen=seen(running(entry, port=25007)))["phi"]
    assert (found.engine, found.gpus, found.port, found.warnings) == ("transformers", ("GPU-a",), 25007, ())


def test_what_runs_on_an_engine_that_was_asked_for_stays_there() -> None:
    entry = spec(gib=10, vllm={"report": {"allowed": False}}, transformers={})
    old = running(entry, engine="vllm", claim=30 * GIB)
    assert placed(entry, on=host(gpu(free=1)), seen=seen(old))["phi"].engine == "vllm"


def test_what_runs_on_an_engine_that_became_impossible_frees_nothing() -> None:
    impossible = {"possible": False}
    old = running(spec(vllm={}), engine="vllm", claim=20 * GIB)
    with pytest.raises(FitError, match="does not fit"):
        placed(spec(gib=10, vllm=impossible, transformers={}), on=host(gpu(free=4)), seen=seen(old))


def test_the_other_engine_by_request_is_placed_beside_what_runs() -> None:
    entry = spec(gib=10, vllm={}, transformers={})
    found = placed(entry, on=host(gpu(), gpu("GPU-b")), seen=seen(running(entry)), mode="vllm")["phi"]
    assert (found.engine, found.gpus) == ("vllm", ("GPU-a",))
    with pytest.raises(FitError, match="does not fit"):
        placed(entry, on=host(gpu(total=20)), seen=seen(running(entry)), mode="vllm")


def test_an_entry_that_asks_for_something_else_is_replaced_where_it_is() -> None:
    longer = spec(gib=10, transformers={"max_model_len": 4096})
    found = placed(longer, on=host(gpu("GPU-a"), gpu("GPU-b", free=12)), seen=seen(running(spec(gib=10))))["phi"]
    assert (found.gpus, found.profile.context) == (("GPU-a",), 4096)


def test_a_label_of_an_older_version_names_no_profile_and_the_gpu_stays() -> None:
    old = running(spec(gib=10), profile="", best="")
    found = placed(spec(gib=10), on=host(gpu("GPU-a"), gpu("GPU-b", free=12)), seen=seen(old))["phi"]
    assert (found.gpus, found.profile) == (("GPU-a",), PROFILE)


def test_a_stopped_container_starts_again_with_the_profile_that_it_had() -> None:
    entry = spec(gib=10, vllm={"max_num_seqs": 8}, architecture={"layers": 32, "kv_heads": 32})
    fewer = Profile(2048, 2, None, "16bit")
    old = running(
        entry,
        engine="vllm",
        state="exited",
        claim=size(entry, "vllm", fewer),
        profile=str(fewer),
        best=str(Profile(2048, 8, None, "16bit")),
    )
    assert placed(entry, seen=Observation((old,)))["phi"].profile == fewer
    with pytest.raises(FitError, match="does not fit"):
        placed(entry, on=host(gpu(free=8)), seen=Observation((old,)))


def test_a_stopped_container_gives_way_where_its_gpu_has_filled_up() -> None:
    entry = spec("a")
    stopped = running(entry, state="exited", health="", gate=None)
    free = placed(entry, on=host(gpu("GPU-a"), gpu("GPU-b", free=20)), seen=seen(stopped))["a"]
    assert free.gpus == ("GPU-a",)
    full = placed(entry, on=host(gpu("GPU-a", free=0.5), gpu("GPU-b")), seen=seen(stopped))["a"]
    assert (full.gpus, full.profile) == (("GPU-b",), PROFILE)


def test_a_claim_that_has_grown_counts_what_the_old_container_frees() -> None:
    entry = spec(gib=15)
    old = running(entry, claim=10 * GIB, best=str(Profile(1024, 1, None, "16bit")))
    assert placed(entry, on=host(gpu(free=13)), seen=seen(old))["phi"].gpus == ("GPU-a",)
    with pytest.raises(FitError):
        placed(entry, on=host(gpu(free=3)), seen=seen(old))


def test_a_claim_that_has_grown_takes_nothing_from_strangers() -> None:
    """The old container has not used all of its claim, so that it gives back less than that."""
    entry = spec(gib=19)
    old = running(entry, claim=10 * GIB, best=str(Profile(1024, 1, None, "16bit")))
    uses, strangers = 8, 5
    card = gpu(total=24, free=24 - uses - strangers)
    with pytest.raises(FitError, match=r"has 18\.75 GiB left"):
        placed(entry, on=host(card), seen=replace(seen(old), others={card.id: strangers * GIB}))
    assert placed(entry, on=host(gpu(total=24, free=24 - uses)), seen=seen(old))["phi"].gpus == ("GPU-a",)


def test_an_entry_that_asks_for_the_same_keeps_the_claim_that_it_was_started_with() -> None:
    entry = spec(gib=15)
    for started_with in (10 * GIB, 20 * GIB):
        found = placed(entry, on=host(gpu(free=1)), seen=seen(running(entry, claim=started_with)))["phi"]
        assert found.claim.total == started_with
        assert found.claim.kv_cache == claim(entry, "transformers", PROFILE, GIB).kv_cache


def test_another_gpu_by_request_moves_what_runs() -> None:
    entry = spec(gib=10)
    assert placed(entry, seen=seen(running(entry)), wanted="1")["phi"].gpus == ("GPU-b",)


def test_a_gpu_that_was_taken_out_is_replaced() -> None:
    entry = spec(gib=10)
    assert placed(entry, on=host(gpu("GPU-b")), seen=seen(running(entry)))["phi"].gpus == ("GPU-b",)


def test_a_container_of_the_cpu_stays_on_it() -> None:
    entry = spec(transformers={"devices": ["gpu", "cpu"]})
    assert placed(entry, seen=seen(running(entry, gpus=(), claim=0)))["phi"].device == "cpu"


def test_claims_count_before_memory_is_used() -> None:
    other = container("other", project="another", gpus=("GPU-a",), claim=20 * GIB)
    with pytest.raises(FitError, match=r"has 3\.75 GiB left"):
        placed(spec(gib=5), on=host(gpu()), seen=seen(replace(other, port=26000)))


def test_a_stopped_container_claims_nothing() -> None:
    other = container("other", project="another", gpus=("GPU-a",), claim=20 * GIB, state="exited", port=26000)
    assert placed(spec(gib=5), on=host(gpu()), seen=Observation((other,)))["phi"].gpus == ("GPU-a",)


def test_a_port_by_request_moves_what_runs_and_is_checked() -> None:
    entry = spec()
    assert placed(entry, seen=seen(running(entry)), port=25010)["phi"].port == 25010
    with pytest.raises(RequestError, match="ephemeral"):
        placed(entry, port=40000)


def test_a_taken_port_moves_with_a_warning_or_is_an_error() -> None:
    taken = Observation(ports=(PortHolder(25000, "process nginx (pid 7)"),))
    found = placed(spec(), seen=taken)["phi"]
    assert found.port == 25001
    assert found.warnings == ("phi: port 25000 is taken by process nginx (pid 7), so it gets 25001",)
    with pytest.raises(FitError, match=r"taken by process nginx \(pid 7\)"):
        placed(spec(), seen=taken, move=False)


@pytest.mark.parametrize(
    ("address", "asked", "key"),
    [
        ("", None, False),
        ("", True, True),
        ("127.0.0.1", False, False),
        ("127.9.9.9", None, False),
        ("0.0.0.0", None, True),
        ("192.168.1.7", True, True),
    ],
)
def test_beyond_loopback_callers_need_a_key(address: str, asked: bool | None, key: bool) -> None:
    found = placed(spec(), address=address, api_key=asked)["phi"]
    assert (found.address, found.key) == (address or "127.0.0.1", key)
    assert found.warnings == ()


def test_no_key_beyond_loopback_is_refused() -> None:
    entry = spec()
    with pytest.raises(RequestError, match=r"phi is published on 0\.0\.0\.0, and that needs an API key"):
        placed(entry, address="0.0.0.0", api_key=False)
    with pytest.raises(RequestError, match="needs an API key"):
        placed(entry, seen=seen(running(entry, address="0.0.0.0", key_file="/k")), api_key=False)


@pytest.mark.parametrize(
    "text", ["localhost", "0.0.0", "::1", "010.0.0.1", "10.0.0.1/8", "224.0.0.1", " 10.0.0.1", "x"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="can't be published on") as caught:
        placed(spec(), address=text)
    assert "0.0.0.0" in caught.value.hint


@pytest.mark.parametrize("state", ["running", "exited"])
def test_what_there_is_keeps_its_address_and_its_key(state: str) -> None:
    entry = spec()
    there = running(entry, address="10.0.0.1", key_file="/k", state=state)
    kept = placed(entry, seen=seen(there))["phi"]
    assert (kept.address, kept.key) == ("10.0.0.1", True)
    back = placed(entry, seen=seen(there), address="127.0.0.1")["phi"]
    assert (back.address, back.key) == ("127.0.0.1", True), "the key stays until it is given up by name"
    bare = placed(entry, seen=seen(there), address="127.0.0.1", api_key=False)["phi"]
    assert (bare.address, bare.key) == ("127.0.0.1", False)


def test_a_container_on_another_engine_does_not_inherit_the_address() -> None:
    entry = spec(vllm={}, transformers={})
    there = running(entry, address="0.0.0.0", key_file="/k")
    found = placed(entry, seen=seen(there), mode="vllm")["phi"]
    assert (found.address, found.key) == ("127.0.0.1", False)


def test_vllm_beyond_loopback_is_warned_of() -> None:
    entry = spec(vllm={})
    (warning,) = placed(entry, mode="vllm", address="0.0.0.0")["phi"].warnings
    assert warning.startswith("phi: vLLM answers /invocations, /tokenize and /metrics without the API key")
    assert placed(entry, mode="vllm", api_key=True)["phi"].warnings == ()


def test_unpinned_code_needs_consent() -> None:
    entry = spec(source={"remote_code": True})
    with pytest.raises(RequestError, match="no revision of it is pinned: phi"):
        placed(entry)
    (found,) = place([entry], Request(("phi",), allow_unpinned=True), TWO, EMPTY).items
    assert "runs the newest code of owner/phi" in found.warnings[0]


def test_a_partial_plan_takes_the_small_ones_and_says_what_is_left() -> None:
    entries = [
        spec("small", gib=4),
        spec("large", gib=20, port=25001),
        spec("vast", gib=40, port=25002),
        spec("other", port=25003, vllm={"possible": False}),
    ]
    found = place(entries, Request(tuple(e.name for e in entries), partial=True), host(gpu()), EMPTY)
    assert {p.model: p.fleet for p in found.items} == {"small": True, "large": False}
    assert [error.what.split(" does ")[0].split(" has ")[0] for error in found.omitted] == ["other", "vast"]


def test_a_partial_plan_on_a_host_without_gpus() -> None:
    entries = [spec("a", transformers={"devices": ["cpu"]}), spec("b", port=25001)]
    found = place(entries, Request(("a", "b"), partial=True), host(), EMPTY)
    assert [p.model for p in found.items] == ["a"]
    assert [error.what for error in found.omitted] == ["b needs a GPU, and here has none that can be used"]


def test_names_and_ids() -> None:
    p = placed(spec(), on=host(gpu()))["phi"]
    assert (p.service, p.container, p.gpus, p.address) == (
        "phi-transformers",
        "orchestrator-phi-transformers",
        ("GPU-a",),
        "127.0.0.1",
    )
