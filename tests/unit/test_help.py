"""The text of ``--help`` lies ready, because click takes long to import; it must be click's own."""

from __future__ import annotations

import click

from orchestrator.__main__ import HELP
from orchestrator.cli import cli


def test_the_ready_text_is_what_click_would_print() -> None:
    context = click.Context(cli, info_name="orchestrator", terminal_width=78, **cli.context_settings)
    assert f"{cli.get_help(context)}\n" == HELP, "cli changed: put its text into orchestrator/__main__.py"
