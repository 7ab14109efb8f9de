"""Where the files of the package lie: beside it in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

import orchestrator

_ROOT = Path(orchestrator.__file__).parent


def templates() -> Path:
    """The folder of templates."""
    installed = _ROOT / "templates"
    return installed if installed.is_dir() else _ROOT.parent / "templates"


def sources(name: str) -> dict[str, str]:
    """The Python files of a part of the package (the gate, or the server), by name below it."""
    folder = _ROOT / name
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py"))}


def probe_image() -> bytes:
    """The known image that a model is asked about before it counts as ready."""
    return (_ROOT / "probe.png").read_bytes()
