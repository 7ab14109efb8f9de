"""In each family's own image: our answers beside the published way of asking, and its weights in 8 and 4 bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine import Engine
from tests.integration.engines.families import FAMILIES, MAKERS, Family
from tests.integration.images import needs

#: family, how it is stored, by what, and the parts that stay in 16 bit: as the registry's entries have it, and 4 bit
STORED = (
    ("qwen2-vl", "int8", "bitsandbytes", ()),
    ("got-ocr2", "int8", "bitsandbytes", ("vision", "projector")),
    ("dots-ocr", "int8", "bitsandbytes", ()),
    ("phi3-vision", "int8", "bitsandbytes", ("vision", "projector")),
    ("internvl2", "int8", "bitsandbytes", ()),
    ("internvl2", "nf4", "bitsandbytes", ()),
    ("moondream2", "int8", "torchao", ()),
)
#: What may be lost of the answer's numbers, as a share: these models are tiny and random. Seen: 0.02 to 0.07, and 0.40.
LOST = {"int8": 0.1, "nf4": 0.6}
BY_NAME = {family.name: family for family in FAMILIES}


@pytest.fixture(scope="module")
def tiny(
    engine: Engine, image_of: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Family], Path]:
    """Gives the folder that holds a family's tiny model as ``tiny``, made at the first call."""
    made: dict[str, Path] = {}

    def folder(family: Family) -> Path:
        if family.name not in made:
            made[family.name] = family.make(
                engine, image_of(f"{family.image}-cpu"), tmp_path_factory.mktemp(family.maker)
            )
        return made[family.name]

    return folder


def told(engine: Engine, image: str, weights: Path, script: str, *arguments: str) -> dict[str, Any]:
    """The last line that a script of ours prints in an image, as JSON."""
    run = ("docker", "run", "--rm", "--network", "none", "--tmpfs", "/tmp:mode=1777", "--env", "HF_HOME=/tmp/hf")
    mounts = ("--volume", f"{MAKERS}:/tests:ro", "--volume", f"{weights}:/out:ro")
    done = engine.run(*run, *mounts, image, "python3", f"/tests/{script}", *arguments)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("family", [pytest.param(each, id=each.name, marks=needs(each.image)) for each in FAMILIES])
def test_answers_are_those_of_the_published_way(
    family: Family, engine: Engine, image_of: Callable[[str], str], tiny: Callable[[Family], Path]
) -> None:
    found = told(engine, image_of(f"{family.image}-cpu"), tiny(family), "equal.py", family.name, "/out/tiny")
    assert all(map(all, found["equal"].values())), found
    assert found["answers"] > 1, "the question and the image matter"


@pytest.mark.parametrize(
    ("name", "storage", "quantiser", "kept"),
    [pytest.param(*case, id="-".join(case[:2]), marks=needs(BY_NAME[case[0]].image)) for case in STORED],
)
def test_weights_in_fewer_bits(
    name: str,
    storage: str,
    quantiser: str,
    kept: tuple[str, ...],
    engine: Engine,
    image_of: Callable[[str], str],
    tiny: Callable[[Family], Path],
) -> None:
    family = BY_NAME[name]
    image = image_of(f"{family.image}-cpu")
    found = told(engine, image, tiny(family), "quantised.py", name, "/out/tiny", storage, quantiser, *kept)
    assert found["converted"] > 0
    assert 0 < found["error"] < LOST[storage], found
    assert found["quantised_bytes"] < found["bytes"]
