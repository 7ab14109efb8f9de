"""Phases of a start as they are shown."""

from __future__ import annotations

import json

from tests.integration.cli import Cli

PORT = 24100


def test_phases_on_a_program_s_stdout(cli: Cli) -> None:
    cli.entry("tiny", port=PORT, environment={"STUB_LOAD_SECONDS": "12"})
    events = [json.loads(line) for line in cli.run("up", "tiny", "--json").out.splitlines()]
    phases = [event["phase"] for event in events if event["event"] == "phase"]
    assert phases[0] == "starting"
    assert "load" in phases
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-2:]) == ("plan", ["ready", "end"])
    assert events[-1]["models"][0]["ready"] is True, "though Docker may not know yet"
