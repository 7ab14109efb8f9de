"""GPUs of this host, through NVML. What the driver does not tell is said, never guessed."""

from __future__ import annotations

from typing import Any

import pynvml

from orchestrator.inventory import Gpu


class NvmlReader:
    """The NVIDIA driver of this host."""

    def read(self) -> tuple[tuple[Gpu, ...], str, str]:
        """The GPUs, the driver's version, and if there are none, why."""
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            return (), "", f"NVML: {error}"
        try:
            driver = _text(pynvml.nvmlSystemGetDriverVersion())
            gpus = tuple(_gpu(index) for index in range(pynvml.nvmlDeviceGetCount()))
        except pynvml.NVMLError as error:
            return (), "", f"NVML: {error}"
        else:
            return gpus, driver, "" if gpus else "the driver reports no GPU"
        finally:
            pynvml.nvmlShutdown()


def _gpu(index: int) -> Gpu:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        uuid, name = _text(pynvml.nvmlDeviceGetUUID(handle)), _text(pynvml.nvmlDeviceGetName(handle))
    except pynvml.NVMLError as error:
        return Gpu(str(index), "unknown", None, None, f"NVML: {error}")
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    except pynvml.NVMLError as error:
        return Gpu(uuid, name, None, None, f"its memory can't be read: {error}")
    return Gpu(uuid, name, int(memory.total), int(memory.free))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
