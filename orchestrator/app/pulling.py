"""``pull``: images and weights ahead of time, so that a start needs no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from orchestrator.app.planning import Decided, Source, choose, documents_of, this_host
from orchestrator.compose import VOLUMES, ComposeDocument, Download, download_bytes, fetching
from orchestrator.errors import FitError, OrchestratorError
from orchestrator.executor import Work, advanced, prepare
from orchestrator.inventory import Host
from orchestrator.observation import Observation
from orchestrator.pace import Pace, stall_limit
from orchestrator.plan.placement import place
from orchestrator.plan.request import Request
from orchestrator.plan.steps import Plan, steps
from orchestrator.ports import LOCK_PATIENCE, Event, World
from orchestrator.registry.spec import ModelSpec
from orchestrator.secretfile import HF_TOKEN, check

_GB = 10**9


def pull(world: World, request: Request, source: Source, tell: Callable[[Event], None]) -> None:
    """Fetch what the models need on this host, whatever runs there now; what is there already is kept."""
    chosen = choose(world, request, source)
    request, specs = chosen.request, chosen.specs
    host = this_host(world)
    documents = {spec.name: _document(world, request, spec, host) for spec in specs}
    downloads = [(spec, _download(world, request, spec, documents[spec.name])) for spec in specs]
    _fetch(world, request, lambda: _work(world, request, tuple(documents.values())), downloads, tell)


def fetch(world: World, request: Request, decided: Decided, tell: Callable[[Event], None]) -> None:
    """Fetch what a plan needs, so that its start is that of the engines alone."""
    specs = {spec.name: spec for spec in decided.specs}
    pairs = [(specs[d.placement.model], d) for d in decided.documents]
    downloads = [(spec, found) for spec, d in pairs if (found := _download(world, request, spec, d))]
    _fetch(world, request, lambda: decided.work, downloads, tell)


def _fetch(
    world: World,
    request: Request,
    work: Callable[[], Work],
    downloads: Sequence[tuple[ModelSpec, Download | None]],
    tell: Callable[[Event], None],
) -> None:
    """The images and volumes of what is to be done, which is asked for under the lock, then the weights."""
    with world.workspace.lock(f"orchestrator pull {' '.join(request.models)}", LOCK_PATIENCE):
        todo = work()
        if downloads:
            _check_disk(world, todo, [spec for spec, download in downloads if download], tell)
        for event in prepare(todo, world):
            tell(event)
    # without the lock: it may take hours, and whoever starts models meanwhile has no reason to wait
    for spec, download in downloads:
        for event in _weights(world, spec, download):
            tell(event)


def _document(world: World, request: Request, spec: ModelSpec, host: Host) -> ComposeDocument:
    """How the model would be started were it alone on the host."""
    alone = replace(request, models=(spec.name,))
    return documents_of(place((spec,), alone, host.idle, Observation()).items, (spec,), host, world)[0]


def _download(world: World, request: Request, spec: ModelSpec, document: ComposeDocument) -> Download | None:
    file = world.workspace.secret_file(request.project, HF_TOKEN)
    if HF_TOKEN in document.secrets:
        check(HF_TOKEN, spec.name, file, world.workspace.stored(file))
    return fetching(spec, document, file)


def _work(world: World, request: Request, documents: Sequence[ComposeDocument]) -> Work:
    """The steps for images and volumes; those for containers are not taken."""
    observed = world.docker.observe([d.image.reference for d in documents], [name for name, _ in VOLUMES])
    wanted = [d.desired(world.builder.source(d.image), "") for d in documents]
    todo = steps(wanted, Observation(images=observed.images, volumes=observed.volumes), world.workspace.unfinished())
    return Work(Plan(request.project, "", todo), {d.placement.service: d for d in documents}, {})


def _check_disk(world: World, work: Work, specs: Sequence[ModelSpec], tell: Callable[[Event], None]) -> None:
    """What is there of the weights already is known only inside the volume: what fetches them looks again."""
    folder, free = world.docker.disk()
    needed = sum(download_bytes(spec) for spec in specs)
    missing = [step.subject for step in work.plan.of("build", "pull")]
    words = [
        f"{free / _GB:.1f} GB are free in {folder}"
        if free is not None
        else f"{folder} can't be looked at by this user",
        *([f"the weights take about {needed / _GB:.1f} GB"] if needed else []),
        *(["how large the missing images are is not known beforehand"] if missing else []),
    ]
    tell(Event("start", "disk", "; ".join(words)))
    new = VOLUMES[0][0] in {step.subject for step in work.plan.of("volume")}
    if free is not None and new and needed > free:
        raise FitError(
            f"the weights of {', '.join(spec.name for spec in specs)} take about {needed / _GB:.1f} GB, "
            f"and {free / _GB:.1f} GB are free",
            where=folder,
            hint="make room, or move Docker's data-root; nothing was fetched",
        )


def _weights(world: World, spec: ModelSpec, download: Download | None) -> Iterator[Event]:
    if download is None:
        where = spec.source.path or "the image, or with this program"
        yield Event("start", spec.name, f"its weights come with {where}: nothing to fetch")
        return
    begun, pace, moved, most = world.clock.now(), Pace(), world.clock.now(), -1
    yield Event("start", spec.name, f"weights: {download.repository} at {download.revision or 'its newest revision'}")
    for advance in world.actor.fetch(download):
        now = world.clock.now()
        if (advance.done or 0) > most:
            moved, most = now, advance.done or 0
        elif now - moved >= stall_limit("weights"):
            raise OrchestratorError(
                f"no progress for {stall_limit('weights'):g} s in phase weights: {download.repository}",
                hint="check the network; what is there is kept: run it again",
            )
        yield advanced(spec.name, "weights", advance, now - begun, pace.rate(now, advance.done))
    yield Event("done", spec.name, "weights", world.clock.now() - begun)
