"""Inventory files: a host's GPUs and versions, for planning and rendering away from it. Text to values; pure."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.errors import FileProblems, Problem
from orchestrator.inventory import MIB, Gpu, Host
from orchestrator.registry.messages import problems
from orchestrator.registry.tree import Tree, read

_ID = r"[A-Za-z0-9][A-Za-z0-9._:-]*"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class _Gpu(_Part):
    id: Annotated[str, Field(pattern=rf"^{_ID}$")]
    name: str
    total_mib: Annotated[int, Field(ge=1)] | None
    reserved_mib: Annotated[int, Field(ge=0)] | None = None
    index: Annotated[str, Field(pattern=r"^[0-9]+(:[0-9]+)?$")] = ""
    parent: Annotated[str, Field(pattern=rf"^({_ID})?$")] = ""
    compute_capability: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")] | None = None


class _Inventory(_Part):
    schema_version: Literal[1]
    name: str
    docker: str = ""
    compose: str = ""
    driver: str = ""
    gpus: tuple[_Gpu, ...]


def parse_inventory(file: str, text: str) -> Host:
    """The host that the text describes. FileProblems with every problem, if it is not an inventory."""
    tree = read(file, text)
    try:
        found = _Inventory.model_validate_json(json.dumps(tree.data))
    except ValidationError as error:
        raise _refusal((*tree.problems, *(problems(error, tree, _Inventory) if not tree.broken else ()))) from None
    wrong = (*tree.problems, *_twice(found, tree))
    if wrong:
        raise _refusal(wrong)
    gpus = tuple(_gpu(gpu) for gpu in found.gpus)
    note = "" if gpus else "the inventory file lists none"
    return Host(found.name, gpus, note, found.docker, found.compose, found.driver)


def _gpu(gpu: _Gpu) -> Gpu:
    total = None if gpu.total_mib is None else gpu.total_mib * MIB
    major, _, minor = (gpu.compute_capability or "").partition(".")
    return Gpu(
        gpu.id,
        gpu.name,
        total,
        None,
        "" if total else "the inventory file gives no memory for it",
        index=gpu.index,
        parent=gpu.parent,
        reserved=None if gpu.reserved_mib is None else gpu.reserved_mib * MIB,
        compute_capability=(int(major), int(minor)) if major else None,
    )


def _twice(found: _Inventory, tree: Tree) -> list[Problem]:
    ids = [gpu.id for gpu in found.gpus]
    indexes = [gpu.index or str(at) for at, gpu in enumerate(found.gpus)]
    return [
        Problem(
            tree.file, tree.line(("gpus", at, key)), f"gpus.{at}.{key}", f"{value!r} is listed {count[value]} times"
        )
        for key, values in (("id", ids), ("index", indexes))
        if (count := Counter(values))
        for at, value in enumerate(values)
        if count[value] > 1
    ]


def _refusal(found: tuple[Problem, ...]) -> FileProblems:
    return FileProblems(tuple(dict.fromkeys(found)), hint="'orchestrator inventory --output FILE' writes a right one")
