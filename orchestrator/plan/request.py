"""What the user asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import Literal

from orchestrator.errors import RequestError
from orchestrator.observation import EVERYWHERE
from orchestrator.plan.packing.values import Strategy

Mode = Literal["auto", "vllm", "transformers"]
DEFAULT_PROJECT = "orchestrator"
LOOPBACK = "127.0.0.1"
PROJECT_RULE = "1 to 40 lower-case letters, digits, '-' and '_', beginning with a letter or digit"
PROJECT_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class Own:
    """What is asked for one model, where the request itself says nothing. The fields are those of ``Request``."""

    mode: Mode = "auto"
    gpu: str = ""
    port: int = 0
    allow_unpinned: bool = False
    address: str = ""
    api_key: bool | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """Which models, and how. ``port`` 0 and ``gpu`` "" leave the choice to the plan.

    ``move_ports``: a preferred port that is taken gives way to the next free one (an ad-hoc ``up``).
    ``partial``: models that do not fit beside the others are left out and named, instead of failing the whole plan.
    ``strategy``: pack leaves whole GPUs free, spread loads them alike; None is the fleet's, and pack without one.
    ``address``: of this host, to publish on; "" keeps that of a container there is, and else takes loopback.
    ``api_key``: whether callers need a key; None keeps what is, and beyond loopback they always do.
    ``own``: what is asked for single models. ``declared``: it comes from a file that says everything, so that a
    container's address, port and key are not kept against it. ``whole``: containers of the project that serve none of
    these models are to go.
    """

    models: tuple[str, ...]
    project: str = DEFAULT_PROJECT
    mode: Mode = "auto"
    gpu: str = ""
    port: int = 0
    allow_unpinned: bool = False
    move_ports: bool = False
    partial: bool = False
    strategy: Strategy | None = None
    address: str = ""
    api_key: bool | None = None
    own: Mapping[str, Own] = field(default_factory=lambda: MappingProxyType({}))
    declared: bool = False
    whole: bool = False

    def of(self, model: str) -> Request:
        """The request as it concerns one model: what it says of all, and of this one where it says nothing of all."""
        own = self.own.get(model)
        if own is None:
            return self
        return replace(
            self,
            models=(model,),
            own=MappingProxyType({}),
            mode=own.mode if self.mode == "auto" else self.mode,
            gpu=self.gpu or own.gpu,
            port=self.port or own.port,
            allow_unpinned=self.allow_unpinned or own.allow_unpinned,
            address=self.address or own.address,
            api_key=own.api_key if self.api_key is None else self.api_key,
        )

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
        if self.address and not is_address(self.address):
            raise RequestError(
                f"{self.address!r} can't be published on",
                hint=f"name an IPv4 address of this host, or {EVERYWHERE} for all of them",
            )


def is_address(text: str) -> bool:
    """Whether a container can be published on it."""
    try:
        return not IPv4Address(text).is_multicast
    except ValueError:
        return False


def beyond_loopback(address: str) -> bool:
    """Whether others than this host reach it."""
    return not IPv4Address(address).is_loopback


def check_project(name: str) -> None:
    """RequestError unless Compose takes the name as it is (it changes other names silently)."""
    if not PROJECT_PATTERN.fullmatch(name):
        raise RequestError(
            f"{name!r} can't be a project name",
            hint=f"use {PROJECT_RULE}",
        )
