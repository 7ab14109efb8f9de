"""Runs inside an image of ours: the engine when memory runs out, on the demo model; prints as JSON what came of it.

The passes are real; where memory is to run out, a pass raises PyTorch's error once it has done all its work, so that
the cache holds more than it should.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from server.builtin import BUILTIN
from server.config import Config
from server.conversation import Ask, Sampling, Turn
from server.engine import engine_for
from server.families.qwen2_vl import load

ROWS = 3
CONFIG = Config(
    family="qwen2-vl",
    served_name="demo",
    device="cpu",
    dtype="float32",
    max_model_len=2048,
    max_num_seqs=ROWS,
    images_at_once=ROWS,
)
ASKED = [
    Ask((Turn("user", ("Say the alphabet.",)),), Sampling(20 + 7 * number, temperature=0)) for number in range(ROWS)
]


class Short:
    """The adapter, whose passes run out of memory when they are told to."""

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter
        #: how many more steps go well, and how many requests one reading can hold
        self.steps, self.together = 10**9, 10**9

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def step(self, *inputs: Any) -> Any:
        """One step."""
        done = self._adapter.step(*inputs)
        self.steps -= 1
        if self.steps == 0:
            raise torch.OutOfMemoryError("no memory")
        return done

    def begin(self, encoded: Any) -> Any:
        """One reading."""
        done = self._adapter.begin(encoded)
        if len(encoded) > self.together:
            raise torch.OutOfMemoryError("no memory")
        return done


def texts(adapter: Any, asked: list[Ask]) -> list[str]:
    """The answers; whoever came last leaves where a step runs out of memory."""
    engine: Any = engine_for(adapter, CONFIG)
    rows = engine.join([engine.prepare(ask) for ask in asked])
    failed = [row for row in rows if isinstance(row, Exception)]
    if failed:
        return [type(row).__name__ for row in rows]
    while engine.rows:
        engine.leave([row for row in engine.rows if row.completion])
        try:
            if engine.rows:
                engine.step()
        except MemoryError:
            engine.leave([engine.rows[-1]])
    return [row.completion.text if row.completion else "left" for row in rows]


def main() -> None:
    """Print it."""
    adapter = Short(load(BUILTIN["demo"], CONFIG))
    alone = [text for ask in ASKED for text in texts(adapter, [ask])]
    adapter.steps = 6
    late = texts(adapter, ASKED)
    adapter.steps, adapter.together = 10**9, 1
    apart = texts(adapter, ASKED)
    adapter.together = 0
    print(json.dumps({"alone": alone, "late": late, "apart": apart, "none": texts(adapter, ASKED)}))


if __name__ == "__main__":
    main()
