"""Time."""

from __future__ import annotations

import time


class SystemClock:
    """The system's clock."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
