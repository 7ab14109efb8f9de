"""Which image serves a model, and of which a registry has to be asked."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from orchestrator import traits
from orchestrator.observation import Image as LocalImage
from orchestrator.observation import Observation
from orchestrator.plan.images import VLLM_CPU, Image, built_image, choose, images_of, in_question
from orchestrator.plan.request import Mode, Request
from orchestrator.registry.spec import ModelSpec
from tests.builders import container, spec

OFFICIAL, OURS = traits.VLLM_CPU_IMAGE, built_image(VLLM_CPU).reference
BOTH = (Image(OFFICIAL), built_image(VLLM_CPU))
CPU = spec(vllm={"devices": ["cpu"]}, transformers={})
NOT_BY_ITSELF = spec(vllm={"devices": ["cpu"], "report": {"allowed": False}}, transformers={})


def observed(*present: str, unreachable: str = "", used: str = "") -> Observation:
    containers = (container(engine="vllm", image=used),) if used else ()
    images = MappingProxyType({reference: LocalImage(f"sha256:{reference}") for reference in present})
    return Observation(containers, images=images, unreachable=frozenset(filter(None, [unreachable])))


@pytest.mark.parametrize(
    ("entry", "device", "references"),
    [
        (spec(vllm={}), "gpu", ["vllm/vllm-openai:v0.33.0"]),
        (CPU, "cpu", [OFFICIAL, OURS]),
        (spec(vllm={"devices": ["cpu"], "cpu_image": "mine/vllm:1"}), "cpu", ["mine/vllm:1"]),
    ],
)
def test_the_images_that_can_serve_on_vllm(entry: ModelSpec, device: str, references: list[str]) -> None:
    engine = entry.engine("vllm")
    assert engine
    assert [image.reference for image in images_of(engine, device)] == references


@pytest.mark.parametrize(
    ("used", "seen", "chosen"),
    [
        ("", observed(), OFFICIAL),
        ("", observed(unreachable=OFFICIAL), OURS),
        ("", observed(OURS), OURS),
        ("", observed(OURS, OFFICIAL), OFFICIAL),
        ("", observed(OFFICIAL, unreachable=OFFICIAL), OFFICIAL),
        (OURS, observed(OURS, OFFICIAL), OURS),
        (OURS, observed(), OURS),
        ("orchestrator/vllm:of-an-earlier-version", observed(OFFICIAL), OFFICIAL),
    ],
)
def test_the_official_image_comes_first_but_what_runs_stays(used: str, seen: Observation, chosen: str) -> None:
    assert choose(BOTH, used, seen).reference == chosen


def test_the_only_image_is_chosen_whatever_a_registry_says() -> None:
    assert choose((Image("mine/vllm:1"),), "", observed(unreachable="mine/vllm:1")).reference == "mine/vllm:1"


@pytest.mark.parametrize(
    ("entry", "mode", "seen", "asked"),
    [
        (CPU, "vllm", observed(), (OFFICIAL,)),
        (CPU, "auto", observed(), (OFFICIAL,)),
        (CPU, "transformers", observed(), ()),
        (CPU, "vllm", observed(OFFICIAL), ()),
        (CPU, "vllm", observed(OURS), ()),
        (CPU, "vllm", observed(used=OURS), ()),
        (CPU, "vllm", observed(used=OFFICIAL), ()),
        (CPU, "vllm", observed(used="orchestrator/vllm:of-an-earlier-version"), (OFFICIAL,)),
        (NOT_BY_ITSELF, "auto", observed(), ()),
        (NOT_BY_ITSELF, "auto", observed(used="orchestrator/vllm:of-an-earlier-version"), (OFFICIAL,)),
        (spec(vllm={"devices": ["cpu"], "cpu_image": "mine/vllm:1"}), "vllm", observed(), ()),
        (spec(vllm={}), "vllm", observed(), ()),
        (spec(), "vllm", observed(), ()),
    ],
)
def test_a_registry_is_asked_only_where_its_answer_decides(
    entry: ModelSpec, mode: Mode, seen: Observation, asked: tuple[str, ...]
) -> None:
    assert in_question([entry], Request(("phi",), mode=mode), seen) == asked
