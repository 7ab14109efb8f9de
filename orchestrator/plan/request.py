"""What the user asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from orchestrator.errors import RequestError
from orchestrator.observation import EVERYWHERE
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
    ``address``: of this host, to publish on; "" keeps that of a container there is, and else takes loopback.
    ``api_key``: whether callers need a key; None keeps what is, and beyond loopback they always do.
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
    address: str = ""
    api_key: bool | None = None

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
        if self.address and not _is_address(self.address):
            raise RequestError(
                f"{self.address!r} can't be published on",
                hint=f"name an IPv4 address of this host, or {EVERYWHERE} for all of them",
            )


def _is_address(text: str) -> bool:
    try:
        return not IPv4Address(text).is_multicast
    except ValueError:
        return False


def beyond_loopback(address: str) -> bool:
    """Whether others than this host reach it."""
    return not IPv4Address(address).is_loopback


def check_project(name: str) -> None:
    """RequestError unless Compose takes the name as it is (it changes other names silently)."""
    if not _PROJECT.fullmatch(name):
        raise RequestError(
            f"{name!r} can't be a project name",
            hint="use 1 to 40 lower-case letters, digits, '-' and '_', beginning with a letter or digit",
        )
