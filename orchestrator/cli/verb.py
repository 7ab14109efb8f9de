"""Verbs with examples, and groups that name the near one of a misspelt verb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click


class Verb(click.Command):
    """A command that shows examples at the end of its help: what one does, to the command line that does it."""

    def __init__(self, *arguments: Any, examples: Mapping[str, str], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each example on a line of its own, as it is typed."""
        with formatter.section("Examples"):
            for words, line in self.examples.items():
                formatter.write_text(f"{words}:")
                formatter.write(f"{'':{formatter.current_indent + 2}}{line}\n")


class Verbs(click.Group):
    """A group of verbs."""

    command_class = Verb

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; an unknown verb's error names the near one, in every version of click."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and name not in self.list_commands(ctx):
            import difflib

            near = difflib.get_close_matches(name[:80], self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)
