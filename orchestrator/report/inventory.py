"""A host's inventory as text, JSON, and as the file that ``--inventory`` reads."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.inventory import MIB, Gpu, Host, Process, gib
from orchestrator.report.look import PLAIN, Look
from orchestrator.report.table import table
from orchestrator.templating import quote


def inventory_text(host: Host, look: Look = PLAIN) -> str:
    """For people."""
    rows = [("docker", host.docker), ("compose", host.compose), ("driver", host.driver or "-")]
    for position, gpu in enumerate(host.gpus):
        rows.append((f"gpu {gpu.index or position}", _line(gpu)))
        rows += [("", f"  {_holder(process)}") for process in gpu.processes]
    if not host.gpus:
        rows.append(("gpu", f"none: {host.gpu_note}"))
    elif host.gpu_note:
        rows.append(("note", host.gpu_note))
    return table(rows, look=look, prose=True)


def _line(gpu: Gpu) -> str:
    if not gpu.usable:
        return f"{gpu.name} {gpu.id} can't be used: {gpu.note}"
    return f"{gpu.name} {gpu.id}, {gib(gpu.free)} of {gib(gpu.total)} free {gpu.note}".rstrip()


def _holder(process: Process) -> str:
    size = "an untold amount" if process.used is None else gib(process.used)
    return f"{size} held by process {process.pid} {process.name}".rstrip()


def inventory_json(host: Host) -> dict[str, object]:
    """Stable shape, version 1. Sizes are bytes, null where the driver does not tell."""
    return {
        "schema": 1,
        "name": host.name,
        "docker": host.docker,
        "compose": host.compose,
        "driver": host.driver,
        "gpu_note": host.gpu_note,
        "gpus": [_gpu_json(gpu, position) for position, gpu in enumerate(host.gpus)],
    }


def _gpu_json(gpu: Gpu, position: int) -> dict[str, object]:
    return {
        "id": gpu.id,
        "name": gpu.name,
        "total_bytes": gpu.total,
        "free_bytes": gpu.free,
        "note": gpu.note,
        "index": gpu.index or str(position),
        "parent": gpu.parent or None,
        "usable": gpu.usable,
        "reserved_bytes": gpu.reserved,
        "compute_capability": _capability(gpu),
        "persistence": gpu.persistence,
        "processes": [{"pid": p.pid, "used_bytes": p.used, "name": p.name} for p in gpu.processes],
    }


def inventory_yaml(host: Host) -> str:
    """The file that ``--inventory`` reads: what does not change from minute to minute, of the GPUs that can be used."""
    lines = [
        "schema_version: 1",
        f"name: {_text(host.name)}",
        f"docker: {_text(host.docker)}",
        f"compose: {_text(host.compose)}",
    ]
    gpus = host.usable_gpus
    lines += [f"driver: {_text(host.driver)}", "gpus:" if gpus else "gpus: []"]
    for position, gpu in enumerate(gpus):
        total = "null" if gpu.total is None else str(gpu.total // MIB)
        lines += [f"  - id: {_text(gpu.id)}", f"    name: {_text(gpu.name)}", f"    total_mib: {total}"]
        lines += _details(gpu, position)
    return "\n".join(lines) + "\n"


def _details(gpu: Gpu, position: int) -> Iterator[str]:
    if gpu.reserved is not None:
        yield f"    reserved_mib: {-(-gpu.reserved // MIB)}"
    if gpu.index not in {"", str(position)}:
        yield f"    index: {_text(gpu.index)}"
    if gpu.parent:
        yield f"    parent: {_text(gpu.parent)}"
    if capability := _capability(gpu):
        yield f"    compute_capability: {_text(capability)}"


def _capability(gpu: Gpu) -> str | None:
    return ".".join(map(str, gpu.compute_capability)) if gpu.compute_capability else None


def _text(value: str) -> str:
    """Quoted for our own reader, which takes a dollar as it is, unlike Compose."""
    return quote(value).replace("$$", "$")
