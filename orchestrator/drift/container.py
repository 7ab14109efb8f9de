"""What Docker says of a container, in the words of ``document.facts``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.drift import units
from orchestrator.drift.names import FLAGS, LISTS, SIZES, TEXTS, TIMES
from orchestrator.observation import LABEL, Setup

_SECRETS = "/run/secrets/"
#: length of the names that Docker makes up
_ANONYMOUS = 64
#: what Docker gives as shared memory where nobody asked for any
_SHM = 64 << 20
#: Compose and ``docker run`` give these to containers where the user's Docker settings name a proxy
_PROXY = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_PROXIES = tuple(f"environment {name}" for proxy in _PROXY for name in (proxy, proxy.upper()))
#: the engine decides between these
_IPC = frozenset({"private", "shareable"})


def setup(detail: Mapping[str, Any], image: Mapping[str, Any] | None, named: str | None) -> Setup:
    """From ``inspect`` of a container, and of its image (None where that is gone).

    ``named``: id of the image that has the container's image name now; None where no image has it.
    """
    config = (image or {}).get("Config") or {}
    has = dict(_facts(detail))
    reference, id_ = detail["Config"]["Image"], detail["Image"]
    if named is not None and named != id_:
        has["image"] = f"an older {reference} ({id_.removeprefix('sha256:')[:12]})"
    usual = dict(_usual(detail, config))
    # without the image its environment can't be told from what was added
    given = ("log option ", *(_PROXIES if image is not None else ("environment ",)))
    usual |= {what: value for what, value in has.items() if what.startswith(given)}
    return Setup(tuple(sorted(has.items())), tuple(sorted(usual.items())))


def _usual(detail: Mapping[str, Any], image: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the image or Docker itself brings along, where a file says nothing.

    The engine's own log options are added to those of a container (dockerd's ``log-opts``).
    """
    host = detail["HostConfig"]
    yield from _environment(image)
    yield from _labels(image)
    yield from _health(image)
    yield from ((f"mount {target}", "an anonymous volume, writable") for target in image.get("Volumes") or ())
    yield "user", image.get("User") or ""
    yield from units.command([*(image.get("Entrypoint") or ()), *(image.get("Cmd") or ())])
    yield "working folder", image.get("WorkingDir") or ""
    yield "stop signal", image.get("StopSignal") or ""
    yield "host name", detail["Config"].get("Hostname", "")
    yield "shared memory", units.size(_SHM)
    yield "log driver", host.get("LogConfig", {}).get("Type", "")
    yield "runtime", host.get("Runtime") or ""
    if host.get("IpcMode") in _IPC:
        yield "IPC namespace", host["IpcMode"]


def _facts(detail: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    config, host = detail["Config"], detail["HostConfig"]
    yield "name", detail["Name"].lstrip("/")
    yield "image", config["Image"]
    yield from units.command([*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())])
    yield from _environment(config)
    yield from _labels(config)
    yield from _health(config)
    both = {**config, **host}
    yield from ((what, "yes") for what, _, key in FLAGS if both.get(key))
    yield from ((what, str(both[key])) for what, _, key in TEXTS if both.get(key))
    yield from ((what, ", ".join(sorted(both[key]))) for what, _, key in LISTS if both.get(key))
    yield from _rights(config, host)
    yield from _limits(host)
    yield from _reached(detail)
    yield from _mounts(detail)


def _environment(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for entry in config.get("Env") or ():
        name, _, value = entry.partition("=")
        yield f"environment {name}", value


def _labels(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Ours alone: Compose, Docker Desktop and others add labels of their own."""
    labels = config.get("Labels") or {}
    yield from ((f"label {name}", value) for name, value in labels.items() if name.startswith(LABEL))


def _health(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    check = config.get("Healthcheck") or {}
    if check.get("Test"):
        yield "health check", " ".join(check["Test"])
    yield from ((what, units.duration(check[key])) for what, _, key in TIMES if check.get(key))
    if check.get("Retries"):
        yield "health check retries", str(check["Retries"])


def _rights(config: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if host.get("CapDrop"):
        yield "dropped capabilities", units.capabilities(host["CapDrop"])
    if host.get("CapAdd"):
        yield "added capabilities", units.capabilities(host["CapAdd"])
    if host.get("SecurityOpt"):
        yield "security options", units.options(host["SecurityOpt"])
    policy = host.get("RestartPolicy") or {}
    if policy.get("Name") not in {None, "", "no"}:
        count = policy.get("MaximumRetryCount")
        yield "restart policy", f"{policy['Name']}:{count}" if count else policy["Name"]
    if config.get("StopTimeout"):
        yield "stop grace period", units.duration(config["StopTimeout"] * 10**9)
    log = host.get("LogConfig") or {}
    if log.get("Type"):
        yield "log driver", log["Type"]
    yield from ((f"log option {key}", value) for key, value in (log.get("Config") or {}).items())
    if host.get("Devices"):
        mapped = (f"{d['PathOnHost']}:{d['PathInContainer']}:{d['CgroupPermissions']}" for d in host["Devices"])
        yield "devices", ", ".join(sorted(mapped))


def _limits(host: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((what, units.size(host[key])) for what, _, key in SIZES if host.get(key))
    if host.get("NanoCpus"):
        yield "CPU limit", f"{host['NanoCpus'] / 10**9:g}"
    if (host.get("PidsLimit") or 0) > 0:
        yield "process limit", str(host["PidsLimit"])
    for request in host.get("DeviceRequests") or ():
        count = request.get("Count") or 0
        ids = request.get("DeviceIDs") or ["all" if count < 0 else str(count)]
        yield "GPUs", ", ".join(ids)


def _reached(detail: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for inside, bound in (detail["HostConfig"].get("PortBindings") or {}).items():
        # what Docker takes no address for
        at = sorted(f"{b.get('HostIp') or '0.0.0.0'}:{b.get('HostPort', '')}" for b in bound or ())  # noqa: S104
        yield f"port {inside}", ", ".join(at)
    for name in (detail.get("NetworkSettings") or {}).get("Networks") or ():
        yield f"network {name}", "connected"


def _mounts(detail: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for mount in detail.get("Mounts") or ():
        target, way = mount["Destination"], "writable" if mount.get("RW") else "read-only"
        name = mount.get("Name") or ""
        if target.startswith(_SECRETS):
            yield f"secret {target.removeprefix(_SECRETS)}", "mounted"
        elif mount.get("Type") == "volume":
            source = "an anonymous volume" if len(name) == _ANONYMOUS else f"volume {name}"
            yield f"mount {target}", f"{source}, {way}"
        else:
            yield f"mount {target}", f"{mount.get('Source', '')}, {way}"
    for target, options in (detail["HostConfig"].get("Tmpfs") or {}).items():
        yield f"tmpfs {target}", units.options(options.split(","))
