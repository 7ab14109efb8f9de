"""``report`` in a fake world: the committed reports, the translations, and the JSON shape, which is a contract."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.adapters.library import Files
from orchestrator.app.report import report
from orchestrator.evidence import Figures, Verification
from orchestrator.report.compatibility_json import report_json
from orchestrator.report.compatibility_text import TEMPLATES, TRANSLATIONS, report_markdown
from orchestrator.report.language import RUSSIAN, translations
from tests.fakes import FakeWorld
from tests.functional.cli import Command
from tests.functional.test_models_check import everything
from tests.unit.registry_texts import ENTRY

DOCS = Path(__file__).parents[2] / "docs"


class Asked(Mapping[str, str]):
    """Translations that note every text of which they are asked."""

    def __init__(self) -> None:
        self.texts: set[str] = set()

    def __getitem__(self, text: str) -> str:
        self.texts.add(text)
        return text

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def __len__(self) -> int:
        return len(self.texts)


# the texts


@pytest.mark.parametrize("lang", ["en", "ru"])
def test_the_committed_reports_are_fresh(do: Command, lang: str) -> None:
    said = do("report", "--lang", lang)
    assert (said.code, said.err) == (0, "")
    assert said.out == (DOCS / f"compatibility.{lang}.md").read_text(encoding="utf-8"), "make report"


def test_every_printed_text_of_the_built_in_entries_is_translated_and_no_translation_is_stale(
    here: FakeWorld, do: Command
) -> None:
    everything(here)
    assert do("models", "check").code == 0
    asked, files = Asked(), Files().reports()
    spoken = replace(RUSSIAN, texts=asked)
    report_markdown(report(here, ()), spoken, files[TEMPLATES["ru"]])
    report_json(report(here, ()), spoken)
    known = translations(TRANSLATIONS, files[TRANSLATIONS])
    assert sorted(asked.texts - set(known)) == [], "without a translation"
    assert sorted(set(known) - asked.texts) == [], "stale"


def test_a_translation_says_something_and_has_its_units_beside_their_numbers() -> None:
    files = Files().reports()
    for english, russian in translations(TRANSLATIONS, files[TRANSLATIONS]).items():
        assert russian.strip(), english
        for unit in ("ГБ", "ГиБ", "Мпикс"):
            assert f" {unit}" not in russian, (unit, russian)


def test_the_russian_is_spelt_one_way() -> None:
    page = (DOCS / "compatibility.ru.md").read_text(encoding="utf-8").lower()
    assert [word for word in ("отчет", "расчет", "легк") if word in page] == []


def test_both_languages_have_the_same_parts(do: Command) -> None:
    def shape(lang: str) -> list[str]:
        lines = do("report", "--lang", lang).out.splitlines()
        return [
            line.split(" ")[0] if line.startswith("#") else f"{line.count('|')} cells"
            for line in lines
            if line.startswith(("#", "|"))
        ]

    assert shape("en") == shape("ru")


def test_a_user_s_own_entry_is_told_in_its_own_words(do: Command, tmp_path: Path) -> None:
    (tmp_path / "phi.yaml").write_text(ENTRY.format(name="phi", port=25000), encoding="utf-8")
    said = do("--registry", str(tmp_path), "report", "--lang", "ru")
    assert said.code == 0
    assert "| **owner/phi** | `phi` | — |" in said.out
    assert "7 моделей (в январе — 4)" in said.out.replace("\N{NO-BREAK SPACE}", " ")
    found = json.loads(do("--registry", str(tmp_path), "report", "--lang", "ru", "--json").out)["pairs"]
    assert [(pair["summary"], pair["january"]) for pair in found if pair["model"] == "phi"] == [("A model", None)]


def test_what_was_verified_here_is_ticked(here: FakeWorld, do: Command) -> None:
    task = "[{}] **Qwen/Qwen2-VL-2B-Instruct** in vLLM mode"
    assert task.format(" ") in do("report").out
    figures = Figures(peak_bytes=3 << 30, peak_of="gpu")
    here.workspace.attest(
        Verification("qwen2-vl-2b", "vllm", "answered", "answered", 1795910400.0, "0.1.0", gpu="L4", figures=figures)
    )
    said = do("report").out
    assert task.format("x") + ": ✅ Tested (L4), 2026-11-29\n" in said
    assert "3.00 GiB" in said
    assert "not tested with its real weights yet" not in said


def test_docker_is_not_asked(here: FakeWorld, do: Command) -> None:
    assert do("report").code == 0
    assert here.log == []
    assert here.docker.asked_for == []


# JSON


@pytest.mark.parametrize("arguments", [("--json",), ("--format", "json"), ("--json", "--format", "json")])
def test_the_json_shape(do: Command, arguments: tuple[str, ...]) -> None:
    said = do("report", *arguments)
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out)
    assert list(found) == [
        *("schema", "language", "version", "follows", "reference_gpu_bytes", "summary", "pairs", "trials"),
        *("recommendations", "test_plan", "known_problems", "contradictions", "remarks"),
    ]
    assert (found["schema"], found["language"], found["follows"]) == (1, "en", "2026-01-24")
    assert found["summary"] == {
        "transformers": 8,
        "vllm": 6,
        "vllm_on_request": 2,
        "only_transformers": 2,
        "pairs": 14,
        "tested_pairs": 0,
        "tiny_pairs": 14,
        "january": {"transformers": 8, "vllm": 4, "only_transformers": 4, "tested": 1},
    }
    assert len(found["pairs"]) == 16
    assert [(pair["model"], pair["engine"]) for pair in found["trials"]] == [("demo", "vllm"), ("demo", "transformers")]
    assert found["test_plan"][0] == {"priority": 1, "model": "qwen2-vl-2b", "engine": "vllm", "done": False}
    assert len(found["test_plan"]) == 14


def test_the_json_of_one_contradiction(do: Command) -> None:
    found = json.loads(do("report", "--json").out)["contradictions"]
    (memory,) = [
        one for one in found if (one["kind"], one["model"], one["engine"]) == ("memory", "qwen2-vl-7b", "vllm")
    ]
    assert memory == {
        "kind": "memory",
        "model": "qwen2-vl-7b",
        "engine": "vllm",
        "said": "12.0 GB",
        "now": "",
        "weights_bytes": 16582751232,
        "below_weights": True,
        "claim_bytes": memory["claim_bytes"],
        "would_hold": memory["would_hold"],
        "evidence": [],
    }
    assert 12 * 10**9 < memory["claim_bytes"] < 24 * 2**30
    others = {(one["kind"], one["model"], one["engine"]) for one in found if one["kind"] != "memory"}
    assert others == {
        ("architecture", "got-ocr2", None),
        ("architecture", "moondream2", None),
        ("possible", "internvl2-2b", "vllm"),
        ("possible", "phi-3-vision", "vllm"),
        ("untested", "dots-ocr", "vllm"),
        ("untested", "dots-ocr", "transformers"),
        ("statement", "phi-3-5-vision", "vllm"),
        ("statement", "got-ocr2", None),
    }
    assert all(one["evidence"] for one in found if one["kind"] not in {"memory", "untested"})


def test_the_json_in_russian_has_the_same_keys(do: Command) -> None:
    english, russian = (json.loads(do("report", "--json", "--lang", lang).out) for lang in ("en", "ru"))
    assert english.keys() == russian.keys()
    assert [pair.keys() for pair in english["pairs"]] == [pair.keys() for pair in russian["pairs"]]
    assert russian["language"] == "ru"
    assert russian["pairs"][0]["summary"].startswith("OCR целых страниц")
    assert russian["pairs"][0]["january"]["status"] == "tested"


# files, and what is wrong


def test_it_is_written_to_a_file(here: FakeWorld, do: Command, tmp_path: Path) -> None:
    file = tmp_path / "models.md"
    said = do("report", "--lang", "ru", "--output", str(file))
    assert (said.code, said.out, said.err) == (0, "", f"written to {file}\n")
    assert file.read_text(encoding="utf-8") == do("report", "--lang", "ru").out
    assert [path.name for path in file.parent.iterdir()] == ["models.md"]
    assert do("report", "--json", "--output", str(file)).code == 0
    assert json.loads(file.read_text(encoding="utf-8"))["schema"] == 1


def test_a_file_that_can_not_be_written(do: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("file", "missing"):
        do("report", "--output", str(tmp_path / folder / "x.md")).refused(2, f"there is no folder {tmp_path / folder}")
    (tmp_path / "folder.md").mkdir()
    do("report", "--output", str(tmp_path / "folder.md")).refused(1, "can't write")


@pytest.mark.parametrize(
    "arguments",
    [("--lang", "de"), ("--format", "html"), ("--json", "--format", "markdown"), ("qwen2-vl-2b",), ("--output",)],
)
def test_wrong_arguments(do: Command, arguments: tuple[str, ...]) -> None:
    do("report", *arguments).refused(2)
