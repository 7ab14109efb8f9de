"""What the host has: its GPUs, and the versions of Docker and Compose. Values only; adapters read them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.errors import FitError, RequestError

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Process:
    """A process that holds memory of a GPU. ``pid`` is the host's, also for a process in a container.

    ``used`` is bytes, None where the driver does not tell. ``name`` is "" where the process can't be looked at.
    """

    pid: int
    used: int | None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, or one MIG slice of one. ``id`` is what Docker is given: an NVML UUID, or an inventory file's index.

    ``total`` and ``free`` are bytes as NVML counts them; None where the driver does not tell, and ``note`` says why.
    They leave out what ECC takes for itself: with ECC on, NVML's total is already the smaller one.
    """

    id: str
    name: str
    total: int | None
    free: int | None
    note: str = ""
    index: str = ""
    """What ``--gpu`` takes beside the id: "0", or "0:1" for a slice; "" means the position in the host's list."""
    parent: str = ""
    """For a MIG slice, the id of its card."""
    usable: bool = True
    """False: nothing may be placed on it, not even by ``--gpu``, and ``note`` says why."""
    reserved: int | None = None
    """Bytes of ``total`` that the driver and the firmware keep; None where the driver does not tell."""
    compute_capability: tuple[int, int] | None = None
    persistence: bool | None = None
    """Whether the driver stays loaded while nobody uses the GPU; without it every first use waits for it."""
    processes: tuple[Process, ...] = ()
    """Whoever holds memory of it, by pid."""

    @property
    def kind(self) -> str:
        """Equal for GPUs that can share one model by tensor parallelism.

        A MIG slice is equal to nothing, since one process sees one slice; nor is a GPU of unknown memory.
        """
        return self.id if self.parent or self.total is None else f"{self.name}/{self.total}"

    @property
    def cuda_total(self) -> int | None:
        """Bytes of memory that CUDA counts, at least; None where the driver does not tell."""
        return None if self.total is None else cuda_total(self.total, self.reserved)


@dataclass(frozen=True, slots=True)
class Host:
    """One machine. Versions are "" where they are not known (no Docker, or an inventory file without them).

    ``gpu_note`` says why there is no GPU, or what one should know of those there are.
    """

    name: str
    gpus: tuple[Gpu, ...] = ()
    gpu_note: str = ""
    docker: str = ""
    compose: str = ""
    driver: str = ""

    @property
    def usable_gpus(self) -> tuple[Gpu, ...]:
        """Those that something may be placed on."""
        return tuple(gpu for gpu in self.gpus if gpu.usable)

    @property
    def idle(self) -> Host:
        """The same host with nothing known to be on its GPUs."""
        return replace(self, gpus=tuple(replace(gpu, free=None, processes=()) for gpu in self.gpus))

    def gpu(self, wanted: str) -> Gpu:
        """The GPU with this id, else this index; RequestError names those that exist, or why this can't be used."""
        indexes = {gpu.index or str(position): gpu for position, gpu in enumerate(self.gpus)}
        found = {**indexes, **{gpu.id: gpu for gpu in self.gpus}}.get(wanted)
        if found is not None and found.usable:
            return found
        if found is not None:
            raise RequestError(f"GPU {wanted} on {self.name} can't be used", where=found.note)
        known = ", ".join(f"{index} ({gpu.id})" for index, gpu in indexes.items() if gpu.usable)
        raise RequestError(
            f"there is no GPU {wanted!r} on {self.name}",
            hint=f"GPUs here: {known}" if known else f"this host has no usable GPU: {self.gpu_note or 'none found'}",
        )


def as_named(named: Host, real: Host) -> Host:
    """The real host as an inventory file names it: its GPUs and positions, with what is really free of them.

    FitError says which GPU of the file this host has not. GPUs that the file leaves out are left alone.
    """
    there = {gpu.id: gpu for gpu in real.gpus}
    wrong = [difference for gpu in named.gpus if (difference := _difference(gpu, there.get(gpu.id)))]
    if wrong:
        raise FitError(
            f"this host is not {named.name}: {'; '.join(wrong)}",
            hint="run it there, or write the inventory anew ('orchestrator inventory --output FILE')",
        )
    gpus = tuple(replace(there[gpu.id], index=gpu.index or str(at)) for at, gpu in enumerate(named.gpus))
    note = "" if gpus else named.gpu_note
    return replace(real, name=named.name, gpus=gpus, gpu_note=note, docker=named.docker or real.docker)


def _difference(named: Gpu, real: Gpu | None) -> str:
    if real is None:
        return f"GPU {named.id} ({named.name}) is not here"
    if named.total and (real.total or 0) // MIB != named.total // MIB:
        return f"GPU {named.id} has {gib(real.total)} here and {gib(named.total)} in the inventory"
    return ""


def cuda_total(total: int, reserved: int | None = None) -> int:
    """The memory that CUDA counts on a GPU with so much by NVML, in bytes, rather too little than too much.

    CUDA leaves out what driver and firmware keep for themselves, which is NVML's ``reserved`` (not verified here).
    Where that is not known, 384 MiB and one percent are taken off, which is more than is missing on every card that
    both figures were found for: T4 15,360 MiB by NVML and 14.56 GiB by CUDA, RTX 4090 24,564 and 23.64, L40 46,068 and
    44.40, A100 81,920 and 79.25, H100 81,559 and 79.18, RTX PRO 6000 97,887 and 94.97 (public issues of 2024 to 2026).
    """
    return max(0, total - (total // 100 + 384 * MIB if reserved is None else reserved))


def gib(size: int | None) -> str:
    """Bytes as GiB with two decimals, for people; "?" for unknown."""
    return "?" if size is None else f"{size / GIB:.2f} GiB"
