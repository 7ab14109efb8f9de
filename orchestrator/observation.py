"""What containers, images and ports look like now. One snapshot, taken before a plan is made.

Nothing here imports more than the standard library's data types: ``status`` stands on it and has to be quick.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

LABEL = "io.orchestrator."
#: version of the label schema; containers of another schema are shown but not planned with
SCHEMA = "1"
#: label of an image of ours: digest of everything it was built from
IMAGE_SOURCE_LABEL = LABEL + "source"
#: publishes a port on every address of the host
EVERYWHERE = "0.0.0.0"  # noqa: S104 (a name for it)


#: option of the gate whose engine can be put to sleep
SLEEP_MODE = "--sleep-mode"
#: the gate's word for an engine that sleeps
ASLEEP = "asleep"
#: Bytes that a vLLM asleep at level 1 is counted with on each of its GPUs: the CUDA context, the CUDA graphs and what
#: other libraries hold stay. 1.27 GiB were reported for 0.67 GiB of weights (llm-d-fast-model-actuation, issue 746;
#: an H100 with vLLM 0.26), rounded up here. Not verified here.
RESIDUE = 3 << 29
#: what Docker may still show while the engine answers already: the gate's word is as old as the last health check
_BEFORE_READY = frozenset({"starting", "queued", "waiting-memory", "pausing", "unresponsive"})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a start is: a phase (boot, weights, load or warm-up) and what is known of it; None is not known.

    ``moved``: when anything last went on, in Unix seconds; 0.0 for not known. ``share`` of the phase from 0 to 1.
    ``done`` and ``total`` are bytes of weights on the disk; the total is about right, so it may be passed.
    """

    phase: str
    text: str = ""
    moved: float = 0.0
    share: float | None = None
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """What the start gate inside a container says of itself (its ``health`` line)."""

    phase: str
    reason: str = ""
    detail: str = ""
    restarts: int = 0
    progress: Progress | None = None
    cause: str = ""
    """The class of its reason (``diagnosis.FAILURES``); "" from a gate of an older version."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How a container is set up, in words that a Compose file's settings are told in too (``drift``).

    ``usual``: what its image and Docker give where a file says nothing. Both sorted; nothing in ``has``: not known.
    """

    has: tuple[tuple[str, str], ...] = ()
    usual: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Container:
    """One container of ours, of any project. Times are Unix seconds, sizes bytes."""

    id: str
    name: str
    state: str
    """Docker's word: created, running, restarting, paused, exited, dead."""
    health: str
    """Docker's word: starting, healthy, unhealthy; "" without a health check."""
    project: str
    service: str
    model: str
    engine: str
    image: str
    image_id: str
    digest: str
    gpus: tuple[str, ...]
    claim: int
    address: str
    port: int
    command: tuple[str, ...] = ()
    gate: Gate | None = None
    exit_code: int = 0
    error: str = ""
    """Docker's own message about a failed start."""
    oom: bool = False
    """Whether the kernel killed a process of it for want of memory since it started."""
    started: float = 0.0
    profile: str = ""
    """The profile it was started with, in the words of ``profile.Profile``."""
    best: str = ""
    """The profile that its entry asked for then."""
    published: bool = False
    """Whether Docker publishes it now where ``address`` and ``port`` say: who answers there is this container."""
    key_file: str = ""
    """The file on this host that holds its API key, by its mount; "" where callers need none."""
    answers: bool | None = None
    """Whether its engine answered ``GET /health`` with 200 just now, and what else it was asked; None for not asked."""
    created: float = 0.0
    applied: str = ""
    """The Compose file that it was made from, by Compose's own label; "" for one that Compose did not make."""
    setup: Setup = field(default=Setup(), repr=False)
    """Only where it was asked for."""

    @property
    def host(self) -> str:
        """The address at which this host reaches it."""
        return "127.0.0.1" if self.address == EVERYWHERE else self.address

    @property
    def url(self) -> str:
        """Where this host reaches it."""
        return f"http://{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether its processes exist."""
        return self.state in {"running", "restarting", "paused"}

    @property
    def phase(self) -> str:
        """The state in one word, for people and for JSON: ready, stopped, created, dead, or the gate's phase."""
        if self.state == "created":
            return "created"
        if self.state == "exited":
            killed = self.exit_code == 137 and self.oom
            return "stopped" if self.exit_code in {0, 137, 143} and not killed else "dead"
        if self.state != "running":
            return self.state
        told = {"healthy": "ready", "unhealthy": "unresponsive"}.get(self.health, "starting")
        said = self.gate.phase if self.gate is not None else told
        if self.answers and said in _BEFORE_READY:
            return "ready"
        return "unresponsive" if self.answers is False and said == "ready" else said

    @property
    def step(self) -> str:
        """The phase, and of a start the phase within it as far as the gate has told: boot, weights, load, warm-up."""
        progress = self.gate.progress if self.gate and self.phase == "starting" else None
        return progress.phase if progress else self.phase

    @property
    def askable(self) -> bool:
        """Whether an engine may answer at its port now, and nobody else could in its place."""
        return self.state == "running" and self.published and self.phase not in {"parked", "stopping", ASLEEP}

    @property
    def can_sleep(self) -> bool:
        """Whether its engine was started for sleep mode."""
        return SLEEP_MODE in self.command[: self.command.index("--") if "--" in self.command else None]

    @property
    def asleep(self) -> bool:
        """Whether its engine runs and has given its GPU's memory back."""
        return self.phase == ASLEEP

    @property
    def holds(self) -> int:
        """Bytes of each of its GPUs that nobody else may count on: its claim, and asleep only what stays of it."""
        if not self.running:
            return 0
        return min(self.claim, RESIDUE) if self.asleep else self.claim

    @property
    def ready(self) -> bool:
        """Whether it serves: by its own answer, and where it was not asked by the gate's word and Docker's."""
        return self.phase == "ready" and (self.health == "healthy" if self.answers is None else self.answers)

    @property
    def failed(self) -> bool:
        """Whether waiting longer can't help: parked, dead, paused by hand, or never started."""
        return self.phase in {"parked", "dead", "paused", "created"}


@dataclass(frozen=True, slots=True)
class Previous:
    """A container that served and was replaced: kept until its successor has answered, and back if that fails."""

    id: str
    service: str
    model: str
    image: str
    recipe: str
    """Docker's description of it, as JSON, from which it can be made anew as it was."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """A container that is not ours.

    ``compose``: ``<project>-<service>`` of Compose's labels, "" without them. Compose takes such a one for its own.
    """

    id: str
    name: str
    compose: str = ""


@dataclass(frozen=True, slots=True)
class PortHolder:
    """Who holds a port of this host."""

    port: int
    holder: str
    """For people: ``container web`` or ``process nginx (pid 12)``."""
    container_id: str = ""


@dataclass(frozen=True, slots=True)
class Helper:
    """A container with a label of ours that serves no model.

    ``kind``: that label's last word (helper: it prepares volumes, under the host's lock); "schema" for a container of
    another version of orchestrator, and only then ``project`` is known. ``created``: if it has not run yet, Unix
    seconds; else 0.0.
    """

    id: str
    name: str
    kind: str
    running: bool
    project: str = ""
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Network:
    """A network of a Compose project. ``users``: names of the containers on it, also of those that don't run."""

    id: str
    name: str
    project: str
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of ours. ``owner``: uid:gid of its root, "" where this user can't look.

    ``users``: ids and names of the containers that mount it, whoever's they are and whether or not they run.
    """

    name: str
    owner: str = ""
    users: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Remains:
    """What lies around beside the containers of models, at one moment."""

    helpers: tuple[Helper, ...] = ()
    networks: tuple[Network, ...] = ()
    volumes: tuple[Volume, ...] = ()


@dataclass(frozen=True, slots=True)
class LockState:
    """The host's lock: whether it is held, by whom by its note, and whether that process is alive.

    ``keepers``: who has the file open now, for people. A process may hold the lock for one that is dead.
    """

    held: bool = False
    note: str = ""
    alive: bool = False
    keepers: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """A local image."""

    id: str
    source: str = ""
    """What it was built from, for images of ours; "" for others."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The world at one moment."""

    containers: tuple[Container, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    ports: tuple[PortHolder, ...] = ()
    images: Mapping[str, Image] = field(default_factory=lambda: MappingProxyType({}))
    volumes: frozenset[str] = frozenset()
    others: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Bytes that processes in no container of ours hold of each GPU, by its id."""
    unreachable: frozenset[str] = frozenset()
    """Images of which a registry was asked, and that it does not give to the engine."""

    def project(self, name: str) -> tuple[Container, ...]:
        """Our containers of one project, sorted by service."""
        return tuple(sorted((c for c in self.containers if c.project == name), key=lambda c: c.service))

    def without(self, gone: Iterable[Container]) -> Observation:
        """The snapshot as it will be without these containers."""
        ids = {c.id for c in gone}
        return replace(
            self,
            containers=tuple(c for c in self.containers if c.id not in ids),
            ports=tuple(p for p in self.ports if p.container_id not in ids),
        )

    def holder(self, port: int, *, but: str = "") -> PortHolder | None:
        """Who holds a port, other than the container with id ``but``."""
        return next((p for p in self.ports if p.port == port and (not but or p.container_id != but)), None)
