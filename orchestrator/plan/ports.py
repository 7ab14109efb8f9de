"""Ports on the host: pinned, kept, preferred, or the next free one. A taken port is an error that names its holder."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.errors import FitError, RequestError
from orchestrator.observation import Observation
from orchestrator.registry.spec import FIRST_EPHEMERAL, FIRST_PORT, LAST_EPHEMERAL, LAST_PORT

#: how far above the preferred port an ad-hoc ``up`` looks
_SPAN = 500


def check_port(port: int) -> None:
    """RequestError unless a model may be published there."""
    if not FIRST_PORT <= port <= LAST_PORT:
        raise RequestError(
            f"port {port} can't be used",
            hint=f"choose one from {FIRST_PORT} to {LAST_PORT}; lower ones need privileges",
        )
    if FIRST_EPHEMERAL <= port <= LAST_EPHEMERAL:
        raise RequestError(
            f"port {port} lies in the ephemeral range {FIRST_EPHEMERAL}-{LAST_EPHEMERAL}: any program may take it",
            hint=f"choose one from {FIRST_PORT} to {FIRST_EPHEMERAL - 1}",
        )


@dataclass(slots=True)
class Ports:
    """Hands out ports for one plan. Mutable, and lives only while a plan is made."""

    observation: Observation
    move: bool
    given: dict[int, str] = field(default_factory=dict)

    def choose(self, service: str, preferred: int, *, own: str) -> tuple[int, str]:
        """The port for a service, and a remark if it isn't the preferred one. ``own``: id of its container, or ""."""
        holder = self._holder(preferred, own)
        if holder is None:
            self.given[preferred] = service
            return preferred, ""
        if not self.move:
            raise FitError(
                f"port {preferred} for {service} is taken by {holder}",
                hint="free it, or choose another port with --port",
            )
        for port in range(preferred + 1, min(preferred + _SPAN, LAST_PORT + 1)):
            if self._holder(port, own) is None and not FIRST_EPHEMERAL <= port <= LAST_EPHEMERAL:
                self.given[port] = service
                return port, f"port {preferred} is taken by {holder}"
        raise FitError(f"no free port near {preferred} for {service}", hint="choose one with --port")

    def _holder(self, port: int, own: str) -> str | None:
        if port in self.given:
            return f"{self.given[port]} of this plan"
        held = self.observation.holder(port, but=own)
        return held.holder if held else None
