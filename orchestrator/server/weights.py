"""Finds the folder of weights: one that comes with the server, one on the disk, or one fetched from the hub."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import errors, hf_hub_download, snapshot_download  # type: ignore[import-not-found, unused-ignore]

from .builtin import BUILTIN
from .config import Config
from .errors import UnhealableError

_log = logging.getLogger("server")
#: Other forms of the weights, which safetensors make needless.
_NOT_NEEDED = ["*.bin", "*.pt", "*.pth", "*.gguf", "*.onnx", "*.h5", "*.msgpack", "original/*"]


def locate(config: Config) -> Path:
    """The folder to load from.

    Raises ``UnhealableError`` where there is none and a restart brings none; network errors come as they are.
    """
    if config.builtin is not None:
        return BUILTIN[config.builtin]
    model = config.model or ""
    if model.startswith(("/", ".")):
        if not Path(model).is_dir():
            raise UnhealableError(f"no folder {model}")
        return Path(model)
    return _fetch(model, config.revision)


def fetch_file(repository: str, name: str) -> Path:
    """One file of a repository, from the cache or the hub. Raises as ``locate`` does. Not verified here with a hub."""
    with _refusals(repository, None):
        return Path(hf_hub_download(repository, name))


def _fetch(repository: str, revision: str | None) -> Path:
    _log.info("fetching weights: %s at %s", repository, revision or "its newest revision")
    with _refusals(repository, revision):
        return Path(snapshot_download(repository, revision=revision, ignore_patterns=_NOT_NEEDED))


@contextmanager
def _refusals(repository: str, revision: str | None) -> Iterator[None]:
    """What the hub says no with, as ``UnhealableError`` where another try would not help."""
    try:
        yield
    except errors.GatedRepoError:
        raise UnhealableError(f"{repository} asks for a token that was granted access") from None
    except errors.RepositoryNotFoundError:
        raise UnhealableError(f"the hub has no repository {repository}, or it asks for a token") from None
    except errors.RevisionNotFoundError:
        raise UnhealableError(f"{repository} has no revision {revision}") from None
    except errors.HFValidationError as problem:
        raise UnhealableError(f"{repository!r} is not a name of a repository: {problem}") from None
    except errors.LocalEntryNotFoundError:
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
            raise UnhealableError(f"{repository} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it") from None
        raise
