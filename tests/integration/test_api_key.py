"""The API key on a real engine: a file on the host, mounted, read by the gate, asked for by the server, sent by us."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cli import Cli, answers, steps
from tests.integration.engine import wait_for

PORT = 24150
KEY = "a-key-of-the-tests-0123456789abcdef"
OTHER = "another-key-of-the-tests-0123456789"


def key_file(cli: Cli, text: str = f"{KEY}\n", project: str = "orchestrator") -> Path:
    """The file in its default place, made as an admin would."""
    path = cli.state / project / "secrets" / "api_key"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o640)
    return path


def get(path: str, port: int, key: str = "", host: str = "127.0.0.1") -> int:
    """Status of an answer to a GET."""
    link = http.client.HTTPConnection(host, port, timeout=10)
    try:
        link.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
        return link.getresponse().status
    finally:
        link.close()


def listed_by_openai(cli: Cli, settings: str) -> list[str]:
    """The models that OpenAI's library finds by these lines of shell, and nothing else."""
    assert KEY not in settings
    program = "import openai; print(*(model.id for model in openai.OpenAI().models.list()))"
    argv = ["sh", "-euc", f'{settings}exec "$0" -c "$1"', sys.executable, program]
    environment = {**cli.env, "NO_PROXY": "*"}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout.split()


def shows_no_key(cli: Cli, name: str) -> None:
    """Neither Docker, nor the log, nor a file of ours, nor a command line in the container holds the key."""
    container = cli.ids()[name]
    assert KEY not in json.dumps(cli.inspect(container))
    assert KEY not in cli.engine.run("docker", "logs", container).stdout
    assert KEY not in cli.engine.run("docker", "logs", container).stderr
    lines = cli.engine.run("docker", "exec", container, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
    assert "/run/secrets/api_key" in lines
    assert KEY not in lines
    written = {p.name: p.read_text(errors="replace") for p in cli.state.rglob("*") if p.is_file()}
    assert [n for n, text in written.items() if KEY in text] == ["api_key"]


def test_the_real_server_asks_for_the_key_and_nothing_shows_it(cli: Cli, cpu_image: str) -> None:
    key_file(cli)
    up = cli.run("up", "demo", "--address", "0.0.0.0", timeout=300)
    assert "demo-transformers: ready, answered" in up.err
    port = int(cli.status()["demo"]["url"].rpartition(":")[2])
    assert [get("/v1/models", port, key) for key in ("", "wrong", KEY)] == [401, 401, 200]
    assert [get(path, port) for path in ("/health", "/ready", "/metrics")] == [200, 200, 200]
    assert cli.run("ask", "demo", "?", "--max-tokens", "4").out
    assert "answered in" in cli.run("status", "--probe").out
    container = cli.inspect(cli.ids()["orchestrator-demo-transformers"])
    (bound,) = container["HostConfig"]["PortBindings"]["8000/tcp"]
    assert bound["HostIp"] == "0.0.0.0"
    shows_no_key(cli, "orchestrator-demo-transformers")
    assert not any(KEY in word for word in (up.out, up.err))
    assert steps(cli.run("up", "demo").out) == {"demo-transformers": "keep"}, "address and key stay"
    cli.run("down", "demo")


def test_without_its_file_nothing_starts_and_an_unfit_one_is_told(cli: Cli) -> None:
    cli.entry("tiny", port=PORT)
    path = cli.state / "orchestrator" / "secrets" / "api_key"
    refused = cli.run("up", "tiny", "--address", "0.0.0.0", code=4).err
    assert "there is no file with an API key" in refused
    assert f"where: {path}" in refused
    key_file(cli, "")
    assert "is empty" in cli.run("up", "tiny", "--api-key", code=2).err
    key_file(cli).chmod(0o600)
    assert "the containers' user (2000:0) can't read" in cli.run("up", "tiny", "--api-key", code=2).err
    assert not cli.engine.objects().containers
    key_file(cli)
    cli.run("up", "tiny", "--api-key")
    path.unlink()
    assert "there is no file with an API key" in cli.run("up", "tiny", code=4).err
    assert "there is no file with an API key" in cli.run("ask", "tiny", "?", code=4).err
    assert answers(PORT), "it goes on serving"
    cli.run("stop", "tiny")
    gone = cli.run("start", "tiny", code=1).err
    assert "api_key" in gone


@pytest.mark.parametrize("renamed", [False, True])
def test_a_changed_key_is_taken_by_a_restart(cli: Cli, renamed: bool) -> None:
    """Written in place, or put in place of the old file as an editor does."""
    cli.entry("tiny", port=PORT)
    path = key_file(cli)
    cli.run("up", "tiny", "--api-key")
    if renamed:
        path.rename(path.with_name("old"))
    key_file(cli, OTHER)
    refused = cli.run("ask", "tiny", "?", code=1).err
    assert "the server of tiny does not take the API key that is in its file" in refused
    assert "orchestrator restart tiny" in refused
    assert "the server of tiny does not take" in cli.run("status", "--probe", code=1).out
    cli.run("restart", "tiny")
    wait_for(lambda: cli.status()["tiny"]["ready"], "the model after restart")
    assert [get("/v1/models", PORT, key) for key in (KEY, OTHER)] == [401, 200]
    assert cli.run("ask", "tiny", "?").out == "stub tiny saw 0 images\n"


def test_two_models_share_the_file_and_a_third_has_none(cli: Cli) -> None:
    """One fleet file includes documents with and without the secret."""
    key_file(cli)
    names = [cli.entry("one", port=PORT), cli.entry("two", port=PORT + 1)]
    cli.run("up", *names, "--api-key")
    cli.run("up", cli.entry("open", port=PORT + 2))
    seen = cli.status()
    assert {name: entry["api_key"] for name, entry in seen.items()} == {"one": True, "two": True, "open": False}
    assert [get("/v1/models", PORT + at) for at in range(3)] == [401, 401, 200]
    for name in seen:
        assert cli.run("ask", name, "?").out == f"stub {name} saw 0 images\n"
    assert listed_by_openai(cli, cli.run("export", "openai", "one").out) == ["one"]
    found = json.loads(cli.run("export", "litellm", "--from-container", "--json").out)
    assert found["network"] in cli.inspect(cli.ids()["orchestrator-one-transformers"])["NetworkSettings"]["Networks"]
    inside = [f"{each['base_url']}/models" for each in found["models"] if each["model"] == "open"]
    program = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).status)"
    said = cli.engine.run("docker", "exec", "orchestrator-one-transformers", "python3", "-c", program, *inside)
    assert said.stdout == "200\n", "one container reaches another by the address that is told"


def test_the_key_is_added_and_given_up_with_a_cause(cli: Cli) -> None:
    cli.entry("tiny", port=PORT)
    key_file(cli)
    cli.run("up", "tiny")
    assert "API key: callers need one now" in cli.run("up", "tiny", "--api-key", "--yes").out
    assert get("/v1/models", PORT) == 401
    assert "nothing changed" in cli.run("up", "tiny").out
    assert "API key: callers need none any more" in cli.run("up", "tiny", "--no-api-key", "--yes").out
    assert get("/v1/models", PORT) == 200


def test_another_file_by_the_variable(cli: Cli) -> None:
    cli.entry("tiny", port=PORT)
    mine = cli.folder / "mine"
    mine.write_text(OTHER)
    mine.chmod(0o644)
    cli.extra["ORCHESTRATOR_API_KEY_FILE"] = str(mine)
    cli.run("up", "tiny", "--api-key")
    del cli.extra["ORCHESTRATOR_API_KEY_FILE"]
    assert cli.run("ask", "tiny", "?").out, "its mount says which file it is"
    assert "nothing changed" in cli.run("up", "tiny").out
    cli.extra["ORCHESTRATOR_API_KEY_FILE"] = str(key_file(cli))
    assert f"API key file changed: {mine} -> " in cli.run("up", "tiny", "--yes").out
    assert get("/v1/models", PORT, KEY) == 200


def test_an_emptied_file_parks_and_the_health_says_why(cli: Cli) -> None:
    """What Compose alone does not notice, the gate does: no server without its key."""
    cli.entry("tiny", port=PORT)
    path = key_file(cli)
    cli.run("up", "tiny", "--api-key")
    path.write_text("\n")
    cli.run("restart", "tiny")

    def parked() -> str:
        entry = cli.status(code=None)["tiny"]
        return str(entry["remark"]) if entry["state"] == "parked" else ""

    reason = "The secret file of ORCHESTRATOR_API_KEY, /run/secrets/api_key, is empty."
    assert wait_for(parked, "the park").startswith(reason)
    assert not answers(PORT)


def test_an_address_of_another_host_is_refused(cli: Cli) -> None:
    cli.entry("tiny", port=PORT)
    key_file(cli)
    refused = cli.run("up", "tiny", "--address", "192.0.2.1", code=3).err
    assert "this host has no such address to publish on" in refused
    assert not cli.engine.objects().containers


def test_a_rendered_folder_by_hand(cli: Cli, tmp_path: Path) -> None:
    """The file lies beside the documents; our own verbs find it by the container's mount."""
    cli.entry("tiny", port=PORT)
    cli.run("up", "tiny")
    cli.run("down", "tiny")  # the volumes are there now
    folder = tmp_path / "out"
    cli.run("render", "tiny", "--address", "0.0.0.0", "--output", str(folder))
    by_hand = ("docker", "compose", "--file", str(folder / "compose.yaml"), "up", "--detach")
    refused = cli.engine.run(*by_hand, check=False)
    assert refused.returncode != 0
    assert "secrets/api_key" in refused.stderr
    (folder / "secrets").mkdir()
    (folder / "secrets" / "api_key").write_text(KEY)
    cli.engine.run(*by_hand)
    wait_for(lambda: cli.status()["tiny"]["ready"], "the model")
    assert [get("/v1/models", PORT, key) for key in ("", KEY)] == [401, 200]
    assert cli.run("ask", "tiny", "?").out == "stub tiny saw 0 images\n"
    assert "nothing changed" in cli.run("up", "tiny").out
