"""A terminal, as far as what is written to it moves the cursor and clears."""

from __future__ import annotations

import io
import re

_PIECE = re.compile(r"\x1b\[(\??\d*)([A-Za-z])|([^\x1b])")


class Terminal(io.StringIO):
    """What it shows after all that was written to it: of the sequences only those that are used are known."""

    def isatty(self) -> bool:
        return True

    def shows(self) -> list[str]:
        self._lines, self._row, self._column = [""], 0, 0
        text, at = self.getvalue(), 0
        while at < len(text):
            found = _PIECE.match(text, at)
            assert found, f"what is this? {text[at : at + 10]!r}"
            at = found.end()
            if found[3]:
                self._write(found[3])
            else:
                self._do(found[2], found[1])
        assert self._lines[-1] == "", "the cursor is left on a line of its own"
        return self._lines[:-1]

    def _write(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._row, self._column = self._row + 1, 0
            self._lines += [""] * (self._row + 1 - len(self._lines))
        else:
            line = self._lines[self._row].ljust(self._column)
            self._lines[self._row] = line[: self._column] + character + line[self._column + 1 :]
            self._column += 1

    def _do(self, verb: str, number: str) -> None:
        match verb, number:
            case "A", _:
                self._row -= int(number or 1)
                assert self._row >= 0, "above what it wrote"
            case "H", "":
                self._row = self._column = 0
            case "K", "":
                self._lines[self._row] = self._lines[self._row][: self._column]
            case "J", "":
                self._lines = [*self._lines[: self._row], self._lines[self._row][: self._column]]
            case (("l" | "h"), "?7"):
                pass  # whether long lines are broken
            case _:
                raise AssertionError(f"{verb} {number} is not used")
