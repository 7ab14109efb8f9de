"""The files of the registry: those that are built in, and the user's folders."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from orchestrator.errors import Problem
from orchestrator.registry.loader import Registry, SourceFile, load
from orchestrator.registry.tree import MAX_CHARACTERS

_SUFFIXES = frozenset({".yaml", ".yml"})
#: so many bytes are too many characters, however they are encoded; the rest of the file is not read
_TOO_MANY_BYTES = 4 * (MAX_CHARACTERS + 1)


def load_registry(directories: Sequence[Path] = ()) -> Registry:
    """The built-in models, with those of each folder in turn added or put in place of one with the same name.

    Raises FileProblems with everything that is wrong in any folder or file.
    """
    problems: list[Problem] = []
    layers = [_built_in(), *(_folder(directory, problems) for directory in directories)]
    return load(layers, problems)


def entry_names(directories: Sequence[Path] = ()) -> tuple[str, ...]:
    """Names of the entries in the same places, sorted; the loader sees to it that files are named after them."""
    found = {file.name.removesuffix(".yaml") for file in _built_in_files()}
    for directory in directories:
        with suppress(OSError, ValueError):
            found |= {path.stem for path in directory.iterdir() if _is_entry(path)}
    return tuple(sorted(found))


def _built_in_files() -> list[Traversable]:
    folder = resources.files("orchestrator.registry").joinpath("models")
    return sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)


def _built_in() -> list[SourceFile]:
    return [SourceFile(f"models/{file.name}", file.read_text(encoding="utf-8")) for file in _built_in_files()]


def _folder(directory: Path, problems: list[Problem]) -> list[SourceFile]:
    try:
        paths = sorted(path for path in directory.iterdir() if _is_entry(path))
    except (OSError, ValueError) as error:
        problems.append(Problem(str(directory), 0, "", f"can't be read as a folder of models: {_reason(error)}"))
        return []
    if not paths:
        problems.append(Problem(str(directory), 0, "", "holds no model: there is no *.yaml file in it"))
    return [file for path in paths if (file := _file(path, problems))]


def _is_entry(path: Path) -> bool:
    # editors keep locks and copies in hidden files beside the real one
    return path.suffix in _SUFFIXES and not path.name.startswith(".")


def _file(path: Path, problems: list[Problem]) -> SourceFile | None:
    try:
        if not path.is_file() and path.exists():
            # a pipe would block for ever
            problems.append(Problem(str(path), 0, "", "is not a file"))
            return None
        with path.open("rb") as stream:
            content = stream.read(_TOO_MANY_BYTES)
        # the cut may go through a character, and the loader refuses the length anyway
        errors = "replace" if len(content) == _TOO_MANY_BYTES else "strict"
        return SourceFile(str(path), content.decode("utf-8", errors))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problems.append(Problem(str(path), line, "", f"is not UTF-8: byte 0x{content[error.start]:02x}"))
    except OSError as error:
        problems.append(Problem(str(path), 0, "", f"can't be read: {_reason(error)}"))
    return None


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
