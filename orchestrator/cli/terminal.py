"""What stdout is: how wide, whether it takes colours; and a text on it that is drawn anew in its place."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

from orchestrator.report.look import Look

#: clears the rest of a line that is drawn over another
_REST = "\x1b[K\n"


def moves(out: TextIO, variables: Mapping[str, str] = os.environ) -> bool:
    """Whether it is a terminal that can move its cursor."""
    return out.isatty() and variables.get("TERM") != "dumb"


def colours(out: TextIO, variables: Mapping[str, str] = os.environ) -> bool:
    """Whether to use colours.

    ``NO_COLOR`` forbids them, ``CLICOLOR_FORCE`` or ``FORCE_COLOR`` wants them in a pipe too (https://no-color.org,
    https://bixense.com/clicolors). A variable that is empty says nothing.
    """
    if variables.get("NO_COLOR"):
        return False
    if any(variables.get(name, "0") not in {"", "0"} for name in ("CLICOLOR_FORCE", "FORCE_COLOR")):
        return True
    return moves(out, variables) and variables.get("CLICOLOR") != "0"


def look() -> Look:
    """Of stdout: as wide as the terminal; a pipe takes lines of any length."""
    return Look(size()[0] if sys.stdout.isatty() else 0, colours(sys.stdout))


def size() -> tuple[int, int]:
    """Columns and lines of the terminal; ``COLUMNS`` and ``LINES`` say otherwise."""
    import shutil

    columns, lines = shutil.get_terminal_size()
    return columns, lines


class Board:
    """A text that is shown again and again: in place on a terminal, in a pipe a block wherever ``state`` is another.

    On a terminal the cursor goes back over what was drawn, and each line clears its own rest: nothing flickers, what
    was printed before stays, and so does the last text. Lines that are too long are cut by the terminal (DECAWM off).
    """

    def __init__(self, out: TextIO | None = None, size: Callable[[], tuple[int, int]] = size) -> None:
        self._out = out or sys.stdout
        self._size = size
        self._drawn = 0
        self._measured = (0, 0)
        self._state: object = None

    def show(self, text: str, state: object) -> None:
        """Show it."""
        if moves(self._out):
            self._out.write(self._frame(text.splitlines()))
        elif state != self._state:
            self._out.write(text if self._state is None else f"\n{text}")
        self._state = state
        self._out.flush()

    def _frame(self, lines: list[str]) -> str:
        """A terminal of another size has broken the lines elsewhere, so all of it is cleared."""
        measured = self._size()
        resized, self._measured = self._drawn and measured != self._measured, measured
        most = max(1, measured[1] - 1)
        if len(lines) > most:
            lines = [*lines[: most - 1], f"... {len(lines) - most + 1} more lines"]
        back = "\x1b[H\x1b[J" if resized else f"\r\x1b[{self._drawn}A" if self._drawn else ""
        self._drawn = len(lines)
        return f"\x1b[?7l{back}{''.join(f'{line}{_REST}' for line in lines)}\x1b[J\x1b[?7h"
