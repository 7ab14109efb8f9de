"""What was measured, as values. They rest on what ran, and on nothing else."""

from __future__ import annotations

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
