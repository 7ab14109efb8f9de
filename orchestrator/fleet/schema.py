"""The JSON Schema of a fleet file, for editors. Committed as ``fleet.schema.json``; a test keeps it fresh.

To write it again::

    python -c "from orchestrator.fleet.schema import text; print(text(), end='')" > fleet.schema.json
"""

from __future__ import annotations

from orchestrator.fleet.spec import Fleet
from orchestrator.registry.schema import written


def text() -> str:
    """The schema as the committed file holds it. Rules between keys (ports that collide) are left to the reader."""
    return written(Fleet)
