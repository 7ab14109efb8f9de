"""docs/model-modes.md and its picture are what the registry and the planner say."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def test_the_page_and_the_picture_are_fresh() -> None:
    argv = [sys.executable, ".ci/model-modes", "--check"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_picture_is_well_formed_and_inside_its_frame() -> None:
    """And knows both dark and light, and tells those who can't see it the same figures."""
    text = (ROOT / "docs" / "memory.svg").read_text(encoding="utf-8")
    picture = ET.fromstring(text)  # noqa: S314 (our own file)
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    for mark in picture.iter():
        across = [float(mark.attrib[key]) for key in ("x", "x1", "x2", "cx") if key in mark.attrib]
        down = [float(mark.attrib[key]) for key in ("y", "y1", "y2", "cy") if key in mark.attrib]
        assert all(0 <= at <= width for at in across), mark.attrib
        assert all(0 <= at <= height for at in down), mark.attrib
    assert "prefers-color-scheme: dark" in text
    described = picture.findtext(f"{SVG}desc") or ""
    shown = [each.text or "" for each in picture.iter(f"{SVG}text")]
    assert all(figures in shown for figures in re.findall(r": ([0-9. to]+) GiB", described))
