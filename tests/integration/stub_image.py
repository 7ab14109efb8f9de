"""Builds the stub engine's image (stub/): the real gate in front of a server that needs no model and no
GPU."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.integration.engine import Engine

BASE_IMAGE = "python:3.11-slim"
STUB_IMAGE = "orchestrator/stub:test"
STUB = Path(__file__).parent / "stub"
GATE = Path(__file__).parents[2] / "orchestrator" / "gate"
LOGS = Path(__file__).parents[1] / "unit" / "logs"


def build_stub(
    engine: Engine,
    tags: Sequence[str] = (STUB_IMAGE,),
    *,
    labels: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Build the stub under every name of ``tags`` and return the first. ``environment`` sets its knobs for
    good.

    The engine's classic builder is used: it needs no plugin of whichever command line is installed.
    """
    with engine.client() as client:
        image, _ = client.images.build(
            fileobj=_context(environment or {}),
            custom_context=True,
            tag=tags[0],
            labels=dict(labels or {}),
            rm=True,
        )
        for tag in tags[1:]:
            repository, _, version = tag.rpartition(":")
            image.tag(repository, version)
    return tags[0]


def _context(environment: Mapping[str, str]) -> io.BytesIO:
    knobs = "".join(f"ENV {name}={json.dumps(value)}\n" for name, value in environment.items())
    dockerfile = (STUB / "Dockerfile").read_text() + knobs
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        _add(archive, "Dockerfile", dockerfile.encode())
        _add(archive, "nvidia-smi", (STUB / "nvidia_smi.py").read_bytes())
        _add(archive, "vllm", (STUB / "vllm.sh").read_bytes())
        for folder, name in ((GATE, "gate"), (STUB / "server", "server")):
            for path in sorted(folder.rglob("*.py")):
                _add(archive, f"{name}/{path.relative_to(folder)}", path.read_bytes())
        for path in sorted(LOGS.glob("*.txt")):
            _add(archive, f"logs/{path.name}", path.read_bytes())
    packed.seek(0)
    return packed


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o755
    archive.addfile(member, io.BytesIO(data))
