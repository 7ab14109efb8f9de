"""``image``: the images that are built here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.errors import RequestError
from orchestrator.plan.images import Image
from orchestrator.ports import Event, World


@dataclass(frozen=True, slots=True)
class State:
    """One image: missing, built, or built from other sources than those of this version."""

    name: str
    reference: str
    state: str


def states(world: World) -> tuple[State, ...]:
    """Every image that can be built here."""
    images = world.builder.buildable()
    present = world.docker.observe([image.reference for image in images]).images

    def state(image: Image) -> str:
        found = present.get(image.reference)
        if found is None:
            return "missing"
        return "built" if found.source == world.builder.source(image) else "stale: its sources changed"

    return tuple(State(image.name, image.reference, state(image)) for image in images)


def build(world: World, name: str) -> Iterator[Event]:
    """Build one image by name, for example tf5-cpu."""
    known = {image.name: image for image in world.builder.buildable()}
    if name not in known:
        raise RequestError(f"there is no image {name!r}", hint=f"known: {', '.join(known)}")
    begun = world.clock.now()
    yield Event("start", name, "build: asked for")
    for line in world.builder.build(known[name]):
        yield Event("output", name, line, world.clock.now() - begun)
    yield Event("done", name, "build", world.clock.now() - begun)
