"""Asks an engine whether it sleeps. Docker's word is that of the last health check, up to some seconds old.

With ``socket`` alone, as Docker is asked: ``status`` has to be quick.
"""

from __future__ import annotations

import json
import socket

#: seconds for the whole answer; an engine that is falling asleep or waking answers when it has done so
_PATIENCE = 1.0


def sleeps(host: str, port: int) -> bool | None:
    """What vLLM answers to ``GET /is_sleeping``; None where it does not say."""
    try:
        with socket.create_connection((host, port), _PATIENCE) as link:
            # By HTTP 1.0 the body is neither chunked nor followed by anything.
            link.sendall(f"GET /is_sleeping HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            with link.makefile("rb") as answer:
                said = json.loads(answer.read(4096).partition(b"\r\n\r\n")[2])["is_sleeping"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return said if isinstance(said, bool) else None
