"""What was measured, and what engines say of themselves, as values. They rest on what ran, and on nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Use:
    """What one container really holds of one GPU now, all its processes together.

    ``container_id`` is "" for processes that are in no container. ``bytes`` is None where the driver does not tell it
    for one of them, because a sum without that one would look like a measurement.
    """

    container_id: str
    gpu: str
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds memory of a GPU. ``bytes`` is None where the driver does not tell.

    ``command`` and ``user`` are "" where this user can't look; ``container_id`` is "" for a process in no container.
    """

    pid: int
    gpu: str
    bytes: int | None
    command: str = ""
    user: str = ""
    container_id: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Fingerprint:
    """What a measurement holds for: another image, revision, profile, card or driver has to be measured anew."""

    model: str
    engine: str
    profile: str
    image_id: str
    revision: str
    gpu_kind: str
    driver: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a start held of each of its GPUs when it was ready: the largest, in bytes. ``when`` is in Unix seconds."""

    fingerprint: Fingerprint
    static: int
    when: float


@dataclass(frozen=True, slots=True)
class Listing:
    """What the engine inside one image said of itself when it was asked, at ``when`` in Unix seconds.

    ``architectures``: each with the class that serves it, "" where the engine does not tell. ``families``: those of our
    server in that image; None where it holds no server of ours.
    """

    engine: str
    version: str
    image: str
    image_id: str
    when: float
    architectures: Mapping[str, str]
    families: tuple[str, ...] | None = None
