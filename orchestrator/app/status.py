"""``status``: what runs. It imports nothing but the observation, because it is typed all day long."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.errors import OrchestratorError
from orchestrator.observation import Container
from orchestrator.ports import Endpoint, World
from orchestrator.secretfile import API_KEY, reveal


def containers(world: World, project: str, names: Sequence[str]) -> tuple[Container, ...]:
    """Our containers of a project, or those of the models or services named; an error names what isn't there."""
    found = world.docker.observe().project(project)
    missing = [name for name in names if not any(name in (c.model, c.service) for c in found)]
    if missing:
        running = ", ".join(sorted({c.model for c in found})) or "nothing"
        raise OrchestratorError(
            f"there is no container of {', '.join(missing)} in project {project}",
            where=f"containers here: {running}",
            hint=f"'orchestrator up {missing[0]}' starts it",
        )
    return tuple(c for c in found if not names or c.model in names or c.service in names)


def endpoint(world: World, container: Container) -> Endpoint:
    """Where a model is asked, with the key from its container's file; no key goes where the container isn't."""
    if not container.key_file:
        return Endpoint(container.model, container.url)
    if not container.published:
        raise OrchestratorError(
            f"{container.name} is not published at {container.address}:{container.port}, so no API key is sent there",
            hint=f"'orchestrator up {container.model}' puts it right",
        )
    file = container.key_file
    key = reveal(API_KEY, container.model, file, world.workspace.stored(file))
    return Endpoint(container.model, container.url, key)


def probe(world: World, container: Container) -> str:
    """Ask a real question; "answered in S s" or "failed: why"."""
    begun = world.clock.now()
    try:
        at = endpoint(world, container)
        served = world.models.served(at)
        if container.model not in served:
            return f"failed: it serves {', '.join(served) or 'nothing'}"
        world.models.ask(at, "What is in this image?", world.library.probe_image(), 8)
    except OrchestratorError as error:
        return f"failed: {error.what}"
    return f"answered in {world.clock.now() - begun:.1f} s"
