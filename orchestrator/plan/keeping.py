"""What runs stays as it is: which option, where, and what it gives back when it is replaced. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.inventory import Host
from orchestrator.memory import claim, context_size, kept
from orchestrator.observation import Container, Observation
from orchestrator.plan.assignment import Assignment
from orchestrator.plan.options import Device, Option
from orchestrator.plan.request import Request
from orchestrator.profile import BEST, ladder, parse
from orchestrator.registry.spec import EngineName, ModelSpec

#: worth more than any profile: a stopped container is rather started again than made anew
_AS_BEFORE = 2 * BEST


def existing_container(model: str, request: Request, observation: Observation) -> Container | None:
    """The container of the model that the request is about: of the engine asked for, else the one that runs."""
    ours = [c for c in observation.project(request.project) if c.model == model]
    if request.mode != "auto":
        return next((c for c in ours if c.engine == request.mode), None)
    return next((c for c in ours if c.running), ours[0] if ours else None)


def engine_of(container: Container | None) -> EngineName | None:
    """The engine of a container; None without one."""
    if container is None:
        return None
    return "vllm" if container.engine == "vllm" else "transformers"


def as_it_runs(
    spec: ModelSpec, found: Sequence[Option], old: Container | None, request: Request, host: Host
) -> Sequence[Option]:
    """Only the option that the model's container was started with, while the entry still asks for the same.

    Neither a measurement nor less free memory changes what runs; the entry, the request, or GPUs that are gone do. A
    stopped container has no memory to keep: it comes first, and gives way where its GPU has filled up.
    """
    same = next((o for o in found if old is not None and o.engine == old.engine and o.device == _device(old)), None)
    if old is None or same is None or not set(old.gpus) <= {gpu.id for gpu in host.usable_gpus}:
        return found
    if request.gpu and set(old.gpus) != {host.gpu(wanted).id for wanted in request.gpus}:
        return found
    profile = parse(old.profile)
    engine = spec.engine(same.engine)
    allowed = engine is not None and profile in {rung.profile for rung in ladder(spec, engine)}
    if profile is None or not allowed or old.best != str(same.best):
        return [replace(option, pinned=old.gpus) for option in found if option.profile.gpus == len(old.gpus)] or found
    if same.device == "cpu":
        return [same]
    computed = claim(spec, same.engine, profile, context_size(host.usable_gpus))
    now = replace(same, profile=profile, claim=kept(old.claim, computed), pinned=old.gpus)
    return [now] if old.running or request.gpu else [replace(now, value=now.value + _AS_BEFORE), *found]


def _device(container: Container) -> Device:
    return "gpu" if container.gpus else "cpu"


def is_replaced(old: Container, ways: Sequence[Option] | None) -> bool:
    """Whether the plan would put another container in its place. On another engine it would be one beside it."""
    return any(option.engine == old.engine for option in ways or ())


def leaving(request: Request, observation: Observation, needed: Sequence[Container]) -> list[Container]:
    """Containers of the project that go because the request is about all of it and has no use for them."""
    known = {c.id for c in needed}
    return [c for c in observation.project(request.project) if request.whole and c.id not in known]


def stays_where(ways: Sequence[Option], old: Container | None, host: Host) -> Assignment | None:
    """Where a running container stays, whatever memory is free now: it has its memory, and its claim has not grown."""
    if old is None or not old.running:
        return None
    for option in ways:
        if option.engine != old.engine or option.claim.total > old.claim:
            continue
        if option.device == "cpu" and not old.gpus:
            return Assignment(option, ())
        if option.pinned and set(option.pinned) == set(old.gpus):
            return Assignment(option, tuple(host.gpu(gpu) for gpu in old.gpus))
    return None


def freed(host: Host, moving: Sequence[Container]) -> Host:
    """The host when these containers are gone: each gives back what it holds, never more than the card has."""
    back = {gpu.id: sum(c.holds for c in moving if gpu.id in c.gpus) for gpu in host.gpus}
    gpus = tuple(
        gpu if gpu.free is None else replace(gpu, free=min(gpu.free + back[gpu.id], gpu.total or gpu.free))
        for gpu in host.gpus
    )
    return replace(host, gpus=gpus)
