"""The machine: Docker, Compose, GPUs and their driver, memory, disk and ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator import traits
from orchestrator.checkup.values import Finding, Verdict
from orchestrator.inventory import MIB, Gpu, gib
from orchestrator.observation import Observation
from orchestrator.plan.images import images_of
from orchestrator.ports import DockerVersion
from orchestrator.registry.spec import FIRST_EPHEMERAL, ModelSpec, Vllm

#: an image with PyTorch takes a few GB, weights of the largest model 16
_ROOM = 30 * 10**9
_TOOLKIT = "install the NVIDIA Container Toolkit and restart Docker"


def engine(found: DockerVersion) -> Iterator[Finding]:
    """What answers on Docker's socket."""
    if found.podman:
        detail = f"Podman {found.version} answers, and it ignores GPU requests"
        yield Finding("Docker Engine", "problem", detail, "point DOCKER_HOST at Docker")
    else:
        yield Finding("Docker Engine", "ok", found.version)


def gpus(found: Sequence[Gpu], version: str, note: str) -> Iterator[Finding]:
    """The GPUs that the driver tells of."""
    if not found:
        yield Finding("GPU", "note", f"none ({note})", "models that need a GPU can't run here; those for the CPU can")
    elif note:
        yield Finding("GPU", "note", note)
    for gpu in found:
        verdict: Verdict = "problem" if not gpu.usable else "note" if gpu.note else "ok"
        words = f"{gpu.name} {gpu.id}, {gib(gpu.free)} of {gib(gpu.total)} free, driver {version} {gpu.note}"
        yield Finding("GPU", verdict, words.rstrip())
    if any(gpu.persistence is False for gpu in found):
        hint = "'nvidia-smi -pm 1', or the service nvidia-persistenced, keeps it loaded"
        yield Finding("GPU", "note", "the driver is unloaded whenever no process uses a GPU", hint)


def runtime(found: Sequence[Gpu], ways: Sequence[str]) -> Iterator[Finding]:
    """Whether Docker can hand these GPUs out."""
    if not found:
        return
    if ways:
        yield Finding("GPU runtime", "ok", f"Docker hands out GPUs by {', '.join(ways)}")
    else:
        detail = "Docker knows neither the NVIDIA runtime nor CDI devices"
        yield Finding("GPU runtime", "problem", detail, _TOOLKIT)


def driver(version: str, models: Sequence[ModelSpec]) -> Iterator[Finding]:
    """Whether the driver is new enough for the images of these entries. Nothing is said where there is none."""
    have = traits.version(version)
    if not have:
        return
    lacking: dict[tuple[str, traits.Cuda], list[str]] = {}
    for image, cuda, model in _cuda(models):
        if not traits.at_least(have, traits.driver_for(cuda)):
            lacking.setdefault((image, cuda), []).append(model)
    for (image, cuda), names in lacking.items():
        wanted = ".".join(map(str, traits.driver_for(cuda)))
        yield Finding(
            "driver",
            "problem",
            f"{image} has CUDA {'.'.join(map(str, cuda))}, which needs driver {wanted} or newer; this is {version}",
            "update the driver, or name an image for an older CUDA in an entry of your own; on data-centre GPUs vLLM's "
            "variable VLLM_ENABLE_CUDA_COMPATIBILITY=1 may do",
            where=f"image of {', '.join(names)}",
        )
    if not lacking:
        yield Finding("driver", "ok", f"{version} is new enough for the images of all entries")


def _cuda(models: Sequence[ModelSpec]) -> Iterator[tuple[str, traits.Cuda, str]]:
    """Image, the CUDA in it, and model, for each that runs on a GPU and of whose image that is known."""
    for spec in models:
        for found in (spec.engines.vllm, spec.engines.transformers):
            if found is None or "gpu" not in found.devices:
                continue
            image = images_of(found, "gpu")[0]
            cuda = (
                traits.OUR_CUDA if image.ours else traits.vllm_cuda(image.reference) if isinstance(found, Vllm) else ()
            )
            if cuda:
                yield image.reference, cuda, spec.name


def memory(total: int, models: Sequence[ModelSpec]) -> Iterator[Finding]:
    """Shared memory: every container has its own, of a size that its file says, and takes it from the host's memory."""
    engines = [e for spec in models for e in (spec.engines.vllm, spec.engines.transformers) if e is not None]
    largest = max((e.shm_mib for e in engines), default=0) * MIB
    if not total:
        yield Finding("memory", "note", "Docker does not tell how much memory its host has")
    elif largest > total:
        detail = f"a model asks for {gib(largest)} of shared memory, and the host has {gib(total)} of memory"
        yield Finding("memory", "problem", detail, "lower shm_mib in the entry, or add memory")
    else:
        yield Finding("memory", "ok", f"{gib(total)}, and models ask for up to {gib(largest)} of it as shared memory")


def disk(folder: str, free: int | None) -> Iterator[Finding]:
    """Room where Docker keeps images and volumes."""
    if free is None:
        yield Finding("disk", "note", f"{folder} can't be looked at by this user")
    elif free < _ROOM:
        hint = "images and weights need about 30 GB: make room, or move Docker's data-root"
        yield Finding("disk", "problem", f"{free / 10**9:.1f} GB free in {folder}", hint, where=folder)
    else:
        yield Finding("disk", "ok", f"{free / 10**9:.1f} GB free in {folder}")


def ports(seen: Observation, models: Mapping[str, ModelSpec]) -> Iterator[Finding]:
    """Ports of entries that somebody else holds."""
    preferred = {
        engine.port: f"{spec.name} on {name}"
        for spec in models.values()
        for name in ("vllm", "transformers")
        if (engine := spec.engine(name)) is not None
    }
    ours = {c.id for c in seen.containers}
    taken = [p for p in seen.ports if p.port in preferred and p.container_id not in ours]
    for held in taken:
        yield Finding(
            "ports",
            "note",
            f"{held.port}, preferred by {preferred[held.port]}, is taken by {held.holder}",
            "'up' moves to the next free port; files rendered with that port can't be used as they are",
            where=held.holder,
        )
    if not taken and preferred:
        span = f"{min(preferred)}-{max(preferred)}, below {FIRST_EPHEMERAL}"
        yield Finding("ports", "ok", f"all preferred ports are free or ours ({span})")
