"""GPUs of this host, through NVML. What the driver does not tell is said, never guessed.

Sizes are NVML's ``total`` and ``free``, whose meaning is the same in both versions of its call; ``used`` is never
looked at, because its meaning is not (NVML reference, R525 and R590). The memory of a MIG slice is asked of the slice:
the card answers with the sum of all, or that one has no permission.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pynvml

from orchestrator.adapters.gpu_use import holders, owners, uses
from orchestrator.evidence import Holder, Use
from orchestrator.inventory import Gpu, Process

_ONLY_EXPLICIT = "nothing is placed there unless --gpu names it"
#: errors after which the GPU answers nothing more until someone resets it or the host
_GONE = (pynvml.NVMLError_GpuIsLost, pynvml.NVMLError_ResetRequired)
#: what a call raises that this driver or this GPU does not know; older releases of pynvml have only the first
_ANY = (pynvml.NVMLError, getattr(pynvml, "NVMLLibraryMismatchError", pynvml.NVMLError))
_REMEDIES = {
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the driver was updated while the old one was loaded: restart the host",
    pynvml.NVML_ERROR_GPU_IS_LOST: "it fell off the bus: see the kernel's log for Xid errors, and restart the host",
    pynvml.NVML_ERROR_RESET_REQUIRED: "nvidia-smi --gpu-reset, or restart the host",
}


class NvmlReader:
    """The NVIDIA driver of this host. ``root`` is where ``/dev``, ``/proc`` and ``/sys`` are."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def uses(self, gpus: Sequence[Gpu], known: Collection[str]) -> tuple[Use, ...]:
        """What each container holds of these GPUs, by the processes that NVML lists."""
        return uses(gpus, owners(gpus, known))

    def holders(self, gpus: Sequence[Gpu], known: Collection[str]) -> tuple[Holder, ...]:
        """Every process that holds memory of these GPUs, and whose it is."""
        return holders(gpus, known, self._root)

    def read(self) -> tuple[tuple[Gpu, ...], str, str]:
        """The GPUs, the driver's version, and why there are none, or what one should know of those there are."""
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            return (), "", self._instead(f"NVML: {_reason(error)}")
        try:
            driver = _text(pynvml.nvmlSystemGetDriverVersion())
            gpus = tuple(gpu for index in range(pynvml.nvmlDeviceGetCount()) for gpu in self._card(index))
        except pynvml.NVMLError as error:
            return (), "", self._instead(f"NVML: {_reason(error)}")
        finally:
            with suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()
        return gpus, driver, _remark() if gpus else self._instead("the driver reports no GPU")

    def _instead(self, reason: str) -> str:
        """Why there is no NVIDIA GPU. Beside one, an AMD GPU is mostly the processor's own, so nothing is said then."""
        amd = (self._root / "dev/kfd").exists() or (self._root / "sys/module/amdgpu").exists()
        return f"AMD GPUs are not supported yet; {reason}" if amd else reason

    def _card(self, index: int) -> Iterator[Gpu]:
        """The card, or its MIG slices. One that does not answer is told of, and hides no other."""
        card = Gpu(str(index), "unknown", None, None, index=str(index))
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            card = _named(card, handle)
            mode = _optional(pynvml.nvmlDeviceGetMigMode, handle)
            if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
                yield self._measured(card, handle)
                return
            slots = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)
        except pynvml.NVMLError as error:
            yield _unusable(card, error)
            return
        slices = [gpu for slot in range(slots) if (gpu := self._slice(card, handle, slot)) is not None]
        yield from slices or [
            replace(card, usable=False, note="MIG is on and it has no slices: make some, or nvidia-smi -mig 0")
        ]

    def _slice(self, card: Gpu, handle: Any, slot: int) -> Gpu | None:
        gpu = replace(card, id=f"{card.index}:{slot}", index=f"{card.index}:{slot}", parent=card.id)
        try:
            slice_handle = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, slot)
            name = _slice_name(card, slice_handle)
            gpu = replace(gpu, id=_text(pynvml.nvmlDeviceGetUUID(slice_handle)), name=name)
            return self._measured(gpu, slice_handle)
        except pynvml.NVMLError_NotFound:
            return None
        except pynvml.NVMLError as error:
            return _unusable(gpu, error)

    def _measured(self, gpu: Gpu, handle: Any) -> Gpu:
        """The GPU with what changes from moment to moment."""
        gpu = replace(gpu, processes=self._processes(handle))
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        except _GONE:
            raise
        except pynvml.NVMLError_NotSupported:
            note = f"the driver does not tell its memory, as on boards that share the host's; {_ONLY_EXPLICIT}"
            return replace(gpu, note=note)
        except pynvml.NVMLError as error:
            return replace(gpu, note=f"its memory can't be read ({_reason(error)}); {_ONLY_EXPLICIT}")
        total, free = int(memory.total), int(memory.free)
        if not total or free > total:
            return replace(gpu, note=f"the driver tells {free} bytes free of {total}; {_ONLY_EXPLICIT}")
        detailed = _optional(lambda it: pynvml.nvmlDeviceGetMemoryInfo(it, version=pynvml.nvmlMemory_v2), handle)
        reserved = None if detailed is None else int(detailed.reserved)
        return replace(gpu, total=total, free=free, reserved=reserved)

    def _processes(self, handle: Any) -> tuple[Process, ...]:
        """Who holds memory, by pid. One that both computes and draws is in both lists, with the same memory."""
        used: dict[int, int | None] = {}
        for ask in (pynvml.nvmlDeviceGetComputeRunningProcesses_v3, pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3):
            for process in _optional(ask, handle) or ():
                used[process.pid] = used.get(process.pid) or process.usedGpuMemory
        return tuple(Process(pid, used[pid], self._name(pid)) for pid in sorted(used))

    def _name(self, pid: int) -> str:
        try:
            return (self._root / "proc" / str(pid) / "comm").read_text(errors="replace").strip()
        except OSError:  # it has ended, or the host hides processes of others
            return ""


def _named(card: Gpu, handle: Any) -> Gpu:
    card = replace(card, id=_text(pynvml.nvmlDeviceGetUUID(handle)), name=_text(pynvml.nvmlDeviceGetName(handle)))
    capability = _optional(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    persistence = _optional(pynvml.nvmlDeviceGetPersistenceMode, handle)
    return replace(
        card,
        compute_capability=None if capability is None else (int(capability[0]), int(capability[1])),
        persistence=None if persistence is None else bool(persistence),
    )


def _slice_name(card: Gpu, handle: Any) -> str:
    """The driver's name of a slice; where it tells only the card's, that with the slice's size, as NVIDIA writes it."""
    name = _text(_optional(pynvml.nvmlDeviceGetName, handle) or card.name)
    if "MIG" in name:
        return name
    size = _optional(pynvml.nvmlDeviceGetAttributes, handle)
    if size is None:
        return f"{name} MIG"
    return f"{name} MIG {size.gpuInstanceSliceCount}g.{math.ceil(size.memorySizeMB / 1024)}gb"


def _optional(ask: Callable[[Any], Any], handle: Any) -> Any:
    """What the driver answers, None where it does not know. A GPU that is gone is an error all the same."""
    try:
        return ask(handle)
    except _GONE:
        raise
    except _ANY:
        return None


def _unusable(gpu: Gpu, error: Any) -> Gpu:
    return replace(gpu, total=None, free=None, usable=False, note=f"NVML: {_reason(error)}")


def _reason(error: Any) -> str:
    remedy = _REMEDIES.get(error.value)
    return f"{error} ({remedy})" if remedy else str(error)


def _remark() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return ""
    return f"CUDA_VISIBLE_DEVICES is {visible!r} here, which NVML and Docker do not follow: every GPU is listed"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
