"""What the user asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from orchestrator.errors import RequestError
from orchestrator.plan.packing.values import Strategy

Mode = Literal["auto", "vllm", "transformers"]
DEFAULT_PROJECT = "orchestrator"
LOOPBACK = "127.0.0.1"
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class Request:
    """Which models, and how. ``port`` 0 and ``gpu`` "" leave the choice to the plan.

    ``move_ports``: a preferred port that is taken gives way to the next free one (an ad-hoc ``up``).
    ``partial``: models that do not fit beside the others are left out and named, instead of failing the whole plan.
    ``strategy``: pack leaves whole GPUs free, spread loads them alike.
    """

    models: tuple[str, ...]
    project: str = DEFAULT_PROJECT
    mode: Mode = "auto"
    gpu: str = ""
    port: int = 0
    allow_unpinned: bool = False
    move_ports: bool = False
    partial: bool = False
    strategy: Strategy = "pack"

    @property
    def gpus(self) -> tuple[str, ...]:
        """The GPUs named, each by id or position; a group for tensor parallelism is joined by commas."""
        return tuple(dict.fromkeys(filter(None, self.gpu.split(","))))

    def __post_init__(self) -> None:
        if self.port and len(self.models) != 1:
            raise RequestError(
                f"--port is for one model, and {len(self.models)} were named",
                hint="start them one by one, each with its port",
            )


def check_project(name: str) -> None:
    """RequestError unless Compose takes the name as it is (it changes other names silently)."""
    if not _PROJECT.fullmatch(name):
        raise RequestError(
            f"{name!r} can't be a project name",
            hint="use 1 to 40 lower-case letters, digits, '-' and '_', beginning with a letter or digit",
        )
