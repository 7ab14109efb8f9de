"""``export``: where clients find what runs."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.app.status import alive, containers
from orchestrator.errors import OrchestratorError
from orchestrator.observation import Container
from orchestrator.plan.commands import PORT
from orchestrator.ports import World
from orchestrator.report.clients import Served


def served(world: World, project: str, names: Sequence[str], *, from_container: bool) -> tuple[Served, ...]:
    """Models that run and may answer, or those named: their addresses on this host, or on the project's network."""
    found = alive(world, containers(world, project, names))
    useless = [c for c in found if not c.running or c.failed or not (from_container or c.published)]
    if names and useless:
        told = ", ".join(f"{c.service} is {c.phase}" for c in useless)
        raise OrchestratorError(f"nobody can ask it: {told}", hint=f"'orchestrator up {useless[0].model}' starts it")
    chosen = [c for c in found if c not in useless]
    if not chosen:
        raise OrchestratorError(f"no model runs in project {project}", hint="'orchestrator up NAME' starts one")
    return tuple(
        Served(c.model, c.service, _url(c, from_container=from_container), c.key_file, c.ready) for c in chosen
    )


def network(project: str) -> str:
    """The project's network, by Compose's rule."""
    return f"{project}_default"


def _url(container: Container, *, from_container: bool) -> str:
    """A container's name is its address on its network, also where its port is published on loopback alone."""
    return f"http://{container.name}:{PORT}/v1" if from_container else f"{container.url}/v1"
