"""Rendered files, judged by Docker Compose itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from tests.integration.cli import REPOSITORY, Cli, answers, prepare_volumes, read_yaml, steps, write_yaml
from tests.integration.engine import Engine, wait_for
from tests.integration.stub_image import STUB_IMAGE
from tests.integration.test_serial_starts import one_at_a_time

PORT = 24600
FOLDERS = sorted(path.parent for path in (REPOSITORY / "compose").glob("*/compose.yaml"))
NASTY = (
    "a: b # c {d} [e] $HOME ${HOME} $$ $",
    "\"double\" 'single' `back` \\ \\n",
    "two\nlines\ttab\r end \n",
    "- ? : , & * ! | > % @",
    "\N{LINE SEPARATOR}\N{NEXT LINE}\N{NO-BREAK SPACE}\N{ZERO WIDTH NO-BREAK SPACE}",
    "日本語 \N{PILE OF POO} é",
    "null",
    "0x1F",
    " ",
    "",
)


def compose(folder: Path, file: str, *words: str, environment: Sequence[str] = ()) -> str:
    """Run ``docker compose -f FILE``; what it says on stderr is nothing, not even a warning."""
    files = [word for name in environment for word in ("--env-file", str(folder / name))]
    argv = ["docker", "compose", *files, "--file", str(folder / file), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), f"{' '.join(argv)}: exit {done.returncode}\n{done.stderr}"
    return done.stdout


def hashes(folder: Path, file: str) -> dict[str, str]:
    """Config hash by service."""
    return dict(line.split() for line in compose(folder, file, "config", "--hash", "*").splitlines())


def read_back(folder: Path, service: str) -> dict[str, Any]:
    """The service as Compose understands it."""
    project = json.loads(compose(folder, f"{service}.yaml", "config", "--format", "json"))
    return cast("dict[str, Any]", project["services"][service])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_committed_files_are_accepted(folder: Path) -> None:
    """Each by itself and all together, and a container is the same through either, so that neither replaces it."""
    together = hashes(folder, "compose.yaml")
    own: dict[str, str] = {}
    for file in sorted(folder.glob("*.yaml")):
        compose(folder, file.name, "config", "--quiet")
        if file.name != "compose.yaml":
            own |= hashes(folder, file.name)
    assert together
    assert together.items() <= own.items()


def nasty(cli: Cli) -> tuple[dict[str, str], dict[str, str]]:
    """Write an entry with bad strings wherever an entry may hold any; returns its environment and its flags."""
    environment = {f"NASTY_{at}": text for at, text in enumerate(NASTY)}
    flags = {f"nasty{at}": text for at, text in enumerate(NASTY)}
    cli.entry("tiny", port=PORT, environment=environment, flags=flags)
    path = cli.registry / "tiny.yaml"
    entry = read_yaml(path)
    entry["title"] = entry["summary"] = entry["probe"]["prompt"] = "".join(NASTY)
    entry["prompt"]["stop"] = [text for text in NASTY if text]
    write_yaml(path, entry)
    return environment, flags


def words(flags: dict[str, str]) -> list[str]:
    return [f"--stop={text}" for text in NASTY if text] + [w for key in sorted(flags) for w in (f"--{key}", flags[key])]


def test_nasty_strings_are_read_back_exactly(cli: Cli, tmp_path: Path) -> None:
    environment, flags = nasty(cli)
    cli.run("render", "tiny", "--output", str(tmp_path / "out"))
    service = read_back(tmp_path / "out", "tiny-transformers")
    # Compose prints what it would accept again: a dollar is doubled.
    read = json.loads(json.dumps(service).replace("$$", "$"))
    assert environment.items() <= read["environment"].items()
    assert read["command"][-len(words(flags)) :] == words(flags)
    assert hashes(tmp_path / "out", "compose.yaml") == hashes(tmp_path / "out", "tiny-transformers.yaml")


def test_nasty_strings_reach_the_container(cli: Cli) -> None:
    environment, flags = nasty(cli)
    cli.run("up", "tiny", "--no-wait")
    config = cli.inspect("orchestrator-tiny-transformers")["Config"]
    assert {f"{name}={text}" for name, text in environment.items()} <= set(config["Env"])
    assert config["Cmd"][-len(words(flags)) :] == words(flags)
    # What is there is recognised. The stub refuses flags that it doesn't know, so by now its gate may have parked it.
    assert steps(cli.run("up", "tiny", "--no-wait").out)["tiny-transformers"] in {"keep", "restart"}


def test_the_file_that_names_what_is_needed_is_one_that_compose_reads(cli: Cli, tmp_path: Path) -> None:
    cli.entry("tiny", port=PORT)
    path = cli.registry / "tiny.yaml"
    entry = read_yaml(path)
    entry["source"] = {"repository": "owner/tiny", "gated": True, "licence": "MIT"}
    write_yaml(path, entry)
    cli.run("render", "tiny", "--api-key", "--output", str(tmp_path))
    said = compose(tmp_path, "compose.yaml", "config", "--format", "json", environment=(".env", ".env.example"))
    assert {name: secret["file"] for name, secret in json.loads(said)["secrets"].items()} == {
        name: str(tmp_path / "secrets" / name) for name in ("hf_token", "api_key")
    }


def test_by_hand_with_plain_compose(cli: Cli, engine: Engine) -> None:
    """What is done with one file leaves the other model and the weights alone; no orchestrator after ``render``."""
    cli.gpus("GPU-aaaa")
    ports = {name: PORT + at for at, name in enumerate(("alpha", "beta"), start=1)}
    for name, port in ports.items():
        cli.entry(name, port=port, devices=("gpu",), environment={"STUB_LOAD_SECONDS": "0.3"})
    cli.run("render", *ports)
    prepare_volumes(engine)
    weights = ("docker", "run", "--rm", "--volume", "orchestrator-weights:/w", STUB_IMAGE)
    engine.run(*weights, "touch", "/w/weights")

    def by_hand(file: str, *words: str, code: int = 0) -> str:
        argv = ("docker", "compose", "--file", str(cli.folder / "compose" / file), *words)
        done = engine.run(*argv, check=False)
        assert done.returncode == code, done
        assert "orphan containers" not in done.stderr
        return done.stderr

    one, all_ = "alpha-transformers.yaml", "compose.yaml"
    by_hand(one, "up", "--detach")
    by_hand(all_, "up", "--detach")
    wait_for(lambda: all(answers(port) for port in ports.values()), "both to serve", every=0.1)
    one_at_a_time(engine, tuple(ports), starts=1)

    beta = "orchestrator-beta-transformers"
    before = cli.started()
    by_hand(one, "up", "--detach")
    # what .env says forbids it, whoever asks for it
    assert "cannot combine" in by_hand(one, "up", "--detach", "--remove-orphans", code=1)
    assert cli.started() == before
    by_hand(one, "down")
    assert cli.started() == {beta: before[beta]}
    by_hand(one, "up", "--detach")
    by_hand(one, "down", "--volumes")
    assert cli.started() == {beta: before[beta]}
    assert answers(ports["beta"])

    # no setting of Compose's forbids this one; docs/operations.md warns of it
    by_hand(one, "down", "--remove-orphans")
    assert cli.ids() == {}
    by_hand(all_, "up", "--detach")
    by_hand(all_, "down", "--volumes")
    assert engine.run(*weights, "ls", "/w").stdout.split() == ["weights"]
