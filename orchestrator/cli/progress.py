"""What happens, as it happens: a live line on a terminal, plain lines in a pipe. Always on stderr."""

from __future__ import annotations

import shutil
import sys

import click

from orchestrator.ports import Event

_PAST = {
    "build": "built", "pull": "pulled", "volume": "prepared", "create": "created", "replace": "replaced",
    "restart": "restarted", "start": "started", "stop": "stopped", "remove": "removed",
}  # fmt: skip


class Progress:
    """Shows events. ``verbose``: every line that a build or a pull prints."""

    def __init__(self, verbose: bool) -> None:
        self._verbose = verbose
        self._live = sys.stderr.isatty() and not verbose
        self._dirty = False

    def event(self, event: Event) -> None:
        """Show one event."""
        match event.kind:
            case "output":
                self._transient(f"{event.subject}: {event.text}")
            case "start":
                self._transient(f"{event.subject}: {event.text}") if self._live else self._line(f"{event.subject}: {event.text}")
            case "done":
                self._line(f"{event.subject}: {_PAST.get(event.text, event.text)} ({event.seconds:.1f} s)")
            case "phase":
                self._line(f"{event.subject}: {event.text}")
            case "ready":
                self._line(f"{event.subject}: ready, {event.text} ({event.seconds:.1f} s)")
            case _:
                self._line(f"{event.subject}: {event.kind}, {event.text}")

    def close(self) -> None:
        """Clear the live line."""
        self._clear()

    def _line(self, text: str) -> None:
        self._clear()
        click.echo(text, err=True)

    def _transient(self, text: str) -> None:
        if self._live:
            self._clear()
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(text.replace("\n", " ")[:width])
            sys.stderr.flush()
            self._dirty = True
        elif self._verbose:
            click.echo(text, err=True)

    def _clear(self) -> None:
        if self._dirty:
            sys.stderr.write("\r\x1b[K")
            self._dirty = False
