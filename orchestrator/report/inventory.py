"""A host's inventory as text, JSON, and as the file that ``--inventory`` reads."""

from __future__ import annotations

from orchestrator.inventory import MIB, Host, gib
from orchestrator.report.table import table
from orchestrator.templating import quote


def inventory_text(host: Host) -> str:
    """For people."""
    rows = [("docker", host.docker), ("compose", host.compose), ("driver", host.driver or "-")]
    rows += [
        (f"gpu {at}", f"{g.name} {g.id}, {gib(g.free)} of {gib(g.total)} free {g.note}".rstrip())
        for at, g in enumerate(host.gpus)
    ]
    if not host.gpus:
        rows.append(("gpu", f"none: {host.gpu_note}"))
    return table(rows)


def inventory_json(host: Host) -> dict[str, object]:
    """Stable shape, version 1. Sizes are bytes, null where the driver does not tell."""
    return {
        "schema": 1,
        "name": host.name,
        "docker": host.docker,
        "compose": host.compose,
        "driver": host.driver,
        "gpu_note": host.gpu_note,
        "gpus": [
            {"id": g.id, "name": g.name, "total_bytes": g.total, "free_bytes": g.free, "note": g.note}
            for g in host.gpus
        ],
    }


def inventory_yaml(host: Host) -> str:
    """The file that ``--inventory`` reads: what does not change from minute to minute."""
    lines = [
        "schema_version: 1",
        f"name: {_text(host.name)}",
        f"docker: {_text(host.docker)}",
        f"compose: {_text(host.compose)}",
    ]
    lines += [f"driver: {_text(host.driver)}", "gpus:" if host.gpus else "gpus: []"]
    for gpu in host.gpus:
        total = "null" if gpu.total is None else str(gpu.total // MIB)
        lines += [f"  - id: {_text(gpu.id)}", f"    name: {_text(gpu.name)}", f"    total_mib: {total}"]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """Quoted for our own reader, which takes a dollar as it is, unlike Compose."""
    return quote(value).replace("$$", "$")
