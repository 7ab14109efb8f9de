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


GATE = OLD + b'      - source: "./gate"\n'


def library() -> FakeLibrary:
    found = FakeLibrary({"phi": spec(transformers={"devices": ["cpu"]})})
    found.saved[OUT] = {"old-vllm.yaml": OLD, "hosts/old-vllm.yaml": OLD, "mine.yaml": b"services: {}", "notes": OLD}
    return found


def test_all_removes_what_it_wrote_and_nothing_else() -> None:
    found = names(library(), everything=True)
    assert found == {".env", "compose.yaml", "phi-transformers.yaml", "hosts/old-vllm.yaml", "mine.yaml", "notes"}


def test_one_model_removes_nothing() -> None:
    assert "old-vllm.yaml" in names(library(), everything=False)


def test_all_removes_folders_that_only_old_documents_mounted() -> None:
    found = library()
    found.saved[OUT] |= {"old-vllm.yaml": GATE, "gate/core.py": b"", "builtin/old/x": b"mine", ".env.example": OLD}
    left = names(found, everything=True)
    assert {"gate/core.py", ".env.example"} & left == set()
    assert "builtin/old/x" in left, "no document of ours mounts it"


def test_all_leaves_a_folder_of_the_same_name_that_is_the_user_s() -> None:
    found = library()
    found.saved[OUT]["gate/core.py"] = b"mine"
    assert "gate/core.py" in names(found, everything=True)


def test_all_removes_files_of_an_older_gate() -> None:
    found = FakeLibrary({"phi": spec(transformers={"devices": ["cpu"], "image": "mine/server:1"})})
    found.saved[OUT] = {"phi-transformers.yaml": GATE, "gate/old.py": b""}
    left = names(found, everything=True)
    assert "gate/old.py" not in left
    assert "gate/__main__.py" in left


def test_the_command_is_in_every_header_and_names_what_is_needed() -> None:
    entry = spec(transformers={"devices": ["cpu"]}, source={"gated": True})
    found = FakeLibrary({"phi": entry})
    world, request = FakeWorld(library=found), Request(("phi",), api_key=True)
    render(
        world, request, BUILT_IN, None, OUT, everything=False, write=True, command_line="orchestrator render $(x)\nphi"
    )
    texts = {name: data.decode() for name, data in found.saved[OUT].items()}
    for name in ("phi-transformers.yaml", "compose.yaml", ".env.example"):
        assert texts[name].splitlines()[2] == "#   orchestrator render $(x) phi", texts[name]
    assert texts[".env.example"].splitlines()[-4:] == [
        "# a Hugging Face token, for phi",
        "ORCHESTRATOR_HF_TOKEN_FILE=./secrets/hf_token",
        "# an API key, for phi",
        "ORCHESTRATOR_API_KEY_FILE=./secrets/api_key",
    ]


def test_nothing_is_asked_for_that_nobody_needs() -> None:
    assert ".env.example" not in names(library(), everything=False)
