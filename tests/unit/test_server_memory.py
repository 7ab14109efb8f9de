from types import SimpleNamespace

import pytest

from orchestrator.server.memory import cap

GIB = 1 << 30


class FakeCuda:
    """Its second GPU, of 80 GiB, is the one in use; holds what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[float, int]] = []

    def current_device(self) -> int:
        return 1

    def get_device_properties(self, device: int) -> SimpleNamespace:
        return SimpleNamespace(total_memory=80 * GIB if device == 1 else GIB)

    def set_per_process_memory_fraction(self, fraction: float, device: int) -> None:
        self.told.append((fraction, device))


@pytest.mark.parametrize(("limit", "share"), [(20 * GIB, 0.25), (80 * GIB, 1.0), (81 * GIB, 1.0), (1, 1 / (80 * GIB))])
def test_pytorch_gets_its_share_and_never_more_than_the_gpu(limit: int, share: float) -> None:
    cuda = FakeCuda()
    assert cap(cuda, limit) == share
    assert cuda.told == [(share, 1)]
