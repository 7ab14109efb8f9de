"""``render`` in a folder that holds other things as well."""

from __future__ import annotations

from pathlib import Path

from orchestrator.app.planning import BUILT_IN
from orchestrator.app.render import render
from orchestrator.plan.request import Request
from tests.builders import spec
from tests.fakes import FakeLibrary, FakeWorld

OUT = Path("out")
OLD = b"# old on vllm\n# Written by orchestrator 0.0.9: do not edit, run it again.\n"


def names(library: FakeLibrary, *, everything: bool) -> set[str]:
    world = FakeWorld(library=library)
    models = () if everything else ("phi",)
    render(world, Request(models, partial=True), BUILT_IN, None, OUT, everything=everything, write=True)
    return set(library.saved[OUT])


def library() -> FakeLibrary:
    found = FakeLibrary({"phi": spec(transformers={"devices": ["cpu"]})})
    found.saved[OUT] = {"old-vllm.yaml": OLD, "hosts/old-vllm.yaml": OLD, "mine.yaml": b"services: {}", "notes": OLD}
    return found


def test_all_removes_what_it_wrote_and_nothing_else() -> None:
    found = names(library(), everything=True)
    assert found == {".env", "compose.yaml", "phi-transformers.yaml", "hosts/old-vllm.yaml", "mine.yaml", "notes"}


def test_one_model_removes_nothing() -> None:
    assert "old-vllm.yaml" in names(library(), everything=False)
