"""A registry of images in a thread, with as much of its API as an engine asks for. On 127.0.0.0/8 none needs TLS.

What it has is taken from an engine (``docker save``), so that its digests are those of real manifests.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.integration.engine import Engine
from tests.serving import served

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG, _LAYER = "application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar"


@dataclass
class Registry:
    """Manifests by tag and by digest, blobs by digest."""

    port: int = 0
    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    denies: bool = False
    """Whether everybody has to log in, and nobody can."""

    def name(self, tag: str) -> str:
        """The reference of a tag."""
        return f"127.0.0.1:{self.port}/stub:{tag}"

    def take(self, engine: Engine, image: str, tag: str) -> str:
        """Give an engine's image that tag here; returns its digest."""
        with engine.client() as client:
            saved = io.BytesIO(b"".join(client.images.get(image).save(named=True)))
        with tarfile.open(fileobj=saved) as archive:
            (parts,) = json.loads(_content(archive, "manifest.json"))
            config = self._blob(_CONFIG, _content(archive, parts["Config"]))
            layers = [self._blob(_LAYER, _content(archive, name)) for name in parts["Layers"]]
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": layers}
        data = json.dumps(manifest).encode()
        return self.put(tag, data)

    def put(self, tag: str, manifest: bytes) -> str:
        """Give a manifest that tag; returns its digest."""
        self.manifests[tag] = self.manifests[_digest(manifest)] = manifest
        return _digest(manifest)

    def _blob(self, kind: str, data: bytes) -> dict[str, object]:
        self.blobs[_digest(data)] = data
        return {"mediaType": kind, "digest": _digest(data), "size": len(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    found = archive.extractfile(name)
    assert found is not None, f"{name} is no file"
    return found.read()


@contextmanager
def serving() -> Iterator[Registry]:
    """A registry on loopback of this network namespace, which is the engine's as well."""
    registry = Registry()

    class Handler(_Handler):
        pass

    Handler.registry = registry
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    registry.port = server.server_address[1]
    with served(server):
        yield registry


class _Handler(BaseHTTPRequestHandler):
    registry: Registry
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        what, _, name = self.path.removeprefix("/v2/stub/").partition("/")
        found = {"manifests": self.registry.manifests, "blobs": self.registry.blobs}.get(what, {}).get(name)
        if self.registry.denies:
            self._send(403, b'{"errors": [{"code": "DENIED", "message": "not you"}]}', "application/json")
        elif self.path == "/v2/":
            self._send(200, b"{}", "application/json")
        elif found is None:
            self._send(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "no such"}]}', "application/json")
        else:
            self._send(200, found, _MANIFEST if what == "manifests" else "application/octet-stream")

    def _send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Docker-Content-Digest", _digest(data))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing."""
