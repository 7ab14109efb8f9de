"""``ModelSpec``: what is known of one model, as frozen values. The YAML files beside this module are its instances.

Units: bytes unless a name says otherwise; ``_gb`` is 10^9 bytes, as in the founding report; ``_gib`` is 2^30.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

EngineName = Literal["vllm", "transformers"]
Family = Literal["qwen2-vl", "got-ocr2", "dots-ocr", "phi3-vision", "internvl2", "moondream2"]
EvidenceLevel = Literal["none", "reported", "listed", "served-tiny", "answered"]
Quantisation = Literal["none", "int8"]
Dtype = Literal["bfloat16", "float16", "float32"]

NAME_PATTERN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ENV_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Below it a port needs privileges; from 32768 to 60999 Linux hands out ephemeral ports and may take ours first.
FIRST_PORT, FIRST_EPHEMERAL, LAST_EPHEMERAL, LAST_PORT = 1024, 32768, 60999, 65535


def _slug(value: str) -> str:
    if not NAME_PATTERN.fullmatch(value) or len(value) > 40:
        raise ValueError("must be lower-case words of letters and digits joined by '-', at most 40 characters")
    return value


def _port(value: int) -> int:
    if value < FIRST_PORT:
        raise ValueError(f"must be at least {FIRST_PORT}: lower ports need privileges")
    if value > LAST_PORT:
        raise ValueError(f"must be at most {LAST_PORT}")
    if FIRST_EPHEMERAL <= value <= LAST_EPHEMERAL:
        raise ValueError(
            f"lies in the kernel's ephemeral range {FIRST_EPHEMERAL}-{LAST_EPHEMERAL}, where any program may take it"
        )
    return value


def _environment(value: dict[str, str]) -> dict[str, str]:
    for key in value:
        if not _ENV_PATTERN.fullmatch(key):
            raise ValueError(f"{key!r} is not a name of an environment variable")
    return value


def _absolute(value: str) -> str:
    if not value.startswith("/") or ".." in value.split("/"):
        raise ValueError("must be an absolute path without '..'")
    return value


Slug = Annotated[str, AfterValidator(_slug)]
Port = Annotated[int, AfterValidator(_port)]
Positive = Annotated[int, Field(ge=1)]
Environment = Annotated[dict[str, str], AfterValidator(_environment)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
Flag = str | int | float | bool


class Frozen(BaseModel):
    """Frozen, strict, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Fact(Frozen):
    """One thing that is known, with the place it is known from."""

    text: str
    source: str


class Recipe(Frozen):
    """Weights that the server makes itself, from a fixed seed, instead of loading them from a hub."""

    name: Slug
    seed: Annotated[int, Field(ge=0)]


class Source(Frozen):
    """Where the weights come from: a Hugging Face repository, a local folder in its place, or a recipe."""

    repository: str | None = None
    revision: str | None = Field(None, description="commit of the repository; null until it is locked")
    path: AbsolutePath | None = Field(None, description="a local folder of weights, used instead of the repository")
    recipe: Recipe | None = None
    remote_code: bool = Field(False, description="the repository's own Python code must run")
    gated: bool = Field(False, description="the hub asks for a token")
    licence: str

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.recipe is not None and (self.repository or self.path):
            raise ValueError("a recipe makes the weights: remove repository and path, or the recipe")
        if not (self.repository or self.path or self.recipe):
            raise ValueError("needs one of repository, path or recipe")
        return self

    @property
    def unpinned_code(self) -> bool:
        """Whether code of an unknown revision would run."""
        return self.remote_code and self.path is None and self.revision is None


class Architecture(Frozen):
    """The true architecture, and the shapes that decide the size of the KV cache."""

    name: str = Field(description="architecture string of config.json, as it truly is")
    reported: str | None = Field(None, description="what the founding report says, verbatim")
    model_type: str
    family: Family = Field(description="which adapter of our Transformers server serves it")
    layers: Positive
    kv_heads: Positive
    head_size: Positive
    hidden_size: Positive
    vocabulary: Positive | None = None
    context: Positive = Field(description="longest context, in tokens, that the model's config allows")
    source: str


class Parameters(Frozen):
    """Parameter counts. ``linear`` are the weights that 8-bit quantisation stores in one byte each."""

    total: Positive
    vision: Annotated[int, Field(ge=0)]
    linear: Annotated[int, Field(ge=0)]
    source: str

    @model_validator(mode="after")
    def _parts_of_the_whole(self) -> Self:
        for part in ("vision", "linear"):
            if getattr(self, part) > self.total:
                raise ValueError(f"{part} {getattr(self, part)} is more than total {self.total}")
        return self


class Images(Frozen):
    """Limits on images. ``patches`` is the largest number of vision patches of one image at those limits."""

    max_per_prompt: Positive = 1
    max_pixels: Positive | None = None
    tokens: Positive = Field(description="image tokens of one image at the limit")
    patches: Positive
    bytes_per_patch: Annotated[int, Field(ge=0)] = Field(description="peak activation of the vision tower per patch")
    source: str


class Prompt(Frozen):
    """How the model wants to be asked. ``{question}`` and ``{image}`` mark the places."""

    template: str
    stop: tuple[str, ...] = ()
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    max_tokens: Positive = 1024


class Probe(Frozen):
    """The question that proves a model ready, asked with a known image. ``expect`` is a regular expression."""

    prompt: str
    max_tokens: Positive = 32
    expect: str | None = None


class Report(Frozen):
    """What the founding report of 24 January 2026 says of one (model, engine) pair, verbatim."""

    allowed: bool
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    status: str | None = None
    notes: str | None = None


class Evidence(Frozen):
    """How a (model, engine) pair is known to work. It never exceeds what ran."""

    level: EvidenceLevel
    note: str = ""


class Engine(Frozen):
    """What both engines need to know of a model."""

    report: Report
    possible: bool = Field(True, description="whether the facts allow it, whatever the report says")
    known: tuple[Fact, ...] = ()
    problems: tuple[Fact, ...] = ()
    evidence: Evidence
    port: Port = Field(description="preferred port on the host")
    devices: tuple[Literal["gpu", "cpu"], ...] = ("gpu",)
    dtype: Dtype = "bfloat16"
    max_model_len: Positive
    max_num_seqs: Positive = 1
    flags: dict[str, Flag] = Field(default_factory=dict, description="extra command-line flags of the engine")
    environment: Environment = Field(default_factory=dict)
    shm_mib: Positive = 256


class Vllm(Engine):
    """A model on vLLM."""

    image: str


class Transformers(Engine):
    """A model on our Transformers server, in an image of ours (by dependency family) or of the user's."""

    image_family: Slug = "tf5"
    image: str | None = Field(None, description="an image of your own that speaks the server's command line")
    quantisation: Quantisation = "none"


class Engines(Frozen):
    """The engines that know the model."""

    vllm: Vllm | None = None
    transformers: Transformers | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if self.vllm is None and self.transformers is None:
            raise ValueError("needs at least one of vllm and transformers")
        return self


class ModelSpec(Frozen):
    """One entry of the registry."""

    schema_version: Literal[1]
    name: Slug
    title: str
    summary: str
    source: Source
    architecture: Architecture
    parameters: Parameters
    images: Images
    prompt: Prompt
    probe: Probe
    engines: Engines
    known: tuple[Fact, ...] = ()

    @model_validator(mode="after")
    def _context_is_enough(self) -> Self:
        for name in ("vllm", "transformers"):
            engine: Engine | None = getattr(self.engines, name)
            if engine is not None and engine.max_model_len > self.architecture.context:
                raise ValueError(
                    f"engines.{name}.max_model_len {engine.max_model_len} is more than "
                    f"the model's context of {self.architecture.context}"
                )
        return self

    def engine(self, name: EngineName) -> Vllm | Transformers | None:
        """The model on that engine, or None where the registry knows nothing of it."""
        return self.engines.vllm if name == "vllm" else self.engines.transformers
