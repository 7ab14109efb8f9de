"""The API key at the command line, and what the real adapters make of files, containers and servers with one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestrator.adapters.model_client import HttpModels
from orchestrator.adapters.workspace import STATE_VARIABLE, StateFolder
from orchestrator.errors import OrchestratorError
from orchestrator.ports import Endpoint
from orchestrator.secretfile import API_KEY
from tests.builders import container
from tests.fakes import FakeWorld, parse
from tests.functional.cli import Command
from tests.serving import served

DEMO = "demo-transformers"
KEY = "a-key-of-the-tests"
FILE = "/state/orchestrator/secrets/api_key"
EVERYWHERE = ("--address", "0.0.0.0")


def test_up_beyond_loopback_sends_the_key_that_is_in_the_file(here: FakeWorld, do: Command) -> None:
    here.workspace.put("api_key", f"{KEY}\n")
    said = do("up", "demo", *EVERYWHERE)
    assert said.code == 0, said
    assert "0.0.0.0:24000" in said.out
    assert "note: demo-transformers: callers need the API key" in said.out
    assert here.models.keys == [KEY, KEY]
    assert here.models.asked[0][0] == "http://127.0.0.1:24000", "every address of the host: loopback is one of them"
    written = repr([here.workspace.files, said.out, said.err, here.log])
    assert KEY not in written
    assert "--require-api-key" in here.docker.of(DEMO).command


def test_ask_and_probe_send_it_too(here: FakeWorld, do: Command) -> None:
    here.workspace.put("api_key", f"{KEY}\n")
    do("up", "demo", "--api-key")
    here.models.keys.clear()
    assert do("ask", "demo", "?").code == 0
    assert do("status", "--probe").code == 0
    assert here.models.keys == [KEY, KEY, KEY]
    (seen,) = json.loads(do("status", "--json").out)["models"]
    assert (seen["api_key"], seen["url"]) == (True, "http://127.0.0.1:24000")


def test_no_key_is_sent_where_none_is_asked_for(here: FakeWorld, do: Command) -> None:
    here.workspace.put("api_key")
    do("up", "demo")
    assert here.models.keys == ["", ""]


@pytest.mark.parametrize("arguments", [EVERYWHERE, ("--api-key",), ("--address", "10.1.2.3")])
def test_without_a_file_nothing_is_started(here: FakeWorld, do: Command, arguments: tuple[str, ...]) -> None:
    said = do("up", "demo", *arguments)
    said.refused(4, "demo is to ask its callers for an API key, and there is no file", f"where: {FILE}", "openssl rand")
    assert here.log == []
    assert here.workspace.files == {}
    assert do("up", "demo", *arguments, "--dry-run").code == 0, "a plan needs no file"


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("", 0o640, "the file with an API key is empty"),
        ("two words", 0o640, "does not hold one word of visible ASCII characters"),
        (KEY, 0o600, "the containers' user (2000:0) can't read the file with an API key"),
    ],
)
def test_an_unfit_file_starts_nothing(here: FakeWorld, do: Command, text: str, mode: int, words: str) -> None:
    here.workspace.put("api_key", text, mode)
    do("up", "demo", *EVERYWHERE).refused(2, words, f"where: {FILE}")
    assert here.log == []


def test_another_file_by_the_variable(here: FakeWorld, do: Command) -> None:
    here.workspace.named[API_KEY.variable] = "/etc/keys/mine"
    do("up", "demo", *EVERYWHERE).refused(4, "where: /etc/keys/mine")
    here.workspace.secrets["/etc/keys/mine"] = here.workspace.secrets.pop(here.workspace.put("api_key", KEY))
    assert do("up", "demo", *EVERYWHERE).code == 0
    del here.workspace.named[API_KEY.variable]
    said = do("up", "demo")
    assert "keep  demo-transformers  nothing changed" in said.out, "what runs keeps the file that it was given"
    assert said.code == 0
    here.workspace.put("api_key", "another")
    here.workspace.named[API_KEY.variable] = FILE
    said = do("up", "demo", "--yes")
    assert f"replace  demo-transformers  API key file changed: /etc/keys/mine -> {FILE}" in said.out
    assert here.models.keys[-1] == "another"


def test_what_runs_keeps_address_and_key_and_gives_them_up_by_name(here: FakeWorld, do: Command) -> None:
    here.workspace.put("api_key")
    do("up", "demo", *EVERYWHERE)
    assert "keep  demo-transformers  nothing changed" in do("up", "demo").out
    do("up", "demo", "--no-api-key").refused(2, "demo is published on 0.0.0.0, and that needs an API key")
    said = do("up", "demo", "--address", "127.0.0.1")
    said.refused(1, "declined; nothing was changed")
    assert "replace  demo-transformers  address changed: 0.0.0.0 -> 127.0.0.1" in said.out
    said = do("up", "demo", "--address", "127.0.0.1", "--no-api-key", "--yes")
    assert said.code == 0
    assert here.docker.of(DEMO).key_file == ""
    said = do("up", "demo", "--api-key", "--yes")
    assert "API key: callers need one now" in said.out


def test_up_refuses_once_the_file_is_gone(here: FakeWorld, do: Command) -> None:
    path = here.workspace.put("api_key")
    do("up", "demo", "--api-key")
    del here.workspace.secrets[path]
    here.log.clear()
    do("up", "demo").refused(4, "there is no file with an API key", f"where: {path}")
    do("ask", "demo", "?").refused(4, "there is no file with an API key")
    said = do("status", "--probe")
    assert said.code == 1
    assert "failed: it does not answer: demo is to ask its callers for an API key" in said.out
    assert here.log == []


def test_a_server_that_refuses_the_key_is_one_sentence(here: FakeWorld, do: Command) -> None:
    here.workspace.put("api_key")
    do("up", "demo", "--api-key")
    here.models.fails = OrchestratorError("the server of demo does not take the API key", hint="restart")
    do("ask", "demo", "?").refused(1, "the server of demo does not take the API key")
    do("up", "demo").refused(1, "demo-transformers: failed, it does not answer: the server of demo does not take")


def test_no_key_is_sent_to_a_port_that_is_not_the_container_s(here: FakeWorld, do: Command) -> None:
    """Its label says so, Docker does not: somebody else may listen there."""
    here.workspace.put("api_key", KEY)
    here.docker.add(container("a", key_file=FILE, published=False))
    do("ask", "a", "?").refused(1, "is not published at 127.0.0.1:25000, so no API key is sent there")
    assert "so no API key is sent there" in do("status", "--probe").out
    assert here.models.keys == []


def test_render_and_plan_need_no_file(here: FakeWorld, do: Command, tmp_path: Path) -> None:
    host = "compose/hosts/one-24gb.yaml"
    said = do("render", "demo", "qwen2-vl-7b", *EVERYWHERE, "--inventory", host, "--output", str(tmp_path))
    assert said.code == 0, said
    for path in tmp_path.glob("*-*.yaml"):
        document = parse(path.read_text())
        (service,) = document["services"].values()
        assert service["ports"][0].startswith("0.0.0.0:")
        assert document["secrets"]["api_key"]["file"] == "${ORCHESTRATOR_API_KEY_FILE:-./secrets/api_key}"
    said = do("plan", "qwen2-vl-7b", *EVERYWHERE, "--inventory", host)
    assert "warning: qwen2-vl-7b: vLLM answers /invocations" in said.out
    do("plan", "demo", "--address", "here").refused(2, "'here' can't be published on")


# --- files


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    monkeypatch.delenv(API_KEY.variable, raising=False)
    return StateFolder(print)


def test_which_file_it_is(state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Compose reads it: from the folder of the file that names it."""
    assert state.secret_file("p", API_KEY) == str(tmp_path / "state/p/secrets/api_key")
    assert state.secret_file("p", API_KEY, "/kept") == "/kept"
    monkeypatch.setenv(API_KEY.variable, "../mine")
    assert state.secret_file("p", API_KEY, "/kept") == str(tmp_path / "state/mine")
    monkeypatch.setenv(API_KEY.variable, "/etc/mine")
    assert state.secret_file("p", API_KEY) == "/etc/mine"


def test_a_file_as_it_lies_there(state: StateFolder, tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert state.stored(str(path)) is None
    path.write_text(KEY)
    path.chmod(0o640)
    found = state.stored(str(path))
    assert found is not None
    assert (found.text, found.mode & 0o777, found.owner) == (KEY.encode(), 0o640, path.stat().st_uid)
    (tmp_path / "link").symlink_to(path)
    assert state.stored(str(tmp_path / "link")) == found
    assert state.stored(str(tmp_path)) is None, "Docker makes a folder where a file is missing"


# --- servers


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A server that takes KEY, redirects /moved, and notes path and Authorization of each request."""
    seen: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Authorization", "")))
            given = self.headers.get("Authorization")
            body = json.dumps({"data": [{"id": "demo"}], "choices": [{"message": {"content": "yes"}}]}).encode()
            self.send_response(302 if "moved" in self.path else 200 if given == f"Bearer {KEY}" else 401)
            self.send_header("Location", "/v1/models")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with served(found):
        yield f"http://127.0.0.1:{found.server_port}", seen


def test_the_client_sends_the_key(server: tuple[str, list[tuple[str, str]]]) -> None:
    base, seen = server
    at = Endpoint("demo", base, KEY)
    assert HttpModels().served(at) == ("demo",)
    assert HttpModels().ask(at, "?", None, 8) == "yes"
    assert {given for _, given in seen} == {f"Bearer {KEY}"}
    assert KEY not in repr(at)


@pytest.mark.parametrize(
    ("key", "words", "hint"),
    [
        ("", "the server of demo wants an API key, and its container was given no file with one", "--api-key"),
        ("wrong", "the server of demo does not take the API key that is in its file", "orchestrator restart demo"),
    ],
)
def test_a_server_that_wants_another_key(
    server: tuple[str, list[tuple[str, str]]], key: str, words: str, hint: str
) -> None:
    at = Endpoint("demo", server[0], key)
    for call in (lambda: HttpModels().served(at), lambda: HttpModels().ask(at, "?", None, 8)):
        with pytest.raises(OrchestratorError) as caught:
            call()
        assert caught.value.what == words
        assert hint in caught.value.hint


def test_the_key_goes_to_no_proxy_and_no_further_by_a_redirect(
    server: tuple[str, list[tuple[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, seen = server
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert HttpModels().served(Endpoint("demo", base, KEY)) == ("demo",)
    with pytest.raises(OrchestratorError, match=r"demo refused \(302\)"):
        HttpModels().ask(Endpoint("demo", f"{base}/moved", KEY), "?", None, 8)
    assert [path for path, _ in seen] == ["/v1/models", "/moved/v1/chat/completions"]
