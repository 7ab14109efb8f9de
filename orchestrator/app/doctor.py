"""``doctor``: what this machine has and lacks, what was left on it, and for each what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from orchestrator.checkup import host, ours
from orchestrator.checkup.values import Finding, failed, unseen
from orchestrator.compose import FLEET_FILE, OWNER, VOLUMES
from orchestrator.errors import OrchestratorError
from orchestrator.executor import discard
from orchestrator.inventory import Gpu
from orchestrator.observation import Observation, Remains
from orchestrator.plan.images import all_images
from orchestrator.plan.leftovers import Leftover, containers, document_of, helpers, networks
from orchestrator.ports import LOCK_PATIENCE, Event, World
from orchestrator.registry.spec import ModelSpec

_VOLUMES = tuple(name for name, _ in VOLUMES)


@dataclass
class _Facts:
    """What the checks share, each part read when it is first needed: one that can't be read fails its checks only."""

    world: World
    project: str
    registries: Sequence[Path]
    locked: bool = False
    """Whether the host's lock is ours."""

    @cached_property
    def gpus(self) -> tuple[tuple[Gpu, ...], str, str]:
        return self.world.gpus.read()

    @cached_property
    def models(self) -> dict[str, ModelSpec]:
        return dict(self.world.library.registry(self.registries).models)

    @cached_property
    def seen(self) -> Observation:
        return self.world.docker.observe(self.images, listeners=True)

    @cached_property
    def images(self) -> tuple[str, ...]:
        return all_images(self.models.values())

    @cached_property
    def remains(self) -> Remains:
        return self.world.docker.remains(_VOLUMES)

    @cached_property
    def leftovers(self) -> tuple[Leftover, ...]:
        """Of every project: what no document describes, what never started, helpers, and networks of no one."""
        files = {c.id: [self.world.workspace.has(f) for f in document_of(c, FLEET_FILE)] for c in self.seen.containers}
        present = {id_: None if None in found else bool(found) and all(found) for id_, found in files.items()}
        projects = {self.project, *self.world.workspace.projects(), *(c.project for c in self.seen.containers)}
        return (
            *containers(self.seen, present, self.world.clock.now()),
            *helpers(self.remains, self.world.clock.now()),
            *networks(projects, self.remains),
        )

    @cached_property
    def documents(self) -> tuple[Leftover, ...]:
        workspace = self.world.workspace
        return tuple(
            Leftover("document", name, "no container", str(workspace.folder(project) / name), project=project)
            for project in workspace.projects()
            for name in workspace.documents(project)
            if name != FLEET_FILE and name.removesuffix(".yaml") not in {c.service for c in self.seen.project(project)}
        )

    @property
    def helper_image(self) -> str:
        """An image that is here and that has ``chown``; "" if there is none."""
        return next((image for image in self.images if image in self.seen.images), "")


def doctor(world: World, project: str, registries: Sequence[Path]) -> tuple[Finding, ...]:
    """Every check, whatever the others find."""
    facts = _Facts(world, project, registries)
    found: list[Finding] = []
    causes: dict[str, str] = {}
    for name, check in _CHECKS:
        try:
            found.extend(check(facts))
        except OrchestratorError as error:
            first = causes.setdefault(error.what, name)
            found.append(failed(name, error) if first == name else unseen(name, first))
    return tuple(found)


def fix(
    world: World, project: str, registries: Sequence[Path], tell: Callable[[Event], None]
) -> tuple[tuple[Finding, ...], tuple[Leftover, ...]]:
    """Do what is safe, under the lock; returns what is left to be said, and what was done.

    Nothing that runs is touched. What fails is told, and the rest is done all the same.
    """
    before = doctor(world, project, registries)
    todo = list(dict.fromkeys(f for finding in before for f in finding.fixes))
    done: list[Leftover] = []
    if todo:
        with world.workspace.lock("orchestrator doctor --fix", LOCK_PATIENCE):
            # looked at again: somebody else may have been at work until now
            facts = _Facts(world, project, registries, locked=True)
            now = [f for _, check in _CHECKS for finding in _safely(check, facts) for f in finding.fixes]
            still = [left for left in todo if left.kind == "lock" or left in now]
            done.extend(_prepared(world, facts, [left for left in still if left.kind == "volume"], tell))
            for left in still:
                if left.kind != "volume":
                    done.extend(_discarded(world, left, tell))
    return doctor(world, project, registries) if done else before, tuple(done)


def _safely(check: Callable[[_Facts], Iterator[Finding]], facts: _Facts) -> tuple[Finding, ...]:
    try:
        return tuple(check(facts))
    except OrchestratorError:
        return ()


def _prepared(
    world: World, facts: _Facts, volumes: Sequence[Leftover], tell: Callable[[Event], None]
) -> tuple[Leftover, ...]:
    """Give volumes to their owner, all by one helper."""
    if not volumes:
        return ()
    begun = world.clock.now()
    names = sorted(volume.id for volume in volumes)
    try:
        with world.workspace.preparing(names):
            world.actor.prepare_volumes(names, facts.helper_image, OWNER)
    except OrchestratorError as error:
        tell(Event("failed", f"volumes {', '.join(names)}", error.what))
        return ()
    for volume in volumes:
        tell(Event("done", f"volume {volume.name}", volume.why, world.clock.now() - begun))
    return tuple(volumes)


def _discarded(world: World, left: Leftover, tell: Callable[[Event], None]) -> tuple[Leftover, ...]:
    try:
        for event in discard([left], world):
            tell(event)
    except OrchestratorError as error:
        tell(Event("failed", f"{left.kind} {left.name}", error.what))
        return ()
    return (left,)


def _gpu_access(facts: _Facts) -> Iterator[Finding]:
    """Asked only where the host itself reaches its GPUs."""
    if not any(gpu.usable for gpu in facts.gpus[0]):
        return iter(())
    holding = [c for c in facts.seen.containers if c.gpus and c.state == "running"]
    return ours.gpu_access({c: facts.world.actor.gpus_seen(c.id) for c in holding})


def _volumes(facts: _Facts) -> Iterator[Finding]:
    """A preparation may be going on while somebody holds the lock."""
    busy = not facts.locked and facts.world.workspace.lock_state().held
    marked = () if busy else sorted(facts.world.workspace.unfinished())
    return ours.volumes(facts.remains, marked, OWNER, able=bool(facts.helper_image))


_CHECKS: tuple[tuple[str, Callable[[_Facts], Iterator[Finding]]], ...] = (
    ("Docker Engine", lambda f: host.engine(f.world.docker.version())),
    ("Compose", lambda f: iter((Finding("Compose", "ok", f.world.compose.version()),))),
    ("GPU", lambda f: host.gpus(*f.gpus)),
    ("GPU runtime", lambda f: host.runtime(f.gpus[0], f.world.docker.gpu_ways() if f.gpus[0] else ())),
    ("driver", lambda f: host.driver(f.gpus[1], tuple(f.models.values()))),
    ("memory", lambda f: host.memory(f.world.docker.memory(), tuple(f.models.values()))),
    ("disk", lambda f: host.disk(*f.world.docker.disk())),
    ("ports", lambda f: host.ports(f.seen, f.models)),
    ("containers", lambda f: ours.failures(f.seen, f.leftovers)),
    ("GPU access", _gpu_access),
    ("leftovers", lambda f: ours.remnants(f.leftovers, f.documents)),
    ("volumes", _volumes),
    ("lock", lambda f: ours.lock(f.world.workspace.lock_state(), f.world.workspace.drafts(remove=False))),
)
