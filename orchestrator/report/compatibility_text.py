"""The compatibility report as Markdown, by the templates of ``templates/reports``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.report.compatibility import REFERENCE, Report
from orchestrator.report.contradictions import contradictions
from orchestrator.report.language import ENGLISH, RUSSIAN, Lang, Language, translations
from orchestrator.templating import render

#: the files of ``templates/reports``
TRANSLATIONS = "ru.yaml"
TEMPLATES: Mapping[Lang, str] = {"en": "compatibility.en.md.j2", "ru": "compatibility.ru.md.j2"}


def language(code: Lang, files: Mapping[str, str]) -> Language:
    """The language of that code; ``files``: those of ``templates/reports`` by name."""
    if code == "en":
        return ENGLISH
    return replace(RUSSIAN, texts=translations(TRANSLATIONS, files[TRANSLATIONS]))


def report_markdown(report: Report, spoken: Language, template: str) -> str:
    """The whole report."""
    values = {
        "report": report,
        "l": spoken,
        "card": REFERENCE,
        "january": january(report),
        "figures": [row.figure for row in report.rows if row.figure],
        "found": contradictions(report.rows),
    }
    return render(template, values)


def january(report: Report) -> dict[str, int]:
    """What the founding report counts, from what it says of each pair that is in the registry."""
    rows = [row for row in report.rows if row.in_january]
    allowed = {
        engine: {r.spec.name for r in rows if r.engine == engine and r.known.report.allowed}
        for engine in ("transformers", "vllm")
    }
    return {
        "transformers": len(allowed["transformers"]),
        "vllm": len(allowed["vllm"]),
        "only_transformers": len(allowed["transformers"] - allowed["vllm"]),
        "tested": len({row.spec.name for row in rows if row.known.report.status == "tested"}),
    }
