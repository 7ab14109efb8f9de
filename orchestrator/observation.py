"""What containers, images and ports look like now. One snapshot, taken before a plan is made.

Nothing here imports more than the standard library's data types: ``status`` stands on it and has to be quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Gate:
    """What the start gate inside a container says of itself (its ``health`` line)."""

    phase: str
    reason: str = ""
    detail: str = ""
    restarts: int = 0


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
    started: float = 0.0
    profile: str = ""
    """The profile it was started with, in the words of ``profile.Profile``."""
    best: str = ""
    """The profile that its entry asked for then."""
    published: bool = False
    """Whether Docker publishes it now where ``address`` and ``port`` say: who answers there is this container."""
    key_file: str = ""
    """The file on this host that holds its API key, by its mount; "" where callers need none."""

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
            return "stopped" if self.exit_code in {0, 137, 143} else "dead"
        if self.state != "running":
            return self.state
        if self.gate is not None:
            return self.gate.phase
        return {"healthy": "ready", "unhealthy": "unresponsive"}.get(self.health, "starting")

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
        """Whether it serves: healthy for Docker and ready by the gate's own word."""
        return self.phase == "ready" and self.health == "healthy"

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

    def holder(self, port: int, *, but: str = "") -> PortHolder | None:
        """Who holds a port, other than the container with id ``but``."""
        return next((p for p in self.ports if p.port == port and (not but or p.container_id != but)), None)
