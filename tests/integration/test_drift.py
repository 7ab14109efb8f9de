"""Drift on a real engine: containers and files are edited by plain Docker and by hand, and each edit is named.

What is compared comes from two sides that share no code of ours: the file, and what Docker says of the container that
Compose, or ``docker run``, made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.drift.container import setup
from orchestrator.drift.document import carried, facts
from orchestrator.drift.judging import File, from_file
from tests.builders import container
from tests.integration.cli import REPOSITORY, Cli, steps
from tests.integration.stub_image import STUB_IMAGE

PORT = 24760
#: comments, what older engines refuse, and the digest of an image, which the stub does not have
NEWER = re.compile(r"(?m)^(?:#| +start_interval:).*\n|@sha256:[0-9a-f]{64}")
PATTERNS = ("compose/*/*-*.yaml", "tests/golden/*/compose/*-*.yaml")


def compose(cli: Cli, folder: Path, *words: str) -> None:
    """Plain Docker Compose, in a folder."""
    cli.engine.run("docker", "compose", "--project-directory", str(folder), *words)


def drift(cli: Cli, *names: str) -> dict[str, list[str]]:
    """What ``status`` says of each model that has drifted, one thing after the other."""
    return {
        name: [f"{d['what']}: {d['wanted']} | {d['found']} ({d['at']})" for d in seen["drift"]]
        for name, seen in cli.status(*names, code=None).items()
        if seen["drift"]
    }


def nothing_drifted(cli: Cli) -> None:
    assert drift(cli) == {}


# --- no false alarm ---------------------------------------------------------------------------------


def documents() -> Iterable[tuple[str, list[tuple[str, str]]]]:
    """Every different document that is rendered for some host, by folder, as the engine and the stub can take it."""
    seen: set[str] = set()
    for pattern in PATTERNS:
        for folder in sorted({path.parent for path in REPOSITORY.glob(pattern)} - {REPOSITORY / "compose" / "hosts"}):
            texts = [(path.stem, NEWER.sub("", path.read_text())) for path in folder.glob("*-*.yaml")]
            new = [(service, text) for service, text in sorted(texts) if text not in seen]
            seen |= {text for _, text in new}
            if new:
                yield str(folder.relative_to(REPOSITORY)), new


def made(cli: Cli, folder: Path, service: str, text: str) -> list[str]:
    """The drift of what Compose has made of a file."""
    with cli.engine.client() as client:
        detail: dict[str, Any] = client.api.inspect_container(str(facts(text, service, "/")["name"]))
        image: dict[str, Any] = client.images.get(detail["Image"]).attrs
    path = str(folder / f"{service}.yaml")
    one = container(service=service, digest=carried(text), applied=path, setup=setup(detail, image, image["Id"]))
    assert dict(one.setup.has).keys() >= facts(text, service, str(folder)).keys(), "every setting was compared"
    return [d.words for d in from_file(one, File(path, text)) if d.at == "container"]


def test_compose_makes_of_every_rendered_document_what_it_says(cli: Cli, tmp_path: Path) -> None:
    """Images are the stub under their names, weights of one's own an empty folder."""
    for name in ("gate", "builtin/demo", "secrets", "weights"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("hf_token", "api_key"):
        (tmp_path / "secrets" / name).write_text("a-secret-of-the-tests\n")
    for volume in ("weights", "cache", "locks"):
        cli.engine.run("docker", "volume", "create", f"orchestrator-{volume}")
    count = 0
    every = list(documents())
    with standing_in(cli, {str(facts(text, service, "/")["image"]) for _, texts in every for service, text in texts}):
        for _, texts in every:
            files = []
            for service, text in texts:
                mine = re.sub(r'source: "/.*"', f'source: "{tmp_path / "weights"}"', text)
                (tmp_path / f"{service}.yaml").write_text(mine)
                files.append((service, mine))
            words = [word for service, _ in files for word in ("--file", str(tmp_path / f"{service}.yaml"))]
            compose(cli, tmp_path, *words, "create", "--pull", "never")
            for service, mine in files:
                assert made(cli, tmp_path, service, mine) == []
                count += 1
            compose(cli, tmp_path, *words, "rm", "--force")
    assert count > 30


@contextmanager
def standing_in(cli: Cli, names: set[str]) -> Iterator[None]:
    """The stub has these names too; images that others of this session use have theirs again at the end."""
    with cli.engine.client() as client:
        owners = {tag: image["Id"] for image in client.api.images() for tag in image["RepoTags"] or ()}
        for name in names:
            client.api.tag(STUB_IMAGE, name)
        try:
            yield
        finally:
            for name in names - {STUB_IMAGE}:
                if name in owners:
                    client.api.tag(owners[name], name)
                else:
                    client.api.remove_image(name)


def test_nothing_drifts_in_the_life_of_a_container(cli: Cli, tmp_path: Path) -> None:
    """With a GPU, a key and the gate mounted; stopped, started, over a restart of Docker, and by Compose alone."""
    cli.entry("tiny", port=PORT)
    cli.entry("big", port=PORT + 1, devices=["gpu"])
    cli.gpus("GPU-a")
    key = cli.state / "orchestrator" / "secrets" / "api_key"
    key.parent.mkdir(parents=True)
    key.write_text("a-key-of-the-tests-0123456789\n")
    names = ("tiny", "big")
    cli.run("up", *names, "--api-key", "--no-wait")
    before = cli.ids()
    nothing_drifted(cli)
    cli.run("stop", "tiny")
    nothing_drifted(cli)
    compose(cli, cli.state / "orchestrator", "up", "--detach")
    assert cli.ids() == before, "Compose takes them for its own, and starts what was stopped"
    cli.engine.run("docker", "restart", "--time", "0", *before)
    nothing_drifted(cli)
    cli.engine.restart(power_cut=True)
    nothing_drifted(cli)
    planned = cli.run("plan", *names, "--api-key").out
    assert set(steps(planned).values()) <= {"keep", "start"}, planned
    assert "by hand" not in planned
    cli.engine.run("docker", "rm", "--force", *before)

    cli.run("render", *names, "--api-key", "--output", str(tmp_path / "repository"))
    (tmp_path / "repository" / "secrets").mkdir()
    (tmp_path / "repository" / "secrets" / "api_key").write_text("a-key-of-the-tests-0123456789\n")
    (tmp_path / "link").symlink_to(tmp_path / "repository")
    compose(cli, tmp_path / "link", "up", "--detach")
    nothing_drifted(cli)


# --- edits by hand ----------------------------------------------------------------------------------


def run_by_hand(cli: Cli, name: str, image: str) -> None:
    """The container anew by ``docker run``, with the labels it had; but with another limit, as root, and writable."""
    old = f"orchestrator-{name}-transformers"
    before = cli.inspect(old)
    labels = [f"{k}={v}" for k, v in before["Config"]["Labels"].items() if k.startswith("io.orchestrator.")]
    cli.engine.run("docker", "rm", "--force", old)
    cli.engine.run(
        *("docker", "run", "--detach", "--name", old, "--network", "orchestrator_default", "--init", "--user", "0:0"),
        *(word for label in labels for word in ("--label", label)),
        *(word for entry in before["Config"]["Env"][:9] for word in ("--env", entry)),
        *("--publish", f"127.0.0.1:{PORT + 2}:8000", "--shm-size", "256m", "--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges", "--restart", "unless-stopped", "--stop-timeout", "30"),
        *("--log-driver", "json-file", "--log-opt", "max-size=10m", "--log-opt", "max-file=3"),
        *(word for v in ("weights", "cache", "locks") for word in ("--volume", f"orchestrator-{v}:/{v}")),
        *("--volume", f"{cli.state}/orchestrator/gate:/opt/orchestrator/gate:ro"),
        *("--tmpfs", "/tmp:uid=2000,gid=0,mode=1777", "--tmpfs", "/run/orchestrator:uid=2000,gid=0,mode=0755"),
        *("--entrypoint", "python3", image, "/opt/orchestrator/gate"),
        *(word.replace("2048", "1024") for word in before["Config"]["Cmd"]),
    )


def edited(file: Path, *changes: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file.write_text(text)


def test_every_edit_by_hand_is_named_and_put_right(cli: Cli, tmp_path: Path) -> None:
    names = ("changed", "joined", "run", "composed", "written")
    for at, name in enumerate(names):
        cli.entry(name, port=PORT + at)
    cli.run("up", *names, "--no-wait")
    before = cli.ids()
    docker = cli.engine.run
    docker("docker", "update", "--memory", "2g", "--memory-swap", "2g", "--restart", "no", _of("changed"))
    docker("docker", "network", "disconnect", "orchestrator_default", _of("changed"))
    docker("docker", "network", "create", "webui")
    docker("docker", "network", "connect", "webui", _of("joined"))
    run_by_hand(cli, "run", STUB_IMAGE)
    folder = cli.state / "orchestrator"
    copy = tmp_path / "copy" / "composed-transformers.yaml"
    copy.parent.mkdir()
    (copy.parent / "gate").symlink_to(folder / "gate")
    copy.write_text((folder / copy.name).read_text())
    edited(
        copy,
        ('"DO_NOT_TRACK": "1"', '"DO_NOT_TRACK": "0"'),
        ("    read_only: true\n    cap_drop", "    mem_limit: 3g\n    cap_drop"),
    )
    compose(cli, copy.parent, "--file", str(copy), "up", "--detach")
    edited(folder / "written-transformers.yaml", ("    restart: unless-stopped\n", "    restart: always # mine\n"))

    file = "file edited by hand"
    assert drift(cli) == {
        "changed": [
            "memory limit: none | 2 GiB (container)",
            "network orchestrator_default: connected | none (container)",
            "restart policy: unless-stopped | none (container)",
        ],
        "joined": ["network webui: none | connected (container)"],
        "run": [
            "command --max-model-len: 2048 | 1024 (container)",
            "health check: CMD python3 -S -I /opt/orchestrator/gate health --wait 4 | none (container)",
            "health check interval: 250 ms | none (container)",
            "health check retries: 3 | none (container)",
            "health check start period: 1 h | none (container)",
            "health check timeout: 15 s | none (container)",
            "read-only root: yes | no (container)",
            "user: 2000:0 | 0:0 (container)",
        ],
        "composed": [
            "environment DO_NOT_TRACK: 1 | 0 (file)",
            "memory limit: none | 3 GiB (file)",
            "read-only root: yes | no (file)",
        ],
        "written": [
            f"edited by hand:  | {folder}/written-transformers.yaml (file)",
            "restart policy: always | unless-stopped (container)",
        ],
    }
    shown = cli.run("status", code=None).out
    assert "note: changed-transformers drifted: memory limit: none in the file, 2 GiB in the container; " in shown
    assert "unless-stopped in the file, none in the container; 'orchestrator up changed' puts it right" in shown
    assert f"note: written-transformers drifted: {file}: {folder}/written-transformers.yaml; " in shown
    assert "connected in the container; the model is well, and 'up' leaves it so" in shown

    planned = cli.run("plan", *names).out
    replaced = ("changed", "run", "composed")
    assert steps(planned) == {f"{name}-transformers": "replace" if name in replaced else "keep" for name in names}
    assert "changed by hand: memory limit: none in the plan, 2 GiB in the container; network " in planned
    assert "nothing changed; network webui: none in the plan, connected in the container" in planned
    assert "changed by hand: environment DO_NOT_TRACK: 1 in the plan, 0 in the container; memory limit: " in planned
    assert (
        f"warning: composed-transformers: {file}: environment DO_NOT_TRACK: 1 in the plan, 0 in the file; " in planned
    )
    assert f"({copy}); 'orchestrator render' writes it anew" in planned
    told = f"{file}: restart policy: unless-stopped in the plan, always in the file"
    assert f"warning: written-transformers: {told} ({folder}/written-transformers.yaml); 'up' writes it anew" in planned

    cli.run("up", *names, "--no-wait", "--yes")
    after = cli.ids()
    assert {name for name in names if before[_of(name)] == after[_of(name)]} == {"joined", "written"}
    assert drift(cli) == {"joined": ["network webui: none | connected (container)"]}
    assert set(steps(cli.run("plan", *names).out).values()) == {"keep"}


def _of(name: str) -> str:
    return f"orchestrator-{name}-transformers"
