"""The registry's files: those that come with the project, and a user's folders."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import pytest

from orchestrator.adapters.registry_files import load_registry
from orchestrator.errors import FileProblems
from orchestrator.memory import bare_weights, claim
from orchestrator.profile import ladder
from orchestrator.registry import schema
from orchestrator.registry.spec import ENGINES
from tests.unit.registry_texts import changed

#: the founding report: GB in 8 bit on Transformers and on vLLM (None: not compatible), verbatim
REPORT: dict[str, tuple[float, float | None]] = {
    "dots-ocr": (3.5, 8.0),
    "got-ocr2": (0.8, None),
    "qwen2-vl-2b": (2.5, 6.0),
    "phi-3-5-vision": (4.5, 10.0),
    "moondream2": (2.0, None),
    "qwen2-vl-7b": (4.5, 12.0),
    "phi-3-vision": (4.0, None),
    "internvl2-2b": (2.0, None),
}


def problems(*folders: Path) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        load_registry(folders)
    return [str(problem) for problem in caught.value.problems]


def test_the_built_in_entries_are_the_report_s_models_and_a_demo() -> None:
    assert set(load_registry().models) == {*REPORT, "demo"}


@pytest.mark.parametrize("name", REPORT)
def test_the_report_is_quoted_verbatim(name: str) -> None:
    spec = load_registry().get(name)
    on_transformers, on_vllm = REPORT[name]
    assert spec.engines.transformers is not None
    assert spec.engines.vllm is not None
    status = "tested" if name == "dots-ocr" else "needs testing"
    report = spec.engines.transformers.report
    assert (report.allowed, report.memory_gb, report.status) == (True, on_transformers, status)
    report = spec.engines.vllm.report
    assert (report.allowed, report.memory_gb) == (on_vllm is not None, on_vllm)
    assert report.status == (status if on_vllm else "Not compatible with vLLM")


def test_only_the_demo_is_said_to_have_answered_with_its_real_weights() -> None:
    found = {(s.name, e.evidence.level) for s in load_registry().models.values() for n in ENGINES if (e := s.engine(n))}
    assert {name for name, level in found if level == "answered"} == {"demo"}


def test_weights_that_are_not_pinned_are_not_run_silently() -> None:
    unpinned = {spec.name for spec in load_registry().models.values() if spec.source.unpinned_code}
    assert unpinned == {"dots-ocr", "phi-3-5-vision", "phi-3-vision", "moondream2", "internvl2-2b"}


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        ("dots-ocr", 3.27),
        ("qwen2-vl-2b", 2.28),
        ("qwen2-vl-7b", 8.75),
        ("phi-3-5-vision", 4.35),
        ("phi-3-vision", 4.35),
        ("internvl2-2b", 2.41),
        ("got-ocr2", 1.04),
        ("moondream2", 2.00),
    ],
)
def test_the_size_of_the_weights_on_transformers(name: str, gib: float) -> None:
    spec = load_registry().get(name)
    engine = spec.engine("transformers")
    assert engine
    asked = ladder(spec, engine)[0].profile
    weights = claim(spec, "transformers", asked, 0).lines[0].size
    assert weights == bare_weights(spec, engine, engine.stored[0])
    assert weights / 2**30 == pytest.approx(gib, abs=0.0051)


def test_every_entry_names_the_schema_for_editors() -> None:
    folder = resources.files("orchestrator.registry").joinpath("models")
    for file in folder.iterdir():
        first = file.read_text(encoding="utf-8").partition("\n")[0]
        assert first == "# yaml-language-server: $schema=../model.schema.json", file.name


def test_the_committed_schema_is_fresh() -> None:
    committed = resources.files("orchestrator.registry").joinpath("model.schema.json").read_text(encoding="utf-8")
    assert committed == schema.text(), "write it again as the docstring of orchestrator/registry/schema.py says"


def test_a_user_s_folders_add_and_replace(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, summary in ((first, "one"), (second, "two")):
        folder.mkdir()
        (folder / "phi.yaml").write_text(changed("A model", summary), encoding="utf-8")
    (first / ".#phi.yaml").write_text("an editor's lock", encoding="utf-8")
    (first / "notes.txt").write_text("not an entry", encoding="utf-8")
    found = load_registry([first, second])
    assert found.get("phi").summary == "two"
    assert "demo" in found.models


def test_what_can_not_be_read_is_told_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "binary.yaml").write_bytes(b"name: x\ntitle: \xff\n")
    (folder / "dangling.yaml").symlink_to("nowhere")
    (folder / "folder.yaml").mkdir()
    os.mkfifo(folder / "pipe.yaml")
    (folder / "large.yaml").write_bytes("é".encode() * 500_000)
    (folder / "phi.yaml").write_text(changed("title: Phi\n", ""), encoding="utf-8")
    (empty := tmp_path / "empty").mkdir()
    (file := tmp_path / "file").touch()
    assert problems(folder, empty, file, tmp_path / "missing", Path("nul\0")) == [
        f"{empty}: holds no model: there is no *.yaml file in it",
        f"{file}: can't be read as a folder of models: Not a directory",
        f"{folder}/binary.yaml:2: is not UTF-8: byte 0xff",
        f"{folder}/dangling.yaml: can't be read: No such file or directory",
        f"{folder}/folder.yaml: is not a file",
        f"{folder}/large.yaml: has more than 200000 characters",
        f"{folder}/phi.yaml:1 title: is missing",
        f"{folder}/pipe.yaml: is not a file",
        f"{tmp_path}/missing: can't be read as a folder of models: No such file or directory",
        "nul\0: can't be read as a folder of models: embedded null byte",
    ]
