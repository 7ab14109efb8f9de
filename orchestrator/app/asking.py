"""Ready means answered: what ``up`` and ``wake`` ask before they say that a model is ready, and ``status --probe``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from orchestrator.app.status import containers, endpoint
from orchestrator.errors import DockerAway, OrchestratorError
from orchestrator.observation import Container
from orchestrator.ports import Event, ModelClient, World
from orchestrator.registry.spec import ModelSpec

#: seconds for the answer of a first start, which may be slow, and of a model that has answered before
_FIRST, _AGAIN = 600.0, 60.0
#: for a model that is in no registry folder that was named
_QUESTION, _TOKENS = "What is in this image?", 8


def asked(world: World, client: ModelClient, project: str, ready: Event, spec: ModelSpec | None) -> Event:
    """The event once the model has answered, or why that is no answer."""
    begun = world.clock.now()
    try:
        container = containers(world, project, [ready.subject])[0]
    except DockerAway:  # that says nothing about the model
        raise
    except OrchestratorError as error:
        return replace(ready, kind="failed", text=error.what)
    why = fault(world, client, container, spec, _FIRST)
    if why:
        return replace(ready, kind="failed", text=why)
    return replace(ready, text="answered", seconds=ready.seconds + world.clock.now() - begun)


def probe(world: World, found: Sequence[Container], specs: Mapping[str, ModelSpec]) -> dict[str, str]:
    """Ask all that are ready at the same time. By container id: "answered in S s" or "failed: why"."""
    client, ready = world.models, [c for c in found if c.ready]

    def one(container: Container) -> str:
        begun = world.clock.now()
        why = fault(world, client, container, specs.get(container.model), _AGAIN)
        return f"failed: {why}" if why else f"answered in {world.clock.now() - begun:.1f} s"

    with ThreadPoolExecutor(max_workers=max(1, len(ready))) as pool:
        return dict(zip((c.id for c in ready), pool.map(one, ready), strict=True))


def fault(world: World, client: ModelClient, container: Container, spec: ModelSpec | None, patience: float) -> str:
    """Ask for the served name, then about the known image; "" where the answer passes, else what is wrong."""
    question, tokens = (spec.probe.prompt, spec.probe.max_tokens) if spec else (_QUESTION, _TOKENS)
    try:
        at = endpoint(world, container)
        served = client.served(at)
        if container.model not in served:
            return f"it serves {', '.join(served) or 'nothing'} instead of {container.model}"
        answer = client.ask(at, question, world.library.probe_image(), tokens, patience)
    except OrchestratorError as error:
        return f"it does not answer: {error.what}"
    if spec and spec.probe.expect is not None and not re.search(spec.probe.expect, answer):
        return f"it answers {answer!r}, expected {spec.probe.expect!r}"
    return ""
