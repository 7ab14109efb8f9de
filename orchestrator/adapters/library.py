"""Files that come with the package, and files and folders that the user names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from orchestrator.adapters import package
from orchestrator.adapters.registry_files import entry_names, load_registry
from orchestrator.adapters.workspace import write_atomically
from orchestrator.compose import BUILTIN_FOLDER, ENV_FILE, EXAMPLE_FILE, GATE_FOLDER, TEMPLATES
from orchestrator.errors import RequestError
from orchestrator.fleet.file import FleetFile, parse_fleet
from orchestrator.inventory import Host
from orchestrator.inventory_file import parse_inventory
from orchestrator.lockfile import Lock, parse_lock
from orchestrator.registry.loader import Registry

#: what ``render`` writes; whatever else lies beside it (secrets, pictures) is not looked at
_RENDERED = (ENV_FILE, EXAMPLE_FILE, "*.yaml", f"{GATE_FOLDER}/*.py", f"{BUILTIN_FOLDER}/*/*")


class Files:
    """The files of this installation, and of the user."""

    def registry(self, folders: Sequence[Path]) -> Registry:
        """Built-in entries and the user's, in this order."""
        return _registry(tuple(folders))

    def lock(self, path: Path) -> Lock:
        """A lock file; an empty lock if there is none. FileProblems if it isn't one."""
        return parse_lock(str(path), _text(path)) if path.exists() else Lock(file=str(path))

    def names(self, folders: Sequence[Path]) -> tuple[str, ...]:
        """Names of the same entries, sorted, by the names of their files: nothing is read, and nothing is an error."""
        return entry_names(folders)

    def templates(self) -> dict[str, str]:
        """Compose templates by name."""
        return {name: (package.templates() / name).read_text(encoding="utf-8") for name in TEMPLATES}

    def reports(self) -> dict[str, str]:
        """Templates of reports, and translations for them, by file name."""
        return {path.name: path.read_text(encoding="utf-8") for path in (package.templates() / "reports").iterdir()}

    def beside(self, folder: str) -> dict[str, bytes]:
        """Files of a folder that documents mount from beside them, by name: the gate, or weights that come with us."""
        weights = folder.startswith(f"{BUILTIN_FOLDER}/")
        found = package.files(f"server/{folder}" if weights else folder)
        if not found:
            raise RequestError(f"no weights come with orchestrator as {folder}", where="source.builtin in the registry")
        return found

    def inquiry(self) -> str:
        """The script that asks an engine inside its image."""
        return package.inquiry()

    def probe_image(self) -> bytes:
        """The known image, a PNG."""
        return package.probe_image()

    def reference_image(self, file: str) -> bytes:
        """The picture of a reference task, a PNG."""
        return package.reference_image(file)

    def inventory(self, path: Path) -> Host:
        """An inventory file; FileProblems if it isn't one."""
        return parse_inventory(str(path), _text(path))

    def fleet(self, path: Path) -> FleetFile:
        """A fleet file; FileProblems if it isn't one."""
        return parse_fleet(path, _text(path))

    def folder(self, path: Path) -> dict[str, bytes]:
        """Contents of the files that we might have written to a folder, by name; empty if there is no such folder."""
        found = [file for pattern in _RENDERED for file in path.glob(pattern)]
        return {str(file.relative_to(path)): _content(file) for file in found if file.is_file()}

    def create(self, path: Path, files: Mapping[str, bytes]) -> tuple[Path, ...]:
        """Write files into a folder, none of which may exist: RequestError names those that do, and nothing is done."""
        there = [str(path / name) for name in files if (path / name).exists()]
        if there:
            raise RequestError(
                f"{', '.join(there)}: there already, and nothing is overwritten",
                hint="move it away first, or name another file with --fleet",
            )
        self.save(path, files, ())
        return tuple(path / name for name in files)

    def save_file(self, path: Path, data: bytes) -> None:
        """Write one file, atomically; RequestError where its folder is not there."""
        if not path.parent.is_dir():
            raise RequestError(
                f"there is no folder {path.parent}", where=str(path), hint="make it first, or name another file"
            )
        write_atomically(path, data)

    def save(self, path: Path, files: Mapping[str, bytes], remove: Sequence[str]) -> None:
        """Write files into a folder, each atomically, and remove others."""
        for name, data in files.items():
            write_atomically(path / name, data)
        for name in remove:
            (path / name).unlink(missing_ok=True)


@cache
def _registry(folders: tuple[Path, ...]) -> Registry:
    return load_registry(folders)


def _text(path: Path) -> str:
    try:
        return _content(path).decode()
    except UnicodeDecodeError as error:
        raise RequestError("the file is not UTF-8 text", where=str(path), hint="save it as UTF-8") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(
            f"can't read the file: {error.strerror or error}",
            where=str(path),
            hint="check its name and its permissions",
        ) from error
