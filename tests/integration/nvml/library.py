"""The scripted NVML library, built, and what orchestrator reads through it in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.inventory import MIB, Gpu, Process

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
SONAME = "libnvidia-ml.so.1"

# NVML's error codes, as nvml.h has them.
NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED = 3, 4, 9
GPU_IS_LOST, VERSION_MISMATCH, UNKNOWN = 15, 18, 999


@dataclass(frozen=True)
class Card:
    """A card in the script, or a MIG slice; sizes in MiB. ``fails``: an error code by NVML call, "*" for all."""

    uuid: str = "GPU-a"
    name: str = "NVIDIA H100 80GB HBM3"
    total: int | None = 81559
    free: int | None = 81008
    reserved: int | None = 551
    capability: str | None = "9 0"
    persistence: int | None = 1
    compute: Mapping[int, int | None] = field(default_factory=dict)
    graphics: Mapping[int, int | None] = field(default_factory=dict)
    mig: int | None = 0
    slices: Mapping[int, Card] = field(default_factory=dict)
    attributes: tuple[int, int] | None = None
    """Of a slice: its share of the card, and its MiB."""
    fails: Mapping[str, int] = field(default_factory=dict)

    def lines(self, device: str) -> Iterator[str]:
        """Its lines in the script."""
        values = {"uuid": self.uuid, "name": self.name, "capability": self.capability, "persistence": self.persistence}
        values |= {key: _bytes(size) for key, size in (("total", self.total), ("free", self.free))}
        values |= {"reserved": _bytes(self.reserved), "mig": self.mig}
        if self.attributes:
            values |= {"slices": self.attributes[0], "memory_mb": self.attributes[1]}
        yield from (f"{device} {key} {value}" for key, value in values.items() if value is not None)
        for key, processes in (("compute", self.compute), ("graphics", self.graphics)):
            yield from (f"{device} {key} {pid} {_bytes(used) or '-'}" for pid, used in processes.items())
        yield from (f"{device} fails {call} {code}" for call, code in self.fails.items())
        for slot, part in self.slices.items():
            yield from part.lines(f"{device}:{slot}")


def _bytes(size: int | None) -> str | None:
    return None if size is None else str(size * MIB)


def script(*cards: Card, driver: str = "580.95.05", fails: Mapping[str, int] | None = None) -> str:
    """The script of a host with these cards. ``fails``: an error code by NVML call that is about no device."""
    lines = [f"- driver {driver}", f"- count {len(cards)}"]
    lines += [f"- fails {call} {code}" for call, code in (fails or {}).items()]
    lines += [line for index, card in enumerate(cards) for line in card.lines(str(index))]
    return "\n".join(lines) + "\n"


def missing() -> str:
    """Why the library can't be built here; "" if it can."""
    return "" if shutil.which("cc") else "there is no C compiler: cc is not on PATH"


def build(folder: Path, *flags: str) -> Path:
    """Build the library into a folder, for LD_LIBRARY_PATH."""
    folder.mkdir()
    argv = ["cc", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{SONAME}", *flags]
    subprocess.run([*argv, "-o", str(folder / SONAME), str(HERE / "nvml.c")], check=True, timeout=60)
    return folder


@dataclass(frozen=True)
class Reading:
    """What NvmlReader said."""

    gpus: tuple[Gpu, ...]
    driver: str
    note: str


@dataclass(frozen=True)
class Nvml:
    """A host whose NVML library is in ``folder``, and whose /dev, /proc and /sys are in ``root``."""

    folder: Path
    root: Path

    def read(self, *scripts: str, **environment: str) -> tuple[Reading, ...]:
        """One reader in one process, read once after each script has been put in place."""
        self.root.mkdir(exist_ok=True)
        place = self.root / "nvml.script"
        done = subprocess.run(
            [sys.executable, "-m", "tests.integration.nvml.read", str(self.root), str(place)],
            input=json.dumps(scripts),
            env={
                **{key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"},
                "LD_LIBRARY_PATH": str(self.folder),
                "NVML_SCRIPT": str(place),
                **environment,
            },
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        return tuple(Reading(tuple(map(_gpu, gpus)), driver, note) for gpus, driver, note in json.loads(done.stdout))

    def read_one(self, *cards: Card, **environment: str) -> Reading:
        """What is read of these cards."""
        return self.read(script(*cards), **environment)[0]


def _gpu(found: dict[str, Any]) -> Gpu:
    capability, processes = found.pop("compute_capability"), found.pop("processes")
    return Gpu(
        **found,
        compute_capability=capability and tuple(capability),
        processes=tuple(Process(**process) for process in processes),
    )
