"""Asks a running model the reference tasks, and measures it: what ``verify`` does while a container serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event as Flag
from threading import Thread
from types import TracebackType

from orchestrator.app.status import endpoint
from orchestrator.diagnosing import diagnosed
from orchestrator.errors import OrchestratorError
from orchestrator.evidence import Answer, Check
from orchestrator.observation import Container
from orchestrator.ports import Event, World
from orchestrator.reference.tasks import Task, asked_of
from orchestrator.registry.spec import ModelSpec

#: seconds between two looks at a container's memory
_EVERY = 0.25


@dataclass(frozen=True, slots=True)
class Examined:
    """What a model answered, and how quickly. ``problem``: why it was not asked to the end, with its class, or ""."""

    checks: tuple[Check, ...]
    answers: tuple[Answer, ...]
    peak: int | None
    engine_version: str
    failure: str = ""
    problem: str = ""


def examine(world: World, container: Container, spec: ModelSpec, tell: Callable[[Event], None]) -> Examined:
    """Ask one task after the other. The first that gets no answer is the last."""
    checks: list[Check] = []
    answers: list[Answer] = []
    client, failure, problem, version = world.models, "", "", ""
    with Peak(lambda: memory(world, container)) as peak:
        try:
            at = endpoint(world, container)
            version = client.version(at)
            for task, question in asked_of(spec):
                answer = client.timed(at, question, world.library.reference_image(task.image), task.max_tokens)
                answers.append(answer)
                checks.append(task.judge(answer.text))
                tell(Event("done", container.service, _words(task, checks[-1]), answer.whole))
        except OrchestratorError as error:
            failure, problem = _why(world, container, error)
    return Examined(tuple(checks), tuple(answers), peak.bytes, version, failure, problem)


def _words(task: Task, check: Check) -> str:
    return f"{task.name}: {f'wrong, {check.why}' if check.why else 'right'}"


def _why(world: World, container: Container, error: OrchestratorError) -> tuple[str, str]:
    """The class of failure and its cause, by the container if it has failed, else by what the client says."""
    now = [c for c in world.docker.observe().containers if c.id == container.id]
    why = diagnosed(world, [c for c in now if c.failed]).get(container.id)
    if why is not None:
        return why.cause, f"{error.what}; {why.words}"
    return "", error.what if now else f"{error.what}; its container is gone"


def memory(world: World, container: Container) -> int | None:
    """What the container holds now: of the GPU where it holds most, and on the CPU of the host's memory."""
    if not container.gpus:
        return world.docker.memory_of(container.id)
    gpus, _, _ = world.gpus.read()
    own = [use.bytes for use in world.gpus.uses(gpus, {container.id}) if use.container_id == container.id]
    return max((size for size in own if size is not None), default=None) if None not in own else None


class Peak:
    """The most memory that was seen while the block ran. A thread looks at it, because the answers are waited for."""

    def __init__(self, look: Callable[[], int | None]) -> None:
        self._look = look
        self._ended = Flag()
        self._thread = Thread(target=self._watch, daemon=True)
        self.bytes: int | None = None

    def __enter__(self) -> Peak:
        self._once()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._once()

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY):
            self._once()

    def _once(self) -> None:
        try:
            seen: Sequence[int | None] = (self.bytes, self._look())
        except OrchestratorError:  # it is gone, or Docker is; whoever waits for its answer hears of that
            return
        self.bytes = max((size for size in seen if size is not None), default=None)
