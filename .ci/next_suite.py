"""Prints the machine's own apt source of a Debian suite, changed to another suite: ``next_suite.py bookworm
trixie``.

Reads the deb822 and the one-line files of /etc/apt, so that mirrors, proxies and keys stay those of the
machine.
The answer is deb822 (first line ``Types: deb``) or one-line (``deb ...``). Exit 1 when the machine has no
such source.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

APT = Path("/etc/apt")
ALIASES = {"bookworm": ("bookworm", "stable", "oldstable")}


def deb822(text: str, suites: tuple[str, ...], wanted: str) -> str | None:
    """The first enabled stanza of binary packages that has one of ``suites``, with ``wanted`` in its
    place."""
    for stanza in re.split(r"\n\s*\n", text):
        fields = _fields(stanza)
        words = {name: value.partition(":")[2].split() for name, value in fields.items()}
        if words.get("enabled", ["yes"])[:1] in (["no"], ["false"]) or "deb" not in words.get("types", ()):
            continue
        if set(suites) & set(words.get("suites", ())):
            changed = {"types": "Types: deb", "suites": f"Suites: {wanted}", "components": "Components: main"}
            return "\n".join((fields | changed).values())
    return None


def _fields(stanza: str) -> dict[str, str]:
    """The fields of a stanza by their names in lower case, each with its continuation lines."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line[0].isspace():
            fields[name] += f"\n{line}"
        else:
            name = line.partition(":")[0].lower()
            fields[name] = line
    return fields


def one_line(text: str, suites: tuple[str, ...], wanted: str) -> str | None:
    """The first ``deb`` line that has one of ``suites``, with ``wanted`` in its place."""
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+\S", line)
        if match and match[3] in suites:
            return f"deb {match[1] or ''}{match[2]} {wanted} main"
    return None


def find(suites: tuple[str, ...], wanted: str) -> str | None:
    """The changed source of the first file of apt that has one."""
    files = [APT / "sources.list", *sorted((APT / "sources.list.d").glob("*"))]
    for path in files:
        reader = {".sources": deb822, ".list": one_line}.get(path.suffix)
        if reader and path.is_file() and (found := reader(path.read_text(), suites, wanted)):
            return found
    return None


def main() -> int:
    """See the module's docstring."""
    suite, wanted = sys.argv[1:]
    source = find(ALIASES.get(suite, (suite,)), wanted)
    if source is None:
        print(f"no apt source of Debian {suite} in {APT}", file=sys.stderr)
        return 1
    print(source)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
