"""Files replaced whole: the state for the health check, and the record kept outside the container."""

from __future__ import annotations

import os
from pathlib import Path

from .core import Record, State, read_record


def write_whole(path: Path, text: str) -> None:
    """Replace a file so that a reader sees the old or the new text and never a part. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


class StateFile:
    """Where the health check reads the phase."""

    def __init__(self, path: Path, port: int, *, sleep_mode: bool) -> None:
        self._path = path
        self._port = port
        self._sleep_mode = sleep_mode

    def write(self, state: State) -> None:
        """Raises OSError when the folder is missing or not writable."""
        write_whole(self._path, state.to_json(self._port, sleep_mode=self._sleep_mode) + "\n")


class RecordFile:
    """The starts of one container, on the lock volume; with no usable volume nothing is remembered."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Record | None:
        """None where there is no record or no reading it."""
        try:
            return read_record(self._path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            return None

    def write(self, record: Record) -> str:
        """Keep the record; returns why it could not be kept, or an empty text."""
        try:
            write_whole(self._path, record.to_json())
        except OSError as error:
            return f"{self._path}: {error.strerror}"
        return ""

    def forget(self) -> None:
        """Remove the record."""
        try:
            self._path.unlink()
        except OSError:
            return  # there is none, or no volume; both mean that nothing is remembered
