"""From a request to a plan with its documents: for ``plan``, ``up --dry-run``, ``up`` and ``render`` alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from orchestrator.app.drifting import from_wanted
from orchestrator.app.measuring import measured_like
from orchestrator.app.status import serving
from orchestrator.compose import (
    ENV_FILE,
    ENV_TEXT,
    EXAMPLE_FILE,
    EXAMPLE_TEMPLATE,
    FLEET_FILE,
    FLEET_TEMPLATE,
    VOLUMES,
    ComposeDocument,
    document,
    example,
    fleet,
)
from orchestrator.errors import EnvironmentProblem, RequestError
from orchestrator.executor import Work
from orchestrator.fleet.file import FleetFile
from orchestrator.inventory import Gpu, Host
from orchestrator.lockfile import Lock, pinned
from orchestrator.observation import Container, Observation
from orchestrator.plan.images import all_images, in_question
from orchestrator.plan.keeping import leaving
from orchestrator.plan.placement import Known, Placement, Placements, place
from orchestrator.plan.request import Request
from orchestrator.plan.returning import to_keep
from orchestrator.plan.steps import Plan, steps
from orchestrator.ports import World
from orchestrator.registry.spec import ModelSpec
from orchestrator.secretfile import API_KEY


@dataclass(frozen=True, slots=True)
class Decided:
    """A plan, and all that was decided on the way to it."""

    plan: Plan
    placements: Placements
    specs: tuple[ModelSpec, ...]
    documents: tuple[ComposeDocument, ...]
    work: Work
    observation: Observation
    """The snapshot that all of it was decided from."""


def this_host(world: World) -> Host:
    """This machine's inventory. Docker and Compose have to be there; EnvironmentProblem otherwise."""
    docker, compose = versions(world)
    gpus, driver, note = world.gpus.read()
    return Host("this host", gpus, note, docker, compose, driver)


def versions(world: World) -> tuple[str, str]:
    """Versions of Docker and Compose; EnvironmentProblem where one is missing, too old, or something else."""
    engine = world.docker.version()
    if engine.podman:
        raise EnvironmentProblem(
            f"Podman {engine.version} answers on Docker's socket, and it ignores GPU requests without a word",
            hint="point DOCKER_HOST at a Docker Engine",
        )
    return engine.version, world.compose.version()


@dataclass(frozen=True, slots=True)
class Source:
    """Where models are looked up: folders of entries, and where they are there, the fleet file and the lock.

    ``given``: entries that were looked up already, in place of all these.
    """

    registries: tuple[Path, ...] = ()
    fleet: FleetFile | None = None
    lock: Path | None = None
    given: tuple[ModelSpec, ...] = ()


#: the built-in entries alone
BUILT_IN = Source()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The request with what the fleet adds to it, its entries with what fleet and lock pin, and all that are known."""

    request: Request
    specs: tuple[ModelSpec, ...]
    catalogue: tuple[ModelSpec, ...]


def choose(world: World, request: Request, source: Source, *, everything: bool = False) -> Chosen:
    """What is asked for: of the fleet, without names all of it; of the registry, where there is no fleet.

    RequestError names every model that is unknown.
    """
    if everything and request.models:
        raise RequestError("--all and names of models exclude each other", hint="leave one of them out")
    if source.fleet is None and not request.models and not everything:
        raise RequestError(
            "no model named, and there is no fleet file",
            hint="name one or more ('orchestrator models list' shows them), or write a fleet file: 'orchestrator init'",
        )
    registry = world.library.registry(source.registries)
    catalogue = tuple(registry.models.values())
    if source.given:
        return Chosen(request, source.given, catalogue)
    lock = world.library.lock(source.lock) if source.lock else Lock()
    if source.fleet is None:
        specs = catalogue if everything else registry.select(request.models)
        return Chosen(request, pinned(specs, lock), catalogue)
    specs = source.fleet.specs(registry, request.models)
    return Chosen(source.fleet.request(request), pinned(specs, lock), catalogue)


def decide(
    world: World, request: Request, specs: tuple[ModelSpec, ...], host: Host, known: Known, *, observe: bool = True
) -> Decided:
    """Observe once, then plan. Without ``observe`` the plan is that of an empty host."""
    observation = _observed(world, request, specs, host) if observe else Observation()
    known = replace(known, measured=measured_like(world.workspace.measurements(), specs, host, observation))
    placements = place(specs, request, host, observation, known)
    documents = documents_of(placements.fleet, specs, host, world)
    sources = {image: world.builder.source(image) for image in {d.image for d in documents}}
    ours = observation.project(request.project)
    keys = {c.service: c.key_file for c in ours}
    wanted = [
        d.desired(
            sources[d.image],
            world.workspace.secret_file(request.project, API_KEY, keys.get(d.placement.service, "")),
        )
        for d in documents
    ]
    services = {d.service for d in wanted}
    gone = leaving(request, observation, [c for c in ours if c.service in services])
    drifts, edited = from_wanted(world, {d.placement.service: d.text for d in documents}, ours)
    todo = steps(wanted, observation, world.workspace.unfinished(), gone, drifts)
    warnings = (*(w for p in placements.fleet for w in p.warnings), *edited)
    plan = Plan(request.project, host.name, todo, warnings)
    others = _applied(world, request.project, documents, observation.without(gone))
    files = files_of(placements, documents, world, host, others)
    by_service = MappingProxyType({d.placement.service: d for d in documents})
    strange = frozenset(c.id for c in ours if not c.applied)
    work = Work(plan, by_service, MappingProxyType(files), to_keep(todo, observation), strange)
    return Decided(plan, placements, specs, documents, work, observation)


def _observed(world: World, request: Request, specs: Sequence[ModelSpec], host: Host) -> Observation:
    """One snapshot, with what registries say where that decides, and with what others hold of the GPUs."""
    observation = world.docker.observe(all_images(specs), [name for name, _ in VOLUMES], listeners=True, setups=True)
    # What has answered serves, though Docker may not have looked since: it is not replaced unasked or for good.
    observation = replace(observation, containers=serving(world, observation.containers))
    asked = in_question(specs, request, observation)
    observation = replace(observation, unreachable=frozenset(i for i in asked if not world.docker.reachable(i)))
    return replace(observation, others=MappingProxyType(held_by_others(world, host.gpus, observation.containers)))


def held_by_others(world: World, gpus: Sequence[Gpu], ours: Sequence[Container]) -> dict[str, int]:
    """Bytes of each GPU that processes in none of these containers hold."""
    others: dict[str, int] = {}
    known = {c.id for c in ours}
    for use in world.gpus.uses(gpus, known) if any(gpu.processes for gpu in gpus) else ():
        if use.container_id not in known:
            others[use.gpu] = others.get(use.gpu, 0) + (use.bytes or 0)
    return others


def rendered(
    world: World, request: Request, specs: tuple[ModelSpec, ...], host: Host, command_line: str = ""
) -> tuple[Placements, dict[str, bytes]]:
    """The files of a fleet on a host, from the registry alone: neither live memory nor containers are looked at.

    ``command_line``: what writes them again, for their headers.
    """
    placements = place(specs, request, host.idle, Observation())
    documents = documents_of(placements.items, specs, host, world, command_line)
    files = files_of(placements, documents, world, host, (), command_line)
    needs = example(documents, world.library.templates()[EXAMPLE_TEMPLATE], command_line)
    return placements, files | ({EXAMPLE_FILE: needs.encode()} if needs else {})


def files_of(
    placements: Placements,
    documents: Sequence[ComposeDocument],
    world: World,
    host: Host,
    others: Sequence[str],
    command_line: str = "",
) -> dict[str, bytes]:
    """Every file of a rendered folder by name. ``others``: documents applied before that stay part of the fleet."""
    project = documents[0].placement.project if documents else ""
    template = world.library.templates()[FLEET_TEMPLATE]
    texts = {d.filename: d.text for d in documents}
    texts[FLEET_FILE] = fleet(placements, project, host.name, documents, template, others, command_line)
    texts[ENV_FILE] = ENV_TEXT
    files = {name: text.encode() for name, text in texts.items()}
    for folder in sorted({folder for d in documents for folder in d.beside}):
        files |= {f"{folder}/{name}": data for name, data in world.library.beside(folder).items()}
    return files


def documents_of(
    placements: Sequence[Placement], specs: Sequence[ModelSpec], host: Host, world: World, command_line: str = ""
) -> tuple[ComposeDocument, ...]:
    """The documents of placements, in their order."""
    by_name = {spec.name: spec for spec in specs}
    templates = world.library.templates()
    return tuple(
        document(by_name[p.model], p, docker=host.docker, templates=templates, command_line=command_line)
        for p in placements
    )


def _applied(world: World, project: str, documents: Sequence[ComposeDocument], observation: Observation) -> list[str]:
    """Documents applied earlier whose containers still exist and that this plan does not render anew."""
    alive = {f"{c.service}.yaml" for c in observation.project(project)}
    return sorted((alive & set(world.workspace.documents(project))) - {d.filename for d in documents})
