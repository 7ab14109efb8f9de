"""``status``: what runs. It imports nothing but the observation, because it is typed all day long."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.observation import Container, Gate, Observation
from orchestrator.ports import Endpoint, World
from orchestrator.secretfile import API_KEY, reveal

#: seconds for the answer of an engine that is well, which takes milliseconds, on a busy host
_PATIENCE = 2.0


def containers(world: World, project: str, names: Sequence[str], *, setups: bool = False) -> tuple[Container, ...]:
    """Our containers of a project, or those of the models or services named; an error names what isn't there.

    ``setups``: with how they are set up, which takes a little longer.
    """
    return select_from(world.docker.observe(setups=setups), project, names)


def select_from(seen: Observation, project: str, names: Sequence[str]) -> tuple[Container, ...]:
    """The same of a snapshot that is there already."""
    found = seen.project(project)
    missing = [name for name in names if not any(name in (c.model, c.service) for c in found)]
    if missing:
        running = ", ".join(sorted({c.model for c in found})) or "nothing"
        raise OrchestratorError(
            f"there is no container of {', '.join(missing)} in project {project}",
            where=f"containers here: {running}",
            hint=f"'orchestrator up {missing[0]}' starts it",
        )
    return tuple(c for c in found if not names or c.model in names or c.service in names)


def alive(world: World, found: Sequence[Container]) -> tuple[Container, ...]:
    """The same containers, with whether their engines answer now: Docker's word is some seconds old."""
    asked = [c.url for c in found if c.askable]
    beating = world.pulse.beating(asked, _PATIENCE)
    return tuple(replace(c, answers=c.url in beating) if c.askable else c for c in found)


def unanswered(found: Sequence[Container], wrong: Collection[str]) -> tuple[Container, ...]:
    """The same containers; none is ready whose answer to a question was wrong or did not come, by id."""
    return tuple(replace(c, answers=False, gate=Gate("ready")) if c.ready and c.id in wrong else c for c in found)


def serving(world: World, found: Sequence[Container]) -> tuple[Container, ...]:
    """The same containers; what Docker does not call ready yet is, where its engine answers now.

    What Docker calls ready is not asked: a busy engine may be late with its sign of life, and serves all the same.
    """
    asked = {c.id: c for c in alive(world, [c for c in found if not c.ready])}
    return tuple(asked.get(c.id, c) for c in found)


def refuse_nameless(names: Sequence[str], verb: str) -> None:
    """RequestError where no model was named for a verb that needs one."""
    if not names:
        raise RequestError(
            "no model named", hint=f"'orchestrator {verb} NAME...'; 'orchestrator status' shows the names"
        )


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
