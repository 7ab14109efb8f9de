"""Finds the folder of weights: made from a recipe, on the disk, or fetched from the hub."""

from __future__ import annotations

import importlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

from huggingface_hub import errors, snapshot_download  # type: ignore[import-not-found, unused-ignore]

from .config import Config, Recipe
from .errors import UnhealableError
from .recipes import RECIPES

_log = logging.getLogger("server")
#: Other forms of the weights, which safetensors make needless.
_NOT_NEEDED = ["*.bin", "*.pt", "*.pth", "*.gguf", "*.onnx", "*.h5", "*.msgpack", "original/*"]


def locate(config: Config) -> Path:
    """The folder to load from.

    Raises ``UnhealableError`` where there is none and a restart brings none; network errors come as they are.
    """
    if config.recipe is not None:
        return make(config.recipe, config.weights / "made")
    model = config.model or ""
    if model.startswith(("/", ".")):
        if not Path(model).is_dir():
            raise UnhealableError(f"no folder {model}")
        return Path(model)
    return _fetch(model, config.revision)


def _fetch(repository: str, revision: str | None) -> Path:
    _log.info("fetching weights: %s at %s", repository, revision or "its newest revision")
    try:
        return Path(snapshot_download(repository, revision=revision, ignore_patterns=_NOT_NEEDED))
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


def make(recipe: Recipe, folder: Path) -> Path:
    """The weights of a recipe in ``folder/<name>-<seed>``, made there once.

    They appear under their name only when complete: a process killed in the middle leaves nothing half made.
    """
    module = importlib.import_module(f".recipes.{RECIPES[recipe.name]}", __package__)
    target = folder / f"{recipe.name}-{recipe.seed}"
    stamp = {"recipe": recipe.name, "seed": recipe.seed, "version": module.VERSION}
    if _stamp_of(target) == stamp:
        return target
    _log.info("making weights: %s from seed %d", recipe.name, recipe.seed)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=folder))
    except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
        raise UnhealableError(f"can't write to {folder}: {error.strerror}") from None
    try:
        module.make(work / "new", recipe.seed)
        (work / "new" / "recipe.json").write_text(json.dumps(stamp), encoding="utf-8")
        if target.exists():
            target.rename(work / "old")
        (work / "new").rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _stamp_of(folder: Path) -> object:
    try:
        return json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
