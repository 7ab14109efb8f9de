"""What the campaign saw, a line of JSON per record: docs/reliability.md is made of it (``.ci/reliability``).

Written before anything is asserted of it, so that what went wrong is in there too. Of two records of one name the later
one counts. The parts, and what each record of them has:

- ``faults``: see ``campaign.py``
- ``figures`` and ``crashes``: ``what`` was done, the ``result``, the ``limit`` ("" for none), and whether it ``holds``
- ``environment``: the machine, once
"""

from __future__ import annotations

import json

from tests.integration.cli import REPOSITORY

FILE = REPOSITORY / "build" / "reliability.jsonl"


def record(name: str, part: str, **values: object) -> None:
    """Add a record. ``name`` is its own, in lower case with hyphens."""
    FILE.parent.mkdir(exist_ok=True)
    with FILE.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"name": name, "part": part, **values}) + "\n")
