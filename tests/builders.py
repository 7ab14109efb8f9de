"""Small makers of values for tests: every argument has a default that works."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.compose import TEMPLATES, ComposeDocument, document
from orchestrator.inventory import GIB, Gpu, Host
from orchestrator.memory import Claim, Line
from orchestrator.observation import Container, Gate
from orchestrator.plan.images import Image, images_of
from orchestrator.plan.placement import Placement
from orchestrator.profile import Profile
from orchestrator.registry.spec import EngineName, ModelSpec
from tests.templates import TEXTS

Part = Mapping[str, Any]
#: all the parameters of an entry that lists none, but for their count
LINEAR = {"part": "language", "kind": "linear", "rows": 1, "matrices": 1}


def spec(
    name: str = "phi",
    *,
    gib: float = 1.0,
    port: int = 25000,
    vllm: Part | None = None,
    transformers: Part | None = None,
    **parts: Part | str | list[Part],
) -> ModelSpec:
    """An entry whose 16-bit weights take ``gib``. Without an engine it gets Transformers; ``parts`` change sections."""
    total = int(gib * GIB) // 2
    common = {"evidence": {"level": "none"}, "max_model_len": 2048}
    engines: dict[str, object] = {}
    if vllm is not None:
        engines["vllm"] = {**common, "port": port + 50, "image": "vllm/vllm-openai:v0.33.0", **vllm}
    if transformers is not None or vllm is None:
        engines["transformers"] = {**common, "port": port, **(transformers or {})}
    entry: dict[str, Any] = {
        "schema_version": 1,
        "name": name,
        "title": name.title(),
        "summary": "A model",
        "source": {"repository": f"owner/{name}", "licence": "MIT"},
        "architecture": {
            "name": "PhiForCausalLM",
            "model_type": "phi",
            "family": "phi3-vision",
            "layers": 2,
            "kv_heads": 2,
            "head_size": 32,
            "hidden_size": 128,
            "context": 4096,
            "source": "its config",
        },
        "parameters": {"total": total, "source": "its config"},
        "images": {"tokens": 256, "patches": 1024, "bytes_per_patch": 4096, "source": "its config"},
        "prompt": {"template": "{image}{question}"},
        "probe": {"prompt": "Read it."},
        "engines": engines,
    }
    for key, part in parts.items():
        entry[key] = {**entry.get(key, {}), **part} if isinstance(part, Mapping) else part
    entry["parameters"].setdefault("modules", [LINEAR | {"count": entry["parameters"]["total"]}])
    return ModelSpec.model_validate_json(json.dumps(entry))


def gpu(name: str = "GPU-a", total: float | None = 24.0, free: float | None = -1.0, note: str = "") -> Gpu:
    """A GPU, sizes in GiB; all of it is free unless said otherwise, and nothing is reserved."""
    whole = None if total is None else int(total * GIB)
    left = whole if free == -1.0 else None if free is None else int(free * GIB)
    return Gpu(name, "A card", whole, left, note, reserved=None if total is None else 0)


def host(*gpus: Gpu, docker: str = "28.5.2") -> Host:
    """A host with these GPUs."""
    return Host("here", gpus, "" if gpus else "NVML: no driver", docker, "2.40.3")


def claim(gib: float = 1.0) -> Claim:
    """A claim of so many GiB, in one line."""
    return Claim((Line("weights", int(gib * GIB), "a test"),)) if gib else Claim()


#: what an entry of ``spec`` asks for
PROFILE = Profile(2048, 1, None, "16bit")


def placement(model: str = "phi", engine: EngineName = "transformers", **changes: Any) -> Placement:
    """A placement on the CPU, or on the GPUs given, with the profile that ``spec`` asks for."""
    one = changes.pop("gpu", None)
    on = changes.pop("on", (one,) if one else ())
    base = Placement(
        project="orchestrator",
        model=model,
        engine=engine,
        device="gpu" if on else "cpu",
        on=on,
        profile=PROFILE,
        best=PROFILE,
        claim=Claim(),
        image=Image(""),
        address="127.0.0.1",
        port=25000,
    )
    return replace(base, **changes)


def rendered(entry: ModelSpec, where: Placement | None = None, docker: str = "28.5.2") -> ComposeDocument:
    """The document of an entry, on the CPU unless placed elsewhere, with its preferred image unless it has another."""
    placed = where or placement(entry.name)
    engine = entry.engine(placed.engine)
    if engine and not placed.image.reference:
        placed = replace(placed, image=images_of(engine, placed.device)[0])
    return document(entry, placed, docker=docker, templates={n: TEXTS[n] for n in TEMPLATES})


READY = Gate("ready")


def container(model: str = "phi", engine: str = "transformers", **changes: Any) -> Container:
    """A container of ours that serves on the CPU."""
    project, service = changes.get("project", "orchestrator"), f"{model}-{engine}"
    base = Container(
        id=f"id-{service}",
        name=f"{project}-{service}",
        state="running",
        health="healthy",
        project=project,
        service=service,
        model=model,
        engine=engine,
        image="an-image:1",
        image_id="sha256:1",
        digest="d" * 64,
        gpus=(),
        claim=0,
        address="127.0.0.1",
        port=25000,
        command=("run", "--port", "8000"),
        gate=READY,
        started=1000.0,
        published=True,
    )
    return replace(base, **changes)
