"""The real world. Each adapter is imported when it is first used, because ``status`` and ``--help`` must be quick."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.ports import (
        Clock,
        ComposeCli,
        DockerActor,
        DockerReader,
        GpuReader,
        ImageBuilder,
        Library,
        ModelClient,
        Origins,
        Pulse,
        Workspace,
    )


class RealWorld:
    """This machine. ``waiting`` is told who holds the lock while we wait for it."""

    def __init__(self, waiting: Callable[[str], None]) -> None:
        self._waiting = waiting

    @cached_property
    def docker(self) -> DockerReader:
        """The bare socket."""
        from orchestrator.adapters.docker_socket import SocketReader
        from orchestrator.adapters.listeners import listeners
        from orchestrator.adapters.sleepers import sleeps

        return SocketReader(listeners, sleeps)

    @cached_property
    def actor(self) -> DockerActor:
        """The Docker SDK."""
        from orchestrator.adapters.docker_actor import SdkActor

        return SdkActor()

    @cached_property
    def compose(self) -> ComposeCli:
        """The Compose plugin."""
        from orchestrator.adapters.compose_cli import Compose

        return Compose()

    @cached_property
    def builder(self) -> ImageBuilder:
        """Image builds through Compose."""
        from orchestrator.adapters.image_builder import ComposeBuilder

        return ComposeBuilder()

    @cached_property
    def gpus(self) -> GpuReader:
        """NVML."""
        from orchestrator.adapters.nvml import NvmlReader

        return NvmlReader()

    @cached_property
    def models(self) -> ModelClient:
        """HTTP."""
        from orchestrator.adapters.model_client import HttpModels

        return HttpModels()

    @cached_property
    def pulse(self) -> Pulse:
        """The bare socket."""
        from orchestrator.adapters.pulse import HttpPulse

        return HttpPulse()

    @cached_property
    def origins(self) -> Origins:
        """HTTP, and the Docker SDK."""
        from orchestrator.adapters.origins import HubAndRegistries

        return HubAndRegistries()

    @cached_property
    def clock(self) -> Clock:
        """The system's clock."""
        from orchestrator.adapters.clock import SystemClock

        return SystemClock()

    @cached_property
    def workspace(self) -> Workspace:
        """The state folder."""
        from orchestrator.adapters.workspace import StateFolder

        return StateFolder(self._waiting)

    @cached_property
    def library(self) -> Library:
        """Files."""
        from orchestrator.adapters.library import Files

        return Files()
