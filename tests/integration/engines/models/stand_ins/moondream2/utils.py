"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: vikhyat/moondream as of 2025-06-19, released as vikhyatk/moondream2 2025-06-21.
"""

from typing import Any


def remove_outlier_points(points_tuples: Any, k_nearest: int = 2, threshold: float = 2.0) -> Any:
    raise NotImplementedError("a stand-in does not follow a gaze")
