"""Fetches a repository's weights into the hub's cache. It is not imported: ``python3 -c`` runs it in a container.

The container is one of the image that will serve the model, and its huggingface_hub does the work, because the cache
has to be as that one wants it. Whole files of weights are fetched here, by the hub's own ``http_get``, into one partial
file each that the next run goes on with: from its version 2 on the hub throws away what was cut.

Arguments: repository, revision or "". Prints a line of JSON every second, ``{"done": BYTES, "total": BYTES}``, and at
the end perhaps ``{"error": KIND, "message": TEXT}``: disk, gated, missing, network or other.
"""

from __future__ import annotations

import fcntl
import fnmatch
import hashlib
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from huggingface_hub import (  # type: ignore[import-not-found, unused-ignore]
    HfApi,
    errors,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.constants import HF_HUB_CACHE  # type: ignore[import-not-found, unused-ignore]
from huggingface_hub.file_download import http_get  # type: ignore[import-not-found, unused-ignore]
from huggingface_hub.utils import build_hf_headers  # type: ignore[import-not-found, unused-ignore]

#: Other forms of the weights, which safetensors make needless; our server leaves out the same.
NOT_NEEDED = ("*.bin", "*.pt", "*.pth", "*.gguf", "*.onnx", "*.h5", "*.msgpack", "original/*")
_PART = ".part.incomplete"
_AT_ONCE = 4
#: tries of a file without one more byte
_IN_VAIN = 3
#: seconds after which a partial file of somebody else is nobody's any more
_OLD = 3600
#: the hub gives larger files by its own protocol only, which ``snapshot_download`` speaks
_LARGEST = 50 * 10**9
_BLOCK = 1 << 20


class Refused(Exception):
    """``kind`` and a sentence."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def main(repository: str, revision: str) -> int:
    """Fetch it; returns the exit code."""
    try:
        _fetch(repository, revision or None)
    except Refused as refused:
        return _end(refused.kind, str(refused))
    except Exception as error:  # noqa: BLE001 (the caller reads lines, not tracebacks)
        return _end(_kind(error), f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")
    return 0


def _fetch(repository: str, revision: str | None) -> None:
    info = HfApi().model_info(repository, revision=revision, files_metadata=True)
    wanted = [f for f in info.siblings if not any(fnmatch.fnmatch(f.rfilename, p) for p in NOT_NEEDED)]
    blobs = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    _clear(blobs)
    files = {_name(file): file.size or 0 for file in wanted}
    missing = sum(files.values()) - _there(blobs, files)
    _check_disk(blobs, missing)
    over = threading.Event()
    teller = threading.Thread(target=_tell, args=(blobs, files, over), daemon=True)
    teller.start()
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            large = [f for f in wanted if f.lfs and (f.size or 0) < _LARGEST]
            list(pool.map(lambda file: _whole(repository, info.sha, file, blobs), large))
        snapshot_download(repository, revision=revision or info.sha, ignore_patterns=list(NOT_NEEDED))
    finally:
        over.set()
        teller.join()


def _whole(repository: str, commit: str, file: Any, blobs: Path) -> None:
    """One file of weights; what an earlier run has of it is kept."""
    blob = blobs / _name(file)
    if blob.exists():
        return
    part = blob.with_name(blob.name + _PART)
    url = hf_hub_url(repository, file.rfilename, revision=commit)
    with part.open("ab") as target:
        fcntl.flock(target, fcntl.LOCK_EX)  # two that append would make one damaged file
        if blob.exists():
            part.unlink(missing_ok=True)
            return
        pieces = _pieces(url, target, file.size)
        if pieces > 1 and _sha256(part) != blob.name:
            part.unlink()
            raise Refused("other", f"{file.rfilename} was damaged when it was resumed; run it again to fetch it anew")
        part.chmod(0o644)
        part.replace(blob)


def _pieces(url: str, target: BinaryIO, size: int | None) -> int:
    """The rest of a file, gone on with as long as more of it comes; returns of how many pieces the file is."""
    pieces, vain = 1 if target.tell() == 0 else 2, 0
    while True:
        begun = target.tell()
        try:
            http_get(url, target, resume_size=begun, headers=build_hf_headers(), expected_size=size)
        except Exception as error:
            vain = 0 if target.tell() > begun else vain + 1
            if vain >= _IN_VAIN or _kind(error) != "network":
                raise
            pieces += 1
            time.sleep(1.0)
            continue
        target.flush()
        return pieces


def _name(file: Any) -> str:
    """Of its blob in the cache: the hub's etag."""
    return str(file.lfs["sha256"] if file.lfs else file.blob_id)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _clear(blobs: Path) -> None:
    """Remove what a cut left that nobody goes on with."""
    for part in blobs.glob("*.incomplete"):
        if not part.name.endswith(_PART) and part.stat().st_mtime < time.time() - _OLD:
            part.unlink(missing_ok=True)


def _there(blobs: Path, files: dict[str, int]) -> int:
    """Bytes of these files that are there."""
    found = 0
    for name, size in files.items():
        for path in (blobs / name, blobs / (name + _PART)):
            try:
                found += min(path.stat().st_size, size)
            except OSError:
                continue
            break
    return found


def _check_disk(folder: Path, missing: int) -> None:
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if missing > free:
        raise Refused("disk", f"{missing / 1e9:.2f} GB are still to be fetched, and {free / 1e9:.2f} GB are free")


def _tell(blobs: Path, files: dict[str, int], over: threading.Event) -> None:
    total = sum(files.values())
    while not over.wait(1.0):
        _say({"done": _there(blobs, files), "total": total})
    _say({"done": _there(blobs, files), "total": total})


def _kind(error: Exception) -> str:
    kinds = (
        (errors.GatedRepoError, "gated"),
        ((errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError), "missing"),
        ((errors.HfHubHTTPError, errors.LocalEntryNotFoundError, ConnectionError, TimeoutError), "network"),
    )
    if isinstance(error, OSError) and error.errno == 28:
        return "disk"
    known = next((kind for types, kind in kinds if isinstance(error, types)), "")
    # the hub's HTTP library depends on its version
    transport = type(error).__module__.partition(".")[0] in {"requests", "urllib3", "httpx", "httpx2", "httpcore"}
    return known or ("network" if transport else "other")


def _end(kind: str, message: str) -> int:
    _say({"error": kind, "message": message})
    return 1


def _say(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
