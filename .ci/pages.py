"""Files of the repository that a script writes: written where they differ, or with ``--check`` only told of."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def settle(wanted: Mapping[Path, str], words: str, present: Iterable[Path] = ()) -> int:
    """Write or check; the exit status. ``present``: files that go where they are not wanted.

    ``words``: what a stale file is not, as in "docs/x.md is not what .ci/x would write".
    """
    stale = [file for file, text in wanted.items() if not file.exists() or file.read_text(encoding="utf-8") != text]
    extra = sorted(set(present) - set(wanted))
    if sys.argv[1:] == ["--check"]:
        for file in sorted([*stale, *extra]):
            print(f"{file.relative_to(ROOT)} is not {words}", file=sys.stderr)
        return int(bool(stale or extra))
    for file in stale:
        file.parent.mkdir(exist_ok=True)
        file.write_text(wanted[file], encoding="utf-8")
    for file in extra:
        file.unlink()
    return 0
