"""A first fleet file, from the models that fit on a host together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from orchestrator.inventory import gib
from orchestrator.plan.placement import Placement, Placements
from orchestrator.profile import changes
from orchestrator.registry.spec import ModelSpec
from orchestrator.report.recommend import limits

#: the schema for editors, beside the fleet file
SCHEMA_FILE = "orchestrator.schema.json"


def fleet_yaml(
    placements: Placements, entries: Sequence[ModelSpec], project: str, inventory: str, registries: Sequence[str]
) -> str:
    """The file: what fits, each with what it gets, and as comments the entries that don't fit or need a word first."""
    by_name = {spec.name: spec for spec in entries}
    lines = [
        f"# yaml-language-server: $schema={SCHEMA_FILE}",
        "# The models of one host. Written by 'orchestrator init': all that fit on it together. Take out what you do",
        "# not need: what stays may get more. 'orchestrator plan' shows what would run, 'orchestrator up' starts it.",
        "schema_version: 1",
        f"project: {json.dumps(project)}",
        f"host: {json.dumps(inventory)}",
        *([f"registry: {json.dumps(list(registries))}"] if registries else []),
        "",
        "models:",
    ]
    for placement in placements.fleet:
        lines += _active(placement, by_name[placement.model])
    chosen = {placement.model for placement in placements.fleet}
    rest = [spec for spec in entries if spec.name not in chosen]
    lines += ["", "  # Left out:"] if rest else []
    for spec in rest:
        lines += [f"  # {spec.name}:  # {_line(_why_not(spec, placements))}"]
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    """The text in one line, so that a comment stays one."""
    return " ".join(text.split())


def _active(placement: Placement, spec: ModelSpec) -> Iterator[str]:
    claim = f"{gib(placement.claim.total)} of GPU memory" if placement.on else "on the CPU"
    yield f"  {placement.model}:  # {_line(spec.summary)}"
    yield f"    # {claim}; {limits(placement.profile)}"
    if lost := changes(placement.best, placement.profile):
        yield f"    # less than its entry asks for: {', '.join(lost)}"
    yield f"    engine: {placement.engine}"
    if placement.on:
        gpus = ", ".join(gpu.index for gpu in placement.on)
        yield f"    gpu: {gpus if len(placement.on) == 1 else f'[{gpus}]'}"
    engine = spec.engine(placement.engine)
    if engine is not None and placement.port != engine.port:
        yield f"    port: {placement.port}  # {engine.port} is taken"


def _why_not(spec: ModelSpec, placements: Placements) -> str:
    alone = next((p for p in placements.items if p.model == spec.name), None)
    if spec.source.unpinned_code:
        return "runs its repository's own code at no pinned revision; with 'allow_unpinned: true' that is your word"
    if alone is not None:
        return f"does not fit beside the others; alone it would, with {limits(alone.profile)}"
    error = next((e for e in placements.omitted if spec.name in e.what), None)
    return error.what if error else "does not fit this host"
