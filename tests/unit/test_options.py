"""Which engines and devices a model may use, and why not."""

from __future__ import annotations

import pytest

from orchestrator.errors import FitError, OrchestratorError, RequestError
from orchestrator.inventory import Host
from orchestrator.plan.options import Measurements, Option, refuse_unpinned
from orchestrator.plan.options import options as every_option
from orchestrator.plan.request import Mode, Request, check_project
from orchestrator.registry.spec import EngineName, ModelSpec
from tests.builders import gpu, host, spec

BOTH = spec(vllm={}, transformers={})
NOT_ALLOWED = {"report": {"allowed": False}}
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
