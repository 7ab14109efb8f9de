"""Sleep mode as vLLM has it (0.32.0 and 0.33.0), without a GPU: paths, status codes and bodies.

Knobs, by environment: STUB_SLEEP_UNTIL and STUB_WAKE_UNTIL, each the path of a file that has to be there before the
engine has done so. Until then it answers no question about it, as vLLM's engine does not.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

_BEAT_S = 0.05
_METRIC = "vllm:engine_sleep_state"
_STATES = ("awake", "weights_offloaded", "discard_all")


class Sleeper:
    """The state of the engine: level 0 is awake."""

    def __init__(self) -> None:
        self.level = 0
        self._busy = threading.Lock()
        self._awake = threading.Event()
        self._awake.set()

    def wait_awake(self) -> None:
        """vLLM takes a request while it sleeps, and answers once it is awake."""
        self._awake.wait()

    def get(self, path: str) -> dict[str, Any] | str | None:
        """Body of an answer; None for a path that is not ours."""
        if path == "/metrics":
            now = _STATES[self.level]
            return "".join(f'{_METRIC}{{engine="0",sleep_state="{s}"}} {float(s == now)}\n' for s in _STATES)
        if path != "/is_sleeping":
            return None
        with self._busy:
            return {"is_sleeping": self.level > 0}

    def post(self, target: str) -> dict[str, Any] | None:
        """The same for a POST; returns when it is done."""
        path, asked = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if path == "/sleep":
            level = int(asked.get("level", ["1"])[0])
            self._change(level, "STUB_SLEEP_UNTIL")
            return {"status": "sleeping", "level": level}
        if path == "/wake_up":
            self._change(0, "STUB_WAKE_UNTIL")
            return {"status": "awake", "tags": None}
        return None

    def _change(self, level: int, knob: str) -> None:
        with self._busy:
            while not Path(os.environ.get(knob, "/")).exists():
                time.sleep(_BEAT_S)
            self.level = level
            (self._awake.clear if level else self._awake.set)()
            print("asleep" if level else "awake", flush=True)
