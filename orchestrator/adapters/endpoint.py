"""Which Docker to talk to: ``DOCKER_HOST``, the CLI's current context, or the default socket. Local sockets only."""

from __future__ import annotations

import json
import os
from pathlib import Path

from orchestrator.errors import EnvironmentProblem

_DEFAULT = "unix:///var/run/docker.sock"


def docker_host() -> str:
    """The endpoint as a ``unix://`` URL. EnvironmentProblem for a remote one."""
    host = os.environ.get("DOCKER_HOST") or _context_host() or _DEFAULT
    if not host.startswith("unix://"):
        raise EnvironmentProblem(
            f"Docker at {host} is remote, and only a Docker Engine on this machine is supported",
            where="DOCKER_HOST" if os.environ.get("DOCKER_HOST") else "the current Docker context",
            hint="run orchestrator on that machine, or unset DOCKER_HOST ('docker context use default')",
        )
    return host


def docker_socket() -> str:
    """Path of the socket."""
    return docker_host().removeprefix("unix://")


def _context_host() -> str:
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    name = os.environ.get("DOCKER_CONTEXT") or _read(folder / "config.json").get("currentContext")
    if not isinstance(name, str) or name in {"", "default"}:
        return ""
    import hashlib  # noqa: PLC0415 (status has to be quick, and contexts are rare)

    meta = _read(folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json")
    endpoints = meta.get("Endpoints")
    docker = endpoints.get("docker") if isinstance(endpoints, dict) else None
    host = docker.get("Host") if isinstance(docker, dict) else None
    return host if isinstance(host, str) else ""


def _read(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
