"""The faults of engines that start: one table, whose entries all begin in one ``up``."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.integration.faults.campaign import Fault
from tests.integration.stub_image import LOGS

INDEX = json.loads((LOGS / "index.json").read_text(encoding="utf-8"))
#: classes of which the engine is on a GPU
_ON_A_GPU = ("gpu-", "other-process-on-gpu", "driver-too-old")


@dataclass(frozen=True, kw_only=True)
class Start(Fault):
    """``knob``: what the stub is told (stub/server/breaking.py). ``gpu``: whether its model is on a GPU."""

    knob: str
    exit: int = 1
    gpu: bool = False


def _logged(log: str, broken: str, words: str, *, name: str = "", cause: str | None = None) -> Start:
    """The stub prints a log of tests/unit/logs, and ends as the engine did that wrote it."""
    given = INDEX[log]
    known = log.rpartition("-")[0] if cause is None else cause
    return Start(
        name=name or known,
        broken=broken,
        how=f"a log: {given['source']}",
        words=words,
        cause=known,
        knob=f"log {log} {given['exit']}",
        gpu=known.startswith(_ON_A_GPU),
    )


STARTS = (
    _logged("gpu-memory-at-load-1", "the weights don't fit into the GPU", "ran out of memory while the weights"),
    _logged(
        "gpu-memory-at-profiling-2",
        "the largest request does not fit beside the weights",
        "ran out of memory while the engine measured",
    ),
    _logged("other-process-on-gpu-1", "somebody else holds the GPU's memory", "Too little free GPU memory"),
    _logged("gpu-runtime-missing-2", "the container got no GPU", "sees no GPU", name="no-gpu-in-the-container"),
    _logged("driver-too-old-1", "the driver is older than the image's CUDA", "driver is too old"),
    _logged("gpu-too-old-1", "the engine was not built for this GPU", "GPU is too old"),
    _logged("gpu-fault-1", "the GPU fails", "GPU failed the engine"),
    _logged("gated-or-missing-repository-2", "the repository is gated", "refused access", name="gated"),
    _logged("gated-or-missing-repository-4", "no such repository", "no such repository", name="missing-repository"),
    _logged("gated-or-missing-repository-5", "no such revision", "no such revision", name="missing-revision"),
    _logged("bad-token-1", "the hub does not take the token", "token or key is missing, empty or wrong"),
    _logged("downloads-off-1", "no weights, and HF_HUB_OFFLINE is set", "downloads are off"),
    _logged("hub-busy-1", "the hub limits the rate", "refused for now"),
    _logged("network-down-1", "nobody listens where the hub should", "could not be reached"),
    _logged("no-shared-memory-1", "/dev/shm is too small", r"too small: \d+ MiB required, \d+ MiB free"),
    _logged("image-incomplete-1", "the image lacks vLLM", "lacks a Python package", name="missing-package"),
    _logged("architecture-unsupported-1", "an architecture that the engine does not know", "does not support the"),
    _logged("remote-code-refused-1", "the repository has code that may not run", "needs its own code to run"),
    _logged("wrong-dtype-or-quantisation-1", "a quantisation that the engine does not know", "are quantised"),
    _logged("kv-cache-too-small-1", "the cache does not hold one request", "KV cache is too small"),
    _logged("context-too-long-1", "a context that the model does not have", "longer than the model's"),
    _logged("corrupted-weights-1", "a file of weights is damaged", "weights is damaged"),
    _logged("host-memory-1", "Python gets no memory", "main memory ran out"),
    _logged("wrong-flag-1", "a flag that the engine does not have", "unrecognized arguments"),
    _logged("wrong-configuration-1", "settings that contradict each other", "max_num_batched_tokens"),
    Start(
        name="no-disk",
        broken="the volume for caches is full",
        how="a volume of 1 MiB, which the stub fills",
        words="disk is full",
        cause="no-disk",
        knob="disk",
    ),
    Start(
        name="killed-by-the-kernel",
        broken="the container's memory is used up",
        how="a limit of 64 MiB, and a stub that takes more",
        words="killed",
        cause="killed-by-the-kernel",
        knob="memory",
    ),
    Start(
        name="wrong-cpu-instructions",
        broken="an instruction that the CPU does not have",
        how="the stub runs one that is undefined",
        words="does not have",
        cause="wrong-cpu-instructions",
        knob="instruction",
    ),
    _logged(
        "unknown-1",
        "an error that nobody knows, at every start",
        r"KeyError: 'no such thing'.*Gave up after 3 restarts",
        name="crash-loop",
        cause="",
    ),
)
