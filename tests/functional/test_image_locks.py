"""The locks of our images: one per family and variant, with one PyTorch, and one that every entry finds."""

from __future__ import annotations

import re

import pytest

from orchestrator import __version__, traits
from orchestrator.adapters.image_builder import ComposeBuilder, pins
from orchestrator.adapters.package import templates
from orchestrator.adapters.registry_files import load_registry
from orchestrator.plan.images import VLLM_CPU, built_image

IMAGES = templates() / "images"
#: what a family is there for: its version of transformers
FAMILIES = {"tf448": "4.48.3", "tf451": "4.51.3", "tf457": "4.57.6", "tf5": "5.23.0"}
VARIANTS = ("cpu", "cuda")
#: an entry goes from its name to the first line that is not continued
ENTRY = re.compile(r"^[a-z0-9].*?[^\\]$", re.MULTILINE | re.DOTALL)


def text(name: str) -> str:
    (found,) = IMAGES.glob(f"*/requirements/{name}")
    return found.read_text(encoding="utf-8")


def entries(name: str) -> dict[str, str]:
    """What a lock says of each package, hashes included."""
    return {entry.split("==")[0]: entry for entry in ENTRY.findall(text(name))}


def torch_names() -> re.Pattern[str]:
    """The packages that the Dockerfile installs in the layer of PyTorch."""
    common = (IMAGES / "pytorch.Dockerfile").read_text(encoding="utf-8")
    found = re.search(r'^ARG TORCH="([^"]+)"$', common, re.MULTILINE)
    assert found
    return re.compile(found[1])


def test_every_family_has_both_variants() -> None:
    built = {image.name for image in ComposeBuilder().buildable()}
    assert built == {*(f"{family}-{variant}" for family in FAMILIES for variant in VARIANTS), VLLM_CPU}


@pytest.mark.parametrize("variant", VARIANTS)
def test_pytorch_and_what_it_needs_are_the_same_in_all(variant: str) -> None:
    names = torch_names()
    locks = [*(f"{family}-{variant}" for family in FAMILIES), *([VLLM_CPU] if variant == "cpu" else [])]
    parts = [{name: entry for name, entry in entries(f"{lock}.txt").items() if names.fullmatch(name)} for lock in locks]
    assert "torch" in parts[0]
    assert all(part == parts[0] for part in parts), "run .ci/lock-images"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_lock_pins_its_transformers_and_hashes_everything(family: str, variant: str) -> None:
    found = entries(f"{family}-{variant}.txt")
    pinned = dict(pins(text(f"{family}-{variant}.txt")))
    assert pinned.keys() == found.keys()
    assert pinned["transformers"] == FAMILIES[family]
    assert pinned["torch"] == ("2.13.0+cpu" if variant == "cpu" else "2.13.0")
    assert all("--hash=sha256:" in entry for entry in found.values())
    assert "torchvision" not in pinned, "the index has it for CUDA only"
    wanted = re.findall(r"^[a-z][a-z0-9-]*", text(f"{family}.in") + text("server.in"), re.MULTILINE)
    assert set(wanted) <= pinned.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_variants_of_a_family_differ_in_pytorch_alone(family: str) -> None:
    names = torch_names()
    cpu, cuda = (
        {name: entry for name, entry in entries(f"{family}-{variant}.txt").items() if not names.fullmatch(name)}
        for variant in VARIANTS
    )
    assert cpu == cuda


def test_every_model_has_its_image() -> None:
    buildable = set(ComposeBuilder().buildable())
    named = {engine.image_family for spec in load_registry().models.values() if (engine := spec.engines.transformers)}
    assert named == set(FAMILIES)
    ours = {built_image(f"{family}-{variant}") for family in named for variant in VARIANTS}
    assert buildable == {*ours, built_image(VLLM_CPU)}


def test_the_image_with_vllm_is_tagged_with_what_is_in_it() -> None:
    pinned = dict(pins(text("vllm-cpu.txt")))
    assert pinned["vllm-cpu"] == traits.VLLM_CPU_BUILD
    reference = built_image(VLLM_CPU).reference
    assert traits.image_version(reference) == traits.version(traits.VLLM_CPU_BUILD)
    assert __version__ in reference
    assert all("--hash=sha256:" in entry for entry in entries("vllm-cpu.txt").values())
    assert not {"triton", "torchaudio", "torchcodec"} & pinned.keys(), "not needed, and a gigabyte"


def test_every_image_has_sources_of_its_own() -> None:
    builder = ComposeBuilder()
    sources = [builder.source(image) for image in builder.buildable()]
    assert len(set(sources)) == len(sources) == 9
    assert builder.source(built_image("tf9-cpu")) == ""
