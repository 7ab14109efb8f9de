"""The committed pictures are what .ci/reference-images draws; other versions of Pillow may differ in a few greys."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

ROOT = Path(__file__).parents[2]
PICTURES = runpy.run_path(str(ROOT / ".ci" / "reference-images"))["PICTURES"]


@pytest.mark.parametrize("name", PICTURES)
def test_the_committed_picture_is_what_is_drawn(name: str) -> None:
    drawn = PICTURES[name]()
    with Image.open(ROOT / "orchestrator" / "reference" / f"{name}.png") as committed:
        assert committed.size == drawn.size
        difference = ImageStat.Stat(ImageChops.difference(committed.convert("RGB"), drawn))
    assert max(difference.mean) < 2
