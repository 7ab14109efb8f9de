"""``models check``: engines are asked, inside their images, what they serve. What they said is kept for later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from orchestrator.compatibility import NAMES, Pair, heard, parse
from orchestrator.errors import OrchestratorError
from orchestrator.evidence import Listing
from orchestrator.plan.images import Image, images_of
from orchestrator.ports import World
from orchestrator.registry.spec import ENGINES, EngineName, ModelSpec

#: seconds that an engine may take to be imported: vLLM 6 on an idle machine, and 45 on a busy one
PATIENCE = 300


def heard_before(world: World, specs: Sequence[ModelSpec]) -> tuple[Pair, ...]:
    """Every pair with what its engine said last, and what was verified, here. Docker is not needed."""
    listings, known = world.workspace.listings(), world.workspace.verifications()
    pairs = (_pair(spec, engine, images) for spec, engine, images in _pairs(specs))
    return tuple(
        replace(
            pair,
            listing=heard(listings, pair.engine, pair.images),
            verified=known.of(pair.spec.name, pair.engine),
        )
        for pair in pairs
    )


def check(world: World, specs: Sequence[ModelSpec], tell: Callable[[str], None]) -> tuple[Pair, ...]:
    """Ask each engine once in each image that is here. Nothing is pulled or built. ``tell``: what is asked now."""
    wanted = tuple(_pairs(specs))
    references = sorted({image.reference for _, _, images in wanted for image in images})
    present = {reference: found.id for reference, found in world.docker.observe(references).images.items()}
    said: dict[tuple[EngineName, str], Listing | OrchestratorError] = {}
    return tuple(_checked(world, spec, engine, images, present, said, tell) for spec, engine, images in wanted)


def _checked(
    world: World,
    spec: ModelSpec,
    engine: EngineName,
    images: Sequence[Image],
    present: Mapping[str, str],
    said: dict[tuple[EngineName, str], Listing | OrchestratorError],
    tell: Callable[[str], None],
) -> Pair:
    pair = _pair(spec, engine, images)
    reference = next((image.reference for image in images if image.reference in present), None)
    if reference is None:
        return replace(pair, problem=f"{images[0].reference} is not here", hint=_how_to_get(images))
    if (engine, reference) not in said:
        tell(f"asking {NAMES[engine]} in {reference}")
        said[engine, reference] = _ask(world, engine, reference, present[reference])
    found = said[engine, reference]
    if isinstance(found, OrchestratorError):
        return replace(pair, problem=found.what, hint=found.hint, failed=True)
    return replace(pair, listing=found)


def _ask(world: World, engine: EngineName, reference: str, image_id: str) -> Listing | OrchestratorError:
    """One image that can't be asked is no reason to leave the others unasked."""
    try:
        said = world.actor.run_script(image_id, world.library.inquiry(), [engine, str(PATIENCE)])
        listing = parse(said, engine=engine, image=reference, image_id=image_id, when=world.clock.now())
    except OrchestratorError as error:
        return error
    world.workspace.hear(listing)
    return listing


def _pairs(specs: Sequence[ModelSpec]) -> Iterator[tuple[ModelSpec, EngineName, tuple[Image, ...]]]:
    """Every model on each of its engines, with the images that serve it on a GPU, then on the CPU."""
    for spec in specs:
        for name in ENGINES:
            engine = spec.engine(name)
            if engine is not None:
                images = [image for device in ("gpu", "cpu") for image in images_of(engine, device)]
                yield spec, name, tuple(dict.fromkeys(images))


def _pair(spec: ModelSpec, engine: EngineName, images: Sequence[Image]) -> Pair:
    return Pair(spec, engine, tuple(image.reference for image in images))


def _how_to_get(images: Sequence[Image]) -> str:
    return " or ".join(
        f"orchestrator image build {image.name}" if image.ours else f"docker pull {image.reference}" for image in images
    )
