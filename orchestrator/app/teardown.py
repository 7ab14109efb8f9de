"""``down``: stop, remove, prove. What a crash left goes too, and weights only where it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from orchestrator.app.interrupt import interruptible
from orchestrator.app.status import select_from
from orchestrator.compose import OWNER, VOLUMES
from orchestrator.errors import EnvironmentProblem, OrchestratorError
from orchestrator.executor import discard, remove
from orchestrator.observation import Container, Observation, Remains
from orchestrator.plan.leftovers import Leftover, networks, of_project
from orchestrator.plan.proof import Held, Look, Missing, held, missing, words
from orchestrator.plan.steps import removal
from orchestrator.ports import LOCK_PATIENCE, Event, World
from orchestrator.registry.spec import ENGINES

#: seconds in which everything has to be as it was; drivers were seen to take some to give memory back (public issues)
PATIENCE = 15.0
_POLL = 0.25
#: between the lines of an error or hint
_LINES = "\n       "
_VOLUMES = tuple(name for name, _ in VOLUMES)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to go: the models named, or all of the project with what was left of it; ``purge``: volumes as well."""

    project: str
    names: tuple[str, ...] = ()
    purge: bool = False

    @property
    def everything(self) -> bool:
        """Whether no model was named."""
        return not self.names

    @property
    def said(self) -> str:
        """The command, for the note in the lock."""
        return f"orchestrator down {' '.join(self.names) or '--all'}"


@dataclass(frozen=True, slots=True)
class Doomed:
    """What will be removed. ``absent``: models that are down already; ``sizes``: bytes by volume."""

    containers: tuple[Container, ...]
    neighbours: frozenset[str]
    """Ids of the containers that stay."""
    leftovers: tuple[Leftover, ...]
    sizes: dict[str, int]
    absent: tuple[str, ...] = ()


def down(
    world: World,
    wanted: Wanted,
    known: Callable[[], Sequence[str]],
    agree: Callable[[Doomed], bool],
    tell: Callable[[Event], None],
) -> int:
    """Take models down and prove it; returns how many things are gone. ``known``: names that are no mistake."""
    stale = world.workspace.lock_state()
    with world.workspace.lock(wanted.said, LOCK_PATIENCE):
        doomed = _doomed(world, wanted, known)
        if (doomed.containers or doomed.sizes) and not agree(doomed):
            raise OrchestratorError("declined; nothing was changed", hint="--yes agrees beforehand")
        with interruptible(world, "down", wanted.project, doomed.containers):
            count = _take_down(world, wanted, doomed, tell)
    if wanted.everything and stale.note and not stale.held:
        tell(Event("gone", "lock", f"{stale.note} had died without giving it back; nothing waits for it"))
    for name in doomed.absent:
        tell(Event("gone", name, "it was down already"))
    return count + len(doomed.absent)


def _doomed(world: World, wanted: Wanted, known: Callable[[], Sequence[str]]) -> Doomed:
    seen = world.docker.observe()
    remains = world.docker.remains(_VOLUMES)
    absent = _absent(world, wanted, seen, known)
    present = tuple(name for name in wanted.names if name not in absent)
    chosen = select_from(seen, wanted.project, present) if present or wanted.everything else ()
    documents = world.workspace.documents(wanted.project)
    leftovers = of_project(wanted.project, seen, remains, documents, world.clock.now())
    if not wanted.everything:
        leftovers = tuple(x for x in leftovers if x.kind == "document" and _belongs(x.name, absent))
    stay = {c.id for c in seen.containers} | {f.id for f in seen.foreign}
    stay -= {c.id for c in chosen}
    doomed = Doomed(chosen, frozenset(stay), leftovers, {}, absent)
    if not wanted.purge:
        return doomed
    _refuse_in_use(remains, {c.id for c in chosen} | {x.id for x in leftovers})
    sizes = world.docker.sizes(_VOLUMES)
    return replace(doomed, sizes={v.name: sizes.get(v.name, 0) for v in remains.volumes})


def _absent(world: World, wanted: Wanted, seen: Observation, known: Callable[[], Sequence[str]]) -> tuple[str, ...]:
    """Names of models and services without a container: an earlier ``down``, cut off or not, saw to them."""
    found = seen.project(wanted.project)
    lacking = [name for name in wanted.names if not any(name in (c.model, c.service) for c in found)]
    if not lacking:
        return ()
    documents = world.workspace.documents(wanted.project)
    models = {*known(), *(kept.model for kept in world.workspace.kept(wanted.project))}
    return tuple(
        name
        for name in lacking
        if name in models or _model(name) in models or any(_belongs(document, (name,)) for document in documents)
    )


def _model(service: str) -> str:
    """The model of a service; "" for what is none."""
    model, _, engine = service.rpartition("-")
    return model if engine in ENGINES else ""


def _belongs(document: str, names: Sequence[str]) -> bool:
    """Whether a document is that of a model or service: ``phi-vllm.yaml`` of phi and of phi-vllm."""
    service = document.removesuffix(".yaml")
    return any(service == name or service.rpartition("-")[0] == name for name in names)


def _refuse_in_use(remains: Remains, going: set[str]) -> None:
    users = {name for volume in remains.volumes for id_, name in volume.users if id_ not in going}
    if users:
        raise OrchestratorError(
            f"weights can't be removed while containers use them: {', '.join(sorted(users))}; nothing was changed",
            where=f"volumes {', '.join(v.name for v in remains.volumes)}",
            hint="take those down first, of every project ('orchestrator --project NAME down --all')",
        )


def _take_down(world: World, wanted: Wanted, doomed: Doomed, tell: Callable[[Event], None]) -> int:
    before = _look(world) if any(c.gpus for c in doomed.containers) else Look()
    helds = held(doomed.containers, before)
    begun = world.clock.now()
    failure = _removed(world, wanted, doomed, tell)
    for event in discard(doomed.leftovers, world):
        tell(event)
    problems, now = _proved(world, doomed, helds, before)
    _say(doomed.containers, helds, problems, before if before.gpus else now, world.clock.now() - begun, tell)
    count = len(doomed.containers) + len(doomed.leftovers) + _rest(world, wanted, tell)
    if failure or problems:
        raise _unproved(failure, problems)
    return count + _purge(world, doomed, tell)


def _removed(world: World, wanted: Wanted, doomed: Doomed, tell: Callable[[Event], None]) -> OrchestratorError | None:
    """Remove the containers; what Docker could not do is returned, since then most of all is asked who holds what."""
    try:
        for event in remove(removal(wanted.project, "", doomed.containers, "asked for"), world):
            tell(event)
    except EnvironmentProblem:
        raise
    except OrchestratorError as error:
        return error
    return None


def _look(world: World) -> Look:
    gpus, _, note = world.gpus.read()
    if not gpus:
        return Look(note=note)
    known = {c.id for c in world.docker.observe().containers}
    return Look(gpus, world.gpus.holders(gpus, known), note)


def _proved(world: World, doomed: Doomed, helds: Sequence[Held], before: Look) -> tuple[tuple[Missing, ...], Look]:
    """Look until everything is as it should be, or patience ends; returns what is not, and the last look."""
    if not doomed.containers:
        return (), before
    deadline = world.clock.now() + PATIENCE
    while True:
        now = _look(world) if helds else Look(note=before.note)
        seen = world.docker.observe(listeners=True)
        problems = missing(doomed.containers, helds, before, seen, now, doomed.neighbours)
        if not problems or world.clock.now() >= deadline:
            return problems, now
        world.clock.sleep(_POLL)


def _say(
    chosen: Sequence[Container],
    helds: Sequence[Held],
    problems: Sequence[Missing],
    look: Look,
    seconds: float,
    tell: Callable[[Event], None],
) -> None:
    """One line for each model of which everything was proved."""
    bad = {id_ for problem in problems for id_ in problem.containers}
    for container in chosen:
        if container.id not in bad:
            tell(Event("gone", container.service, words(container, helds, look), seconds))


def _rest(world: World, wanted: Wanted, tell: Callable[[Event], None]) -> int:
    """Networks on which nobody is any more, and for ``--all`` marks and drafts; returns how many were removed."""
    _let_go(world, wanted)
    remains = world.docker.remains(_VOLUMES)
    gone = networks([wanted.project], remains)
    for event in discard(gone, world):
        tell(event)
    for network in remains.networks:
        if network.project == wanted.project and network.users and wanted.everything:
            tell(Event("wait", f"network {network.name}", f"it stays, because of {', '.join(network.users)}"))
    if not wanted.everything:
        return len(gone)
    return len(gone) + _marks(world, remains, tell) + len(world.workspace.drafts(remove=True))


def _let_go(world: World, wanted: Wanted) -> None:
    """What served before a replacement is not to come back where the replacement was taken down, or is gone already."""
    there = {c.service for c in world.docker.observe().project(wanted.project)}
    for kept in world.workspace.kept(wanted.project):
        if kept.service not in there and (wanted.everything or {kept.model, kept.service} & set(wanted.names)):
            world.workspace.let_go(wanted.project, kept)


def _marks(world: World, remains: Remains, tell: Callable[[Event], None]) -> int:
    """A mark without its volume, or of one that is as it should be, goes; of the others is said who sees to them."""
    owners = {v.name: v.owner for v in remains.volumes}
    marked = world.workspace.unfinished()
    settled = sorted(name for name in marked if owners.get(name, OWNER) == OWNER)
    if settled:
        world.workspace.prepared(settled)
    for name in sorted(marked - set(settled)):
        tell(Event("wait", f"volume {name}", "its preparation was cut off; the next 'up' or 'doctor --fix' ends it"))
    return len(settled)


def _unproved(failure: OrchestratorError | None, problems: Sequence[Missing]) -> OrchestratorError:
    """Everything at once: what Docker said, and what is not gone."""
    said = [(failure.what, failure.hint)] if failure else []
    said += [(problem.what, problem.hint) for problem in problems]
    return OrchestratorError(
        _LINES.join(dict.fromkeys(what for what, _ in said)),
        hint=_LINES.join(dict.fromkeys(hint for _, hint in said if hint)),
    )


def _purge(world: World, doomed: Doomed, tell: Callable[[Event], None]) -> int:
    for name, size in doomed.sizes.items():
        world.actor.remove_volume(name)
        tell(Event("gone", f"volume {name}", f"{size / 10**9:.1f} GB came back"))
    world.workspace.prepared(tuple(doomed.sizes))
    left = [v.name for v in world.docker.remains(tuple(doomed.sizes)).volumes]
    if left:
        raise OrchestratorError(
            f"still there: volume {', '.join(left)}", hint="'docker volume inspect' shows its state"
        )
    return len(doomed.sizes)
