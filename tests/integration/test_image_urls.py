"""Images by address: the real server in its container, and a small public internet made of one address.

The address and its machine live in the tests' own network namespace; names come from a resolver that turns inwards at
the second question, as in DNS rebinding.
"""

from __future__ import annotations

import fcntl
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.integration.cli import REPOSITORY
from tests.integration.engine import SIOCSIFFLAGS, Engine
from tests.integration.test_api import connected, serving

PORT = 24320
#: Public by all rules; nobody outside the namespace sees what is sent to it.
ADDRESS = "93.184.216.34"
SIOCSIFADDR = 0x8916
PICTURE = (REPOSITORY / "orchestrator" / "probe.png").read_bytes()
INSIDE = (
    "127.0.0.1:8000/metrics",
    "[::1]/",
    "169.254.169.254/latest",
    "172.17.0.1/",
    "0x7f000001/",
)


class Web(BaseHTTPRequestHandler):
    """``/picture``; ``/to/PLACE`` redirects to ``http://PLACE``; ``/slow`` and ``/endless`` are what they say."""

    protocol_version = "HTTP/1.1"
    asked: list[str] = []  # noqa: RUF012 (shared on purpose)

    def do_GET(self) -> None:
        self.asked.append(f"{self.headers['Host']}{self.path}")
        if self.path.startswith("/to/"):
            self._head(302, "Location", "http://" + self.path.removeprefix("/to/"))
        elif self.path == "/picture":
            self._head(200, "Content-Length", str(len(PICTURE)))
            self.wfile.write(PICTURE)
        else:
            self._head(200, "Content-Type", "image/png")
            self._drip(b"x" if self.path == "/slow" else bytes(2**20), pause=0.2 if self.path == "/slow" else 0.0)

    def _head(self, status: int, name: str, value: str) -> None:
        self.send_response(status)
        self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def _drip(self, data: bytes, pause: float) -> None:
        try:
            for _ in range(100):
                self.wfile.write(data)
                threading.Event().wait(pause)
        except OSError:
            pass  # the server has gone, as it should

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name is the library's)
        pass


class Names(threading.Thread):
    """Answers questions for addresses: ADDRESS; for rebind.example at every second time 127.0.0.1."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.asked = 0
        self.link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.link.bind((ADDRESS, 53))

    def run(self) -> None:
        while True:
            try:
                question, caller = self.link.recvfrom(512)
            except OSError:
                return
            end = question.index(b"\0", 12) + 5
            kind = question[end - 4 : end - 2]
            answers = b""
            if kind == b"\0\1":
                inside = b"rebind" in question and self.asked % 2 == 1
                self.asked += b"rebind" in question
                address = "127.0.0.1" if inside else ADDRESS
                answers = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(address)
            counts = struct.pack(">HHHH", 1, bool(answers), 0, 0)
            self.link.sendto(question[:2] + b"\x81\x80" + counts + question[12:end] + answers, caller)


@contextmanager
def address() -> Iterator[None]:
    """ADDRESS on the loopback of this network namespace, which is the engine's."""
    name = b"lo:web"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        wanted = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(ADDRESS))
        fcntl.ioctl(control, SIOCSIFADDR, wanted)
        try:
            yield
        finally:
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", name, 0))


def certificate(folder: Path, name: str) -> Path:
    """A certificate for a name, signed by itself, and its key, in one file."""
    file = folder / f"{name}.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    argv += ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", str(file), "-out", str(file)]
    subprocess.run(argv, check=True, capture_output=True)
    file.chmod(0o644)
    return file


@pytest.fixture(scope="module")
def names(engine: Engine, cpu_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Names]:
    """The server with --allow-image-urls on PORT, and its internet."""
    folder = tmp_path_factory.mktemp("tls")
    folder.chmod(0o755)
    with ExitStack() as stack:
        stack.enter_context(address())
        names = Names()
        stack.callback(names.link.close)
        names.start()
        file = certificate(folder, "web.example")
        for port in (80, 443):
            web = ThreadingHTTPServer((ADDRESS, port), Web)
            web.daemon_threads = True
            if port == 443:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(file)
                web.socket = context.wrap_socket(web.socket, server_side=True)
            threading.Thread(target=web.serve_forever, daemon=True).start()
            stack.callback(web.server_close)
            stack.callback(web.shutdown)
        docker = ["--dns", ADDRESS, "--volume", f"{file}:/ca.pem:ro", "--env", "SSL_CERT_FILE=/ca.pem"]
        docker += ["--env", f"http_proxy=http://{ADDRESS}:9", "--env", f"https_proxy=http://{ADDRESS}:9"]
        stack.enter_context(serving(engine, cpu_image, PORT, "--allow-image-urls", docker=docker))
        yield names


def ask(url: str) -> str | None:
    """The code of the refusal; None where there is an answer."""
    part: Any = {"type": "image_url", "image_url": {"url": url}}
    with connected(PORT) as client:
        try:
            client.chat.completions.create(model="demo", messages=[{"role": "user", "content": [part]}], max_tokens=1)
        except openai.BadRequestError as error:
            return error.code
    return None


@pytest.mark.parametrize(
    "url", ["http://web.example/picture", "https://web.example/picture", f"http://{ADDRESS}/to/web.example/picture"]
)
def test_a_picture_is_fetched(names: Names, url: str) -> None:
    assert ask(url) is None


@pytest.mark.parametrize("place", INSIDE)
def test_nothing_inside_is_reached(names: Names, place: str) -> None:
    assert ask(f"http://{place}") in {"image_fetch_failed", "invalid_image_url"}
    assert ask(f"http://web.example/to/{place}") in {"image_fetch_failed", "invalid_image_url"}
    assert Web.asked[-1] == f"web.example/to/{place}"


def test_a_name_that_turns_inwards(names: Names) -> None:
    assert ask("http://rebind.example/picture") is None
    assert names.asked == 1, "asked for once, and connected to what was looked at"
    assert ask("http://rebind.example/picture") == "image_fetch_failed"
    assert names.asked == 2
    assert ask("http://rebind.example/to/rebind.example/picture") == "image_fetch_failed"
    assert names.asked == 4


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://other.example/picture", "image_fetch_failed"),
        (f"https://{ADDRESS}/picture", "image_fetch_failed"),
        ("http://web.example/endless", "image_too_large"),
        ("http://web.example/slow", "image_fetch_failed"),
        ("http://web.example:8000/picture", "invalid_image_url"),
        ("file:///etc/passwd", "invalid_image_url"),
    ],
)
def test_a_certificate_for_another_name_and_answers_without_end(names: Names, url: str, code: str) -> None:
    assert ask(url) == code
