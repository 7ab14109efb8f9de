"""Asks engines whether they are alive, all at once. With ``socket`` alone, because ``status`` has to be quick."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence

_REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
#: bytes of an answer's first line that are needed: ``HTTP/1.1 200``
_ENOUGH = 12


class HttpPulse:
    """Engines behind ports of this host, asked directly whatever proxy the environment names."""

    def beating(self, urls: Sequence[str], patience: float) -> frozenset[str]:
        """Those of these base URLs where ``GET /health`` answers 200 within ``patience`` seconds."""
        found: set[str] = set()

        def ask(url: str) -> None:
            if _alive(url, patience):
                found.add(url)

        others = [threading.Thread(target=ask, args=(url,), daemon=True) for url in urls[1:]]
        for thread in others:
            thread.start()
        if urls:
            ask(urls[0])
        for thread in others:
            thread.join()
        return frozenset(found)


def _alive(url: str, patience: float) -> bool:
    host, _, port = url.removeprefix("http://").rpartition(":")
    until = time.monotonic() + patience
    answer = b""
    try:
        with socket.create_connection((host, int(port)), patience) as link:
            link.sendall(_REQUEST)
            while len(answer) < _ENOUGH and (left := until - time.monotonic()) > 0:
                link.settimeout(left)
                chunk = link.recv(4096)
                if not chunk:
                    break
                answer += chunk
    except OSError:
        return False
    return answer.startswith(b"HTTP/") and answer[:_ENOUGH].split(b" ")[1:] == [b"200"]
