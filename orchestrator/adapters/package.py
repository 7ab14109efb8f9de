"""Where the files of the package lie: beside it in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

import orchestrator

_ROOT = Path(orchestrator.__file__).parent


def templates() -> Path:
    """The folder of templates."""
    installed = _ROOT / "templates"
    return installed if installed.is_dir() else _ROOT.parent / "templates"


def files(name: str) -> dict[str, bytes]:
    """The files of a part of the package (the gate, or the server with its weights), by name below it."""
    folder = _ROOT / name
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def inquiry() -> str:
    """The script that asks an engine inside its image."""
    return (_ROOT / "inquiry.py").read_text(encoding="utf-8")


def probe_image() -> bytes:
    """The known image that a model is asked about before it counts as ready."""
    return (_ROOT / "probe.png").read_bytes()


def reference_image(file: str) -> bytes:
    """The picture of a reference task."""
    return (_ROOT / "reference" / file).read_bytes()
