"""Broken requests and broken HTTP against the real server in its container: no fault of the server, no fall."""

from __future__ import annotations

import http.client
import json
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, settings

from tests.chat_bodies import bodies
from tests.integration.engine import Engine, wait_for
from tests.integration.test_api import KEY, get, idle, measured, serving

PORT = 24310
#: How many bodies are sent.
COUNT = 2000
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
ASKED = b'{"model":"demo","messages":[{"role":"user","content":"hi"}],"max_tokens":1}'
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n"
WHOLE = POST + b"Content-Length: %d\r\n\r\n" % len(ASKED) + ASKED


@pytest.fixture(scope="module")
def server(engine: Engine, cpu_image: str) -> Iterator[str]:
    # A short context: a body whose fault is to name no max_tokens gets an answer that fills it.
    with serving(engine, cpu_image, PORT, "--require-api-key", "--max-model-len", "100") as container:
        yield container


def faultless(engine: Engine, container: str) -> None:
    """The server lives, nothing is left in it, and its log tells of no fault."""
    wait_for(lambda: idle(PORT), "a free slot")
    done = engine.run("docker", "logs", container)
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said[-3000:]
    assert " ERROR " not in said, said[-3000:]
    assert measured(PORT)['orchestrator_requests_total{outcome="failed"}'] == 0
    assert raw(WHOLE).startswith(b"HTTP/1.1 200 ")


def raw(*pieces: bytes, end: bool = False) -> bytes:
    """What the server says to these bytes until it closes, or says nothing more for a while."""
    with socket.create_connection(("127.0.0.1", PORT), timeout=10) as link:
        said = b""
        try:
            for piece in pieces:
                link.sendall(piece)
            if end:
                link.shutdown(socket.SHUT_WR)
            while data := link.recv(65536):
                said += data
                link.settimeout(0.5)
        except (TimeoutError, ConnectionError):
            pass
        return said


def test_thousands_of_bodies(engine: Engine, server: str) -> None:
    before = measured(PORT)
    seen: Counter[int] = Counter()
    link = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)

    @settings(
        max_examples=COUNT, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(bodies())
    def fuzz(body: bytes) -> None:
        link.request("POST", "/v1/chat/completions", body, HEADERS)
        answer = link.getresponse()
        text = answer.read()
        seen[answer.status] += 1
        assert answer.status in {200, 400, 404}, (answer.status, text[:300], body[:300])
        if answer.status != 200:
            assert json.loads(text)["error"]["type"] == "invalid_request_error"
        elif text.startswith(b"data:"):
            assert text.endswith(b"data: [DONE]\n\n")

    try:
        fuzz()
    finally:
        link.close()
    faultless(engine, server)
    grown = {name: value - before[name] for name, value in measured(PORT).items()}
    print(f"{sum(seen.values())} bodies: {dict(seen)}")
    assert sum(seen.values()) >= COUNT
    assert seen[200] > 100, "most bodies are too broken to reach the model"
    assert grown['orchestrator_requests_total{outcome="answered"}'] == seen[200] + 1  # the one of faultless()
    assert grown['orchestrator_requests_total{outcome="refused"}'] == seen[400] + seen[404]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "BREW"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/", "/v1/models/x", "/%00", "/../etc/passwd", "/metrics/.."])
def test_other_methods_and_paths(server: str, method: str, path: str) -> None:
    link = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    try:
        link.request(method, path, headers=HEADERS)
        answer = link.getresponse()
        assert answer.status in {404, 405}
        answer.read()
    finally:
        link.close()


@pytest.mark.parametrize(
    ("pieces", "end", "said"),
    [
        ([b"\r\n\r\n"], True, b""),
        ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], True, b"HTTP/1.1 400 "),
        ([b"GET\r\n\r\n"], False, b"HTTP/1.1 400 "),
        ([b"GET /health HTTP/99\r\n\r\n"], False, b"HTTP/1.1 400 "),
        ([b"GET /health HTTP/1.0\r\n\r\n"], False, b"HTTP/1.1 200 "),
        ([b"GET /health HTTP/1.1\r\n\r\n"], False, b"HTTP/1.1 400 "),
        ([b"GET /health HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n"], False, b"HTTP/1.1 400 "),
        ([b"GET /health HTTP/1.1\r\nHost: x\r\nLong: " + b"a" * 1_000_000], False, b"HTTP/1.1 400 "),
        ([b"GET /" + b"a" * 1_000_000], False, b"HTTP/1.1 400 "),
        ([b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 50_000], False, b"HTTP/1.1 400 "),
        ([POST + b"Content-Length: -5\r\n\r\n" + ASKED], False, b"HTTP/1.1 400 "),
        ([POST + b"Content-Length: x\r\n\r\n" + ASKED], False, b"HTTP/1.1 400 "),
        ([POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + ASKED], False, b"HTTP/1.1 400 "),
        ([POST + b"Content-Length: 5\r\n\r\n" + ASKED], False, b"HTTP/1.1 400 "),
        ([POST + b"Content-Length: 99999999999999999999\r\n\r\n" + ASKED], True, b""),
        ([POST + b"Content-Length: 500\r\n\r\n" + ASKED], True, b""),
        ([POST + b"Content-Length: 500\r\n\r\n" + ASKED], False, b""),
        ([POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + ASKED], False, b"HTTP/1.1 400 "),
        ([POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + ASKED], False, b"HTTP/1.1 400 "),
        ([POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 100 + b"\r\n"], False, b"HTTP/1.1 400 "),
        ([POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}"], True, b""),
        ([POST + b"Transfer-Encoding: gzip\r\n\r\n" + ASKED], False, b"HTTP/1.1 400 "),
        ([POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"], False, b"HTTP/1.1 400 "),
        ([POST + b"Transfer-Encoding: chunked\r\n\r\n4b\r\n", ASKED, b"\r\n0\r\n\r\n"], False, b"HTTP/1.1 200 "),
        ([POST + b"\r\n"], False, b"HTTP/1.1 400 "),
        ([POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"], False, b"HTTP/1.1 "),
        ([WHOLE.replace(b" HTTP/1.1", b" HTTP/1.0")], False, b"HTTP/1.1 200 "),
        ([WHOLE[:100], WHOLE[100:150], WHOLE[150:]], False, b"HTTP/1.1 200 "),
        ([WHOLE], True, b""),
    ],
)
def test_broken_http(engine: Engine, server: str, pieces: list[bytes], end: bool, said: bytes) -> None:
    answer = raw(*pieces, end=end)
    assert answer.startswith(said), answer[:300]
    assert not answer.startswith(b"HTTP/1.1 500"), answer[:300]
    faultless(engine, server)


def test_requests_in_one_go_are_answered_in_their_order(server: str) -> None:
    said = raw(WHOLE.replace(b'"demo"', b'"omed"') + WHOLE + WHOLE.replace(b"user", b"resu"))
    places = [said.index(b"HTTP/1.1 %d " % status) for status in (404, 200, 400)]
    assert places == sorted(places)


def test_callers_who_never_finish_keep_nobody_out(engine: Engine, server: str) -> None:
    with ExitStack() as stack:
        for text in (POST, POST + b"Content-Length: 500\r\n\r\n{", b"G", b""):
            for _ in range(50):
                link = stack.enter_context(socket.create_connection(("127.0.0.1", PORT), timeout=10))
                link.sendall(text)
        assert raw(WHOLE).startswith(b"HTTP/1.1 200 ")
        assert get("/health", PORT)[0] == 200
    faultless(engine, server)
