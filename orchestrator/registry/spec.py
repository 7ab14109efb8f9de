"""``ModelSpec``: what is known of one model, as frozen values. The files in ``models/`` are its instances.

Units: bytes unless a name says otherwise; ``_gb`` is 10^9 bytes, as in the founding report; ``_gib`` is 2^30.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from orchestrator import traits
from orchestrator.evidence import EvidenceLevel
from orchestrator.registry.fields import (
    DERIVED_TRANSFORMERS,
    DERIVED_VLLM,
    FIRST_EPHEMERAL,
    FIRST_PORT,
    LAST_EPHEMERAL,
    LAST_PORT,
    NAME_PATTERN,
    AbsolutePath,
    Commit,
    Environment,
    Expression,
    Flag,
    Flags,
    Frozen,
    ImageReference,
    Port,
    Positive,
    Repository,
    Slug,
    Text,
    derived_flags,
    internal_variables,
    refuse,
    unknown_flags,
    wrong_lengths,
)
from orchestrator.registry.limits import Images, Smallest, Tiles, wrong_smallest
from orchestrator.registry.weights import Parameters, Part, Quantiser, Storage

__all__ = [
    "ENGINES",
    "FIRST_EPHEMERAL",
    "FIRST_PORT",
    "LAST_EPHEMERAL",
    "LAST_PORT",
    "NAME_PATTERN",
    "Architecture",
    "Dtype",
    "Engine",
    "EngineName",
    "Engines",
    "Evidence",
    "EvidenceLevel",
    "Fact",
    "Family",
    "Flag",
    "Images",
    "ModelSpec",
    "Parameters",
    "Part",
    "Probe",
    "Prompt",
    "Quantiser",
    "Report",
    "Smallest",
    "Source",
    "Storage",
    "TaskName",
    "Tiles",
    "Transformers",
    "Vllm",
]

EngineName = Literal["vllm", "transformers"]
ENGINES: tuple[EngineName, ...] = ("vllm", "transformers")
Family = Literal["qwen2-vl", "got-ocr2", "dots-ocr", "phi3-vision", "internvl2", "moondream2"]
Dtype = Literal["bfloat16", "float16", "float32"]
#: the reference tasks of ``verify``: a short printed string, lines of text, a table, a formula, a scene of shapes
TaskName = Literal["printed", "text", "table", "formula", "scene"]

_STORAGES = (
    "how the weights may be stored, the preferred first; 16bit is unquantised, and 32 bit where dtype is float32"
)


class Fact(Frozen):
    """One thing that is known, with the place it is known from."""

    text: Text
    source: Text
    corrects: Text | None = Field(
        None, description="what the founding report says, in its own words, that this shows to be otherwise"
    )


class Source(Frozen):
    """Where the weights come from: a Hugging Face repository, a local folder in its place, or orchestrator itself."""

    repository: Repository | None = None
    revision: Commit | None = Field(None, description="commit of the repository; null until it is locked")
    path: AbsolutePath | None = Field(None, description="a local folder of weights, used instead of the repository")
    builtin: Slug | None = Field(None, description="name of weights that come with orchestrator")
    remote_code: bool = Field(default=False, description="the repository's own Python code must run")
    gated: bool = Field(default=False, description="the hub asks for a token")
    licence: Text

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.builtin is not None and (self.repository or self.path):
            raise ValueError("builtin weights come with orchestrator: remove repository and path, or builtin")
        if not (self.repository or self.path or self.builtin):
            raise ValueError("needs one of repository, path or builtin")
        return self

    @property
    def unpinned_code(self) -> bool:
        """Whether code of an unknown revision would run."""
        return self.remote_code and self.path is None and self.revision is None


class Architecture(Frozen):
    """The true architecture, and the shapes that decide the size of the KV cache."""

    name: Text = Field(description="architecture string of config.json, as it truly is")
    reported: str | None = Field(None, description="what the founding report says, verbatim")
    model_type: Text
    family: Family = Field(description="which adapter of our Transformers server serves it")
    layers: Positive
    kv_heads: Positive
    head_size: Positive
    hidden_size: Positive
    vocabulary: Positive | None = None
    context: Positive = Field(description="longest context, in tokens, that the model's config allows")
    source: Text


class Prompt(Frozen):
    """How the model wants to be asked. ``{question}`` and ``{image}`` mark the places."""

    template: Text
    stop: tuple[Text, ...] = ()
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    max_tokens: Positive = 1024


class Probe(Frozen):
    """The question that proves a model ready, asked with a known image."""

    prompt: Text
    max_tokens: Positive = 32
    expect: Expression | None = Field(None, description="regular expression found in the answer")


class Report(Frozen):
    """What the founding report of 24 January 2026 says of one (model, engine) pair, verbatim.

    A model that the report does not know has no status; ``allowed`` is then the entry's own word.
    """

    allowed: bool = Field(description="whether the plan may choose the engine by itself")
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    status: str | None = None
    notes: str | None = None
    test_priority: Literal[1, 2, 3] | None = Field(
        None, description="the report's test plan: 1 critical, 2 important, 3 desirable; the others come last"
    )


class Evidence(Frozen):
    """How a (model, engine) pair is known to work. It never exceeds what ran."""

    level: EvidenceLevel
    stand_in: bool = Field(
        default=False,
        description="the repository's own code was not at hand: a module of ours with its interface ran in its place",
    )
    note: str = ""


class Engine(Frozen):
    """What both engines need to know of a model."""

    report: Report = Field(Report(allowed=True), description="left out for a model that the report does not know")
    possible: bool = Field(default=True, description="whether the facts allow it, whatever the report says")
    known: tuple[Fact, ...] = ()
    problems: tuple[Fact, ...] = ()
    evidence: Evidence
    port: Port = Field(description="preferred port on the host")
    devices: tuple[Literal["gpu", "cpu"], ...] = ("gpu",)
    dtype: Dtype = "bfloat16"
    max_model_len: Positive
    max_num_seqs: Positive = 1
    storages: Annotated[tuple[Storage, ...], Field(min_length=1)] = Field(("16bit",), description=_STORAGES)
    keep_16bit: tuple[Part, ...] = Field((), description="parts whose linear layers quantisation leaves in 16 bit")
    smallest: Smallest = Smallest()
    flags: Flags = Field(
        default_factory=dict,
        description="extra command-line flags of the engine; the name without the dashes in front",
    )
    environment: Environment = Field(default_factory=dict)
    shm_mib: Positive = 256

    @property
    def stored(self) -> tuple[Storage, ...]:
        """How the weights may be stored, the preferred first."""
        return ("float32",) if self.dtype == "float32" else self.storages

    @model_validator(mode="after")
    def _storages_agree(self) -> Self:
        if len(set(self.storages)) < len(self.storages):
            refuse([(("storages",), "names a storage twice")])
        if self.dtype == "float32" and self.storages != ("16bit",):
            refuse([(("storages",), "is not for dtype float32, whose weights are stored as they are")])
        return self


class Vllm(Engine):
    """A model on vLLM."""

    image: ImageReference
    cpu_image: ImageReference | None = Field(
        None, description="an image of your own for the CPU; else the official one, or ours where that can't be pulled"
    )
    storages: Annotated[tuple[Literal["16bit", "fp8"], ...], Field(min_length=1)] = Field(
        ("16bit",), description=_STORAGES
    )
    tensor_parallel: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        (1,), description="sizes of the group of equal GPUs that may share the model, the preferred first"
    )
    keep_16bit: tuple[Part, ...] = Field(
        ("vision", "projector", "other"),
        description="parts that are counted in 16 bit with fp8. Which of them vLLM converts was not verified",
    )

    sleep_mode: bool = Field(
        default=False,
        description="whether 'orchestrator sleep' may free its GPU; opens vLLM's development endpoints on its port",
    )

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        refuse((*derived_flags(self.flags, DERIVED_VLLM), *internal_variables(self.environment)))
        if self.sleep_mode and not traits.can_sleep(self.image):
            refuse([(("sleep_mode",), f"needs vLLM {traits.written(traits.VLLM_SLEEP_MODE.since)} or newer")])
        return self

    @model_validator(mode="after")
    def _starts(self) -> Self:
        refuse(unknown_flags(self.flags, self.image))
        refuse(unknown_flags(self.flags, self.cpu_image or ""))
        several = "cpu" in self.devices or max(self.tensor_parallel) > 1
        if several and self.shm_mib < traits.VLLM_SHARED_MIB:
            least = f"must be at least {traits.VLLM_SHARED_MIB}"
            refuse([(("shm_mib",), f"{least} on the CPU and over several GPUs, where vLLM's processes share memory")])
        return self


class Transformers(Engine):
    """A model on our Transformers server, in an image of ours (by dependency family) or of the user's."""

    image_family: Slug = "tf5"
    images_at_once: Positive = Field(
        1, description="images of requests that begin together, read in one pass; memory is claimed for all of them"
    )
    image: ImageReference | None = Field(None, description="an image of your own that speaks the server's command line")
    storages: Annotated[tuple[Literal["16bit", "int8", "nf4"], ...], Field(min_length=1)] = Field(
        ("16bit",), description=_STORAGES
    )
    quantiser: Quantiser = Field(
        "bitsandbytes",
        description="what makes 8 bit: bitsandbytes multiplies in 8 bit (LLM.int8), torchao keeps the weights in 8 bit "
        "only, and also serves models whose own code multiplies with the weights",
    )

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        refuse(derived_flags(self.flags, DERIVED_TRANSFORMERS))
        if "nf4" in self.storages and self.quantiser != "bitsandbytes":
            refuse([(("storages",), "names nf4, which only the quantiser bitsandbytes makes")])
        return self


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
    title: Text
    summary: Text
    source: Source
    architecture: Architecture
    parameters: Parameters
    images: Images
    prompt: Prompt
    probe: Probe
    engines: Engines
    known: tuple[Fact, ...] = ()
    tasks: dict[TaskName, Text] = Field(
        default_factory=dict,
        description="what 'verify' asks of it, each with the question as the model wants it; text with the probe's "
        "question where none is named",
    )
    priority: int = Field(0, description="where not all models fit, those of larger priority are placed first")

    @model_validator(mode="after")
    def _stand_ins_are_modest(self) -> Self:
        found = {name: engine.evidence for name in ENGINES if (engine := self.engine(name)) is not None}
        refuse(
            (("engines", name, "evidence", "stand_in"), "is for remote code at the level served-tiny, and for no other")
            for name, evidence in found.items()
            if evidence.stand_in and not (self.source.remote_code and evidence.level == "served-tiny")
        )
        return self

    @model_validator(mode="after")
    def _is_no_trap(self) -> Self:
        vllm = self.engines.vllm
        if vllm is not None and vllm.possible and self.architecture.name in traits.VLLM_OTHER_MODELS:
            words = f"must be false: vLLM serves another model by the name {self.architecture.name}"
            refuse([(("engines", "vllm", "possible"), words)])
        return self

    @model_validator(mode="after")
    def _vllm_knows_it(self) -> Self:
        if (vllm := self.engines.vllm) is not None and vllm.possible:
            trouble = traits.architecture_trouble(self.architecture.name, vllm.image)
            refuse([(("engines", "vllm", "image"), f"{self.architecture.name} {trouble}")] if trouble else [])
        return self

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        engines: dict[str, Engine | None] = {name: self.engine(name) for name in ENGINES}
        lengths = {name: engine.max_model_len for name, engine in engines.items() if engine is not None}
        refuse(wrong_lengths(self.architecture.context, self.images.tokens, lengths))
        refuse(
            (("engines", name, "smallest", *path), message)
            for name, e in engines.items()
            if e is not None
            for path, message in wrong_smallest(
                self.images, e.max_model_len, e.max_num_seqs, e.smallest, by_argument=name == "vllm"
            )
        )
        return self

    def engine(self, name: EngineName) -> Vllm | Transformers | None:
        """The model on that engine, or None where the registry knows nothing of it."""
        return self.engines.vllm if name == "vllm" else self.engines.transformers

    def on(self, name: EngineName) -> Vllm | Transformers:
        """The same for an engine that the registry is known to have for it."""
        found = self.engine(name)
        assert found is not None, f"{self.name} has no {name} entry"  # noqa: S101 (who calls has seen that it has one)
        return found
