"""Aligned columns in plain text."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> str:
    """Rows as aligned columns, two blanks apart, each line ended; "" without rows. Empty columns are left out."""
    if not rows:
        return ""
    lines = [list(header), *map(list, rows)] if header else [list(row) for row in rows]
    kept = [i for i in range(len(lines[0])) if any(row[i] for row in rows)]
    widths = {i: max(len(line[i]) for line in lines) for i in kept}
    return "".join("  ".join(line[i].ljust(widths[i]) for i in kept).rstrip() + "\n" for line in lines)
