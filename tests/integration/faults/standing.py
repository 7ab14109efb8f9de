"""What there is, on the engine and around it: everything that a command could leave behind."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path

from tests.integration.cli import Cli
from tests.integration.engine import wait_for
from tests.integration.faults.campaign import locks

Standing = Mapping[str, frozenset[str]]


def standing(cli: Cli) -> Standing:
    """Things by their kind. The order and the counters of rules of the packet filter are left out."""
    engine = cli.engine
    objects = engine.objects()
    groups = [path for path in Path("/sys/fs/cgroup").glob(f"**/{engine.folder.name}/**") if path.is_dir()]
    mounts = Path(f"/proc/{engine.namespaces}/mountinfo").read_text().splitlines()
    rules = engine.run("iptables-save").stdout.splitlines()
    return {
        "containers": objects.containers,
        "networks": objects.networks,
        "volumes": objects.volumes,
        "files": frozenset(str(path) for path in cli.state.rglob("*")),
        "locks that are held": frozenset(locks(cli)),
        "network links": frozenset(name for _, name in socket.if_nameindex()),
        "control groups": frozenset(map(str, groups)),
        "mounts": frozenset(line.split()[4] for line in mounts),
        "processes": _lines(engine.inside("cat /proc/[0-9]*/comm 2>/dev/null | sort | uniq -c")),
        "packet filter rules": frozenset(re.sub(r"\[\d+:\d+\]", "", rule) for rule in rules if rule[0] != "#"),
    }


def nothing_more(cli: Cli, before: Standing) -> None:
    """Docker clears up after itself in its own time; then there is nothing that was not there before."""
    more: dict[str, list[str]] = {}

    def gone() -> bool:
        now = standing(cli)
        more.clear()
        more.update({kind: sorted(now[kind] - before[kind]) for kind in now if now[kind] - before[kind]})
        return not more

    try:
        wait_for(gone, "nothing more than before", seconds=20, every=0.5)
    except TimeoutError:
        raise AssertionError(f"left behind: {more}") from None


def _lines(text: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, text.splitlines())))
