"""Secrets: read from files at each start, put into the engine's environment, never shown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

# The kernel refuses one environment entry above 128 KiB; no token comes near this.
_LIMIT_BYTES = 64 * 1024


class SecretError(Exception):
    """A secret file can't be used; the text is one sentence without the secret."""


def with_secrets(environment: Mapping[str, str], files: Iterable[tuple[str, Path]]) -> dict[str, str]:
    """The environment with each variable set to its file's text, stripped.

    A file without text unsets the variable: an empty token makes the hub refuse even public models. Raises
    SecretError when a file is missing or unreadable.
    """
    full = dict(environment)
    for name, path in files:
        full.pop(name, None)
        text = _read(name, path)
        if text:
            full[name] = text
    return full


def _read(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LIMIT_BYTES + 1)
    except IsADirectoryError as error:
        hint = "is a folder; Docker makes one when the file on the host is missing"
        raise SecretError(f"The secret file of {name}, {path}, {hint}.") from error
    except OSError as error:
        raise SecretError(f"The secret file of {name}, {path}, can't be read: {error.strerror}.") from error
    if len(raw) > _LIMIT_BYTES or b"\0" in raw:
        raise SecretError(f"The secret file of {name}, {path}, does not hold a secret: too long or binary.")
    return os.fsdecode(raw.strip())
