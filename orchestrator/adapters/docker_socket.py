"""Looks at Docker over its socket, because ``status`` has to be quick.

With ``socket`` alone: the import of ``http.client`` takes as long as everything that is asked of Docker.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from orchestrator.adapters.endpoint import docker_socket
from orchestrator.drift.container import setup
from orchestrator.errors import DockerAway, EnvironmentProblem, OrchestratorError
from orchestrator.observation import (
    ASLEEP,
    IMAGE_SOURCE_LABEL,
    LABEL,
    SCHEMA,
    Container,
    Foreign,
    Gate,
    Image,
    Observation,
    PortHolder,
    Progress,
    Remains,
    Setup,
)
from orchestrator.ports import DockerVersion
from orchestrator.secretfile import API_KEY

_COMPOSE_LABEL = "com.docker.compose."
_TIMEOUT = 30.0
#: seconds for a registry to answer the engine; a network that swallows packets never does
_REGISTRY_PATIENCE = 4.0
#: with it on the engine's PATH, device reservations work even where no runtime is registered
_HOOK = "nvidia-container-runtime-hook"
_NOT_FOUND = 404


class SocketReader:
    """The Docker Engine behind a local socket.

    ``listeners`` tells who else listens on TCP ports of this host; ``sleeps`` whether the engine on a port sleeps.
    """

    def __init__(
        self,
        listeners: Callable[[], Mapping[int, str]] = dict,
        sleeps: Callable[[str, int], bool | None] = lambda _host, _port: None,
        registry_patience: float = _REGISTRY_PATIENCE,
    ) -> None:
        self._listeners = listeners
        self._registry_patience = registry_patience
        self._sleeps = sleeps

    def version(self) -> DockerVersion:
        """Version of the engine; EnvironmentProblem when none answers."""
        found = self._get("/version")
        names = [str(c.get("Name", "")) for c in found.get("Components") or ()]
        return DockerVersion(str(found.get("Version", "")), podman=any("podman" in name.lower() for name in names))

    def observe(
        self,
        images: Sequence[str] = (),
        volumes: Sequence[str] = (),
        *,
        listeners: bool = False,
        setups: bool = False,
    ) -> Observation:
        """One snapshot of all containers, and of these images and volumes.

        ``listeners``: also of what else listens on TCP ports, which takes longer than all the rest. ``setups``: also
        of how containers are set up, for which their images are asked for.
        """
        listed = self._get("/containers/json?all=1", list)
        ours = [c for c in listed if (c["Labels"] or {}).get(LABEL + "schema") == SCHEMA]
        known = {c["Id"] for c in ours}
        details = ((item, self._get(f"/containers/{item['Id']}/json", missing=None)) for item in ours)
        local = lru_cache(self._local)  # most containers share an image with another
        held = {p.port: p for c in listed for p in _ports(c)}
        heard = self._listeners() if listeners else {}
        others = [PortHolder(port, who) for port, who in heard.items() if port not in held]
        return Observation(
            containers=tuple(
                self._now(replace(_container(item, detail), setup=_setup(detail, local) if setups else Setup()))
                for item, detail in details
                if detail is not None
            ),
            foreign=tuple(_foreign(c) for c in listed if c["Id"] not in known),
            ports=(*held.values(), *others),
            images={ref: _image(found) for ref in images if (found := local(ref)) is not None},
            volumes=frozenset(name for name in volumes if self._get(f"/volumes/{quote(name, safe='')}", missing=None)),
        )

    def reachable(self, image: str) -> bool:
        """Whether the image's registry has it for the engine; False too where it does not answer within seconds."""
        try:
            status, _ = _ask(docker_socket(), f"/distribution/{quote(image)}/json", self._registry_patience)
        except TimeoutError:
            return False
        except (OSError, ValueError) as error:
            raise no_docker(error) from error
        return status < 400

    def remains(self, volumes: Sequence[str]) -> Remains:
        """What lies around beside the containers of models: helpers, Compose's networks, and these volumes."""
        from orchestrator.adapters.remains import remains  # noqa: PLC0415 (status has to be quick)

        return remains(self._get, volumes)

    def sizes(self, volumes: Sequence[str]) -> Mapping[str, int]:
        """Bytes in each of these volumes that exist. Engines older than 23 count everything else as well."""
        found = self._get("/system/df?type=volume").get("Volumes") or ()
        return {v["Name"]: int((v.get("UsageData") or {}).get("Size", 0)) for v in found if v["Name"] in volumes}

    def gpu_ways(self) -> tuple[str, ...]:
        """The ways in which the engine can hand out GPUs: the NVIDIA runtime, its hook, CDI devices."""
        import shutil  # noqa: PLC0415 (status has to be quick, and this is for doctor)

        info = self._get("/info")
        devices = [str(device.get("ID", "")) for device in info.get("DiscoveredDevices") or ()]
        return (
            *(("the NVIDIA runtime",) if "nvidia" in (info.get("Runtimes") or {}) else ()),
            *((f"{_HOOK} on PATH",) if shutil.which(_HOOK) else ()),
            *((f"CDI with {len(devices)} devices",) if devices else ()),
        )

    def memory(self) -> int:
        """Bytes of memory that the engine's host has; 0 where it does not tell."""
        return int(self._get("/info").get("MemTotal") or 0)

    def memory_of(self, container: str) -> int | None:
        """Bytes of the host's memory that a container uses now, as ``docker stats`` counts them: without file cache."""
        found = self._get(f"/containers/{container}/stats?stream=false&one-shot=true", missing=None) or {}
        told = found.get("memory_stats") or {}
        if "usage" not in told:
            return None
        cache = told.get("stats") or {}
        unused = cache.get("total_inactive_file", cache.get("inactive_file", 0))  # by cgroup v1, by v2
        return max(0, int(told["usage"]) - int(unused))

    def disk(self) -> tuple[str, int | None]:
        """The engine's data folder, and the bytes free there (None where this user can't look)."""
        folder = str(self._get("/info").get("DockerRootDir", ""))
        try:
            disk = os.statvfs(folder)
        except OSError:
            return folder, None
        return folder, disk.f_bavail * disk.f_frsize

    def _now(self, container: Container) -> Container:
        """The container, asleep or ready by its engine's own word: that of the last health check may be old."""
        if not (container.can_sleep and container.published and (container.ready or container.asleep)):
            return container
        asleep = self._sleeps(container.host, container.port)
        if asleep is None or asleep == container.asleep:
            return container
        return replace(container, gate=Gate(ASLEEP if asleep else "ready"))

    def _local(self, reference: str) -> dict[str, Any] | None:
        """A local image, by name or id."""
        found: dict[str, Any] | None = self._get(f"/images/{quote(reference, safe='')}/json", missing=None)
        return found

    def _get(self, path: str, shape: type = dict, **missing: None) -> Any:
        try:
            status, body = _ask(docker_socket(), path)
            if status < 400:
                return _shaped(json.loads(body), shape)
        except (OSError, ValueError, TypeError) as error:
            raise no_docker(error) from error
        if status == _NOT_FOUND and "missing" in missing:
            return None
        raise OrchestratorError(f"Docker refused {path}: {_message(body)}", where=docker_socket())


def _image(found: Mapping[str, Any]) -> Image:
    return Image(found["Id"], (found.get("Config", {}).get("Labels") or {}).get(IMAGE_SOURCE_LABEL, ""))


def _setup(detail: Mapping[str, Any], local: Callable[[str], dict[str, Any] | None]) -> Setup:
    """The name of its image may have moved to another, or be gone."""
    named = local(detail["Config"]["Image"])
    own = named if named is not None and named["Id"] == detail["Image"] else local(detail["Image"])
    return setup(detail, own, named["Id"] if named else None)


def _shaped(found: object, shape: type) -> object:
    if not isinstance(found, shape):
        raise TypeError("the answer is not Docker's")
    return found


def _ask(where: str, path: str, patience: float = _TIMEOUT) -> tuple[int, bytes]:
    """Status and body of one GET. By HTTP 1.0 the body is neither chunked nor followed by anything."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patience)
        connection.connect(where)
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        with connection.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise ValueError("the answer is not HTTP")
    return int(words[1]), body


def no_docker(error: Exception) -> EnvironmentProblem:
    """The error for a socket that does not answer, with what to do."""
    where = docker_socket()
    if isinstance(error, PermissionError):
        return EnvironmentProblem(
            "this user may not talk to Docker",
            where=where,
            hint="run as root, or join the group 'docker' and log in again",
        )
    return DockerAway(
        f"no Docker Engine answers ({error})",
        where=where,
        hint="install and start Docker ('make setup' in a checkout does both)",
    )


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()


def _foreign(listed: Mapping[str, Any]) -> Foreign:
    labels = listed.get("Labels") or {}
    project, service = (str(labels.get(_COMPOSE_LABEL + key, "")) for key in ("project", "service"))
    return Foreign(listed["Id"], _name(listed), f"{project}-{service}" if project and service else "")


def _name(listed: Mapping[str, Any]) -> str:
    return str((listed.get("Names") or [listed["Id"][:12]])[0]).lstrip("/")


def _ports(listed: Mapping[str, Any]) -> list[PortHolder]:
    holder = f"container {_name(listed)}"
    return [
        PortHolder(p["PublicPort"], holder, listed["Id"])
        for p in listed.get("Ports") or ()
        if p.get("PublicPort") and p.get("Type") == "tcp"
    ]


def _container(listed: Mapping[str, Any], detail: Mapping[str, Any]) -> Container:
    labels: Mapping[str, str] = {k.removeprefix(LABEL): v for k, v in listed["Labels"].items() if k.startswith(LABEL)}
    state = detail["State"]
    health = state.get("Health") or {}
    started = _seconds(state.get("StartedAt", ""))
    return Container(
        id=listed["Id"],
        name=_name(listed),
        state=state["Status"],
        health=health.get("Status", "") if state["Status"] == "running" else "",
        project=labels.get("project", ""),
        service=labels.get("service", ""),
        model=labels.get("model", ""),
        engine=labels.get("engine", ""),
        image=detail["Config"]["Image"],
        image_id=detail["Image"],
        digest=labels.get("digest", ""),
        gpus=tuple(filter(None, labels.get("gpus", "").split(","))),
        claim=int(labels.get("claim") or 0),
        address=labels.get("address", ""),
        port=int(labels.get("port") or 0),
        command=tuple(detail["Config"].get("Cmd") or ()),
        gate=_gate(health, started),
        exit_code=int(state.get("ExitCode", 0)),
        error=state.get("Error", ""),
        oom=bool(state.get("OOMKilled")),
        started=started,
        profile=labels.get("profile", ""),
        best=labels.get("best", ""),
        published=any(p.get("IP") == labels.get("address") for p in _bound(listed, labels.get("port"))),
        key_file=next((m["Source"] for m in detail.get("Mounts") or () if m["Destination"] == API_KEY.mount), ""),
        created=float(listed.get("Created") or 0),
        applied=str(listed["Labels"].get(_COMPOSE_LABEL + "project.config_files", "")).partition(",")[0],
    )


def _bound(listed: Mapping[str, Any], port: str | None) -> list[Mapping[str, Any]]:
    return [p for p in listed.get("Ports") or () if p.get("Type") == "tcp" and str(p.get("PublicPort", "")) == port]


def _gate(health: Mapping[str, Any], started: float) -> Gate | None:
    """The gate's last word. Docker keeps the log of earlier runs; a word older than the start says nothing."""
    for entry in reversed(health.get("Log") or ()):
        if _seconds(entry.get("Start", "")) < started:
            return None
        try:
            said = json.loads(entry.get("Output", ""))
            words = str(said["phase"]), str(said["reason"]), str(said["detail"])
            cause = str(said.get("cause") or "")
            return Gate(*words, int(said["restarts"]), _progress(said.get("progress")), cause)
        except (ValueError, KeyError, TypeError):
            continue
    return None


def _progress(said: Mapping[str, Any] | None) -> Progress | None:
    """Of a start; gates of older versions tell none."""
    if not said:
        return None
    known = said.get("share"), said.get("bytes"), said.get("total")
    return Progress(str(said["phase"]), str(said["text"]), float(said["moved"]), *known)


def _seconds(stamp: str) -> float:
    """Docker's time (nanoseconds, any zone) as Unix seconds; 0.0 for its zero time or none."""
    if not stamp or stamp.startswith("0001-"):
        return 0.0
    whole = re.sub(r"(\.\d{6})\d+", r"\1", stamp).replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(whole).astimezone(UTC).timestamp()
    except ValueError:
        return 0.0
