"""The outside world as Protocols, and the events of what happens there. Adapters implement them; tests have fakes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from orchestrator.observation import LockState, Observation, Previous, Remains

if TYPE_CHECKING:  # the values are heavier to import than ``status`` has time for
    from orchestrator.compose import Download
    from orchestrator.evidence import Answer, Holder, Listing, Measurement, Use, Verification, Verifications
    from orchestrator.fleet.file import FleetFile
    from orchestrator.inventory import Gpu, Host
    from orchestrator.lockfile import Lock
    from orchestrator.plan.images import Image
    from orchestrator.registry.loader import Registry
    from orchestrator.secretfile import Secret, StoredFile

#: seconds for one answer; a CPU is slow
PATIENCE = 600.0
#: seconds to wait for another orchestrator that is changing this host
LOCK_PATIENCE = 900.0
#: the lock of whoever changes this host
HOST_LOCK = "orchestrator"

#: "late": not ready in the time given, or without progress, which is no failure: it goes on; "said": a line that an
#: engine printed before it failed; "gone": something was taken down, and the text says what was proved, or why
EventKind = Literal["start", "progress", "done", "phase", "ready", "late", "failed", "said", "wait", "gone"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an image, a volume, weights or a service. ``seconds`` since its step or start began.

    Of ``phase`` and ``progress``, None where it is not known: the ``share`` of the phase from 0 to 1, bytes ``done`` of
    ``total`` (about right), and the ``rate`` in bytes a second. ``late`` is what is waited for no longer, and goes on.
    Of ``failed``, the class as the ``cause`` (``diagnosis.FAILURES``), if it has one.
    """

    kind: EventKind
    subject: str
    text: str = ""
    seconds: float = 0.0
    phase: str = ""
    share: float | None = None
    done: int | None = None
    total: int | None = None
    rate: float | None = None
    cause: str = ""

    @property
    def left(self) -> float | None:
        """Seconds that are left, at this rate."""
        if self.done is None or self.total is None or not self.rate:
            return None
        return max(0, self.total - self.done) / self.rate


@dataclass(frozen=True, slots=True)
class Advance:
    """A sign that a pull, a build or a download goes on: a line, and bytes as far as they are known."""

    text: str = ""
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class DockerVersion:
    """What answers on the socket."""

    version: str
    podman: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is asked, and with which API key; "" for none."""

    model: str
    base: str
    key: str = field(default="", repr=False)


class DockerReader(Protocol):
    """Looks at Docker, quickly: the bare socket."""

    def version(self) -> DockerVersion:
        """Version of the engine; EnvironmentProblem when none answers."""

    def observe(
        self,
        images: Sequence[str] = (),
        volumes: Sequence[str] = (),
        *,
        listeners: bool = False,
        setups: bool = False,
    ) -> Observation:
        """One snapshot of all containers, and of these images and volumes.

        ``listeners``: also of what else listens on TCP ports, which takes longer than all the rest. ``setups``: also
        of how containers are set up, for which their images are asked for.
        """

    def reachable(self, image: str) -> bool:
        """Whether the image's registry has it for the engine; False too where it does not answer within seconds."""

    def remains(self, volumes: Sequence[str]) -> Remains:
        """What lies around beside the containers of models: helpers, Compose's networks, and these volumes."""

    def sizes(self, volumes: Sequence[str]) -> Mapping[str, int]:
        """Bytes in each of these volumes that exist. Docker counts them file by file."""

    def gpu_ways(self) -> tuple[str, ...]:
        """The ways in which the engine can hand out GPUs: the NVIDIA runtime, its hook, CDI devices."""

    def memory(self) -> int:
        """Bytes of memory that the engine's host has; 0 where it does not tell."""

    def memory_of(self, container: str) -> int | None:
        """Bytes of the host's memory that a container uses, without its file cache; None where Docker can't tell."""

    def disk(self) -> tuple[str, int | None]:
        """The engine's data folder, and the bytes free there (None where this user can't look)."""


class DockerActor(Protocol):
    """Changes what Compose can't, or not precisely: by container id, so that nothing foreign is ever touched."""

    def pull(self, reference: str) -> Iterator[Advance]:
        """Pull an image. OrchestratorError when it fails or stands still."""

    def fetch(self, download: Download) -> Iterator[Advance]:
        """Fetch weights; what is there is kept, and what was cut goes on. Yields at least every few seconds.

        FitError where the disk is too small, EnvironmentProblem for a token that is missing or not enough, RequestError
        for a repository or revision that isn't there, OrchestratorError for anything else, such as no network.
        """

    def prepare_volumes(self, names: Sequence[str], image: str, owner: str) -> None:
        """Create volumes that are missing and give their roots to ``owner`` (uid:gid), by a container of ``image``."""

    def run_script(self, image: str, script: str, words: Sequence[str]) -> str:
        """What a Python script prints in a throw-away container, which has no network, no GPU and no rights.

        The script has to see to its own end. OrchestratorError with the end of its stderr where it printed nothing.
        """

    def start(self, container: str) -> None:
        """Start a stopped container."""

    def stop(self, container: str, grace: int) -> None:
        """Stop a container; it is killed after ``grace`` seconds."""

    def restart(self, container: str, grace: int) -> None:
        """Stop and start a container."""

    def remove(self, container: str, grace: int) -> None:
        """Stop and remove a container; no error if it is gone."""

    def recipe(self, container: str) -> str:
        """All that Docker needs to make the container anew, as JSON. It holds no secret that the files do not."""

    def recreate(self, recipe: str) -> None:
        """Make and start a container that is gone, of the same image; nothing is left of it if that fails."""

    def remove_network(self, network: str) -> None:
        """Remove a network by its id; no error if it is gone."""

    def remove_volume(self, name: str) -> None:
        """Remove a volume and all that is in it; no error if it is gone."""

    def gpus_seen(self, container: str) -> str | None:
        """Why ``nvidia-smi`` fails inside a running container; "" where it works, None where it can't be asked."""

    def logs(self, container: str, *, follow: bool, tail: int | None) -> Iterator[bytes]:
        """What the container printed, both streams, in chunks."""


class ComposeCli(Protocol):
    """``docker compose``."""

    def version(self) -> str:
        """Version of the plugin; EnvironmentProblem when there is none."""

    def up(self, folder: Path, project: str, services: Sequence[str]) -> None:
        """One ``up -d`` of these services of the fleet file in a folder, all made anew.

        OrchestratorError with what Compose said.
        """


class ImageBuilder(Protocol):
    """Images of ours."""

    def source(self, image: Image) -> str:
        """Digest of everything that an image would be built from now; "" where this version can't build it."""

    def build(self, image: Image) -> Iterator[Advance]:
        """Build and tag it. OrchestratorError with the end of the log when it fails or stands still."""

    def buildable(self) -> tuple[Image, ...]:
        """The images that this version can build, sorted by reference."""


class GpuReader(Protocol):
    """NVML."""

    def read(self) -> tuple[tuple[Gpu, ...], str, str]:
        """The GPUs of this host, the driver's version, and if there are none, why."""

    def uses(self, gpus: Sequence[Gpu], known: Collection[str]) -> tuple[Use, ...]:
        """What each container holds of these GPUs now. ``known``: ids of containers that Docker told."""

    def holders(self, gpus: Sequence[Gpu], known: Collection[str]) -> tuple[Holder, ...]:
        """Every process that holds memory of these GPUs, and whose it is."""


class ModelClient(Protocol):
    """Talks to a running model, over the OpenAI API."""

    def served(self, at: Endpoint) -> tuple[str, ...]:
        """Names that the server says it serves; () while it can't be reached. OrchestratorError if it wants a key."""

    def ask(self, at: Endpoint, prompt: str, image: bytes | None, max_tokens: int, patience: float = PATIENCE) -> str:
        """The answer's text; OrchestratorError with what the server said, or after ``patience`` seconds."""

    def timed(
        self, at: Endpoint, prompt: str, image: bytes | None, max_tokens: int, patience: float = PATIENCE
    ) -> Answer:
        """The same, token by token, with times; ``patience`` is for each of them."""

    def version(self, at: Endpoint) -> str:
        """The engine's version, by its own word; "" where it does not tell."""

    def sleep(self, at: Endpoint) -> None:
        """Let a vLLM finish what it is answering, move its weights to the host's memory and drop its KV cache.

        Returns when that is done, at once where it was already. OrchestratorError with what the server said.
        """

    def wake(self, at: Endpoint) -> None:
        """Bring it all back; returns when that is done. OrchestratorError also where its weights were dropped too."""


class Pulse(Protocol):
    """Whether engines are alive, quickly: it is asked many times a second, and by ``status``."""

    def beating(self, urls: Sequence[str], patience: float) -> frozenset[str]:
        """Those of these base URLs where ``GET /health`` answers 200 within ``patience`` seconds."""


class Origins(Protocol):
    """Where weights and images come from, and what is newest there.

    EnvironmentProblem where a token or a login is missing or not enough, RequestError for what isn't there,
    OrchestratorError for anything else, such as no network.
    """

    def commit(self, repository: str, endpoint: str, token: str) -> str:
        """The newest commit of a repository, on that hub; "" for the usual one. ``token``: "" for none."""

    def digest(self, image: str) -> str:
        """What the image's registry has by that name, ``sha256:...``. Docker asks, with the user's logins."""


class Clock(Protocol):
    """Time."""

    def now(self) -> float:
        """Unix seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Workspace(Protocol):
    """The state folder: applied documents, and marks that can be deleted without harm."""

    def folder(self, project: str) -> Path:
        """Where the documents of a project are applied from."""

    def write(self, project: str, files: Mapping[str, bytes]) -> None:
        """Write files into the project's folder, each atomically; names may have folders in front."""

    def documents(self, project: str) -> tuple[str, ...]:
        """File names of the documents applied for a project, sorted."""

    def forget(self, project: str, names: Sequence[str]) -> None:
        """Remove documents."""

    def projects(self) -> tuple[str, ...]:
        """Projects with documents here, sorted."""

    def has(self, file: str) -> bool | None:
        """Whether a document is there; None where this user can't look."""

    def text(self, file: str) -> str | None:
        """A document's text; None where there is none that this user can read."""

    def drafts(self, *, remove: bool) -> tuple[str, ...]:
        """Files that were being written when their writer died; removed if asked."""

    def keep(self, project: str, previous: Previous) -> None:
        """Keep what is about to be replaced, instead of what was kept of its service before."""

    def kept(self, project: str) -> tuple[Previous, ...]:
        """What is kept of a project, sorted by service."""

    def let_go(self, project: str, previous: Previous) -> None:
        """Keep it no longer; what was kept of its service since then stays."""

    def secret_file(self, project: str, secret: Secret, kept: str = "") -> str:
        """Path of the file that the environment names; else ``kept``; else the default in the project's folder."""

    def stored(self, file: str) -> StoredFile | None:
        """The file as it lies there; None if there is none."""

    def unfinished(self) -> frozenset[str]:
        """Volumes whose preparation was begun and never ended."""

    def preparing(self, names: Sequence[str]) -> AbstractContextManager[None]:
        """Mark volumes so until the block has ended well."""

    def prepared(self, names: Sequence[str]) -> None:
        """Take these volumes' marks away: they are as they should be, or gone."""

    def measurements(self) -> tuple[Measurement, ...]:
        """What was measured on this host."""

    def record(self, measurements: Sequence[Measurement]) -> None:
        """Keep measurements, each in place of an earlier one with the same fingerprint."""

    def listings(self) -> tuple[Listing, ...]:
        """What engines said of themselves on this host, one for each image reference."""

    def hear(self, listing: Listing) -> None:
        """Keep what an engine said, in place of what the same image, or an earlier one of its name, said."""

    def verifications(self) -> Verifications:
        """What ``verify`` recorded on this host, the last of each pair, sorted by model and engine."""

    def attest(self, verification: Verification) -> None:
        """Keep a verification at once, in place of an earlier one of its pair."""

    def lock(self, purpose: str, timeout: float, name: str = HOST_LOCK) -> AbstractContextManager[None]:
        """The host's lock, or another; waits, and after ``timeout`` seconds an OrchestratorError names who holds it."""

    def lock_state(self) -> LockState:
        """Who holds the host's lock now; a note without a lock was left by a process that died."""


class Library(Protocol):
    """Files that come with the package, or that the user names."""

    def registry(self, folders: Sequence[Path]) -> Registry:
        """Built-in entries and the user's, in this order."""

    def lock(self, path: Path) -> Lock:
        """A lock file; an empty lock if there is none. FileProblems if it isn't one."""

    def names(self, folders: Sequence[Path]) -> tuple[str, ...]:
        """Names of the same entries, sorted, by the names of their files: nothing is read, and nothing is an error."""

    def templates(self) -> dict[str, str]:
        """Compose templates by name."""

    def reports(self) -> dict[str, str]:
        """Templates of reports, and translations for them, by file name."""

    def beside(self, folder: str) -> dict[str, bytes]:
        """Files of a folder that documents mount from beside them, by name: the gate, or weights that come with us."""

    def inquiry(self) -> str:
        """The script that asks an engine inside its image."""

    def probe_image(self) -> bytes:
        """The known image, a PNG."""

    def reference_image(self, file: str) -> bytes:
        """The picture of a reference task, a PNG."""

    def inventory(self, path: Path) -> Host:
        """An inventory file; FileProblems if it isn't one."""

    def fleet(self, path: Path) -> FleetFile:
        """A fleet file; FileProblems if it isn't one."""

    def folder(self, path: Path) -> dict[str, bytes]:
        """Contents of the files that we might have written to a folder, by name; empty if there is no such folder."""

    def create(self, path: Path, files: Mapping[str, bytes]) -> tuple[Path, ...]:
        """Write files into a folder, none of which may exist: RequestError names those that do, and nothing is done."""

    def save_file(self, path: Path, data: bytes) -> None:
        """Write one file, atomically; RequestError where its folder is not there."""

    def save(self, path: Path, files: Mapping[str, bytes], remove: Sequence[str]) -> None:
        """Write files into a folder, each atomically, and remove others."""


class World(Protocol):
    """Everything outside, each part made when it is first used."""

    @property
    def docker(self) -> DockerReader:
        """Looks at Docker."""

    @property
    def actor(self) -> DockerActor:
        """Changes containers."""

    @property
    def compose(self) -> ComposeCli:
        """Applies documents."""

    @property
    def builder(self) -> ImageBuilder:
        """Builds images."""

    @property
    def gpus(self) -> GpuReader:
        """Reads GPUs."""

    @property
    def models(self) -> ModelClient:
        """Talks to models."""

    @property
    def pulse(self) -> Pulse:
        """Whether engines are alive."""

    @property
    def origins(self) -> Origins:
        """The hub and the registries of images."""

    @property
    def clock(self) -> Clock:
        """Time."""

    @property
    def workspace(self) -> Workspace:
        """The state folder."""

    @property
    def library(self) -> Library:
        """Files of the package and the user's."""
