"""From a request to placements: model, engine, profile, GPUs, port and name, decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from orchestrator import traits
from orchestrator.errors import FitError, OrchestratorError, RequestError
from orchestrator.inventory import Gpu, Host, gib
from orchestrator.memory import Claim
from orchestrator.observation import Container, Observation
from orchestrator.plan.assignment import Assignment, Improve, Rooms, assign, most_room, rooms, take
from orchestrator.plan.images import Image, choose, images_of
from orchestrator.plan.keeping import (
    as_it_runs,
    engine_of,
    existing_container,
    freed,
    is_replaced,
    leaving,
    stays_where,
)
from orchestrator.plan.options import Device, Measurements, Option, gain, options, refuse_unpinned
from orchestrator.plan.ports import Ports, check_port
from orchestrator.plan.publishing import asks_for_key, has_sleep_mode, open_to_all
from orchestrator.plan.refusal import refusal
from orchestrator.plan.request import LOOPBACK, Request
from orchestrator.plan.waking import room_to_wake
from orchestrator.profile import Profile
from orchestrator.registry.spec import EngineName, ModelSpec


@dataclass(frozen=True, slots=True)
class Placement:
    """One container, decided. ``fleet``: it fits beside all others of the plan; False only in a partial one."""

    project: str
    model: str
    engine: EngineName
    device: Device
    on: tuple[Gpu, ...]
    profile: Profile
    best: Profile
    """What the entry asks for; ``profile`` may be smaller."""
    claim: Claim
    image: Image
    address: str
    port: int
    key: bool = False
    """Whether callers need the API key."""
    sleep_mode: bool = False
    """Whether its engine can be put to sleep."""
    warnings: tuple[str, ...] = ()
    gain: str = ""
    """What the next bit of memory would buy, in words."""
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
        return tuple(gpu.id for gpu in self.on)


@dataclass(frozen=True, slots=True)
class Placements:
    """All placements of a request, sorted by service, and what was left out of a partial one."""

    items: tuple[Placement, ...]
    omitted: tuple[OrchestratorError, ...] = ()

    @property
    def fleet(self) -> tuple[Placement, ...]:
        """Those that fit on the host together."""
        return tuple(item for item in self.items if item.fleet)

    @property
    def left_out(self) -> bool:
        """Whether anything asked for does not fit beside the rest."""
        return bool(self.omitted) or len(self.fleet) < len(self.items)


@dataclass(frozen=True, slots=True)
class Known:
    """What a plan may use beside the entries asked for: measurements, a solver, and entries to suggest instead."""

    measured: Measurements = field(default_factory=lambda: MappingProxyType({}))
    improve: Improve | None = None
    catalogue: tuple[ModelSpec, ...] = ()


def place(
    specs: Sequence[ModelSpec],
    request: Request,
    host: Host,
    observation: Observation,
    known: Known | None = None,
) -> Placements:
    """Decide engine, profile, GPUs and port for every model asked for.

    What runs keeps its engine, profile, claim, GPUs and port unless the registry or the request says otherwise. Raises
    RequestError for what can never be, FitError for what does not fit this host now.
    """
    if request.port:
        check_port(request.port)
    refuse_unpinned([spec for spec in specs if not request.of(spec.name).allow_unpinned])
    for named in request.gpus:
        host.gpu(named)  # what is wrong for all models is no reason to leave out each
    known = known or Known()
    existing = {spec.name: existing_container(spec.name, request.of(spec.name), observation) for spec in specs}
    wanted, omitted = _wanted(specs, request, host, existing, known)
    stays = {name: found for name, ways in wanted.items() if (found := stays_where(ways, existing[name], host))}
    moving = [old for name, old in existing.items() if old and name not in stays and is_replaced(old, wanted.get(name))]
    going = leaving(request, observation, [old for name, old in existing.items() if old and name in stays] + moving)
    moving += going
    observation = observation.without(going)
    running = [c for c in observation.containers if c not in moving]
    sleepers = [old for name in stays if (old := existing[name]) and old.asleep]
    left, stuck = room_to_wake(sleepers, freed(host, moving), running, observation.others)
    if stuck and not request.partial:
        raise next(iter(stuck.values()))
    priorities = {spec.name: spec.priority for spec in specs}
    newcomers = {name: ways for name, ways in wanted.items() if name not in stays}
    stays = {name: found for name, found in stays.items() if name not in stuck}
    assigned = assign(newcomers, priorities, host, left, request.strategy or "pack", known.improve)
    for found in assigned.values():
        left = take(left, found)
    refused = {name: ways for name, ways in newcomers.items() if name not in assigned}
    if refused and not request.partial:
        raise refusal(refused, host, left, running, _instead(refused, request, host, left, known))
    empty = rooms(host, (), {})
    alone = _alone(refused, priorities, host, empty, request) if request.partial else {}
    impossible = [refusal({n: w}, host, empty, (), ()) for n, w in sorted(refused.items()) if n not in alone]
    fleet = stays | assigned
    ports = Ports(observation, request.move_ports)
    by_name = {spec.name: spec for spec in specs}
    items = [
        _placement(
            by_name[name],
            found,
            wanted[name],
            request.of(name),
            existing[name],
            ports,
            observation,
            fleet=name in fleet,
        )
        for name, found in sorted((fleet | alone).items())
    ]
    return Placements(tuple(sorted(items, key=lambda item: item.service)), (*omitted, *stuck.values(), *impossible))


def _wanted(
    specs: Sequence[ModelSpec],
    request: Request,
    host: Host,
    existing: Mapping[str, Container | None],
    known: Known,
) -> tuple[dict[str, Sequence[Option]], tuple[OrchestratorError, ...]]:
    wanted: dict[str, Sequence[Option]] = {}
    omitted: list[OrchestratorError] = []
    for spec in sorted(specs, key=lambda spec: spec.name):
        old = existing[spec.name]
        try:
            found = options(spec, request.of(spec.name), host, engine_of(old), known.measured)
        except (FitError, RequestError) as error:
            if not request.partial:
                raise
            omitted.append(error)
            continue
        wanted[spec.name] = as_it_runs(spec, found, old, request.of(spec.name), host)
    return wanted, tuple(omitted)


def _instead(
    refused: Mapping[str, Sequence[Option]], request: Request, host: Host, left: Rooms, known: Known
) -> tuple[str, ...]:
    """What would fit instead, in words: the same model on another engine or GPU, then the largest of the others."""
    free = replace(request, mode="auto", gpu="", port=0, own=MappingProxyType({}))
    asked = {name for name in refused if (own := request.of(name)).mode != "auto" or own.gpu}
    found: list[tuple[bool, int, str]] = []
    for spec in known.catalogue:
        if spec.name in set(request.models) - set(refused) or (
            spec.source.unpinned_code and not request.of(spec.name).allow_unpinned
        ):
            continue
        try:
            ways = options(spec, free, host, None, known.measured)
        except (FitError, RequestError):
            continue
        fitting = [way for way in ways if way.device == "gpu" and way.claim.total <= (most_room(way, host, left) or 0)]
        if fitting and (spec.name not in refused or spec.name in asked):
            way = max(fitting, key=lambda option: option.value)
            elsewhere = " without --gpu" if spec.name in refused and request.of(spec.name).gpu else ""
            words = f"{spec.name} on {way.engine}{elsewhere}, {gib(way.claim.total)}"
            found.append((spec.name not in refused, -way.claim.total, words))
    return tuple(words for _, _, words in sorted(found))


def _alone(
    refused: Mapping[str, Sequence[Option]], priorities: Mapping[str, int], host: Host, empty: Rooms, request: Request
) -> dict[str, Assignment]:
    """Models of a partial plan that do not fit beside the others, each on the empty host."""
    alone: dict[str, Assignment] = {}
    for name, ways in refused.items():
        alone |= assign({name: ways}, priorities, host, empty, request.strategy or "pack")
    return alone


def _placement(
    spec: ModelSpec,
    assignment: Assignment,
    ways: Sequence[Option],
    request: Request,
    old: Container | None,
    ports: Ports,
    observation: Observation,
    *,
    fleet: bool,
) -> Placement:
    option = assignment.option
    engine = spec.on(option.engine)
    same = old if old is not None and old.engine == option.engine else None
    kept = None if request.declared else same
    preferred = request.port or (kept.port if kept else engine.port)
    own = same.id if same else ""
    address = request.address or (kept.address if kept else LOOPBACK)
    image = choose(images_of(engine, option.device), same.image if same else "", observation)
    said = image.remark or (traits.vllm_remark(image.reference) if option.engine == "vllm" else "")
    port, remark = ports.choose(f"{spec.name}-{option.engine}", preferred, own=own)
    sleep_mode = has_sleep_mode(spec.name, engine, option.device, address)
    return Placement(
        project=request.project,
        model=spec.name,
        engine=option.engine,
        device=option.device,
        on=assignment.gpus,
        profile=option.profile,
        best=option.best,
        claim=option.claim,
        image=image,
        address=address,
        port=port,
        key=asks_for_key(spec.name, request, address, kept),
        sleep_mode=sleep_mode,
        warnings=(
            *option.warnings,
            *((f"{spec.name}: {said}",) if said else ()),
            *((f"{spec.name}: {remark}, so it gets {port}",) if remark else ()),
            *open_to_all(spec.name, option.engine, address, sleep_mode=sleep_mode),
        ),
        gain=gain(option, ways),
        fleet=fleet,
    )
