"""Builds our images through ``docker compose build``, which brings BuildKit's client: no buildx plugin is needed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from orchestrator import __version__
from orchestrator.adapters.compose_cli import compose_environment
from orchestrator.adapters.package import files, templates
from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.plan.images import Image, built_image

#: a folder of wheels to build from, instead of the package index
WHEELS_VARIABLE = "ORCHESTRATOR_WHEELS"
#: a bundle of certificate authorities for the package index, given to the build as a secret
CA_VARIABLE = "ORCHESTRATOR_CA_FILE"
_TAIL = 15
_SHOWN = 3
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


#: the parts of the package that each kind of image holds
_PARTS = {"transformers": ("gate", "server"), "vllm": ("gate",)}
#: what every Dockerfile of a kind continues
_COMMON = "pytorch.Dockerfile"


class ComposeBuilder:
    """Builds from the Dockerfiles and the locks in ``templates/images``: a folder for each kind of image."""

    def __init__(self) -> None:
        self._folder = templates() / "images"

    def buildable(self) -> tuple[Image, ...]:
        """One image per lock file."""
        return tuple(built_image(lock.stem) for lock in sorted(self._folder.glob("*/requirements/*-*.txt")))

    def source(self, image: Image) -> str:
        """Digest of all that it is built from; "" where there is no lock for the image."""
        return _digest(self._files(image)) if self._lock(image) else ""

    def build(self, image: Image) -> Iterator[str]:
        """Build and tag it; yields lines of progress. OrchestratorError with the end of the log when it fails."""
        with tempfile.TemporaryDirectory(prefix="orchestrator-build-") as folder:
            context = Path(folder)
            self._fill(context, image)
            yield from _run(context, image)

    def _lock(self, image: Image) -> Path | None:
        return next(self._folder.glob(f"*/requirements/{image.name}.txt"), None)

    def _files(self, image: Image) -> dict[str, bytes]:
        """Everything that an image is built from but the wheels, which the lock names by their hashes."""
        lock = self._lock(image)
        assert lock is not None  # noqa: S101 (asked before)
        kind = lock.parents[1]
        own = {path.name: path.read_bytes() for path in kind.iterdir() if path.is_file()}
        return {
            **own,
            "Dockerfile": (self._folder / _COMMON).read_bytes() + own["Dockerfile"],
            "requirements.txt": lock.read_bytes(),
            **{f"{part}/{name}": data for part in _PARTS[kind.name] for name, data in files(part).items()},
        }

    def _fill(self, context: Path, image: Image) -> None:
        wanted = self._files(image)
        for name, data in wanted.items():
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            (context / name).write_bytes(data)
        (context / "build.yaml").write_text(json.dumps(_build_file(image, _digest(wanted))), encoding="utf-8")
        (context / "wheels").mkdir()
        for wheel in _wheels(wanted["requirements.txt"].decode(), image):
            _link(wheel, context / "wheels" / wheel.name)


def pins(lock: str) -> frozenset[tuple[str, str]]:
    """Name and version of every package that a lock names."""
    return frozenset((_plain(name), version) for name, version in _PIN.findall(lock))


def pick(lock: str, wheels: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The file names of ``wheels`` that a lock's pins name, and the pins (``name==version``) that none of them has.

    A folder may hold the wheels of several locks; what others need would only make a build slower.
    """
    wanted = pins(lock)
    parts = {wheel: wheel.split("-", 2) for wheel in wheels}
    found = {wheel: (_plain(name), version) for wheel, (name, version, _) in parts.items()}
    picked = sorted(wheel for wheel, pin in found.items() if pin in wanted)
    return tuple(picked), tuple(f"{name}=={version}" for name, version in sorted(wanted - set(found.values())))


def _plain(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _digest(wanted: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, data in sorted(wanted.items()):
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def _build_file(image: Image, source: str) -> dict[str, object]:
    """The Compose file of the build. JSON is YAML."""
    authorities = os.environ.get(CA_VARIABLE)
    build: dict[str, object] = {"context": ".", "args": {"SOURCE": source, "VERSION": __version__}}
    secrets: dict[str, object] = {}
    if authorities:
        build["secrets"] = ["ca"]
        secrets = {"secrets": {"ca": {"file": str(Path(authorities).resolve())}}}
    return {"name": "orchestrator-build", "services": {"image": {"image": image.reference, "build": build}}, **secrets}


def _wheels(lock: str, image: Image) -> tuple[Path, ...]:
    """The wheels of a lock, from the folder that the environment names; none where it names none."""
    named = os.environ.get(WHEELS_VARIABLE)
    if not named:
        return ()
    picked, lacking = pick(lock, (path.name for path in Path(named).glob("*-*-*.whl")))
    if lacking:
        more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        raise RequestError(
            f"{named} lacks wheels of {image.name}: {', '.join(lacking[:_SHOWN])}{more}",
            where=WHEELS_VARIABLE,
            hint="unset it to use the package index",
        )
    return tuple(Path(named) / wheel for wheel in picked)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


def _run(context: Path, image: Image) -> Iterator[str]:
    argv = ["docker", "compose", "--file", "build.yaml", "build", "--progress", "plain"]
    environment = {**compose_environment(), "DOCKER_BUILDKIT": "1"}
    tail: deque[str] = deque(maxlen=_TAIL)
    try:
        process = subprocess.Popen(
            argv,
            cwd=context,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise OrchestratorError(f"can't run docker compose build: {error}") from error
    with process:
        assert process.stdout is not None  # noqa: S101 (a pipe was asked for)
        for line in process.stdout:
            tail.append(line.rstrip())
            if line.strip():
                yield line.rstrip()
    if process.returncode != 0:
        said = "\n".join(f"  {line}" for line in tail if line)
        raise OrchestratorError(
            f"building {image.reference} failed; nothing was started\n{said}",
            hint=f"a folder of wheels can be named in {WHEELS_VARIABLE}, an authority for the index in {CA_VARIABLE}; "
            "--verbose shows the whole log",
        )
