"""What happens, as it happens: a live line on a terminal, plain lines in a pipe. Always on stderr."""

from __future__ import annotations

import shutil
import sys

import click

from orchestrator.ports import Event

_PAST = {
    "build": "built",
    "pull": "pulled",
    "volume": "prepared",
    "create": "created",
    "replace": "replaced",
    "restart": "restarted",
    "start": "started",
    "stop": "stopped",
    "remove": "removed",
    "restore": "brought back",
    "sleep": "asleep",
    "wake": "awake",
}
#: seconds between two lines of a build or a pull in a pipe
_EVERY = 10.0


class Progress:
    """Shows events. ``verbose``: every line that a build or a pull prints."""

    def __init__(self, verbose: bool) -> None:
        self._verbose = verbose
        self._live = sys.stderr.isatty() and not verbose
        self._dirty = False
        self._spoke = 0.0

    def event(self, event: Event) -> None:
        """Show one event."""
        match event.kind:
            case "start":
                self._spoke = 0.0
                self._line(f"{event.subject}: {event.text}")
            case "output":
                self._output(event)
            case "done":
                self._line(f"{event.subject}: {_PAST.get(event.text, event.text)} ({event.seconds:.1f} s)")
            case "phase":
                self._line(f"{event.subject}: {event.text} ({event.seconds:.0f} s)")
            case "said":
                self._line(f"{event.subject} | {event.text}")
            case "ready":
                self._line(f"{event.subject}: ready, {event.text} ({event.seconds:.1f} s)")
            case _:
                self._line(f"{event.subject}: {event.kind}, {event.text}")

    def close(self) -> None:
        """Clear the live line."""
        if self._dirty:
            sys.stderr.write("\r\x1b[K")
            self._dirty = False

    def _line(self, text: str) -> None:
        self.close()
        click.echo(text, err=True)

    def _output(self, event: Event) -> None:
        text = f"{event.subject}: {event.text}"
        if self._live:
            self.close()
            sys.stderr.write(text.replace("\n", " ")[: shutil.get_terminal_size().columns - 1])
            sys.stderr.flush()
            self._dirty = True
        elif self._verbose or event.seconds - self._spoke >= _EVERY:
            self._spoke = event.seconds
            click.echo(text, err=True)
