"""Runs commands up to each boundary between two changes of the world, and no further."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.integration.cli import REPOSITORY, Cli, Done


class Stopper:
    """Runs the commands of a ``Cli`` with the fault port, in its state folder and with its registry."""

    def __init__(self, cli: Cli) -> None:
        self._cli = cli
        self._stopping = Cli(cli.engine, cli.folder / "stopped", (sys.executable, "-m", f"{__package__}.stopping"))
        self._log = cli.folder / "boundaries"

    def boundaries(self, *arguments: str, code: int = 0) -> list[str]:
        """What a run passes that nobody stops."""
        done = self._run(arguments, 0, signal.SIGKILL)
        assert done.code == code, done
        return self._log.read_text().splitlines()

    def stop(self, *arguments: str, at: int, number: int = signal.SIGKILL) -> Done:
        """Run until the boundary ``at``, counted from 1, where the run gets that signal from itself."""
        done = self._run(arguments, at, number)
        assert number != signal.SIGKILL or done.code == -number, f"it was not killed at boundary {at}: {done}"
        return done

    def _run(self, arguments: tuple[str, ...], at: int, number: int) -> Done:
        self._log.write_text("")
        self._stopping.extra = {
            **self._cli.env,
            "PYTHONPATH": str(REPOSITORY),
            "STOP_LOG": str(self._log),
            "STOP_AT": str(at),
            "STOP_WITH": str(int(number)),
        }
        return self._stopping.start(*arguments).end()


def spread(boundaries: list[str], count: int | None) -> Iterator[tuple[int, str]]:
    """Number and words of ``count`` of them, the first and the last among them; None for all."""
    last = len(boundaries) - 1
    chosen = range(last + 1) if count is None else sorted({round(i * last / (count - 1)) for i in range(count)})
    return ((n + 1, boundaries[n]) for n in chosen)
