"""Findings from values: what a new driver, a tag or a card changes in them."""

from __future__ import annotations

import pytest

from orchestrator import traits
from orchestrator.checkup import host
from orchestrator.checkup.values import Finding, exit_code
from orchestrator.errors import OrchestratorError
from orchestrator.observation import Observation, PortHolder
from tests.builders import container, gpu, spec


@pytest.mark.parametrize(
    ("image", "cuda", "driver"),
    [
        ("vllm/vllm-openai:v0.33.0", (13, 0), (580,)),
        ("vllm/vllm-openai:v0.20.0", (13, 0), (580,)),
        ("vllm/vllm-openai:v0.19.1", (12,), (525,)),
        ("vllm/vllm-openai:v0.20.2-cu129", (12, 9), (525,)),
        ("vllm/vllm-openai:v0.19.1-cu130", (13, 0), (580,)),
        ("vllm/vllm-openai:v0.20.2-cu129-ubuntu2404", (12, 9), (525,)),
        ("registry:5000/vllm-cu118", (11, 8), (450, 80, 2)),
        ("vllm/vllm-openai:v0.9.0-cu118@sha256:" + "0" * 64, (11, 8), (450, 80, 2)),
        ("vllm/vllm-openai:latest", (), ()),
    ],
)
def test_the_cuda_of_an_image_and_the_driver_it_needs(
    image: str, cuda: tuple[int, ...], driver: tuple[int, ...]
) -> None:
    assert traits.vllm_cuda(image) == cuda
    assert traits.driver_for(cuda) == driver


def verdicts(version: str, *images: str) -> list[str]:
    models = [
        spec(f"m{i}", vllm={"image": image, "devices": ["gpu"]}, transformers={"devices": ["cpu"]})
        for i, image in enumerate(images)
    ]
    return [f.verdict for f in host.driver(version, models)]


@pytest.mark.parametrize(
    ("version", "found"),
    [("", []), ("580.65.06", ["ok"]), ("570.1", ["problem"]), ("450.1", ["problem", "problem"]), ("unknown", [])],
)
def test_each_image_that_a_driver_is_too_old_for(version: str, found: list[str]) -> None:
    assert verdicts(version, "vllm/vllm-openai:v0.33.0", "vllm/vllm-openai:v0.19.1", "own/image:latest") == found


def test_models_of_one_image_share_a_finding() -> None:
    models = [spec(name, vllm={"image": "vllm/vllm-openai:v0.33.0", "devices": ["gpu"]}) for name in ("a", "b")]
    (found,) = host.driver("550.1", models)
    assert found.where == "image of a, b"


def test_models_for_the_cpu_need_no_driver() -> None:
    models = [spec("a", transformers={"devices": ["cpu"]})]
    assert [f.verdict for f in host.driver("450.1", models)] == ["ok"]


def test_a_port_is_taken_by_others_only() -> None:
    ours = container("a", port=25000)
    models = {"a": spec("a", port=25000), "b": spec("b", port=25001)}
    held = (PortHolder(25000, "container a", ours.id), PortHolder(25001, "process nginx (pid 7)"))
    (found,) = host.ports(Observation((ours,), ports=held), models)
    assert found.detail == "25001, preferred by b on transformers, is taken by process nginx (pid 7)"
    (free,) = host.ports(Observation((ours,), ports=held[:1]), models)
    assert free.verdict == "ok"
    assert list(host.ports(Observation(), {})) == []


def test_a_runtime_is_missed_only_where_there_is_a_gpu() -> None:
    assert list(host.runtime((), ())) == []
    assert [f.verdict for f in host.runtime((gpu(),), ())] == ["problem"]


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([], 0),
        ([Finding("a", "note", "")], 0),
        ([Finding("a", "problem", "", ours=True)], OrchestratorError.exit_code),
        ([Finding("a", "problem", "", ours=True), Finding("b", "problem", "")], 4),
    ],
)
def test_exit_codes(found: list[Finding], code: int) -> None:
    assert exit_code(found) == code
