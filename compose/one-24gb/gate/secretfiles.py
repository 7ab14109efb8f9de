"""Secrets: read from files at each start, put into the engine's environment, never shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

# No key or token comes near this; the kernel refuses one environment entry above 128 KiB.
_LIMIT_BYTES = 4096


class SecretError(Exception):
    """A secret file can't be used; the text is one sentence without the secret."""


def with_secrets(environment: Mapping[str, str], files: Iterable[tuple[str, Path]]) -> dict[str, str]:
    """The environment with each variable set to its file's text, stripped.

    Raises SecretError when a file is missing, unreadable, empty, or anything but one word of visible ASCII. An engine
    without its key would serve everybody; an empty token makes the hub refuse even public models.
    """
    return {**environment, **{name: _read(name, path) for name, path in files}}


def _read(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(2 * _LIMIT_BYTES)
    except IsADirectoryError as error:
        hint = "is a folder; Docker makes one when the file on the host is missing"
        raise SecretError(f"The secret file of {name}, {path}, {hint}.") from error
    except OSError as error:
        raise SecretError(f"The secret file of {name}, {path}, can't be read: {error.strerror}.") from error
    word = raw.strip()
    if not word:
        raise SecretError(f"The secret file of {name}, {path}, is empty.")
    if len(word) > _LIMIT_BYTES or not re.fullmatch(rb"[\x21-\x7e]+", word):
        raise SecretError(f"The secret file of {name}, {path}, does not hold one word of visible ASCII characters.")
    return word.decode("ascii")
