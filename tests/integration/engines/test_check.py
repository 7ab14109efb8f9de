"""``models check`` asks the real engines in their real images: the truth of all pairs that can be asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.cli import Cli
from tests.integration.engine import Engine
from tests.integration.images import FAMILIES

#: (model, engine) to what the engine says and the verdict; the founding report's eight models
TRUTH = {
    ("dots-ocr", "vllm"): ("listed", "agrees"),
    ("dots-ocr", "transformers"): ("remote code", "agrees"),
    ("got-ocr2", "vllm"): ("not listed", "agrees"),
    ("got-ocr2", "transformers"): ("native", "agrees"),
    ("internvl2-2b", "vllm"): ("listed", "contradicts the report"),
    ("internvl2-2b", "transformers"): ("remote code", "agrees"),
    ("moondream2", "vllm"): ("listed as Moondream3ForCausalLM", "trap"),
    ("moondream2", "transformers"): ("remote code", "agrees"),
    ("phi-3-5-vision", "vllm"): ("listed", "agrees"),
    ("phi-3-5-vision", "transformers"): ("remote code", "agrees"),
    ("phi-3-vision", "vllm"): ("listed", "contradicts the report"),
    ("phi-3-vision", "transformers"): ("remote code", "agrees"),
    ("qwen2-vl-2b", "vllm"): ("listed", "agrees"),
    ("qwen2-vl-2b", "transformers"): ("native", "agrees"),
    ("qwen2-vl-7b", "vllm"): ("listed", "agrees"),
    ("qwen2-vl-7b", "transformers"): ("native", "agrees"),
}


def checked(cli: Cli) -> dict[tuple[str, str], dict[str, Any]]:
    """What can be asked, but for the demo."""
    pairs = json.loads(cli.run("models", "check", "--json", timeout=900).out)["pairs"]
    return {(p["model"], p["engine"]): p for p in pairs if p["verdict"] != "not asked" and p["model"] != "demo"}


def said(pairs: dict[tuple[str, str], dict[str, Any]]) -> dict[tuple[str, str], tuple[str, str]]:
    return {pair: (found["says"], found["verdict"]) for pair, found in pairs.items()}


def test_the_truth_of_the_pairs_whose_images_are_here(
    engine: Engine, cli: Cli, cpu_image: str, old_image: str, vllm_image: str
) -> None:
    before = engine.objects()
    pairs = checked(cli)
    assert engine.objects() == before
    asked = {found["asked"]["image"] for found in pairs.values()}
    assert {cpu_image, old_image, vllm_image} <= asked
    assert said(pairs).items() <= TRUTH.items()
    assert len([engine for _, engine in pairs if engine == "vllm"]) == 8
    versions = {found["asked"]["image"]: found["asked"]["version"] for found in pairs.values()}
    assert f":v{versions[vllm_image]}-" in vllm_image
    shown = cli.run("models", "show", "internvl2-2b").out
    assert f"  asked: listed by vLLM {versions[vllm_image]}, image {vllm_image} sha256:" in shown


@pytest.mark.every_family
def test_the_truth_of_all_pairs(cli: Cli, vllm_image: str, image_of: Callable[[str], str]) -> None:
    for family in FAMILIES:
        image_of(f"{family}-cpu")
    assert said(checked(cli)) == TRUTH


def test_an_image_without_the_engine_is_told(cli: Cli) -> None:
    cli.entry("stub", port=24520)  # its image has Python, and neither Transformers nor our server
    failed = cli.run("models", "check", "stub", code=1)
    assert "failed: stub: a script in " in failed.out
    assert "No module named 'transformers'" in failed.out
