"""``verify`` with the stub engine: right, wrong, broken and too large pairs, and one that was killed in the middle.

The demo is verified on both real engines in test_vllm.
"""

from __future__ import annotations

import json
import signal
from typing import Any

from orchestrator.reference.tasks import PRINTED
from tests.integration.cli import Cli

OWN = "orchestrator-verify"


def found(cli: Cli, *arguments: str, code: int) -> dict[str, dict[str, Any]]:
    """The verifications by model."""
    lines = cli.run("verify", *arguments, "--json", code=code).out.splitlines()
    return {v["model"]: v for v in json.loads(lines[-1])["verifications"]}


def test_each_pair_is_recorded_and_taken_down(cli: Cli, leaves_nothing: None) -> None:
    cli.entry("right", port=24101, environment={"STUB_ANSWER": PRINTED})
    cli.entry("wrong", port=24102)
    cli.entry("broken", port=24103, environment={"STUB_EXIT": "2"})
    cli.entry("large", port=24104, devices=["gpu"])
    cli.run("up", "right")
    before = cli.started()
    known = found(cli, "right", "wrong", "broken", "large", code=1)
    assert {name: v["outcome"] for name, v in known.items()} == {
        "right": "answered",
        "wrong": "wrong",
        "broken": "failed",
        "large": "does-not-fit",
    }
    assert known["right"]["figures"]["time_to_ready_s"] is None, "it served already"
    assert known["right"]["figures"]["peak_bytes"] > 1 << 20
    assert known["wrong"]["figures"]["time_to_ready_s"] > 0.2
    assert known["wrong"]["checks"][0]["answered"] == "stub wrong saw 1 images"
    assert known["broken"]["failure"] == "wrong-configuration"
    assert known["large"]["missing_bytes"] > 0
    assert cli.started() == before, "what ran before runs on, and nothing else"
    kept = {file.name for file in (cli.state / "verifications").iterdir()}
    assert kept == {f"{name}.transformers.json" for name in known}
    again = cli.run("verify", "right", "wrong", "broken", "--resume", code=1)
    assert again.err.count("verified before") == 3
    cli.run("down", "right")
    cli.run("down", "--all", "--purge", "--yes")


def test_after_a_kill_and_an_interruption_it_goes_on(cli: Cli) -> None:
    cli.entry("first", port=24101, environment={"STUB_ANSWER": PRINTED})
    cli.entry("second", port=24102, environment={"STUB_ANSWER": PRINTED, "STUB_LOAD_UNTIL": "/cache/go-on"})
    killed = cli.start("verify", "first", "second")
    killed.says("second-transformers: starting")
    killed.kill_all()
    killed.end()
    assert set(cli.status(code=None)) == set(), "the user's own project holds nothing of it"
    assert list(cli.ids()) == [f"{OWN}-second-transformers"]
    stopped = cli.start("verify", "first", "second", "--resume")
    stopped.says("first-transformers: verified before: answered")
    stopped.says("second-transformers: starting")
    stopped.signal(signal.SIGINT)
    done = stopped.end()
    assert done.code == 130, done
    assert "1 of 2 pairs are verified, and what was begun is taken down" in done.err
    assert cli.ids() == {}
