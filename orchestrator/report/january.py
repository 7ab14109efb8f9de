"""What the founding report of 24 January 2026 says of no single pair: its order of models and its recommendations.

What it says of pairs stands in their registry entries (``report``), verbatim.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.registry.spec import EngineName

DATE = "2026-01-24"
#: in the order of its tables, by the names of the registry
ORDER = (
    "dots-ocr",
    "got-ocr2",
    "qwen2-vl-2b",
    "phi-3-5-vision",
    "moondream2",
    "qwen2-vl-7b",
    "phi-3-vision",
    "internvl2-2b",
)


@dataclass(frozen=True, slots=True)
class Step:
    """One of its spans of GPU memory, in GB of 10^9 bytes; None where it has no bound.

    ``models``: what it recommends there; None for every model that it allows on the engine. ``cards``: GiB of the
    cards that the planner is asked about for comparison, which is our choice.
    """

    over_gb: int | None
    to_gb: int | None
    models: tuple[tuple[EngineName, tuple[str, ...] | None], ...]
    cards: tuple[int, ...]


STEPS = (
    Step(None, 6, (("transformers", ("got-ocr2", "moondream2", "qwen2-vl-2b")),), (4,)),
    Step(6, 10, (("transformers", None), ("vllm", ("dots-ocr", "qwen2-vl-2b"))), (8,)),
    Step(10, None, (("vllm", None),), (12, 24)),
)
