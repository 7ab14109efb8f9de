"""What lies around on the engine beside the containers of models. Read over the socket, but not by ``status``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from orchestrator.observation import LABEL, SCHEMA, Helper, Network, Remains, Volume

_PROJECT = "com.docker.compose.project"
_COMPOSE_NETWORKS = quote(json.dumps({"label": ["com.docker.compose.network"]}))
#: states of a container whose processes exist, or soon will
_ALIVE = frozenset({"running", "restarting", "paused"})


def remains(get: Callable[..., Any], volumes: Sequence[str]) -> Remains:
    """``get`` asks the engine for a path; ``missing=None`` gives None for what is not there."""
    listed = get("/containers/json?all=1", list)
    return Remains(
        helpers=tuple(found for c in listed if (found := _helper(c)) is not None),
        networks=tuple(_network(n, listed) for n in get(f"/networks?filters={_COMPOSE_NETWORKS}", list)),
        volumes=tuple(
            Volume(name, _owner(found.get("Mountpoint", "")), tuple(_mounting(name, listed)))
            for name in volumes
            if (found := get(f"/volumes/{quote(name, safe='')}", missing=None)) is not None
        ),
    )


def _helper(listed: Mapping[str, Any]) -> Helper | None:
    labels = listed["Labels"] or {}
    kinds = sorted(key.removeprefix(LABEL) for key in labels if key.startswith(LABEL))
    schema = labels.get(LABEL + "schema")
    if not kinds or schema == SCHEMA:
        return None
    kind = "schema" if schema is not None else kinds[0]
    return Helper(
        listed["Id"],
        _name(listed),
        kind,
        running=listed["State"] in _ALIVE,
        project=labels.get(LABEL + "project", ""),
        created=float(listed["Created"]) if listed["State"] == "created" else 0.0,
    )


def _network(found: Mapping[str, Any], listed: Sequence[Mapping[str, Any]]) -> Network:
    """With its users. A container that was never started knows only the network's name."""
    users = [_name(c) for c in listed if _uses(c, found)]
    return Network(found["Id"], found["Name"], (found.get("Labels") or {}).get(_PROJECT, ""), tuple(sorted(users)))


def _uses(container: Mapping[str, Any], network: Mapping[str, Any]) -> bool:
    joined = (container.get("NetworkSettings") or {}).get("Networks") or {}
    return any(
        given.get("NetworkID") == network["Id"] or (not given.get("NetworkID") and name == network["Name"])
        for name, given in joined.items()
    )


def _mounting(volume: str, listed: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for container in listed:
        if any(m.get("Type") == "volume" and m.get("Name") == volume for m in container.get("Mounts") or ()):
            yield container["Id"], _name(container)


def _name(listed: Mapping[str, Any]) -> str:
    return str((listed.get("Names") or [listed["Id"][:12]])[0]).lstrip("/")


def _owner(folder: str) -> str:
    try:
        found = Path(folder).stat()
    except OSError:
        return ""
    return f"{found.st_uid}:{found.st_gid}"
