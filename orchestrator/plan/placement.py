"""From a request to placements: model, engine, GPU, port and name, decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.errors import FitError, OrchestratorError, RequestError
from orchestrator.inventory import Gpu, Host
from orchestrator.memory import Claim
from orchestrator.observation import Container, Observation
from orchestrator.plan.assignment import Assignment, Pool, assign
from orchestrator.plan.options import Device, Option, options, refuse_unpinned
from orchestrator.plan.ports import Ports, check_port
from orchestrator.plan.request import LOOPBACK, Request
from orchestrator.registry.spec import EngineName, ModelSpec


@dataclass(frozen=True, slots=True)
class Placement:
    """One container, decided. ``fleet``: it fits beside all others of the plan; False only in a partial rendering."""

    project: str
    model: str
    engine: EngineName
    device: Device
    gpu: Gpu | None
    claim: Claim
    address: str
    port: int
    warnings: tuple[str, ...] = ()
    fleet: bool = True

    @property
    def service(self) -> str:
        """Name of the Compose service; also the host name inside the project's network."""
        return f"{self.model}-{self.engine}"

    @property
    def container(self) -> str:
        """Name of the container."""
        return f"{self.project}-{self.service}"

    @property
    def gpus(self) -> tuple[str, ...]:
        """Ids of the GPUs, for Docker and for the labels."""
        return (self.gpu.id,) if self.gpu else ()


@dataclass(frozen=True, slots=True)
class Placements:
    """All placements of a request, sorted by service, and what was left out of a partial one."""

    items: tuple[Placement, ...]
    omitted: tuple[OrchestratorError, ...] = ()


def place(specs: Sequence[ModelSpec], request: Request, host: Host, observation: Observation) -> Placements:
    """Decide engine, GPU and port for every model asked for.

    What runs keeps its engine, GPU and port unless the request says otherwise. Raises RequestError for what can never
    be, FitError for what does not fit this host now.
    """
    if request.port:
        check_port(request.port)
    if not request.allow_unpinned:
        refuse_unpinned(specs)
    existing = {spec.name: _existing(spec.name, request, observation) for spec in specs}
    wanted, omitted = _wanted(specs, request, host, existing)
    kept = {name: found for name, ways in wanted.items() if (found := _stays(ways, existing[name], host))}
    moving = [old for name, old in existing.items() if old and name not in kept and _replaced(old, wanted.get(name))]
    pool = Pool.of(_freed(host, moving), [c for c in observation.containers if c not in moving])
    assigned, refused = assign({n: w for n, w in wanted.items() if n not in kept}, pool, partial=request.partial)
    alone, impossible = _alone({name: wanted[name] for name in refused}, Pool.of(host, ()))
    fleet = kept | assigned
    ports = Ports(observation, request.move_ports)
    by_name = {spec.name: spec for spec in specs}
    items = [
        _placement(by_name[name], assignment, request, existing[name], ports, fleet=name in fleet)
        for name, assignment in sorted((fleet | alone).items())
    ]
    return Placements(tuple(sorted(items, key=lambda item: item.service)), (*omitted, *impossible))


def _wanted(
    specs: Sequence[ModelSpec], request: Request, host: Host, existing: Mapping[str, Container | None]
) -> tuple[dict[str, Sequence[Option]], tuple[OrchestratorError, ...]]:
    wanted: dict[str, Sequence[Option]] = {}
    omitted: list[OrchestratorError] = []
    for spec in specs:
        old = existing[spec.name]
        try:
            found = options(spec, request, host, _engine_of(old))
        except (FitError, RequestError) as error:
            if not request.partial:
                raise
            omitted.append(error)
            continue
        wanted[spec.name] = [_same_gpu(option, old, request, host) for option in found]
    return wanted, tuple(omitted)


def _alone(refused: Mapping[str, Sequence[Option]], empty: Pool) -> tuple[dict[str, Assignment], tuple[FitError, ...]]:
    """Models of a partial rendering that do not fit beside the others, each on the empty host."""
    alone: dict[str, Assignment] = {}
    impossible: list[FitError] = []
    for name, ways in refused.items():
        try:
            alone |= assign({name: ways}, empty, partial=False)[0]
        except FitError as error:
            impossible.append(error)
    return alone, tuple(impossible)


def _existing(model: str, request: Request, observation: Observation) -> Container | None:
    """The container of the model that the request is about: of the engine asked for, else the one that runs."""
    ours = [c for c in observation.project(request.project) if c.model == model]
    if request.mode != "auto":
        return next((c for c in ours if c.engine == request.mode), None)
    return next((c for c in ours if c.running), ours[0] if ours else None)


def _engine_of(container: Container | None) -> EngineName | None:
    if container is None:
        return None
    return "vllm" if container.engine == "vllm" else "transformers"


def _same_gpu(option: Option, old: Container | None, request: Request, host: Host) -> Option:
    """The option on the GPU that the model's container has already, unless the request names one or it is gone."""
    if old is None or request.gpu or option.device == "cpu" or option.engine != old.engine or not old.gpus:
        return option
    return replace(option, pinned=old.gpus[0]) if old.gpus[0] in {gpu.id for gpu in host.gpus} else option


def _replaced(old: Container, ways: Sequence[Option] | None) -> bool:
    """Whether the plan would put another container in its place. On another engine it would be one beside it."""
    return any(option.engine == old.engine for option in ways or ())


def _stays(ways: Sequence[Option], old: Container | None, host: Host) -> Assignment | None:
    """Where a running container stays, whatever memory is free now: it has its memory, and its claim has not grown."""
    if old is None or not old.running:
        return None
    for option in ways:
        if option.engine != old.engine or option.claim.total > old.claim:
            continue
        if option.device == "cpu" and not old.gpus:
            return Assignment(option, None)
        if option.pinned and option.pinned in old.gpus:
            return Assignment(option, host.gpu(option.pinned))
    return None


def _freed(host: Host, moving: Sequence[Container]) -> Host:
    """The host when these containers are gone: each gives back its claim, never more than the card has."""
    back = {gpu.id: sum(c.claim for c in moving if c.running and gpu.id in c.gpus) for gpu in host.gpus}
    gpus = tuple(
        gpu if gpu.free is None else replace(gpu, free=min(gpu.free + back[gpu.id], gpu.total or gpu.free))
        for gpu in host.gpus
    )
    return replace(host, gpus=gpus)


def _placement(
    spec: ModelSpec,
    assignment: Assignment,
    request: Request,
    old: Container | None,
    ports: Ports,
    *,
    fleet: bool,
) -> Placement:
    option = assignment.option
    engine = spec.engine(option.engine)
    assert engine is not None  # noqa: S101 (an option names an engine of the spec)
    same = old if old is not None and old.engine == option.engine else None
    preferred = request.port or (same.port if same else engine.port)
    own = same.id if same else ""
    port, remark = ports.choose(f"{spec.name}-{option.engine}", preferred, pinned=bool(request.port), own=own)
    warnings = (*option.warnings, *((f"{spec.name}: {remark}, so it gets {port}",) if remark else ()))
    return Placement(
        request.project,
        spec.name,
        option.engine,
        option.device,
        assignment.gpu,
        option.claim,
        LOOPBACK,
        port,
        warnings,
        fleet,
    )
