"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: vikhyat/moondream as of 2025-06-19, released as vikhyatk/moondream2 2025-06-21.
"""

from typing import Any


def variant_state_dict(variant_id: str | None = None, device: str = "cpu") -> Any:
    """The published one fetches a variant from a server: nothing that a test or a request may cause."""
    if variant_id is not None:
        raise NotImplementedError(f"a stand-in has no variant {variant_id}")
