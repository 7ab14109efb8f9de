"""What the host has: its GPUs, and the versions of Docker and Compose. Values only; adapters read them."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.errors import RequestError

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. ``id`` is what Docker is given (an NVML UUID, or an index in an inventory file).

    ``total`` and ``free`` are bytes as NVML counts them; None where the driver does not tell, and ``note`` says why.
    """

    id: str
    name: str
    total: int | None
    free: int | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """One machine. Versions are "" where they are not known (no Docker, or an inventory file without them)."""

    name: str
    gpus: tuple[Gpu, ...] = ()
    gpu_note: str = ""
    docker: str = ""
    compose: str = ""
    driver: str = ""

    def gpu(self, wanted: str) -> Gpu:
        """The GPU with this id, else at this position; RequestError names those that exist."""
        positions = {str(position): gpu for position, gpu in enumerate(self.gpus)}
        found = {**positions, **{gpu.id: gpu for gpu in self.gpus}}.get(wanted)
        if found is not None:
            return found
        known = ", ".join(f"{position} ({gpu.id})" for position, gpu in enumerate(self.gpus))
        raise RequestError(
            f"there is no GPU {wanted!r} on {self.name}",
            hint=f"GPUs here: {known}" if known else f"this host has no usable GPU: {self.gpu_note or 'none found'}",
        )


def gib(size: int | None) -> str:
    """Bytes as GiB with two decimals, for people; "?" for unknown."""
    return "?" if size is None else f"{size / GIB:.2f} GiB"
