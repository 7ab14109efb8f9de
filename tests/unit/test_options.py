"""Which engines and devices a model may use, and why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.errors import FitError, OrchestratorError, RequestError
from orchestrator.inventory import GIB, Gpu, Host
from orchestrator.memory import measured
from orchestrator.plan.options import Measurements, Option, gain, refuse_unpinned
from orchestrator.plan.options import options as every_option
from orchestrator.plan.request import Mode, Request, check_project
from orchestrator.registry.spec import EngineName, ModelSpec
from tests.builders import gpu, host, spec

BOTH = spec(vllm={}, transformers={})
NOT_ALLOWED = {"report": {"allowed": False, "status": "not supported"}}
IMPOSSIBLE = {"possible": False, "problems": [{"text": "it dies", "source": "run"}]}


def options(
    entry: ModelSpec,
    request: Request,
    on: Host,
    keep: EngineName | None = None,
    known: Measurements | None = None,
) -> tuple[Option, ...]:
    return every_option(entry, request, on, keep, known or {})


def first(found: tuple[Option, ...]) -> list[Option]:
    """The best option of each engine and device."""
    return [o for at, o in enumerate(found) if (o.engine, o.device) not in {(p.engine, p.device) for p in found[:at]}]


def engines(entry: ModelSpec, mode: Mode = "auto", free: float = 24, keep: EngineName | None = None) -> list[str]:
    found = options(entry, Request((entry.name,), mode=mode), host(gpu(free=free)), keep)
    return [option.engine for option in first(found)]


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (BOTH, ["vllm", "transformers"]),
        (spec(vllm=NOT_ALLOWED, transformers={}), ["transformers"]),
        (spec(vllm=IMPOSSIBLE, transformers={}), ["transformers"]),
        (spec(vllm={}, transformers=NOT_ALLOWED), ["vllm"]),
    ],
)
def test_the_report_decides_what_is_automatic(entry: ModelSpec, found: list[str]) -> None:
    assert engines(entry) == found


def test_below_6_gb_transformers_comes_first() -> None:
    assert engines(BOTH, free=5.5) == ["transformers", "vllm"]
    assert engines(BOTH, free=5.6) == ["vllm", "transformers"]


def test_what_the_report_does_not_allow_runs_on_request_with_a_warning() -> None:
    entry = spec(vllm=NOT_ALLOWED, transformers={})
    found = options(entry, Request(("phi",), mode="vllm"), host(gpu()))
    assert {option.engine for option in found} == {"vllm"}
    assert all("the founding report does not allow vllm" in option.warnings[0] for option in found)


def test_a_report_that_does_not_know_the_model_is_not_quoted() -> None:
    entry = spec(vllm={"report": {"allowed": False}}, transformers={})
    assert engines(entry) == ["transformers"]
    found = options(entry, Request(("phi",), mode="vllm"), host(gpu()))
    assert found[0].warnings == ("phi: its entry leaves vllm to those who ask for it ('orchestrator models show phi')",)


def test_on_the_cpu_vllm_has_no_graphs_and_is_told_the_size_of_its_cache() -> None:
    """In blocks of 128 tokens, one of which it keeps empty: keys and values, 2 layers, 2 heads of 32, 2 bytes each."""
    entry = spec(vllm={"devices": ["cpu"], "max_num_seqs": 4, "max_model_len": 1000})
    (found,) = options(entry, Request(("phi",), mode="vllm"), host())
    assert (found.device, found.profile.graphs, found.best.graphs) == ("cpu", False, False)
    assert found.claim.total == 0
    assert found.claim.kv_cache == (4 * 1024 + 128) * 2 * 2 * 2 * 32 * 2


@pytest.mark.parametrize("entry", [BOTH, spec(vllm=NOT_ALLOWED, transformers={})])
def test_an_engine_that_is_in_use_stays(entry: ModelSpec) -> None:
    assert engines(entry, keep="vllm") == ["vllm"]


def test_an_engine_that_became_impossible_does_not_stay() -> None:
    assert engines(spec(vllm=IMPOSSIBLE, transformers={}), keep="vllm") == ["transformers"]


@pytest.mark.parametrize(
    ("entry", "mode", "words"),
    [
        (spec(), "vllm", "phi has no vllm entry"),
        (spec(vllm=IMPOSSIBLE, transformers={}), "vllm", "phi can't run on vllm: it dies"),
        (spec(vllm=NOT_ALLOWED), "auto", "phi has no engine that may be chosen"),
        (spec(vllm=IMPOSSIBLE), "auto", "phi has no engine that may be chosen"),
    ],
)
def test_what_can_never_be(entry: ModelSpec, mode: Mode, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        options(entry, Request(("phi",), mode=mode), host(gpu()))


def test_a_gpu_model_on_a_host_without_one() -> None:
    with pytest.raises(FitError, match="phi needs a GPU") as caught:
        options(spec(), Request(("phi",)), host())
    assert caught.value.where == "NVML: no driver"


def test_devices_in_the_entry_s_order() -> None:
    entry = spec(transformers={"devices": ["cpu", "gpu"]})
    assert [o.device for o in options(entry, Request(("phi",)), host(gpu()))] == ["cpu", "gpu"]
    assert [o.device for o in options(entry, Request(("phi",)), host())] == ["cpu"]
    assert [o.claim.total for o in options(entry, Request(("phi",)), host())] == [0]


def test_a_named_gpu_leaves_no_other_choice() -> None:
    entry = spec(transformers={"devices": ["cpu", "gpu"]})
    two = host(gpu("GPU-a"), gpu("GPU-b"))
    assert [(o.device, o.pinned) for o in options(entry, Request(("phi",), gpu="1"), two)] == [("gpu", ("GPU-b",))]
    assert [o.pinned for o in options(entry, Request(("phi",), gpu="GPU-a"), two)] == [("GPU-a",)]


@pytest.mark.parametrize("wanted", ["2", "-1", "GPU-z", "gpu-a", "0,2", "0 1"])
def test_a_gpu_that_does_not_exist(wanted: str) -> None:
    with pytest.raises(RequestError, match="there is no GPU") as caught:
        options(spec(), Request(("phi",), gpu=wanted), host(gpu("GPU-a"), gpu("GPU-b")))
    assert caught.value.hint == "GPUs here: 0 (GPU-a), 1 (GPU-b)"


def test_a_gpu_for_a_model_of_the_cpu() -> None:
    with pytest.raises(RequestError, match="does not run on a GPU"):
        options(spec(transformers={"devices": ["cpu"]}), Request(("phi",), gpu="0"), host(gpu()))


def test_unpinned_code_names_all_models() -> None:
    loose = {"remote_code": True}
    pinned = {"remote_code": True, "revision": "a" * 40}
    refuse_unpinned([spec(), spec("b", source=pinned), spec("c", source={**loose, "path": "/models/c"})])
    with pytest.raises(RequestError, match=r": b, d$"):
        refuse_unpinned([spec(), spec("b", source=loose), spec("d", source=loose)])


def test_a_report_below_the_bare_weights_is_told() -> None:
    entry = spec(gib=8, transformers={"report": {"allowed": True, "memory_gb": 4.5, "status": "tested"}})
    (option,) = options(entry, Request(("phi",)), host(gpu()))
    assert "4.5 GB for transformers is below the bare weights (8.59 GB)" in option.warnings[0]


@pytest.mark.parametrize("name", ["Upper", "-begins", "", "a b", "a" * 41, "dot.dot", "ümlaut", "a\n"])
def test_project_names_that_compose_would_change(name: str) -> None:
    with pytest.raises(OrchestratorError, match="can't be a project name"):
        check_project(name)


@pytest.mark.parametrize("models", [(), ("a", "b")])
def test_one_port_is_for_one_model(models: tuple[str, ...]) -> None:
    with pytest.raises(RequestError, match=f"{len(models)} were named"):
        Request(models, port=25000)


# profiles, groups, measurements

SEQUENCES = spec(gib=8, vllm={"max_num_seqs": 8, "max_model_len": 4096}, architecture={"layers": 32, "kv_heads": 32})
SHARED = spec(gib=8, vllm={"tensor_parallel": [1, 2, 4]})


def on_vllm(entry: ModelSpec, on: Host, known: Measurements | None = None, wanted: str = "") -> tuple[Option, ...]:
    return options(entry, Request((entry.name,), mode="vllm", gpu=wanted), on, known=known)


def test_each_option_claims_less_than_every_better_one() -> None:
    found = on_vllm(SEQUENCES, host(gpu()))
    assert len(found) > 4
    assert found[0].profile == found[0].best
    assert [o.value for o in found] == sorted((o.value for o in found), reverse=True)
    assert [o.claim.total for o in found] == sorted((o.claim.total for o in found), reverse=True)


def test_of_many_profiles_a_handful_is_offered_with_the_best_and_the_smallest() -> None:
    smallest = {"max_model_len": 300, "max_pixels": 784}
    entry = spec(
        images={"max_pixels": 784 * 256, "tokens": 256, "patches": 10**6},
        vllm={"max_num_seqs": 64, "storages": ["16bit", "fp8"], "smallest": smallest, "tensor_parallel": [1, 2]},
    )
    found = on_vllm(entry, host(gpu("GPU-a"), gpu("GPU-b")))
    for group in (1, 2):
        alike = [o for o in found if o.profile.gpus == group]
        assert 2 < len(alike) <= 13
        assert alike[0].profile == replace(alike[0].best, gpus=group)
        least = alike[-1].profile
        assert (least.sequences, least.storage, least.graphs) == (1, "fp8", False)


def test_groups_are_of_equal_cards_that_the_host_has() -> None:
    def groups(*cards: Gpu) -> set[int]:
        return {o.profile.gpus for o in on_vllm(SHARED, host(*cards))}

    assert groups(gpu("GPU-a")) == {1}
    assert groups(gpu("GPU-a"), gpu("GPU-b", total=16)) == {1}
    assert groups(gpu("GPU-a"), gpu("GPU-b"), gpu("GPU-c", total=16)) == {1, 2}
    assert groups(*(gpu(f"GPU-{at}") for at in range(5))) == {1, 2, 4}
    assert groups(gpu("GPU-a"), replace(gpu("GPU-b"), usable=False)) == {1}
    assert groups(replace(gpu("MIG-a"), parent="GPU-a"), replace(gpu("MIG-b"), parent="GPU-a")) == {1}


def test_named_gpus_are_the_whole_group() -> None:
    two = host(gpu("GPU-a"), gpu("GPU-b"), gpu("GPU-c", total=16))
    assert {(o.profile.gpus, o.pinned) for o in on_vllm(SHARED, two, wanted="0,1")} == {(2, ("GPU-a", "GPU-b"))}
    assert {(o.profile.gpus, o.pinned) for o in on_vllm(SHARED, two, wanted="GPU-c")} == {(1, ("GPU-c",))}
    with pytest.raises(RequestError, match="can't be divided over 2 GPUs that are not alike"):
        on_vllm(SHARED, two, wanted="0,2")
    with pytest.raises(RequestError, match=r"can't be divided over 2 GPUs$"):
        options(spec(), Request(("phi",), gpu="0,1"), two)


def test_a_model_that_is_always_divided() -> None:
    entry = spec(vllm={"tensor_parallel": [2]})
    with pytest.raises(FitError, match="divided over more equal GPUs than here has"):
        on_vllm(entry, host(gpu()))
    with pytest.raises(RequestError, match="needs more GPUs than one"):
        on_vllm(entry, host(gpu("GPU-a"), gpu("GPU-b")), wanted="0")


def test_gpus_that_can_not_be_used_are_none() -> None:
    with pytest.raises(FitError, match="needs a GPU, and here has none"):
        options(spec(), Request(("phi",)), host(replace(gpu(), usable=False, note="it fell off the bus")))


def test_a_measurement_takes_the_place_of_what_was_computed() -> None:
    computed = options(spec(), Request(("phi",)), host(gpu()))[0]
    key: tuple[str, EngineName, str] = ("phi", "transformers", str(computed.profile))
    assert options(spec(), Request(("phi",)), host(gpu()), known={key: 3 * GIB})[0].claim == measured(
        computed.claim, 3 * GIB
    )
    for other in (("psi", *key[1:]), ("phi", "vllm", key[2]), (*key[:2], "another profile")):
        assert options(spec(), Request(("phi",)), host(gpu()), known={other: 3 * GIB})[0] == computed


def test_a_measurement_above_the_next_better_profile_leaves_that_profile_out() -> None:
    found = on_vllm(SEQUENCES, host(gpu()))
    worse = found[1]
    known: Measurements = {("phi", "vllm", str(worse.profile)): found[0].claim.total}
    assert worse.profile not in [o.profile for o in on_vllm(SEQUENCES, host(gpu()), known)]


# what the next bit of memory would buy


def test_gain_names_the_cheapest_better_profile_that_gives_up_nothing() -> None:
    ways = on_vllm(SEQUENCES, host(gpu()))
    assert gain(ways[0], ways) == ""
    last = ways[-1]
    assert gain(last, ways).endswith("would buy: CUDA graphs")
    for way in ways[1:]:
        words = gain(way, ways)
        assert " more would buy: " in words
        assert "no CUDA graphs" not in words
        assert not any(f"{n} instead of {m} full" in words for n in range(9) for m in range(n + 1, 9))


def test_gain_may_be_another_engine() -> None:
    ways = options(spec(gib=4, vllm={}, transformers={}), Request(("phi",)), host(gpu()))
    chosen = next(way for way in ways if way.engine == "transformers")
    assert gain(chosen, ways).endswith(" more would run it on vllm")


def test_gain_is_nothing_on_the_cpu() -> None:
    entry = spec(transformers={"devices": ["gpu", "cpu"]})
    ways = options(entry, Request(("phi",)), host(gpu()))
    assert gain(ways[-1], ways) == ""


def test_an_old_vllm_that_counts_its_neighbours_is_told() -> None:
    entry = spec(vllm={"image": "vllm/vllm-openai:v0.9.0"})
    assert any("share no card with it" in warning for warning in on_vllm(entry, host(gpu()))[0].warnings)
    assert not any("share no card" in warning for warning in on_vllm(spec(vllm={}), host(gpu()))[0].warnings)


def test_fp8_only_where_every_card_can() -> None:
    entry = spec(vllm={"storages": ["16bit", "fp8"]})

    def storages(*capabilities: tuple[int, int] | None) -> set[str]:
        cards = (replace(gpu(f"GPU-{at}"), compute_capability=c) for at, c in enumerate(capabilities))
        return {o.profile.storage for o in on_vllm(entry, host(*cards))}

    assert storages((8, 0), (9, 0)) == storages(None) == {"16bit", "fp8"}
    assert storages((8, 0), (7, 5)) == {"16bit"}
