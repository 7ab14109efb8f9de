"""What keeps a real vLLM from starting: one table, of entries of the demo with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.faults.campaign import Fault

#: what is to be spoiled, and the folder of the architecture that nobody has
Spoil = Callable[[dict[str, Any], Path], None]


def shared_memory(entry: dict[str, Any], _: Path) -> None:
    """vLLM's queue is made larger, since an entry with too little for the usual one is refused."""
    entry["engines"]["vllm"]["environment"] = {"VLLM_MQ_MAX_CHUNK_BYTES_MB": "64"}


def cache(entry: dict[str, Any], _: Path) -> None:
    """The cache is counted for one layer; the weights have four."""
    entry["architecture"]["layers"] = 1


def flag(entry: dict[str, Any], _: Path) -> None:
    entry["engines"]["vllm"]["flags"] = {"no-such-flag": 4}


def architecture(entry: dict[str, Any], folder: Path) -> None:
    entry["source"] = {"path": str(folder), "licence": "Apache-2.0"}


@dataclass(frozen=True, kw_only=True)
class Real(Fault):
    """``spoil``: makes one thing wrong with the demo's entry."""

    spoil: Spoil
    how: str = "vLLM 0.32.0 on the CPU"
    exit: int = 1


REAL = (
    Real(
        name="vllm-shared-memory",
        broken="/dev/shm is too small for its queue",
        spoil=shared_memory,
        cause="no-shared-memory",
        words=r"The container's shared memory is too small: 640 MiB required, 256 MiB free\. Raise shm_mib",
    ),
    Real(
        name="vllm-cache",
        broken="the KV cache is counted for one layer of four",
        spoil=cache,
        cause="kv-cache-too-small",
        words=r"KV cache is too small for one sequence of max_model_len: .* is needed, .*\. Correct layers, kv_heads",
    ),
    Real(
        name="vllm-flag",
        broken="a flag that it does not have",
        spoil=flag,
        cause="wrong-flag",
        words=r"does not accept its command line: unrecognized arguments: --no-such-flag 4\. Correct flags",
    ),
    Real(
        name="vllm-architecture",
        broken="weights of an architecture that nobody has",
        spoil=architecture,
        cause="architecture-unsupported",
        words=r"does not support the model's architecture: \['NobodysForCausalLM'\]\. Name a newer image",
    ),
)
