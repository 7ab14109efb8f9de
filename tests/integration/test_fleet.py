"""A fleet file on a real engine: all of it up, a model taken out of the file, all of it down."""

from __future__ import annotations

from pathlib import Path

from tests.integration.cli import Cli, answers, steps

PORT = 24150


def fleet(folder: Path, *models: str) -> None:
    lines = "".join(f"  {model}\n" for model in models)
    (folder / "orchestrator.yaml").write_text(f"schema_version: 1\nproject: team\nmodels:\n{lines}")


def test_a_model_that_leaves_the_file_is_removed_and_the_rest_stays(cli: Cli) -> None:
    cli.entry("tiny", port=PORT)
    cli.entry("other", port=PORT + 1)
    fleet(cli.folder, "tiny: {settings: {max_model_len: 1024}}", f"other: {{port: {PORT + 2}}}")
    assert "other-transformers: ready, answered" in cli.run("up").err
    assert answers(PORT)
    assert answers(PORT + 2)
    command = cli.inspect("team-tiny-transformers")["Args"]
    assert command[command.index("--max-model-len") + 1] == "1024"
    before = cli.ids()

    fleet(cli.folder, "tiny: {settings: {max_model_len: 1024}}")
    assert steps(cli.run("plan").out) == {"other-transformers": "remove", "tiny-transformers": "keep"}
    assert "other is not in the fleet" in cli.run("status").out
    assert "declined; nothing was changed" in cli.run("up", code=1).err
    assert cli.ids() == before

    assert "other-transformers: removed" in cli.run("up", "--yes").err
    assert cli.ids() == {"team-tiny-transformers": before["team-tiny-transformers"]}
    assert not answers(PORT + 2)
    cli.run("down", "--yes")
    assert not cli.ids()
    assert not cli.engine.objects().networks


def test_the_first_fleet_of_this_host(cli: Cli) -> None:
    cli.entry("tiny", port=PORT)
    cli.run("init")
    planned = cli.run("plan").out
    assert steps(planned)["tiny-transformers"] == "create"
    (inventory,) = (cli.folder / "hosts").iterdir()
    assert f"on {inventory.stem}\n" in planned
    cli.run("render")
    assert (cli.folder / "compose" / "tiny-transformers.yaml").is_file()
    assert "are fresh" in cli.run("render", "--check").err
