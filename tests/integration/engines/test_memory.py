"""When memory runs out: who fails, and that the others' answers are what they would have been."""

from __future__ import annotations

import json

from tests.integration.engine import Engine
from tests.integration.engines.families import MAKERS


def test_who_fails_and_who_goes_on(engine: Engine, cpu_image: str) -> None:
    run = ("docker", "run", "--rm", "--network", "none", "--volume", f"{MAKERS}:/tests:ro", cpu_image)
    found = json.loads(engine.run(*run, "python3", "/tests/memory.py").stdout.splitlines()[-1])
    alone = found["alone"]
    assert [len(text) for text in alone] == [20, 27, 34]
    assert found["late"] == [*alone[:2], "left"], "a step that fails half-way leaves the others as they were"
    assert found["apart"] == alone, "what can't be read together is read one by one"
    assert found["none"] == ["MemoryError"] * 3
