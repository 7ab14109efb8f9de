"""Placements to Compose files: one per container, one that includes them all. Deterministic to the byte."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator import __version__, traits
from orchestrator.errors import RequestError
from orchestrator.observation import LABEL, SCHEMA, SLEEP_MODE
from orchestrator.plan.commands import KEY_VARIABLES, LOCAL_WEIGHTS, PORT, engine_command
from orchestrator.plan.images import Image
from orchestrator.plan.placement import Placement, Placements
from orchestrator.plan.steps import Desired
from orchestrator.registry.fields import SLEEP_VARIABLE
from orchestrator.registry.spec import Engine, ModelSpec, Vllm
from orchestrator.registry.weights import weight_bytes
from orchestrator.secretfile import API_KEY, GROUP, HF_TOKEN, USER, Secret
from orchestrator.templating import render

#: volumes of all projects on a host, and where they are mounted. External, so that ``down -v`` keeps the weights
VOLUMES = (
    ("orchestrator-weights", "/weights"),
    ("orchestrator-cache", "/cache"),
    ("orchestrator-locks", "/locks"),
)
#: the hub's folder on the volume of weights
HF_HOME = "/weights/hub"
#: user and group of every container
OWNER = f"{USER}:{GROUP}"
FLEET_FILE = "compose.yaml"
ENV_FILE = ".env"
#: without it, ``up`` of one file would offer to remove the services of all others
ENV_TEXT = "# one file's `docker compose up` must not call the other models orphans\nCOMPOSE_IGNORE_ORPHANS=true\n"
#: names what a folder of files needs beside itself
EXAMPLE_FILE = ".env.example"
#: folders beside the files, mounted into containers: the gate for images that are not ours; weights that come with us
GATE_FOLDER, BUILTIN_FOLDER = "gate", "builtin"
#: begins the second line of every document; a file without it is not ours to remove
WRITTEN = "# Written by orchestrator "
_SERVICE, _FILE, FLEET_TEMPLATE = "compose/service.yaml.j2", "compose/file.yaml.j2", "compose/fleet.yaml.j2"
EXAMPLE_TEMPLATE = "compose/env.example.j2"
TEMPLATES = (_SERVICE, _FILE, FLEET_TEMPLATE, EXAMPLE_TEMPLATE)


@dataclass(frozen=True, slots=True)
class Download:
    """A repository to fetch into the volume of weights, by a container of the image that will serve it."""

    repository: str
    revision: str
    """A commit; "" for the newest."""
    image: str
    environment: Mapping[str, str]
    volumes: Mapping[str, str]
    """Name to place in the container."""
    owner: str
    """uid:gid"""
    token_file: str = ""
    """File on this host with the hub's token; "" for none."""


@dataclass(frozen=True, slots=True)
class ComposeDocument:
    """One rendered file and what the steps need to know of it."""

    placement: Placement
    command: tuple[str, ...]
    digest: str
    text: str
    beside: tuple[str, ...]
    """Folders of ours that it mounts from beside the file."""
    secrets: tuple[Secret, ...]

    @property
    def image(self) -> Image:
        """The image that it names."""
        return self.placement.image

    @property
    def filename(self) -> str:
        """``<service>.yaml``."""
        return f"{self.placement.service}.yaml"

    def desired(self, image_source: str, key_file: str) -> Desired:
        """The document as the steps see it.

        ``image_source``: what an image of ours would be built from now; ``key_file``: where the API key would lie.
        """
        p = self.placement
        return Desired(
            service=p.service,
            model=p.model,
            container=p.container,
            image=self.image.reference,
            built=self.image.ours,
            image_source=image_source,
            digest=self.digest,
            command=self.command,
            port=p.port,
            gpus=p.gpus,
            volumes=tuple(name for name, _ in VOLUMES),
            address=p.address,
            key_file=key_file if p.key else "",
        )


def document(
    spec: ModelSpec, placement: Placement, *, docker: str, templates: Mapping[str, str], command_line: str = ""
) -> ComposeDocument:
    """Render one placement. ``docker``: version of the engine; "" for unknown uses nothing newer than 20.10.

    ``command_line``: what writes the file again, for its header; "" where nobody has to know.
    """
    engine = spec.on(placement.engine)
    beside = _beside(spec, engine, placement.image)
    command = (*_gate(spec, placement), "--", *engine_command(spec, placement))
    token = spec.source.gated and not spec.source.path
    secrets = (*((HF_TOKEN,) if token else ()), *((API_KEY,) if placement.key else ()))
    values: dict[str, object] = {
        "service": placement.service,
        "container": placement.container,
        "image": placement.image.reference,
        "command": command,
        "environment": sorted(_environment(engine, placement, token=token).items()),
        "published": f"{placement.address}:{placement.port}:{PORT}",
        "mounts": _mounts(spec, beside),
        "secrets": [secret.name for secret in secrets],
        "shm_bytes": str(engine.shm_mib << 20),
        "start_interval": traits.at_least(traits.version(docker), traits.DOCKER_START_INTERVAL),
        "gpus": placement.gpus,
    }
    service, digest = _service(values, placement, templates[_SERVICE])
    text = render(
        templates[_FILE],
        {
            "title": f"{spec.name} on {placement.engine}",
            "version": __version__,
            "command_line": _plain(command_line),
            "remarks": _remarks(placement),
            "project": placement.project,
            "service": service,
            "secrets": secrets,
            "volumes": [name for name, _ in VOLUMES],
        },
    )
    return ComposeDocument(placement, command, digest, text, tuple(beside), secrets)


def _service(values: Mapping[str, object], placement: Placement, template: str) -> tuple[str, str]:
    """The service with its labels, one of which is the digest of the service without it."""
    labels = {
        "schema": SCHEMA,
        "project": placement.project,
        "service": placement.service,
        "model": placement.model,
        "engine": placement.engine,
        "gpus": ",".join(placement.gpus),
        "claim": str(placement.claim.total),
        "profile": str(placement.profile),
        "best": str(placement.best),
        "address": placement.address,
        "port": str(placement.port),
    }

    def text(digest: str) -> str:
        named = sorted((LABEL + key, value) for key, value in {**labels, "digest": digest}.items())
        return render(template, {**values, "labels": named}).rstrip("\n")

    digest = hashlib.sha256(text("").encode()).hexdigest()
    return text(digest), digest


def _gate(spec: ModelSpec, placement: Placement) -> tuple[str, ...]:
    gpus = tuple(word for gpu in placement.gpus for word in ("--gpu", gpu))
    claim = ("--claim-mib", str(placement.claim.mib)) if placement.gpus else ()
    key = ("--secret", f"{KEY_VARIABLES[placement.engine]}={API_KEY.mount}") if placement.key else ()
    cached = hub_folder(spec)
    weights = ("--weights", cached, "--weights-bytes", str(download_bytes(spec))) if cached else ()
    sleep = (SLEEP_MODE,) if placement.sleep_mode else ()
    return ("run", "--name", placement.container, "--port", str(PORT), *gpus, *claim, *weights, *key, *sleep)


def hub_folder(spec: ModelSpec) -> str:
    """Where the hub's cache keeps the model's repository, inside its container; "" for weights from elsewhere."""
    fetched = spec.source.repository and not spec.source.path
    return f"{HF_HOME}/hub/models--{(spec.source.repository or '').replace('/', '--')}" if fetched else ""


def fetching(spec: ModelSpec, document: ComposeDocument, token_file: str) -> Download | None:
    """What to fetch so that a document's container finds its weights; None for weights from elsewhere."""
    engine = spec.engine(document.placement.engine)
    if engine is None or not hub_folder(spec):
        return None
    token = HF_TOKEN in document.secrets
    kept = _environment(engine, document.placement, token=token).items()
    environment = {key: value for key, value in kept if key.startswith("HF_")}
    return Download(
        repository=spec.source.repository or "",
        revision=spec.source.revision or "",
        image=document.image.reference,
        environment=environment,
        volumes=dict(VOLUMES[:1]),
        owner=OWNER,
        token_file=token_file if token else "",
    )


def download_bytes(spec: ModelSpec) -> int:
    """About what the hub sends: checkpoints hold 16 bits a weight; tokenizers and code are small beside them."""
    return weight_bytes(spec.parameters, "16bit")


def _environment(engine: Engine, placement: Placement, *, token: bool) -> dict[str, str]:
    """Caches on the volumes, telemetry off, then the entry's own, which win."""
    return {
        "DO_NOT_TRACK": "1",
        "HF_HOME": HF_HOME,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_MODULES_CACHE": "/cache/modules",
        "HOME": "/cache/home",
        "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
        "PYTHONUNBUFFERED": "1",
        "TRITON_CACHE_DIR": "/cache/triton",
        "XDG_CACHE_HOME": "/cache",
        **({"HF_TOKEN_PATH": HF_TOKEN.mount} if token else {}),
        **({"VLLM_CACHE_ROOT": "/cache/vllm", "VLLM_NO_USAGE_STATS": "1"} if isinstance(engine, Vllm) else {}),
        # by itself vLLM binds its threads to cores, and every container to the same ones
        **({"VLLM_CPU_OMP_THREADS_BIND": "nobind"} if isinstance(engine, Vllm) and placement.device == "cpu" else {}),
        **({SLEEP_VARIABLE: "1"} if placement.sleep_mode else {}),
        **engine.environment,
    }


def _beside(spec: ModelSpec, engine: Engine, image: Image) -> dict[str, str]:
    """The folders of ours that are mounted from beside the file, and where. Our own images have the gate."""
    weights = isinstance(engine, Vllm) and spec.source.builtin is not None
    return {
        **({f"{BUILTIN_FOLDER}/{spec.source.builtin}": LOCAL_WEIGHTS} if weights else {}),
        **({GATE_FOLDER: "/opt/orchestrator/gate"} if not image.ours else {}),
    }


def _mounts(spec: ModelSpec, beside: Mapping[str, str]) -> list[dict[str, object]]:
    mounts: list[dict[str, object]] = [
        {"type": "volume", "source": name, "target": target, "read_only": False} for name, target in VOLUMES
    ]
    bound = {spec.source.path: LOCAL_WEIGHTS} if spec.source.path else {}
    bound |= {f"./{folder}": target for folder, target in beside.items()}
    mounts += [{"type": "bind", "source": s, "target": t, "read_only": True} for s, t in bound.items()]
    return mounts


def _remarks(placement: Placement) -> list[str]:
    """Comment lines; anything but plain text would be a way to break out of the comment."""
    place = f"GPU {', '.join(placement.gpus)}" if placement.gpus else "the CPU"
    claim = f", claims {placement.claim.mib} MiB" if placement.gpus else ""
    return [_plain(line) for line in (f"Runs on {place}{claim}.", *placement.warnings)]


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def fleet(
    placements: Placements,
    project: str,
    host: str,
    documents: Sequence[ComposeDocument],
    template: str,
    others: Sequence[str],
    command_line: str = "",
) -> str:
    """The file that includes all others that fit on the host together, and ``others``, which were applied before."""
    check(documents)
    together = sorted([*others, *(d.filename for d in documents if d.placement.fleet)])
    apart = [d.placement.service for d in documents if not d.placement.fleet]
    remarks = [f"Not included, does not fit beside the others: {', '.join(apart)}."] if apart else []
    remarks += [f"Not rendered: {_plain(error.what)}." for error in placements.omitted]
    values = {
        "project": project,
        "host": _plain(host),
        "version": __version__,
        "command_line": _plain(command_line),
        "remarks": remarks,
        "files": together,
    }
    return render(template, values)


def example(documents: Sequence[ComposeDocument], template: str, command_line: str) -> str:
    """The file that names what the documents need beside themselves; "" where they need nothing."""
    needs = [
        {
            "what": secret.what,
            "variable": secret.variable,
            "default": secret.default,
            "models": ", ".join(sorted(d.placement.model for d in documents if secret in d.secrets)),
        }
        for secret in (HF_TOKEN, API_KEY)
        if any(secret in d.secrets for d in documents)
    ]
    values = {"version": __version__, "command_line": _plain(command_line), "needs": needs}
    return render(template, values) if needs else ""


def check(documents: Sequence[ComposeDocument]) -> None:
    """What ``docker compose config`` misses: two services with one name or host port. RequestError lists all."""
    seen: dict[object, str] = {}
    clashes: list[str] = []
    for item in documents:
        p = item.placement
        for key, what in ((p.port, f"host port {p.port}"), (p.container, f"container name {p.container}")):
            if key in seen:
                clashes.append(f"{what} is used by both {seen[key]} and {p.service}")
            seen[key] = p.service
    if clashes:
        raise RequestError(
            "the rendered files clash\n" + "\n".join(f"  {c}" for c in clashes),
            hint="give each entry its own port",
        )
