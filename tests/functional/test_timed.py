"""Answers that are streamed and timed, against a server on loopback that says what a test tells it to."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from orchestrator.adapters.model_client import HttpModels
from orchestrator.errors import OrchestratorError
from orchestrator.ports import Endpoint
from tests.serving import served

PAUSE = 0.05


class Server(BaseHTTPRequestHandler):
    """Writes ``lines`` with a pause before each, and remembers what it was asked."""

    protocol_version = "HTTP/1.1"
    lines: ClassVar[list[str]]
    status: ClassVar[list[int]]
    heard: ClassVar[list[Any]]

    def do_GET(self) -> None:
        self.reply(self.path)

    def do_POST(self) -> None:
        self.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.reply(self.path)

    def reply(self, path: str) -> None:
        self.send_response(self.status[0])
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in self.lines:
            time.sleep(PAUSE)
            self.chunk(f"{line}\n\n".encode())
        self.chunk(b"")

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


@pytest.fixture
def server() -> Iterator[tuple[Endpoint, type[Server]]]:
    kind = type("Said", (Server,), {"lines": [], "status": [200], "heard": []})
    running = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    with served(running):
        yield Endpoint("phi", f"http://127.0.0.1:{running.server_address[1]}"), kind


def piece(text: str | None, **more: object) -> str:
    return "data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}], **more})


USAGE = "data: " + json.dumps({"choices": [], "usage": {"completion_tokens": 3}})
DONE = "data: [DONE]"


def test_a_streamed_answer_is_timed(server: tuple[Endpoint, type[Server]]) -> None:
    at, said = server
    said.lines = [piece(None), piece(""), piece("K7"), ": a comment", piece("R42"), USAGE, DONE]
    answer = HttpModels().timed(at, "Read.", b"\x89PNG", 16)
    assert (answer.text, answer.tokens) == ("K7R42", 3)
    assert 3 * PAUSE <= answer.first <= answer.whole - 3 * PAUSE
    (asked,) = said.heard
    assert (asked["stream"], asked["stream_options"]) == (True, {"include_usage": True})
    assert (asked["model"], asked["max_tokens"], asked["temperature"]) == ("phi", 16, 0)
    assert asked["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")


def test_an_empty_answer(server: tuple[Endpoint, type[Server]]) -> None:
    at, said = server
    said.lines = [DONE]
    answer = HttpModels().timed(at, "Read.", None, 16)
    assert (answer.text, answer.tokens) == ("", 0)
    assert answer.first == answer.whole


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([piece("K7")], "phi broke off its answer"),
        ([], "phi broke off its answer"),
        (["data: {"], "phi broke off its answer: data: {"),
        (['data: {"error": {"message": "it broke"}}'], "it broke"),
    ],
)
def test_an_answer_that_breaks_off(server: tuple[Endpoint, type[Server]], lines: list[str], words: str) -> None:
    at, said = server
    said.lines = lines
    with pytest.raises(OrchestratorError) as broken:
        HttpModels().timed(at, "Read.", None, 16)
    assert words in broken.value.what
    assert broken.value.hint


def test_an_answer_that_is_refused(server: tuple[Endpoint, type[Server]]) -> None:
    at, said = server
    said.status, said.lines = [400], [json.dumps({"error": {"message": "too large"}})]
    with pytest.raises(OrchestratorError, match=r"phi refused \(400\): too large"):
        HttpModels().timed(at, "Read.", None, 16)


def test_a_server_that_wants_a_key(server: tuple[Endpoint, type[Server]]) -> None:
    at, said = server
    said.status = [401]
    with pytest.raises(OrchestratorError, match="wants an API key"):
        HttpModels().timed(at, "Read.", None, 16)


def test_nobody_answers(server: tuple[Endpoint, type[Server]]) -> None:
    at, said = server
    said.lines = [piece("K7")] * 10
    with pytest.raises(OrchestratorError, match=r"phi did not answer|no answer within"):
        HttpModels().timed(at, "Read.", None, 16, patience=PAUSE / 5)
    with pytest.raises(OrchestratorError, match="phi did not answer"):
        HttpModels().timed(replace(at, base="http://127.0.0.1:1"), "Read.", None, 16)


@pytest.mark.parametrize(
    ("status", "line", "version"),
    [(200, '{"version": "0.32.0"}', "0.32.0"), (404, '{"detail": "Not Found"}', ""), (200, "[]", ""), (200, "x", "")],
)
def test_the_version(server: tuple[Endpoint, type[Server]], status: int, line: str, version: str) -> None:
    at, said = server
    said.status, said.lines = [status], [line]
    assert HttpModels().version(at) == version
