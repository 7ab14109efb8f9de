"""Ready means answered: what ``up`` and ``wake`` ask before they say that a model is ready."""

from __future__ import annotations

import re
from dataclasses import replace

from orchestrator.app.status import containers, endpoint
from orchestrator.errors import OrchestratorError
from orchestrator.ports import Event, ModelClient, World
from orchestrator.registry.spec import ModelSpec


def asked(world: World, client: ModelClient, project: str, ready: Event, spec: ModelSpec) -> Event:
    """The event once the model has answered: its served name is right, and it was asked about a known image."""
    begun = world.clock.now()

    def failed(why: str) -> Event:
        return replace(ready, kind="failed", text=why)

    try:
        at = endpoint(world, containers(world, project, [ready.subject])[0])
        served = client.served(at)
        if spec.name not in served:
            return failed(f"it serves {', '.join(served) or 'nothing'} instead of {spec.name}")
        answer = client.ask(at, spec.probe.prompt, world.library.probe_image(), spec.probe.max_tokens)
    except OrchestratorError as error:
        return failed(f"it does not answer: {error.what}")
    if spec.probe.expect is not None and not re.search(spec.probe.expect, answer):
        return failed(f"it answers {answer!r}, expected {spec.probe.expect!r}")
    return replace(ready, text="answered", seconds=ready.seconds + world.clock.now() - begun)
