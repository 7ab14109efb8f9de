"""What happens, as it happens, on stderr: a live line per model on a terminal, a line per phase elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from orchestrator.cli.context import print_line
from orchestrator.cli.terminal import moves, size
from orchestrator.ports import Event
from orchestrator.report.progress import event_json, live, sentence

#: seconds between two lines of a build, a pull or a download in a pipe
_EVERY = 10.0


class Progress:
    """Shows events. ``verbose``: every line that a build or a pull prints. The live lines go away at its end.

    ``talks``: the phases of which a pipe gets a line from time to time; of all others it gets none but the first.

    There are no colours. A terminal that can't move its cursor is a pipe here.
    """

    def __init__(
        self,
        verbose: bool,
        out: TextIO | None = None,
        columns: Callable[[], int] | None = None,
        talks: frozenset[str] = frozenset({"image"}),
    ) -> None:
        self._talks = talks
        self._out = out or sys.stderr
        self._columns = columns or (lambda: size()[0])
        self._verbose = verbose
        self._live = moves(self._out) and not verbose
        self._shown: dict[str, str] = {}
        self._drawn = 0
        self._spoke = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._shown.clear()
        self._draw("")

    def event(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "start":
            self._spoke = 0.0
        if event.kind == "progress" or (event.kind == "phase" and self._live):
            self._goes_on(event)
            return
        if event.kind != "phase":
            self._shown.pop(event.subject, None)
        self._draw(f"{sentence(event)}\n")

    def _goes_on(self, event: Event) -> None:
        if self._live:
            self._shown[event.subject] = live(event, self._columns())
            self._draw("")
        elif event.phase in self._talks and (self._verbose or event.seconds - self._spoke >= _EVERY):
            self._spoke = event.seconds
            self._draw(f"{sentence(event)}\n")

    def _draw(self, above: str) -> None:
        """Write ``above`` where the live lines begin, and them anew below it, in one piece."""
        back = "\r" + "\x1b[1A" * self._drawn + "\x1b[J" if self._drawn else ""
        lines = "".join(f"{line}\n" for line in self._shown.values())
        self._drawn = len(self._shown)
        self._out.write(back + above + lines)
        self._out.flush()


class JsonLines:
    """Prints each event as a line of JSON on stdout."""

    def event(self, event: Event) -> None:
        """Print one event."""
        print_line(event_json(event))
