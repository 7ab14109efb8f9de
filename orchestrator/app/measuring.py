"""What models really use of their GPUs: kept when they have become ready, and used for the next start like it.

A measurement never changes what runs; it only corrects the claim of a newcomer, which is still checked against the
memory that is free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.evidence import Fingerprint, Measurement
from orchestrator.inventory import Host
from orchestrator.observation import Container, Observation
from orchestrator.plan.images import images_of
from orchestrator.plan.options import Measurements
from orchestrator.ports import World
from orchestrator.registry.spec import EngineName, ModelSpec


def measured_like(
    measurements: Sequence[Measurement], specs: Sequence[ModelSpec], host: Host, observation: Observation
) -> Measurements:
    """The measurements that hold for starts on this host. Unequal cards have none: a claim holds for any of them."""
    kinds = {gpu.kind for gpu in host.usable_gpus}
    by_name = {spec.name: spec for spec in specs}
    found: dict[tuple[str, EngineName, str], int] = {}
    for measurement in measurements:
        mark = measurement.fingerprint
        spec = by_name.get(mark.model)
        engine: EngineName = "vllm" if mark.engine == "vllm" else "transformers"
        if spec is None or kinds != {mark.gpu_kind} or mark.driver != host.driver:
            continue
        known = spec.engine(engine)
        image = observation.images.get(images_of(known, "gpu")[0].reference) if known else None
        if image is not None and image.id == mark.image_id and mark.revision == (spec.source.revision or ""):
            found[mark.model, engine, mark.profile] = measurement.static
    return found


def measure(world: World, services: Sequence[str], project: str, specs: Mapping[str, ModelSpec]) -> None:
    """Keep what these services hold of their GPUs now. They have answered, whatever Docker's last look at them said.

    What the driver does not tell is not kept.
    """
    chosen = [c for c in world.docker.observe().project(project) if c.service in services and c.gpus]
    if not chosen:
        return
    gpus, driver, _ = world.gpus.read()
    kinds = {gpu.id: gpu.kind for gpu in gpus}
    held: dict[str, list[int | None]] = {}
    for use in world.gpus.uses(gpus, {c.id for c in chosen}):
        held.setdefault(use.container_id, []).append(use.bytes)
    world.workspace.record(
        [
            Measurement(_fingerprint(c, kinds, driver, specs[c.model]), max(known), world.clock.now())
            for c in chosen
            if (known := [size for size in held.get(c.id, []) if size is not None]) and len(known) == len(c.gpus)
        ]
    )


def _fingerprint(container: Container, kinds: Mapping[str, str], driver: str, spec: ModelSpec) -> Fingerprint:
    return Fingerprint(
        model=container.model,
        engine=container.engine,
        profile=container.profile,
        image_id=container.image_id,
        revision=spec.source.revision or "",
        gpu_kind=kinds.get(container.gpus[0], ""),
        driver=driver,
    )
