"""A model hub in a thread: one repository at one commit, with as much of the hub's API as huggingface_hub asks for.

It notes every request for a file's bytes, can cut connections in the middle of a file, be away, and refuse.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.serving import served

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "owner/tiny"
#: files from this size on are stored as the hub stores weights (LFS)
_LARGE = 1 << 20
_BLOCK = 1 << 16


@dataclass
class Hub:
    """The repository and what happens to those who ask for it."""

    files: dict[str, bytes] = field(repr=False)
    port: int = 0
    cut_after: int = 0
    """Every answer with a large file ends after so many bytes; 0: none does."""
    away: bool = False
    """Every connection is closed without an answer."""
    refusal: tuple[int, str] = (0, "")
    """Status and the hub's code of every answer."""
    announced: int = 0
    """The size that is told of each large file, instead of its own."""
    slow: threading.Event = field(default_factory=threading.Event)
    """While it is set, a large file stops in its middle."""
    asked: list[int] = field(default_factory=list)
    """First byte of each request for a large file."""
    sent: list[tuple[str, int]] = field(default_factory=list)
    """Name and number of bytes of each answer with a large file that has ended."""
    tokens: set[str] = field(default_factory=set)

    def total(self, name: str) -> int:
        """Bytes of a file that were sent, all answers together."""
        return sum(count for file, count in self.sent if file == name)


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub on all addresses of this network namespace."""

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("0.0.0.0", hub.port), Handler)
    server.daemon_threads = True
    hub.port = server.server_address[1]
    with served(server):
        try:
            yield hub
        finally:
            hub.slow.clear()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub = self.hub
        if hub.away:
            self.close_connection = True
            return
        hub.tokens.add(self.headers.get("Authorization", ""))
        path = self.path.partition("?")[0]
        status, code = hub.refusal
        if status:
            self._json({"error": code}, status, {"X-Error-Code": code, "X-Error-Message": code})
        elif path.startswith(f"/api/models/{REPOSITORY}"):
            tree = f"/api/models/{REPOSITORY}/tree/"
            self._json([self._entry(n) for n in hub.files] if path.startswith(tree) else self._info())
        elif path.startswith(f"/{REPOSITORY}/resolve/"):
            self._file(path.split("/", 5)[5], body=body)
        else:
            self._json({"error": "RepoNotFound"}, 404, {"X-Error-Code": "RepoNotFound"})

    def _info(self) -> dict[str, Any]:
        siblings = [{"rfilename": n, **self._stored(n)} for n in self.hub.files]
        return {"id": REPOSITORY, "modelId": REPOSITORY, "sha": COMMIT, "private": False, "siblings": siblings}

    def _entry(self, name: str) -> dict[str, Any]:
        stored = self._stored(name)
        lfs = {"lfs": {**stored["lfs"], "oid": stored["lfs"]["sha256"]}} if "lfs" in stored else {}
        return {"type": "file", "path": name, "size": stored["size"], "oid": stored["blobId"], **lfs}

    def _stored(self, name: str) -> dict[str, Any]:
        data = self.hub.files[name]
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        if len(data) < _LARGE:
            return {"size": len(data), "blobId": blob}
        size = self.hub.announced or len(data)
        lfs = {"sha256": hashlib.sha256(data).hexdigest(), "size": size, "pointerSize": 134}
        return {"size": size, "blobId": blob, "lfs": lfs}

    def _json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for key, text in {**(headers or {}), "Content-Type": "application/json"}.items():
            self.send_header(key, text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def _file(self, name: str, *, body: bool) -> None:
        data, stored = self.hub.files[name], self._stored(name)
        etag = stored["lfs"]["sha256"] if "lfs" in stored else stored["blobId"]
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if first else 200)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        if body:
            self._send(name, data, first, large="lfs" in stored)

    def _send(self, name: str, data: bytes, first: int, *, large: bool) -> None:
        at, middle = first, len(data) // 2
        if large:
            self.hub.asked.append(first)
        while at < len(data):
            if large and self.hub.cut_after and at - first >= self.hub.cut_after:
                self.close_connection = True
                break
            if large and self.hub.slow.is_set() and at >= middle:
                threading.Event().wait(0.05)
                continue
            try:
                self.wfile.write(data[at : at + _BLOCK])
            except OSError:
                self.close_connection = True
                break
            at += len(data[at : at + _BLOCK])
        if large:
            self.hub.sent.append((name, at - first))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing."""
