"""The project's own templates and the gate, read once when tests are collected: to the tests they are code."""

from __future__ import annotations

from orchestrator.adapters import package
from orchestrator.compose import TEMPLATES

TEXTS = {name: (package.templates() / name).read_text(encoding="utf-8") for name in TEMPLATES}
REPORTS = {path.name: path.read_text(encoding="utf-8") for path in (package.templates() / "reports").iterdir()}
