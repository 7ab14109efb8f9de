"""The JSON Schema of a registry entry, for editors. Committed as ``model.schema.json``; a test keeps it fresh.

To write it again::

    python -c "from orchestrator.registry.schema import text; print(text(), end='')" > model.schema.json
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from orchestrator.registry.spec import ModelSpec

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(model: type[BaseModel] = ModelSpec) -> dict[str, Any]:
    """The schema. Rules that JSON Schema can't say (ports that collide, names of files) are left to the loader."""
    return {"$schema": _DIALECT} | model.model_json_schema()


def text() -> str:
    """The schema as the committed file holds it."""
    return written(ModelSpec)


def written(model: type[BaseModel]) -> str:
    """The schema of any kind of file, as a file holds it."""
    return json.dumps(schema(model), indent=2, ensure_ascii=False) + "\n"
