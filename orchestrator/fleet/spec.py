"""What ``orchestrator.yaml`` holds, as frozen values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from orchestrator.plan.packing import Strategy
from orchestrator.plan.request import PROJECT_PATTERN, PROJECT_RULE, Mode, is_address
from orchestrator.registry.fields import Environment, Flags, Frozen, ImageReference, Port, Positive, Slug


def _project(value: str) -> str:
    if not PROJECT_PATTERN.fullmatch(value):
        raise ValueError(f"must be {PROJECT_RULE}")
    return value


def _address(value: str) -> str:
    if not is_address(value):
        raise ValueError("must be an IPv4 address of the host, or 0.0.0.0 for all of them")
    return value


def _relative(value: str) -> str:
    if not value or value.startswith("/") or "\\" in value:
        raise ValueError("must be a path relative to this file, with '/' between folders")
    return value


def _gpus(value: object) -> tuple[str, ...]:
    given = value if isinstance(value, list | tuple) else [value]
    if not given or not all(isinstance(one, str | int) and not isinstance(one, bool) and str(one) for one in given):
        raise ValueError("must be the position or UUID of a GPU, or a list of them")
    names = tuple(str(one) for one in given)
    if len(set(names)) < len(names) or any("," in name for name in names):
        raise ValueError("must be a list with each GPU once")
    return names


_ONE_GPU = {"type": ["integer", "string"]}
Gpus = Annotated[
    tuple[str, ...],
    BeforeValidator(_gpus),
    WithJsonSchema({"anyOf": [_ONE_GPU, {"type": "array", "items": _ONE_GPU, "minItems": 1, "uniqueItems": True}]}),
]
Project = Annotated[str, AfterValidator(_project), Field(json_schema_extra={"pattern": f"^{PROJECT_PATTERN.pattern}$"})]
Address = Annotated[str, AfterValidator(_address)]
RelativePath = Annotated[str, AfterValidator(_relative)]


class Settings(Frozen):
    """What a team pins of the entry's settings of an engine: the plan neither raises nor lowers it.

    Each means what the field of that name means in an entry (``storage``: one of its ``storages``; ``max_pixels`` and
    ``max_tiles``: at most those of its ``images``).
    """

    max_model_len: Positive | None = Field(None, description="context in tokens, of a prompt and its answer together")
    max_num_seqs: Positive | None = Field(None, description="requests answered side by side")
    max_pixels: Positive | None = Field(None, description="an image is scaled down to so many pixels")
    max_tiles: Positive | None = Field(None, description="an image is cut into so many pieces at most")
    storage: Literal["16bit", "fp8", "int8", "nf4"] | None = Field(None, description="how the weights are stored")
    environment: Environment = Field(default_factory=dict, description="added to the entry's, or in its place")
    flags: Flags = Field(default_factory=dict, description="added to the entry's, or in its place; needs the engine")
    image: ImageReference | None = Field(None, description="the engine's image; needs the engine")
    tensor_parallel: Positive | None = Field(None, description="GPUs that share the model; vllm only")
    sleep_mode: bool | None = Field(None, description="whether 'orchestrator sleep' may free its GPU; vllm only")
    images_at_once: Positive | None = Field(None, description="images read in one pass; transformers only")


class Defaults(Frozen):
    """What holds for every model that does not say otherwise."""

    engine: Mode = "auto"
    address: Address = "127.0.0.1"
    api_key: bool | None = Field(None, description="whether callers need a key; beyond loopback they always do")
    allow_unpinned: bool = Field(default=False, description="run a repository's own code without a pinned revision")


class Member(Frozen):
    """One model of the fleet; what is left out is the plan's, or the defaults'."""

    engine: Mode | None = None
    gpu: Gpus | None = Field(None, description="position or UUID of the GPU; a list shares the model among them")
    port: Port | None = Field(None, description="in place of the entry's preferred port")
    address: Address | None = Field(None, description="of the host, to publish on")
    api_key: bool | None = Field(None, description="whether callers need a key; beyond loopback they always do")
    allow_unpinned: bool | None = Field(None, description="run a repository's own code without a pinned revision")
    settings: Settings = Settings()


class Fleet(Frozen):
    """The models of one host, and how they are to run."""

    schema_version: Literal[1]
    project: Project = Field(description="Compose project; what runs in it belongs to this fleet")
    host: RelativePath | None = Field(
        None, description="inventory file of the host ('orchestrator inventory --output'); left out: the host at hand"
    )
    registry: tuple[RelativePath, ...] = Field((), description="folders of your own entries")
    output: RelativePath = Field("compose", description="the folder that 'orchestrator render' writes")
    strategy: Strategy = Field("pack", description="pack leaves whole GPUs free, spread loads them alike")
    defaults: Defaults = Defaults()
    models: Annotated[dict[Slug, Member | None], Field(min_length=1)]
