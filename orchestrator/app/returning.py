"""What served before comes back when its successor fails: decided in ``plan.returning``, carried out here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestrator.app.planning import Decided
from orchestrator.errors import OrchestratorError
from orchestrator.executor import restore
from orchestrator.observation import Previous
from orchestrator.plan.returning import Failure, way_back
from orchestrator.ports import LOCK_PATIENCE, Event, World


@dataclass(frozen=True, slots=True)
class Outcome:
    """A service that is not ready. Where something was to come back: why, and ``words`` for what became of that."""

    service: str
    cause: str = ""
    words: str = ""
    returned: bool = False
    """Whether what served before starts now."""
    wrong: str = ""
    """What it failed with and runs on, which only its answer may show."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What was begun, as it was under the lock: container ids by service, and what is kept of those before."""

    ids: Mapping[str, str]
    kept: tuple[Previous, ...]
    error: OrchestratorError | None = None
    """Why it could not be carried out."""
    undone: tuple[Outcome, ...] = ()
    """What came back for that."""


def begun(world: World, decided: Decided, error: OrchestratorError | None, tell: Callable[[Event], None]) -> Begun:
    """To be called under the lock. After an error whatever that has taken away comes back; the rest was not touched."""
    project = decided.plan.project
    ids = {c.service: c.id for c in world.docker.observe().project(project)}
    if error is None:
        return Begun(ids, world.workspace.kept(project))
    for kept in world.workspace.kept(project):
        if kept.id in ids.values():
            world.workspace.let_go(project, kept)
    failures = [_failure(decided, step.subject, error.what) for step in decided.plan.of("create", "replace")]
    found = [_bring_back(world, project, failure, tell) for failure in failures]
    return Begun(ids, (), error, tuple(outcome for outcome in found if outcome.cause))


def answered(world: World, decided: Decided, start: Begun, service: str) -> None:
    """Nothing is kept any longer of what served before."""
    for kept in start.kept:
        if kept.service == service:
            world.workspace.let_go(decided.plan.project, kept)


def failed(world: World, decided: Decided, start: Begun, event: Event, tell: Callable[[Event], None]) -> Outcome:
    """After a start that failed: what served before comes back, if anything did."""
    service = event.subject
    if not any(kept.service == service for kept in start.kept):
        return Outcome(service, wrong=event.text)
    failure = _failure(decided, service, event.text, start.ids.get(service, ""))
    try:
        with world.workspace.lock(f"orchestrator up {service}", LOCK_PATIENCE):
            return _bring_back(world, decided.plan.project, failure, tell)
    except OrchestratorError as error:
        return Outcome(service, event.text, f"what served before can't be brought back: {error.what}")


def _failure(decided: Decided, service: str, reason: str, container: str = "") -> Failure:
    return Failure(service, decided.work.documents[service].image.reference, reason, container)


def _bring_back(world: World, project: str, failure: Failure, tell: Callable[[Event], None]) -> Outcome:
    back = way_back(failure, world.workspace.kept(project), world.docker.observe().project(project))
    if back is None:
        return Outcome(failure.service)
    try:
        for event in restore(project, back, world):
            tell(event)
    except OrchestratorError as error:
        return Outcome(failure.service, back.step.cause, f"{back.version} can't be brought back: {error.what}")
    return Outcome(failure.service, back.step.cause, f"brought back {back.version}", returned=True)
