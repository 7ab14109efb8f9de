"""The state folder. It holds what was applied last, and can be deleted without harm to what runs."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.adapters.lock_state import keepers, note_pid
from orchestrator.errors import OrchestratorError
from orchestrator.evidence import Fingerprint, Listing, Measurement, Verification, Verifications, from_record, to_record
from orchestrator.observation import LockState, Previous
from orchestrator.ports import HOST_LOCK
from orchestrator.secretfile import LONGEST, Secret, StoredFile

#: names another folder than $XDG_STATE_HOME/orchestrator or ~/.local/state/orchestrator; the lock then lies there too
STATE_VARIABLE = "ORCHESTRATOR_STATE_DIR"
_SHARED_LOCKS = Path("/run/lock")
_PREPARING = "preparing"
_MEASURED = "measurements.json"
_LISTED = "listings.json"
_VERIFIED = "verifications"
_KEPT = "previous"
_POLL = 0.2
#: what ``write_atomically`` writes to before it replaces the file: ``.NAME.PID``
_DRAFT = re.compile(r"\..+\.(\d+)")


def state_folder() -> Path:
    """Where state is kept for this user."""
    named = os.environ.get(STATE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "orchestrator"


class StateFolder:
    """State in files. ``waiting`` is told, once, who holds the lock."""

    def __init__(self, waiting: Callable[[str], None]) -> None:
        self._root = state_folder()
        self._waiting = waiting

    def folder(self, project: str) -> Path:
        """Where the documents of a project are applied from."""
        return self._root / project

    def write(self, project: str, files: Mapping[str, bytes]) -> None:
        """Write files into the project's folder, each atomically."""
        for name, data in files.items():
            write_atomically(self.folder(project) / name, data)

    def documents(self, project: str) -> tuple[str, ...]:
        """File names of the documents applied for a project, sorted."""
        return tuple(sorted(path.name for path in self.folder(project).glob("*.yaml")))

    def forget(self, project: str, names: Sequence[str]) -> None:
        """Remove documents."""
        for name in names:
            (self.folder(project) / name).unlink(missing_ok=True)

    def projects(self) -> tuple[str, ...]:
        """Projects with documents here, sorted."""
        return tuple(sorted({path.parent.name for path in self._root.glob("*/*.yaml")}))

    def has(self, file: str) -> bool | None:
        """Whether a document is there; None where this user can't look."""
        try:
            Path(file).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return None
        return True

    def text(self, file: str) -> str | None:
        """A document's text; None where there is none that this user can read."""
        try:
            return Path(file).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    def drafts(self, *, remove: bool) -> tuple[str, ...]:
        """Files that were being written when their writer died; removed if asked."""
        found = [
            path for path in self._root.glob("**/.*") if (match := _DRAFT.fullmatch(path.name)) and _dead(match[1])
        ]
        if remove:
            for path in found:
                path.unlink(missing_ok=True)
        return tuple(sorted(str(path) for path in found))

    def keep(self, project: str, previous: Previous) -> None:
        """Keep what is about to be replaced, instead of what was kept of its service before."""
        write_atomically(self._previous(project, previous.service), json.dumps(asdict(previous), indent=1).encode())

    def kept(self, project: str) -> tuple[Previous, ...]:
        """What is kept of a project, sorted by service; a file that is not one of ours is passed over."""
        files = sorted(self._previous(project, "").parent.glob("*.json"))
        return tuple(found for file in files if (found := _previous(file)) is not None)

    def let_go(self, project: str, previous: Previous) -> None:
        """Keep it no longer; what was kept of its service since then stays."""
        file = self._previous(project, previous.service)
        if _previous(file) == previous:
            file.unlink(missing_ok=True)

    def _previous(self, project: str, service: str) -> Path:
        return self.folder(project) / _KEPT / f"{service}.json"

    def secret_file(self, project: str, secret: Secret, kept: str = "") -> str:
        """Path of the file that the environment names; else ``kept``; else the default in the project's folder."""
        named = os.environ.get(secret.variable)
        if kept and not named:
            return kept
        # as Compose reads it: from the folder of the file that names it, and links stay as they are
        return os.path.abspath(self.folder(project) / (named or secret.default))  # noqa: PTH100

    def stored(self, file: str) -> StoredFile | None:
        """The file as it lies there; None if there is none."""
        try:
            found = Path(file).stat()
        except OSError:
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return StoredFile(found.st_uid, found.st_gid, found.st_mode, _beginning(file))

    def unfinished(self) -> frozenset[str]:
        """Volumes whose preparation was begun and never ended."""
        try:
            return frozenset((self._root / _PREPARING).read_text(encoding="utf-8").split())
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()

    @contextmanager
    def preparing(self, names: Sequence[str]) -> Iterator[None]:
        """Mark volumes so until the block has ended well."""
        write_atomically(self._root / _PREPARING, "\n".join(names).encode())
        yield
        (self._root / _PREPARING).unlink(missing_ok=True)

    def prepared(self, names: Sequence[str]) -> None:
        """Take these volumes' marks away: they are as they should be, or gone."""
        left = sorted(self.unfinished() - set(names))
        if left:
            write_atomically(self._root / _PREPARING, "\n".join(left).encode())
        else:
            (self._root / _PREPARING).unlink(missing_ok=True)

    def measurements(self) -> tuple[Measurement, ...]:
        """What was measured on this host; nothing where the file can't be read: it can be deleted without harm."""
        try:
            found = json.loads((self._root / _MEASURED).read_text(encoding="utf-8"))
            return tuple(
                Measurement(Fingerprint(**entry["fingerprint"]), int(entry["static"]), float(entry["when"]))
                for entry in found
            )
        except (OSError, ValueError, KeyError, TypeError):
            return ()

    def record(self, measurements: Sequence[Measurement]) -> None:
        """Keep measurements, each in place of an earlier one with the same fingerprint."""
        kept = {m.fingerprint: m for m in (*self.measurements(), *measurements)}
        entries = [asdict(kept[fingerprint]) for fingerprint in sorted(kept)]
        write_atomically(self._root / _MEASURED, json.dumps(entries, indent=1).encode())

    def listings(self) -> tuple[Listing, ...]:
        """What engines said of themselves on this host; nothing where the file can't be read, as above."""
        try:
            return tuple(_listing(entry) for entry in json.loads((self._root / _LISTED).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return ()

    def hear(self, listing: Listing) -> None:
        """Keep what an engine said, in place of what the same image, or an earlier one of its name, said."""
        others = [
            known
            for known in self.listings()
            if (known.engine, known.image) != (listing.engine, listing.image)
            and (known.engine, known.image_id) != (listing.engine, listing.image_id)
        ]
        kept = sorted([*others, listing], key=lambda known: (known.engine, known.image))
        write_atomically(self._root / _LISTED, json.dumps([asdict(known) for known in kept], indent=1).encode())

    def verifications(self) -> Verifications:
        """What was verified on this host: a file for each pair, which can be deleted without harm."""
        found, remarks = [], []
        for file in sorted((self._root / _VERIFIED).glob("*.json")):
            try:
                found.append(from_record(json.loads(file.read_text(encoding="utf-8"))))
            except (OSError, ValueError) as error:
                remarks.append(f"{file}: {error}; the record is passed over: verify the pair again, or delete the file")
        return Verifications(tuple(sorted(found, key=lambda v: (v.model, v.engine))), tuple(remarks))

    def attest(self, verification: Verification) -> None:
        """Keep a verification, in place of an earlier one of its pair."""
        name = f"{verification.model}.{verification.engine}.json"
        text = json.dumps(to_record(verification), indent=1, ensure_ascii=False)
        write_atomically(self._root / _VERIFIED / name, text.encode())

    @contextmanager
    def lock(self, purpose: str, timeout: float, name: str = HOST_LOCK) -> Iterator[None]:
        """The host's lock, or another. The kernel frees it when its holder dies, however it dies."""
        path = self._lock_path(name)
        with _opened(path) as descriptor:
            self._acquire(descriptor, time.monotonic() + timeout, timeout, path)
            # what we start holds the lock too: a Compose that outlives a killed orchestrator still changes this host
            os.set_inheritable(descriptor, True)  # noqa: FBT003
            holder = f"'{purpose}' of {getpass.getuser()} (pid {os.getpid()})"
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, holder.encode(), 0)
            try:
                yield
            finally:
                os.truncate(descriptor, 0)

    def lock_state(self) -> LockState:
        """Who holds the host's lock now. It is looked at by trying it, for an instant."""
        path = self._lock_path()
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return LockState(where=str(path))
        try:
            note = os.pread(descriptor, 400, 0).decode(errors="replace").strip()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                held = False
            except BlockingIOError:
                held = True
        finally:
            os.close(descriptor)
        pid = note_pid(note)
        return LockState(held, note, bool(pid) and not _dead(pid), keepers(path) if held else (), str(path))

    def _acquire(self, descriptor: int, deadline: float, timeout: float, path: Path) -> None:
        told = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 400, 0).decode(errors="replace")
            else:
                return
            if time.monotonic() >= deadline:
                raise OrchestratorError(
                    f"waited {timeout:g} s for the lock, which {holder or 'another orchestrator'} holds",
                    where=str(path),
                    hint="wait for it to end, or end it; a dead process never holds the lock",
                )
            # it has no name for the instant in which it has just been taken
            if holder and not told:
                self._waiting(holder)
                told = True
            time.sleep(_POLL)

    def _lock_path(self, name: str = HOST_LOCK) -> Path:
        shared = STATE_VARIABLE not in os.environ and _SHARED_LOCKS.is_dir()
        return (_SHARED_LOCKS if shared else self._root) / f"{name}.lock"


def _dead(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it is another user's
        return False
    return False


def _listing(entry: dict[str, Any]) -> Listing:
    families = entry["families"]
    return Listing(
        engine=str(entry["engine"]),
        version=str(entry["version"]),
        image=str(entry["image"]),
        image_id=str(entry["image_id"]),
        when=float(entry["when"]),
        architectures={str(name): str(class_) for name, class_ in entry["architectures"].items()},
        families=None if families is None else tuple(map(str, families)),
    )


def _previous(file: Path) -> Previous | None:
    try:
        return Previous(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _beginning(file: str) -> bytes | None:
    try:
        with Path(file).open("rb") as stream:
            return stream.read(2 * LONGEST)
    except OSError:
        return None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """The lock file, shared by all users. First without O_CREAT, which sticky folders forbid for others' files."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _open(path)
    except OSError as error:
        raise OrchestratorError(
            f"can't open the lock: {error.strerror or error}",
            where=str(path),
            hint=f"check its permissions, or name another folder in {STATE_VARIABLE}",
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        os.fchmod(descriptor, 0o666)
        return descriptor


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old or the new content and nothing between.

    File and folder can be read by all, whatever the umask, because containers run as another user.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.parent.chmod(0o755)
        temporary.write_bytes(data)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise OrchestratorError(
            f"can't write {path}: {error.strerror or error}", hint="check its permissions and the disk"
        ) from error
