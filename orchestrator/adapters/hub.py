"""What the hub of weights refuses, as errors."""

from __future__ import annotations

from orchestrator.errors import EnvironmentProblem, OrchestratorError, RequestError
from orchestrator.secretfile import HF_TOKEN


def refused(kind: str, what: str, *, revision: str = "", again: str) -> OrchestratorError:
    """The error of a kind: gated, missing, network, or any other. ``again``: what to say of trying once more."""
    match kind:
        case "gated":
            return EnvironmentProblem(
                what, hint="accept its licence on the hub, and name a file with a token in " + HF_TOKEN.variable
            )
        case "missing":
            return RequestError(
                what, where=f"revision {revision or 'newest'}", hint="check source in the registry entry"
            )
        case "network":
            return OrchestratorError(what, hint=f"check the network and any proxy; {again}")
    return OrchestratorError(what, hint=again)
