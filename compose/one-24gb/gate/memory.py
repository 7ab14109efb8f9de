"""Free GPU memory, from ``nvidia-smi``, which the driver capability ``utility`` puts into the container."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping

from .core import Card, parse_cards
from .wake import Wake

_ASK = ("nvidia-smi", "--query-gpu=uuid,memory.free,memory.total", "--format=csv,noheader,nounits")
_LIMIT_S = 15.0


def look(wake: Wake) -> tuple[Mapping[str, Card], str]:
    """The GPUs this container sees, and why that may be incomplete. Raises Stopped."""
    try:
        asked = subprocess.Popen(
            _ASK,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
    except OSError as error:
        return {}, f"nvidia-smi: {error.strerror}"
    try:
        return _read(asked, wake)
    finally:
        if asked.poll() is None:
            asked.kill()  # without waiting: with a hung driver even this may take for ever
        if asked.stdout:
            asked.stdout.close()


def _read(asked: subprocess.Popen[str], wake: Wake) -> tuple[Mapping[str, Card], str]:
    until = time.monotonic() + _LIMIT_S
    while asked.poll() is None:
        left = until - time.monotonic()
        if left <= 0:
            return {}, f"nvidia-smi did not answer within {_LIMIT_S:.0f} s"
        wake.wait(left)
    # Its few lines fit in the pipe, so reading only after its end can't block it.
    cards = parse_cards(asked.stdout.read() if asked.stdout else "")
    return cards, f"nvidia-smi ended with exit code {asked.returncode}" if asked.returncode else ""
