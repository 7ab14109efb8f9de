"""The ways in which one model can be run on this host, best first: (engine, device, profile, claim)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestrator import traits
from orchestrator.errors import FitError, RequestError
from orchestrator.inventory import Host, gib
from orchestrator.memory import Claim, bare_weights, claim, context_size, cpu_claim, measured
from orchestrator.plan.request import Request
from orchestrator.profile import Profile, Rung, changes, ladder
from orchestrator.registry.spec import ENGINES, Engine, EngineName, ModelSpec, Vllm

Device = Literal["gpu", "cpu"]
#: bytes that a start like it held of each GPU when it was ready, by model, engine and profile
Measurements = Mapping[tuple[str, EngineName, str], int]
#: below this much free memory on the best GPU the founding report prefers Transformers, above it vLLM where it may
_SMALL_GPU = 6 * 10**9
#: What the second engine, and the second device, of a model cost in the unit of a profile's value: vLLM is worth about
#: fewer bits and a few sequences, and gives way to Transformers before its profile is squeezed further
_ENGINE_STEP, _DEVICE_STEP = 40, 200
#: profiles of one engine and size of group that the packing has to choose from
_MOST = 12


@dataclass(frozen=True, slots=True)
class Option:
    """One way to run a model. ``pinned`` are the ids of the only GPUs allowed; empty leaves them open."""

    model: str
    engine: EngineName
    device: Device
    profile: Profile
    best: Profile
    """What the entry asks for on that engine."""
    claim: Claim
    value: int = 0
    pinned: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=(), compare=False)


def options(
    spec: ModelSpec, request: Request, host: Host, keep: EngineName | None, known: Measurements
) -> tuple[Option, ...]:
    """Every way that the registry, the request and the host allow, best first; an error with the reason where none is.

    ``keep`` is the engine of a container of the model that exists already; it stays unless another is asked for.
    """
    pinned = tuple(host.gpu(wanted).id for wanted in request.gpus)
    engines = _engines(spec, request, host, keep)
    found = [
        option
        for rank, name in enumerate(engines)
        for option in _of_engine(spec, name, host, pinned, -_ENGINE_STEP * rank, known)
    ]
    if not found:
        raise _nowhere(spec, host, pinned, engines)
    return tuple(found)


def gain(chosen: Option, ways: Sequence[Option]) -> str:
    """What the next bit of memory would buy: the cheapest way that is better and gives up nothing; "" at the best."""
    better = [way for way in ways if way.value > chosen.value and way.device == "gpu" and chosen.device == "gpu"]
    better = [way for way in better if way.engine != chosen.engine or _no_worse(way, chosen)]
    if not better:
        return ""
    way = min(better, key=lambda option: (option.claim.total, -option.value))
    more = gib(max(0, way.claim.total - chosen.claim.total))
    if way.engine != chosen.engine:
        return f"{more} more would run it on {way.engine}"
    return f"{more} more would buy: {', '.join(changes(chosen.profile, way.profile))}"


def _no_worse(way: Option, chosen: Option) -> bool:
    new, old = way.profile, chosen.profile
    return (
        new.context >= old.context
        and new.sequences >= old.sequences
        and (new.pixels or 0) >= (old.pixels or 0)
        and (new.tiles or 0) >= (old.tiles or 0)
        and new.storage in {old.storage, way.best.storage}
        and new.graphs >= old.graphs
        and new.gpus == old.gpus
    )


def _of_engine(
    spec: ModelSpec, name: EngineName, host: Host, pinned: tuple[str, ...], base: int, known: Measurements
) -> Iterator[Option]:
    engine = spec.on(name)
    rungs = ladder(spec, engine)
    best = rungs[0].profile
    for rank, device in enumerate(engine.devices):
        value, warnings = base - rank * _DEVICE_STEP, _warnings(spec, name, engine, device)
        if device == "cpu" and not pinned:
            profile = replace(best, graphs=False) if name == "vllm" else best  # they are CUDA's
            size = cpu_claim(spec, name, profile)
            yield Option(spec.name, name, "cpu", profile, profile, size, value + rungs[0].value, (), warnings)
        elif device == "gpu" and host.usable_gpus:
            for rung, size in _worth_having(spec, name, _fitting_group(rungs, pinned, host), host, known):
                yield Option(spec.name, name, "gpu", rung.profile, best, size, value + rung.value, pinned, warnings)


def _fitting_group(rungs: Sequence[Rung], pinned: tuple[str, ...], host: Host) -> list[Rung]:
    """Only groups that equal cards of the host can form, with GPUs named of exactly those; fp8 only where all can."""
    allowed = [gpu for gpu in host.usable_gpus if not pinned or gpu.id in pinned]
    most = max(Counter(gpu.kind for gpu in allowed).values(), default=0)
    old = any((gpu.compute_capability or traits.FP8_CAPABILITY) < traits.FP8_CAPABILITY for gpu in allowed)
    return [
        rung
        for rung in rungs
        if rung.profile.gpus <= most
        and len(pinned) in {0, rung.profile.gpus}
        and not (old and rung.profile.storage == "fp8")
    ]


def _worth_having(
    spec: ModelSpec, name: EngineName, rungs: Sequence[Rung], host: Host, known: Measurements
) -> list[tuple[Rung, Claim]]:
    """The rungs that claim less than every better one with as many GPUs: a handful, best and smallest included."""
    context = context_size(host.usable_gpus)
    found: dict[int, list[tuple[Rung, Claim]]] = {}
    for rung in rungs:
        size = claim(spec, name, rung.profile, context)
        static = known.get((spec.name, name, str(rung.profile))) if known else None
        if static is not None:
            size = measured(size, static)
        alike = found.setdefault(rung.profile.gpus, [])
        if not alike or size.total < alike[-1][1].total:
            alike.append((rung, size))
    chosen = [entry for alike in found.values() for entry in _handful(alike)]
    return sorted(chosen, key=lambda entry: -entry[0].value)


def _handful(found: Sequence[tuple[Rung, Claim]]) -> list[tuple[Rung, Claim]]:
    step = max(1, -(-len(found) // _MOST))
    return [entry for at, entry in enumerate(found) if at % step == 0 or at == len(found) - 1]


def _engines(spec: ModelSpec, request: Request, host: Host, keep: EngineName | None) -> tuple[EngineName, ...]:
    if request.mode != "auto":
        engine = spec.engine(request.mode)
        if engine is None:
            raise RequestError(
                f"{spec.name} has no {request.mode} entry in the registry",
                hint=f"see 'orchestrator models show {spec.name}'",
            )
        if not engine.possible:
            reason = engine.problems[0].text if engine.problems else "the registry says so"
            raise RequestError(
                f"{spec.name} can't run on {request.mode}: {reason}",
                hint="leave --mode out to let the plan choose",
            )
        return (request.mode,)
    order: tuple[EngineName, ...] = (
        ("transformers", "vllm") if _most_free(host) < _SMALL_GPU else ("vllm", "transformers")
    )
    possible = [name for name in order if (engine := spec.engine(name)) and engine.possible]
    if keep in possible:
        return (keep,)
    allowed = tuple(name for name in possible if (engine := spec.engine(name)) and engine.report.allowed)
    if not allowed:
        raise RequestError(
            f"{spec.name} has no engine that may be chosen without being asked for",
            hint=f"name one: {' or '.join(f'--mode {name}' for name in possible)}" if possible else "",
        )
    return allowed


def _most_free(host: Host) -> int:
    return max((gpu.free if gpu.free is not None else gpu.total or 0 for gpu in host.usable_gpus), default=0)


def refuse_unpinned(specs: Sequence[ModelSpec]) -> None:
    """RequestError naming every entry whose repository's own code would run at an unknown revision."""
    unpinned = [spec.name for spec in specs if spec.source.unpinned_code]
    if unpinned:
        raise RequestError(
            f"the repository's own code would run, and no revision of it is pinned: {', '.join(unpinned)}",
            where="source.revision is null in the registry",
            hint="'orchestrator lock' pins the newest; pin one that you have read in an entry of your own, or take "
            "whatever is newest at each start with --allow-unpinned",
        )


def _warnings(spec: ModelSpec, name: EngineName, engine: Engine, device: Device) -> tuple[str, ...]:
    found = []
    if spec.source.unpinned_code:
        found.append(f"{spec.name}: runs the newest code of {spec.source.repository}, no revision is pinned")
    if not engine.report.allowed:
        said = f"the founding report does not allow {name}, the facts do"
        own = f"its entry leaves {name} to those who ask for it"
        found.append(f"{spec.name}: {said if engine.report.status else own} ('orchestrator models show {spec.name}')")
    if isinstance(engine, Vllm) and device == "gpu" and traits.counts_neighbours(engine.image):
        found.append(f"{spec.name}: {engine.image} counts other processes on the GPU as its own; share no card with it")
    reported = engine.report.memory_gb
    weights = bare_weights(spec, engine, engine.stored[0])
    if reported is not None and reported * 10**9 < weights:
        found.append(
            f"{spec.name}: the report's {reported} GB for {name} is below the bare weights ({weights / 10**9:.2f} GB); "
            "the plan uses the computed claim"
        )
    return tuple(found)


def _nowhere(
    spec: ModelSpec, host: Host, pinned: tuple[str, ...], engines: Sequence[EngineName]
) -> FitError | RequestError:
    if len(pinned) > 1:
        unequal = len({host.gpu(gpu).kind for gpu in pinned}) > 1
        return RequestError(
            f"{spec.name} can't be divided over {len(pinned)} GPUs{' that are not alike' if unequal else ''}",
            hint="see tensor_parallel in 'orchestrator models show'; name one GPU, or leave --gpu out",
        )
    if pinned and any("gpu" in engine.devices for name in ENGINES if (engine := spec.engine(name))):
        return RequestError(f"{spec.name} needs more GPUs than one", hint="name them all, joined by commas")
    if pinned:
        return RequestError(f"{spec.name} does not run on a GPU", hint="leave --gpu out")
    if host.usable_gpus:
        return FitError(
            f"{spec.name} is divided over more equal GPUs than {host.name} has",
            hint=f"see tensor_parallel in 'orchestrator models show {spec.name}'",
        )
    return FitError(
        f"{spec.name} needs a GPU, and {host.name} has none that can be used",
        where=host.gpu_note,
        hint="run 'orchestrator doctor' for what is missing",
        missing=min(_least(spec, name) for name in engines),
    )


def _least(spec: ModelSpec, name: EngineName) -> int:
    """Bytes that the model claims of a GPU at its smallest, on a card of the smaller kind."""
    every = ladder(spec, spec.on(name))
    rungs = [rung for rung in every if rung.profile.gpus == 1] or every
    return min(claim(spec, name, rung.profile, context_size(())).total for rung in rungs)
