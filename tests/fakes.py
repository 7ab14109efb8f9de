"""A fake for every Protocol of ``orchestrator.ports``, written by hand, and a world that holds one of each.

They keep state as the real ones do: what Compose is given becomes containers that Docker then shows. Every change is
noted in ``World.log``, in order, so that a test can say "nothing was started".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ruamel.yaml import YAML

from orchestrator.compose import FLEET_FILE, GATE_FOLDER, OWNER, Download
from orchestrator.drift.document import facts
from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.evidence import Answer, Fingerprint, Holder, Listing, Measurement, Use, Verification, Verifications
from orchestrator.fleet.file import FleetFile
from orchestrator.inventory import Gpu, Host
from orchestrator.lockfile import Lock
from orchestrator.observation import (
    ASLEEP,
    LABEL,
    Container,
    Foreign,
    Gate,
    Helper,
    LockState,
    Network,
    Observation,
    PortHolder,
    Previous,
    Remains,
    Setup,
    Volume,
)
from orchestrator.observation import Image as LocalImage
from orchestrator.plan.images import Image, built_image
from orchestrator.ports import HOST_LOCK, PATIENCE, Advance, DockerVersion, Endpoint, Library, World
from orchestrator.registry.loader import Registry
from orchestrator.registry.spec import ModelSpec
from orchestrator.secretfile import API_KEY, Secret, StoredFile
from tests.builders import READY
from tests.templates import REPORTS, TEXTS

PROBE_IMAGE = b"\x89PNG a known image"


def parse(text: str | bytes) -> Any:
    """A Compose file as plain values, as Compose sees them: ``$$`` is a dollar."""
    return _undoubled(YAML(typ="safe", pure=True).load(text))


def _undoubled(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, list):
        return [_undoubled(item) for item in value]
    if isinstance(value, dict):
        return {_undoubled(key): _undoubled(item) for key, item in value.items()}
    return value


class FakeClock:
    """Time that passes only by ``sleep``. ``at`` plans what happens in the meantime."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._plans: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self.time

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Do that once so many seconds from now have passed."""
        self._plans.append((self.time + seconds, action))

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        assert self.time < 100_000, "the code under test waits for ever"
        self.time += seconds
        due = [plan for plan in self._plans if plan[0] <= self.time]
        self._plans = [plan for plan in self._plans if plan not in due]
        for _, action in due:
            action()


@dataclass
class FakeDocker:
    """DockerReader: the state that all other fakes change. ``broken`` is what every look at it raises."""

    engine: DockerVersion = field(default_factory=lambda: DockerVersion("28.5.2"))
    containers: dict[str, Container] = field(default_factory=dict)
    foreign: tuple[Foreign, ...] = ()
    listeners: tuple[PortHolder, ...] = ()
    images: dict[str, LocalImage] = field(default_factory=dict)
    volumes: set[str] = field(default_factory=set)
    ways: tuple[str, ...] = ("the NVIDIA runtime",)
    total_memory: int = 1 << 36
    used: int | None = 1 << 29
    """Bytes of memory that each container uses."""
    free_disk: int | None = 10**12
    helpers: dict[str, Helper] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    """Owners of volumes that are not the containers' user's."""
    mounting: tuple[tuple[str, str], ...] = ()
    """Foreign containers that use our volumes."""
    broken: OrchestratorError | None = None
    registry: bool = True
    asked_for: list[str] = field(default_factory=list)
    """Images of which the registry was asked."""

    def add(self, *containers: Container) -> None:
        """Put containers there."""
        self.containers |= {c.id: c for c in containers}

    def change(self, service: str, **changes: Any) -> None:
        """Change the container of a service."""
        found = next(c for c in self.containers.values() if c.service == service)
        self.containers[found.id] = replace(found, **changes)

    def of(self, service: str) -> Container:
        """The container of a service."""
        return next(c for c in self.containers.values() if c.service == service)

    def version(self) -> DockerVersion:
        self._look()
        return self.engine

    def observe(
        self,
        images: Sequence[str] = (),
        volumes: Sequence[str] = (),
        *,
        listeners: bool = False,
        setups: bool = False,
    ) -> Observation:
        self._look()
        held = tuple(PortHolder(c.port, f"container {c.name}", c.id) for c in self.containers.values() if c.running)
        return Observation(
            containers=tuple(c if setups else replace(c, setup=Setup()) for c in self.containers.values()),
            foreign=self.foreign,
            ports=(*held, *(self.listeners if listeners else ())),
            images=MappingProxyType({ref: self.images[ref] for ref in images if ref in self.images}),
            volumes=frozenset(self.volumes & set(volumes)),
        )

    def reachable(self, image: str) -> bool:
        self._look()
        self.asked_for.append(image)
        return self.registry

    def remains(self, volumes: Sequence[str]) -> Remains:
        self._look()
        users = (*((c.id, c.name) for c in self.containers.values()), *self.mounting)
        return Remains(
            tuple(self.helpers.values()),
            tuple(replace(n, users=(*n.users, *self._on(n.project))) for n in self.networks.values()),
            tuple(Volume(v, self.owners.get(v, OWNER), users) for v in volumes if v in self.volumes),
        )

    def _on(self, project: str) -> tuple[str, ...]:
        return tuple(c.name for c in self.containers.values() if c.project == project)

    def sizes(self, volumes: Sequence[str]) -> dict[str, int]:
        self._look()
        return {name: 12 * 10**9 for name in volumes if name in self.volumes}

    def gpu_ways(self) -> tuple[str, ...]:
        self._look()
        return self.ways

    def memory(self) -> int:
        self._look()
        return self.total_memory

    def disk(self) -> tuple[str, int | None]:
        self._look()
        return "/var/lib/docker", self.free_disk

    def memory_of(self, container: str) -> int | None:
        return self.used if container in self.containers else None

    def _look(self) -> None:
        if self.broken is not None:
            raise self.broken


@dataclass
class FakeActor:
    """DockerActor. ``fails`` says which verb raises what, ``born`` how a container that is made anew turns out.

    ``says``: what scripts print, by the image's reference.
    """

    docker: FakeDocker
    log: list[str]
    fails: dict[str, BaseException] = field(default_factory=dict)
    downloads: list[Download] = field(default_factory=list)
    advances: Iterable[Advance] = (Advance("", 0, 8), Advance("", 8, 8))
    """What a download tells."""
    keeps: bool = False
    """Whether what is removed stays all the same."""
    blind: dict[str, str | None] = field(default_factory=dict)
    """Why nvidia-smi fails in a container, by its id."""
    removed: Callable[[], None] = lambda: None
    """What else happens when a container has been removed."""
    says: dict[str, str] = field(default_factory=dict)
    prints: dict[str, str] = field(default_factory=dict)
    """What containers printed, by id."""
    born: Callable[[Container], Container] = field(default_factory=lambda: _serving)
    recipes: dict[str, Container] = field(default_factory=dict)

    def _do(self, verb: str, subject: str) -> None:
        self.log.append(f"{verb} {subject}")
        if verb in self.fails:
            raise self.fails[verb]

    def pull(self, reference: str) -> Iterator[Advance]:
        yield Advance("layer: Downloading", 5, 10)
        self._do("pull", reference)
        self.docker.images[reference] = LocalImage(f"sha256:{reference}")

    def fetch(self, download: Download) -> Iterator[Advance]:
        self._do("fetch", download.repository)
        assert download.image in self.docker.images, "a container of the model's image fetches them"
        assert set(download.volumes) <= self.docker.volumes
        self.downloads.append(download)
        yield from self.advances

    def prepare_volumes(self, names: Sequence[str], image: str, owner: str) -> None:
        self._do("volumes", " ".join(names))
        assert image in self.docker.images, "the helper container needs an image that is there"
        self.docker.volumes |= set(names)
        for name in names:
            self.docker.owners.pop(name, None)

    def run_script(self, image: str, script: str, words: Sequence[str]) -> str:
        (reference,) = [name for name, found in self.docker.images.items() if found.id == image]
        self._do(f"script in {reference}", " ".join(words))
        return self.says[reference]

    def start(self, container: str) -> None:
        self._do("start", container)
        self.docker.containers[container] = _serving(self.docker.containers[container])

    def stop(self, container: str, grace: int) -> None:
        self._do("stop", container)
        self.docker.containers[container] = replace(
            self.docker.containers[container], state="exited", health="", gate=None
        )

    def restart(self, container: str, grace: int) -> None:
        self._do("restart", container)
        self.docker.containers[container] = _serving(self.docker.containers[container])

    def remove(self, container: str, grace: int) -> None:
        self._do("remove", container)
        if not self.keeps:
            self.docker.containers.pop(container, None)
            self.docker.helpers.pop(container, None)
        self.removed()

    def recipe(self, container: str) -> str:
        self._do("recipe", container)
        found = self.docker.containers[container]
        self.recipes[f"recipe of {container}"] = found
        return f"recipe of {container}"

    def recreate(self, recipe: str) -> None:
        self._do("recreate", recipe)
        old = self.recipes[recipe]
        taken = [
            c.name for c in self.docker.containers.values() if c.name == old.name or (c.running and c.port == old.port)
        ]
        assert not taken, "its name and port have to be free"
        self.docker.add(self.born(replace(old, id=f"{old.id}-again")))

    def remove_network(self, network: str) -> None:
        self._do("network", network)
        self.docker.networks.pop(network, None)

    def remove_volume(self, name: str) -> None:
        self._do("volume", name)
        self.docker.volumes.discard(name)

    def gpus_seen(self, container: str) -> str | None:
        return self.blind.get(container, "")

    def logs(self, container: str, *, follow: bool, tail: int | None) -> Iterator[bytes]:
        self._do("logs", container)
        if container in self.prints:
            yield self.prints[container].encode()
            return
        yield f"the log of {container}, follow {follow}, tail {tail}\n".encode()


def _serving(container: Container) -> Container:
    return replace(container, state="running", health="healthy", gate=READY, exit_code=0)


@dataclass
class FakeCompose:
    """ComposeCli: makes containers of the documents in the workspace.

    ``fails``: after they were created, and those in ``started`` before that were started; ``early``: before all that.
    """

    docker: FakeDocker
    workspace: FakeWorkspace
    log: list[str]
    born: Callable[[Container], Container] = _serving
    fails: OrchestratorError | None = None
    started: frozenset[str] = frozenset()
    early: bool = False
    missing: OrchestratorError | None = None

    def version(self) -> str:
        if self.missing is not None:
            raise self.missing
        return "2.40.3"

    def up(self, folder: Path, project: str, services: Sequence[str]) -> None:
        self.log.append(f"compose up {' '.join(services)}")
        if self.fails is not None and self.early:
            raise self.fails
        files = self.workspace.files[project]
        included = parse(files[FLEET_FILE])["include"]
        for service in services:
            assert f"{service}.yaml" in included, "a service that the fleet file does not include"
            made = self._container(service, parse(files[f"{service}.yaml"])["services"][service])
            for old in [c for c in self.docker.containers.values() if c.name == made.name]:
                del self.docker.containers[old.id]
            self.docker.add(made if self.fails and service not in self.started else self.born(made))
        if self.fails is not None:
            raise self.fails

    def _container(self, service: str, found: Any) -> Container:
        labels = {key.removeprefix(LABEL): value for key, value in found["labels"].items()}
        assert found["image"] in self.docker.images, "compose is told never to pull"
        return Container(
            id=f"id-{len(self.log)}-{service}",
            name=found["container_name"],
            state="created",
            health="",
            project=labels["project"],
            service=labels["service"],
            model=labels["model"],
            engine=labels["engine"],
            image=found["image"],
            image_id=self.docker.images[found["image"]].id,
            digest=labels["digest"],
            gpus=tuple(filter(None, labels["gpus"].split(","))),
            claim=int(labels["claim"]),
            address=labels["address"],
            port=int(labels["port"]),
            command=tuple(found["command"]),
            started=1000.0,
            profile=labels["profile"],
            best=labels["best"],
            published=True,
            key_file=self.workspace.secret_file(labels["project"], API_KEY) if _has_key(found) else "",
            applied=str(self.workspace.folder(labels["project"]) / FLEET_FILE),
            setup=self._setup(labels["project"], service),
        )

    def _setup(self, project: str, service: str) -> Setup:
        """Docker does exactly what the file says."""
        text = self.workspace.files[project][f"{service}.yaml"].decode()
        told = facts(text, service, str(self.workspace.folder(project)))
        return Setup(tuple(sorted((what, value or "") for what, value in told.items())))


def _has_key(service: Any) -> bool:
    return API_KEY.name in service.get("secrets", ())


@dataclass
class FakeBuilder:
    """ImageBuilder. ``sources``: by name, what an image would be built from now."""

    docker: FakeDocker
    log: list[str]
    sources: dict[str, str] = field(
        default_factory=lambda: dict.fromkeys(
            ("tf448-cpu", "tf448-cuda", "tf5-cpu", "tf5-cuda", "vllm-cpu"), "source-1"
        )
    )
    fails: OrchestratorError | None = None

    def source(self, image: Image) -> str:
        return self.sources.get(image.name, "")

    def build(self, image: Image) -> Iterator[Advance]:
        self.log.append(f"build {image.reference}")
        yield Advance("#1 FROM python")
        if self.fails is not None:
            raise self.fails
        self.docker.images[image.reference] = LocalImage(
            f"sha256:{image.reference}-{len(self.log)}", self.source(image)
        )

    def buildable(self) -> tuple[Image, ...]:
        return tuple(built_image(name) for name in sorted(self.sources))


@dataclass
class FakeGpus:
    """GpuReader. ``held``: what containers, and processes in none, hold of the GPUs."""

    gpus: tuple[Gpu, ...] = ()
    note: str = "NVML: no driver"
    driver: str = "550.1"
    remark: str = ""
    held: tuple[Use, ...] = ()
    processes: tuple[Holder, ...] = ()

    def read(self) -> tuple[tuple[Gpu, ...], str, str]:
        return self.gpus, self.driver if self.gpus else "", self.remark if self.gpus else self.note

    def uses(self, gpus: Sequence[Gpu], known: Collection[str]) -> tuple[Use, ...]:
        ids = {gpu.id for gpu in gpus}
        return tuple(use for use in self.held if use.gpu in ids)

    def holders(self, gpus: Sequence[Gpu], known: Collection[str]) -> tuple[Holder, ...]:
        ids = {gpu.id for gpu in gpus}
        return tuple(holder for holder in self.processes if holder.gpu in ids)


@dataclass
class FakeModels:
    """ModelClient: serves what the containers say, unless told otherwise.

    ``asked`` is what it was asked, ``keys`` the API key of each request, "" for none. ``refuses`` says which order of
    "sleep" and "wake" raises what, ``then`` what else happens with it; ``deaf``: it takes them and does nothing.
    """

    docker: FakeDocker
    log: list[str] = field(default_factory=list)
    names: tuple[str, ...] | None = None
    answer: str = "PROBE7"
    fails: OrchestratorError | None = None
    asked: list[tuple[str, str, str, bytes | None, int]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    refuses: dict[str, OrchestratorError] = field(default_factory=dict)
    then: Callable[[str], None] = lambda _verb: None
    deaf: bool = False
    read: Sequence[str | BaseException] = ()
    """What it answers when it is timed, one after the other, then ``answer``; or what that raises."""
    exam: list[tuple[str, str, bytes | None, int]] = field(default_factory=list)

    def sleep(self, at: Endpoint) -> None:
        self._order("sleep", at, Gate(ASLEEP))

    def wake(self, at: Endpoint) -> None:
        self._order("wake", at, READY)

    def _order(self, verb: str, at: Endpoint, gate: Gate) -> None:
        assert not at.key, "an order goes to no guarded path"
        (found,) = (c for c in self.docker.containers.values() if c.url == at.base)
        self.log.append(f"{verb} {found.id}")
        if verb in self.refuses:
            raise self.refuses[verb]
        if not self.deaf:
            self.docker.containers[found.id] = replace(found, gate=gate)
            self.then(verb)

    def served(self, at: Endpoint) -> tuple[str, ...]:
        self.keys.append(at.key)
        if self.names is not None:
            return self.names
        return tuple(c.model for c in self.docker.containers.values() if c.url == at.base)

    def ask(self, at: Endpoint, prompt: str, image: bytes | None, max_tokens: int, patience: float = PATIENCE) -> str:
        self.keys.append(at.key)
        self.asked.append((at.base, at.model, prompt, image, max_tokens))
        if self.fails is not None:
            raise self.fails
        return self.answer

    def timed(
        self, at: Endpoint, prompt: str, image: bytes | None, max_tokens: int, patience: float = PATIENCE
    ) -> Answer:
        self.keys.append(at.key)
        said = self.read[len(self.exam)] if len(self.exam) < len(self.read) else self.answer
        self.exam.append((at.model, prompt, image, max_tokens))
        if isinstance(said, BaseException):
            raise said
        return Answer(said, 0.5, 2.5, 5)

    def version(self, at: Endpoint) -> str:
        return "9.9.9"


@dataclass
class FakeOrigins:
    """Origins. A commit or digest is made of the name and the ``moment``; ``fails``: what asking for a name raises."""

    moment: str = ""
    fails: dict[str, OrchestratorError] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Name, endpoint and token of each question, sorted: they are asked at the same time."""

    def commit(self, repository: str, endpoint: str, token: str) -> str:
        return self._answer(repository, endpoint, token)[:40]

    def digest(self, image: str) -> str:
        return f"sha256:{self._answer(image)}"

    def _answer(self, name: str, endpoint: str = "", token: str = "") -> str:
        self.asked = sorted([*self.asked, (name, endpoint, token)])
        if name in self.fails:
            raise self.fails[name]
        return hashlib.sha256(f"{name} {self.moment}".encode()).hexdigest()


@dataclass
class FakePulse:
    """Pulse: engines are alive where Docker says so, but for those of the models in ``early`` and ``dead``."""

    docker: FakeDocker
    early: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)

    def beating(self, urls: Sequence[str], patience: float) -> frozenset[str]:
        assert 0 < patience <= 2, "nobody waits longer for a sign of life"
        alive = [c for c in self.docker.containers.values() if c.ready or c.model in self.early]
        return frozenset(c.url for c in alive if c.model not in self.dead) & set(urls)


@dataclass
class FakeWorkspace:
    """Workspace, in memory."""

    log: list[str]
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    marked: frozenset[str] = frozenset()
    named: dict[str, str] = field(default_factory=dict)
    """Paths by environment variable."""
    secrets: dict[str, StoredFile] = field(default_factory=dict)
    """Files with secrets by path."""
    busy: OrchestratorError | None = None
    locked: bool = False
    measured: dict[Fingerprint, Measurement] = field(default_factory=dict)
    lock_of: LockState = field(default_factory=lambda: LockState(where="/run/lock/orchestrator.lock"))
    written: set[str] = field(default_factory=set)
    """Files whose writer died."""
    hidden: bool = False
    """Whether documents can't be looked at."""
    heard: dict[str, Listing] = field(default_factory=dict)
    previous: dict[tuple[str, str], Previous] = field(default_factory=dict)
    verified: dict[tuple[str, str], Verification] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    """Of records that can't be read."""

    def folder(self, project: str) -> Path:
        return Path("/state") / project

    def write(self, project: str, files: Mapping[str, bytes]) -> None:
        assert self.locked, "documents are written under the lock"
        self.files.setdefault(project, {}).update(files)

    def documents(self, project: str) -> tuple[str, ...]:
        return tuple(sorted(name for name in self.files.get(project, {}) if name.endswith(".yaml")))

    def forget(self, project: str, names: Sequence[str]) -> None:
        for name in names:
            self.files.get(project, {}).pop(name, None)

    def projects(self) -> tuple[str, ...]:
        return tuple(sorted(project for project in self.files if self.documents(project)))

    def has(self, file: str) -> bool | None:
        folder, _, name = file.removeprefix("/state/").rpartition("/")
        return None if self.hidden else name in self.files.get(folder, {})

    def text(self, file: str) -> str | None:
        folder, _, name = file.removeprefix("/state/").rpartition("/")
        data = self.files.get(folder, {}).get(name)
        return None if self.hidden or data is None else data.decode()

    def drafts(self, *, remove: bool) -> tuple[str, ...]:
        found = tuple(sorted(self.written))
        if remove:
            self.written.clear()
        return found

    def keep(self, project: str, previous: Previous) -> None:
        assert self.locked, "it is kept under the lock"
        self.previous[project, previous.service] = previous

    def kept(self, project: str) -> tuple[Previous, ...]:
        return tuple(previous for (where, _), previous in sorted(self.previous.items()) if where == project)

    def let_go(self, project: str, previous: Previous) -> None:
        if self.previous.get((project, previous.service)) == previous:
            del self.previous[project, previous.service]

    def secret_file(self, project: str, secret: Secret, kept: str = "") -> str:
        return self.named.get(secret.variable) or kept or str(self.folder(project) / secret.default)

    def stored(self, file: str) -> StoredFile | None:
        return self.secrets.get(file)

    def put(self, name: str, text: str = "a-key-of-the-tests\n", mode: int = 0o640) -> str:
        """A file of root's in ``secrets/`` of the default project; returns its path."""
        path = str(self.folder("orchestrator") / "secrets" / name)
        self.secrets[path] = StoredFile(0, 0, mode, text.encode())
        return path

    def unfinished(self) -> frozenset[str]:
        return self.marked

    @contextmanager
    def preparing(self, names: Sequence[str]) -> Iterator[None]:
        self.marked = frozenset(names)
        yield
        self.marked = frozenset()

    def prepared(self, names: Sequence[str]) -> None:
        assert self.locked, "marks are changed under the lock"
        self.marked -= set(names)

    def measurements(self) -> tuple[Measurement, ...]:
        return tuple(self.measured.values())

    def record(self, measurements: Sequence[Measurement]) -> None:
        self.measured |= {m.fingerprint: m for m in measurements}

    def lock_state(self) -> LockState:
        return self.lock_of

    def listings(self) -> tuple[Listing, ...]:
        return tuple(self.heard.values())

    def hear(self, listing: Listing) -> None:
        self.heard[listing.image] = listing

    def verifications(self) -> Verifications:
        return Verifications(tuple(self.verified[pair] for pair in sorted(self.verified)), self.remarks)

    def attest(self, verification: Verification) -> None:
        self.verified[verification.model, verification.engine] = verification

    @contextmanager
    def lock(self, purpose: str, timeout: float, name: str = HOST_LOCK) -> Iterator[None]:
        if name != HOST_LOCK:
            assert timeout == 0, "who finds another at work does not wait"
            yield
            return
        if self.busy is not None:
            raise self.busy
        assert not self.locked, "the lock is taken twice"
        self.locked, before = True, self.lock_of
        self.lock_of = replace(before, held=True, note=f"'{purpose}' (pid 1)", alive=True)
        try:
            yield
        finally:
            self.locked, self.lock_of = False, replace(before, held=False, note="")


@dataclass
class FakeLibrary:
    """Library, in memory."""

    models: Mapping[str, ModelSpec] = field(default_factory=dict)
    hosts: dict[Path, Host] = field(default_factory=dict)
    saved: dict[Path, dict[str, bytes]] = field(default_factory=dict)
    locks: dict[Path, Lock] = field(default_factory=dict)

    def registry(self, folders: Sequence[Path]) -> Registry:
        return Registry(MappingProxyType(dict(sorted(self.models.items()))))

    def lock(self, path: Path) -> Lock:
        return self.locks.get(path, Lock())

    def names(self, folders: Sequence[Path]) -> tuple[str, ...]:
        return tuple(sorted(self.models))

    def templates(self) -> dict[str, str]:
        return dict(TEXTS)

    def reports(self) -> dict[str, str]:
        return dict(REPORTS)

    def beside(self, folder: str) -> dict[str, bytes]:
        return {"__main__.py": b"# the gate\n"} if folder == GATE_FOLDER else {"model.safetensors": b"\xff"}

    def inquiry(self) -> str:
        return "# asks an engine\n"

    def probe_image(self) -> bytes:
        return PROBE_IMAGE

    def reference_image(self, file: str) -> bytes:
        return file.encode()

    def inventory(self, path: Path) -> Host:
        if path not in self.hosts:
            raise RequestError("can't read the file: No such file or directory", where=str(path))
        return self.hosts[path]

    def fleet(self, path: Path) -> FleetFile:
        raise RequestError("can't read the file: No such file or directory", where=str(path))

    def folder(self, path: Path) -> dict[str, bytes]:
        return dict(self.saved.get(path, {}))

    def create(self, path: Path, files: Mapping[str, bytes]) -> tuple[Path, ...]:
        self.save(path, files, ())
        return tuple(path / name for name in files)

    def save_file(self, path: Path, data: bytes) -> None:
        self.save(path.parent, {path.name: data}, ())

    def save(self, path: Path, files: Mapping[str, bytes], remove: Sequence[str]) -> None:
        found = self.saved.setdefault(path, {})
        found.update(files)
        for name in remove:
            found.pop(name, None)


class FakeWorld:
    """One of each. A CPU host with Docker and nothing on it, unless a test says otherwise."""

    def __init__(self, *models: ModelSpec, gpus: Sequence[Gpu] = (), library: Library | None = None) -> None:
        self.log: list[str] = []
        self.docker = FakeDocker()
        self.actor = FakeActor(self.docker, self.log)
        self.workspace = FakeWorkspace(self.log)
        self.compose = FakeCompose(self.docker, self.workspace, self.log)
        self.builder = FakeBuilder(self.docker, self.log)
        self.gpus = FakeGpus(tuple(gpus))
        self.models = FakeModels(self.docker, self.log)
        self.pulse = FakePulse(self.docker)
        self.origins = FakeOrigins()
        self.clock = FakeClock()
        self.library: Library = library or FakeLibrary({model.name: model for model in models})


def _is_a_world(world: FakeWorld) -> World:
    """The type checker's proof that every fake speaks its Protocol."""
    return world
