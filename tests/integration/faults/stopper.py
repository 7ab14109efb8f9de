"""Runs commands up to each boundary between two changes of the world, and no further."""

from __future__ import annotations

import signal
import sys

from tests.integration.cli import REPOSITORY, Cli, Done


class Stopper:
    """Runs the commands of a ``Cli`` with the fault port, in its state folder and with its registry."""

    def __init__(self, cli: Cli) -> None:
        self._log = cli.folder / "boundaries"
        program = (sys.executable, "-m", f"{__package__}.stopping")
        self._stopping = cli.beside("stopped", *program, PYTHONPATH=str(REPOSITORY), STOP_LOG=str(self._log))

    def boundaries(self, *arguments: str, code: int = 0) -> list[str]:
        """What a run passes that nobody stops."""
        done = self._run(arguments, "", signal.SIGKILL)
        assert done.code == code, done
        return self._log.read_text().splitlines()

    def stop(self, *arguments: str, at: str | int, number: int = signal.SIGKILL) -> Done:
        """Run until a boundary, in its words or counted from 1, where the run gets that signal from itself."""
        done = self._run(arguments, str(at), number)
        assert number != signal.SIGKILL or done.code == -number, f"it was not killed at {at}: {done}"
        return done

    def _run(self, arguments: tuple[str, ...], at: str, number: int) -> Done:
        self._log.write_text("")
        self._stopping.extra |= {"STOP_AT": at, "STOP_WITH": str(int(number))}
        return self._stopping.start(*arguments).end()


def spread(boundaries: list[str], count: int | None) -> list[tuple[int, str]]:
    """Number and words of ``count`` of them, as far from each other and from both ends as can be; None for all."""
    length = len(boundaries)
    chosen = range(length) if count is None else sorted({(2 * i + 1) * length // (2 * count) for i in range(count)})
    return [(n + 1, boundaries[n]) for n in chosen]
