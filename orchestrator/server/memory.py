"""Keeps the server within the GPU memory that was planned for it.

Docker limits no GPU memory: without a cap of its own, a request that is larger than planned takes what a neighbour
counts on, and it is the neighbour that fails.
"""

from __future__ import annotations

from typing import Any, Protocol


class Cuda(Protocol):
    """What of ``torch.cuda`` is needed. A GPU is named by its number: ``torch.device("cuda")`` has none."""

    def current_device(self) -> int:
        """The number of the GPU that is used."""
        ...

    def get_device_properties(self, device: int) -> Any:
        """Facts of a GPU; ``total_memory`` is what CUDA counts, in bytes."""
        ...

    def set_per_process_memory_fraction(self, fraction: float, device: int) -> None:
        """Let PyTorch's allocator fail beyond this share of the GPU's total, from 0 to 1."""
        ...


def cap(cuda: Cuda, limit: int) -> float:
    """Let PyTorch take at most ``limit`` bytes of its GPU; the share of the GPU's total that this is.

    The CUDA context is not PyTorch's and comes on top. Not verified here on a GPU.
    """
    device = cuda.current_device()
    total: int = cuda.get_device_properties(device).total_memory
    share = min(1.0, limit / total)
    cuda.set_per_process_memory_fraction(share, device)
    return share
