"""Scripts of ours in throw-away containers of a real engine: what they may, and what is left of them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from orchestrator.adapters.docker_actor import SdkActor
from orchestrator.errors import OrchestratorError
from tests.integration.engine import Engine

LOOK = """
import json, os, pathlib, sys
def may_write(folder):
    try:
        (pathlib.Path(folder) / "x").touch()
    except OSError:
        return False
    return True
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print("noise", file=sys.stderr)
print(json.dumps({
    "words": sys.argv[1:],
    "user": [os.getuid(), os.getgid()],
    "rights": [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")],
    "no_new": status["NoNewPrivs"].strip(),
    "links": sorted(os.listdir("/sys/class/net")),
    "gpus": os.environ["NVIDIA_VISIBLE_DEVICES"],
    "writes": [folder for folder in ("/", "/usr", "/var/tmp", "/tmp") if may_write(folder)],
    "first": os.getpid() == 1,
}))
"""


@pytest.fixture
def actor(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[SdkActor]:
    """Fails when a container is left."""
    monkeypatch.setenv("DOCKER_HOST", engine.url)
    before, made = engine.objects(), SdkActor()
    yield made
    made._client.close()
    assert not engine.objects() - before


def test_a_script_sees_no_network_and_has_no_rights(actor: SdkActor, base_image: str) -> None:
    assert json.loads(actor.run_script(base_image, LOOK, ["one", "$(two)"])) == {
        "words": ["one", "$(two)"],
        "user": [2000, 0],
        "rights": [0, 0, 0],
        "no_new": "1",
        "links": ["lo"],
        "gpus": "void",
        "writes": ["/tmp"],
        "first": False,
    }


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("raise SystemExit('nothing to say')", "gave no answer\n  nothing to say"),
        ("import no_such_engine", "ModuleNotFoundError: No module named 'no_such_engine'"),
        ("import os; os.kill(os.getpid(), 9)", "gave no answer"),
        ("import faulthandler, time; faulthandler.dump_traceback_later(0.2, exit=True); time.sleep(60)", "Timeout"),
    ],
)
def test_a_script_without_an_answer_tells_its_last_words(
    actor: SdkActor, base_image: str, script: str, words: str
) -> None:
    with pytest.raises(OrchestratorError) as caught:
        actor.run_script(base_image, script, [])
    assert words in caught.value.what
    assert "docker run --rm --entrypoint python3" in caught.value.hint


def test_an_image_that_is_not_there(actor: SdkActor) -> None:
    with pytest.raises(OrchestratorError, match="can't run a script in no-such:image: No such image"):
        actor.run_script("no-such:image", LOOK, [])


def test_what_a_cut_off_run_left_is_removed_by_the_next(actor: SdkActor, engine: Engine, base_image: str) -> None:
    run = ("docker", "run", "--label", "io.orchestrator.script=", "--network", "none")
    engine.run(*run, base_image, "true")
    running = engine.run(*run, "--detach", base_image, "sleep", "60").stdout.strip()
    actor.run_script(base_image, LOOK, [])
    assert engine.objects().containers == {running}, "what runs is somebody's"
    engine.run("docker", "rm", "--force", running)
