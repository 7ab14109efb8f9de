"""What a Compose file of ours says of its container, in the words of ``container.setup``."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.drift import units
from orchestrator.drift.names import FLAGS, LISTS, SIZES, TEXTS, TIMES
from orchestrator.drift.reader import Unreadable, read
from orchestrator.observation import LABEL

Facts = Mapping[str, str | None]

#: the line with the digest of the service, as the template writes it
_SEAL = f'\n      "{LABEL}digest": "'
_DIGEST_LENGTH = 64
_CAPABILITY, _TRUE = "gpu", frozenset({"true", "yes", "on"})
_REST = frozenset({"entrypoint", "command", "environment", "labels", "ports", "volumes", "secrets", "tmpfs"})
_REST |= {"healthcheck", "networks", "network_mode", "cap_add", "cap_drop", "security_opt", "restart"}
_REST |= {"stop_grace_period", "logging", "deploy", "cpus", "pids_limit"}
#: what a file may say that is not compared with a container, with the key that the file has for it
SETTING = "setting "
_KNOWN = _REST | {key for _, key, _ in (*FLAGS, *TEXTS, *SIZES, *LISTS)}


def sealed(text: str) -> str:
    """The digest that a file's service carries, if the service is as it was written; "" where it was edited."""
    block = _service_text(text)
    digest = _carried(block)
    written = block.replace(f'{_SEAL}{digest}"', f'{_SEAL}"', 1)
    return digest if digest and hashlib.sha256(written.encode()).hexdigest() == digest else ""


def carried(text: str) -> str:
    """The digest that a file's service carries, edited or not; "" for none."""
    return _carried(_service_text(text))


def _carried(block: str) -> str:
    at = block.find(_SEAL) + len(_SEAL)
    digest = block[at : at + _DIGEST_LENGTH]
    return digest if at >= len(_SEAL) and block[at + _DIGEST_LENGTH : at + _DIGEST_LENGTH + 1] == '"' else ""


def _service_text(text: str) -> str:
    """The lines of the services, which is what the digest is made of."""
    at = start = f"\n{text}".find("\nservices:\n")
    while at >= 0:
        at = text.find("\n", at) + 1
        if not at or text[at : at + 1] not in {" ", "#", "\n"}:
            break
    return text[start : at - 1 if at else None].rstrip("\n") if start >= 0 else ""


def includes(text: str) -> bool:
    """Whether a file only includes others."""
    return "\ninclude:\n" in text and not _service_text(text)


def facts(text: str, service: str, folder: str) -> dict[str, str | None]:
    """What a file in ``folder`` says of a service; None for what depends on a variable.

    Raises Unreadable where orchestrator can't tell.
    """
    whole = read(text)
    try:
        found = whole["services"][service]
        return dict(_facts(whole, found, folder))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"it says nothing of {service} that orchestrator could read") from error


def _facts(whole: Mapping[str, Any], service: Mapping[str, Any], folder: str) -> Iterator[tuple[str, str | None]]:
    project = _text(whole["name"])
    yield from ((what, "yes") for what, key, _ in FLAGS if str(service.get(key, "")).lower() in _TRUE)
    yield from ((what, _text(service[key])) for what, key, _ in TEXTS if service.get(key))
    yield from ((what, units.size_of(service[key])) for what, key, _ in SIZES if service.get(key))
    yield from ((what, ", ".join(sorted(service[key]))) for what, key, _ in LISTS if service.get(key))
    yield from _command(service)
    yield from ((f"environment {k}", _text(v)) for k, v in _pairs(service.get("environment")))
    yield from ((f"label {k}", _text(v)) for k, v in _pairs(service.get("labels")) if k.startswith(LABEL))
    yield from _ports(service.get("ports") or ())
    yield from _mounts(service, whole.get("volumes") or {}, project, folder)
    yield from _networks(service, whole.get("networks") or {}, project)
    yield from _rights(service)
    yield from _limits(service)
    yield from _health(service.get("healthcheck") or {})
    yield from ((f"{SETTING}{k}", str(service[k])) for k in service if k not in _KNOWN)


def _text(value: object) -> str | None:
    """A value as Compose reads it: ``$$`` is a dollar; None where a variable decides."""
    if not isinstance(value, str):
        raise TypeError("no text")
    return None if "$" in value.replace("$$", "") else value.replace("$$", "$")


def _words(value: object) -> list[str]:
    """A command; a text would be taken apart as a shell does, which is not done here."""
    if not isinstance(value, list):
        raise TypeError("no list")
    return [_text(word) or "" for word in value]


def _pairs(value: object) -> list[tuple[str, str]]:
    """``KEY: value`` or ``- KEY=value``; doubled dollars count in names too."""
    if isinstance(value, Mapping):
        return [(key.replace("$$", "$"), text) for key, text in value.items()]
    return [(k.replace("$$", "$"), v) for k, _, v in (entry.partition("=") for entry in value or ())]  # type: ignore[attr-defined]


def _command(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from units.command([*_words(service.get("entrypoint") or []), *_words(service.get("command") or [])])


def _ports(ports: Sequence[str]) -> Iterator[tuple[str, str]]:
    for port in ports:
        rest, _, inside = port.rpartition(":")
        address, _, outside = rest.rpartition(":")
        inside = inside if "/" in inside else f"{inside}/tcp"
        yield f"port {inside}", f"{address or '0.0.0.0'}:{outside}"  # noqa: S104 (what Docker takes none for)


def _mounts(
    service: Mapping[str, Any], volumes: Mapping[str, Any], project: str | None, folder: str
) -> Iterator[tuple[str, str | None]]:
    for mount in service.get("volumes") or ():
        source, target, only = _mount(mount)
        way = "read-only" if only else "writable"
        if source.startswith((".", "/", "~")):
            path = posixpath.normpath(posixpath.join(folder, source))
            yield f"mount {target}", f"{path}, {way}"
        else:
            yield f"mount {target}", f"volume {_named(source, volumes, project)}, {way}"
    for secret in service.get("secrets") or ():
        yield f"secret {secret}", "mounted"
    for entry in service.get("tmpfs") or ():
        target, _, options = entry.partition(":")
        yield f"tmpfs {target}", units.options(options.split(","))


def _mount(mount: object) -> tuple[str, str, bool]:
    if isinstance(mount, str):
        source, target, *mode = (_text(mount) or "").split(":")
        return source, target, "ro" in "".join(mode).split(",")
    assert isinstance(mount, Mapping)  # noqa: S101 (the reader makes nothing else)
    return _text(mount["source"]) or "", _text(mount["target"]) or "", mount.get("read_only") == "true"


def _named(name: str, declared: Mapping[str, Any], project: str | None) -> str:
    """The name that Docker knows a volume or network of the file by."""
    about = declared.get(name) or {}
    if isinstance(about, Mapping) and about.get("name"):
        return str(about["name"])
    return name if isinstance(about, Mapping) and about.get("external") == "true" else f"{project}_{name}"


def _networks(
    service: Mapping[str, Any], networks: Mapping[str, Any], project: str | None
) -> Iterator[tuple[str, str]]:
    if service.get("network_mode"):
        yield f"network {service['network_mode']}", "connected"
        return
    for name in service.get("networks") or ["default"]:
        yield f"network {_named(name, networks, project)}", "connected"


def _rights(service: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    if service.get("cap_drop"):
        yield "dropped capabilities", units.capabilities(service["cap_drop"])
    if service.get("cap_add"):
        yield "added capabilities", units.capabilities(service["cap_add"])
    if service.get("security_opt"):
        yield "security options", units.options(service["security_opt"])
    if service.get("restart") not in {None, "", "no"}:
        yield "restart policy", service["restart"]
    if service.get("stop_grace_period"):
        yield "stop grace period", units.duration_of(service["stop_grace_period"])
    logging = service.get("logging") or {}
    if logging.get("driver"):
        yield "log driver", logging["driver"]
    yield from ((f"log option {key}", _text(value)) for key, value in (logging.get("options") or {}).items())


def _limits(service: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    resources = (service.get("deploy") or {}).get("resources") or {}
    limits, reserved = resources.get("limits") or {}, resources.get("reservations") or {}
    if limits.get("memory"):
        yield "memory limit", units.size_of(limits["memory"])
    if reserved.get("memory"):
        yield "memory reservation", units.size_of(reserved["memory"])
    cpus = limits.get("cpus") or service.get("cpus")
    if cpus:
        yield "CPU limit", f"{float(cpus):g}"
    processes = limits.get("pids") or service.get("pids_limit")
    if processes and int(processes) > 0:
        yield "process limit", processes
    for device in reserved.get("devices") or ():
        if _CAPABILITY in device.get("capabilities", ()):
            yield "GPUs", ", ".join(device.get("device_ids") or [device.get("count", "all")])


def _health(check: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    if check.get("disable") == "true":
        yield "health check", "NONE"
    elif check.get("test"):
        yield "health check", " ".join(_words(check["test"]))
    yield from ((what, units.duration_of(check[key])) for what, key, _ in TIMES if check.get(key))
    if check.get("retries"):
        yield "health check retries", check["retries"]
