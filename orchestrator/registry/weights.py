"""A model's parameters by part and class, and the bytes they take in each storage. Pure.

The arithmetic is what the engines keep in GPU memory for the weights themselves. An engine's own padding (vLLM rounds
vocabularies up to a multiple of 64) and the allocator's rounding are left to the claim.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, Self, assert_never

from pydantic import Field, model_validator

from orchestrator.registry.fields import Frozen, Positive, Text, refuse

Part = Literal["vision", "projector", "language", "other"]
#: ``linear`` is what quantisation converts; ``head`` gives the logits and is never converted.
Kind = Literal["linear", "head", "embedding", "other"]
Storage = Literal["float32", "16bit", "int8", "nf4", "fp8"]
Quantiser = Literal["bitsandbytes", "torchao"]

_SCALE = 4  # bytes of an fp32 scale
_ZERO_POINT = 1  # byte that torchao keeps with every scale
_NF4_BLOCK = 64
_NF4_MAP = 16 * 4  # the sixteen fp32 values of a 4-bit code, kept with every matrix

_Count = Annotated[int, Field(ge=0)]


class Module(Frozen):
    """All weights of one class in one part. A bias is ``other``, wherever it belongs to."""

    part: Part
    kind: Kind
    count: _Count = Field(description="weights; 0 for a head that is tied to the embedding")
    rows: _Count = Field(default=0, description="linear and head: output features of all its matrices together")
    matrices: _Count = Field(default=0, description="linear and head: how many matrices there are")
    tied: bool = Field(default=False, description="the head uses the embedding's weights and has none of its own")

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        matrices = self.kind in {"linear", "head"}
        rules = (
            (self.tied and self.kind != "head", "tied", "is for a head only"),
            (self.tied and self.count > 0, "count", f"must be 0 for a tied head, got {self.count}"),
            (not self.tied and self.count == 0, "count", "must be at least 1, got 0"),
            (matrices and self.rows == 0, "rows", f"is needed for kind {self.kind}"),
            (matrices and self.matrices == 0, "matrices", f"is needed for kind {self.kind}"),
            (not matrices and self.rows > 0, "rows", f"is not for kind {self.kind}"),
            (not matrices and self.matrices > 0, "matrices", f"is not for kind {self.kind}"),
        )
        refuse(((key,), message) for wrong, key, message in rules if wrong)
        return self


class Parameters(Frozen):
    """Parameter counts, exact: the weights of any storage follow from them."""

    total: Positive
    modules: tuple[Module, ...]
    source: Text

    @model_validator(mode="after")
    def _parts_of_the_whole(self) -> Self:
        whole = sum(module.count for module in self.modules)
        if whole != self.total:
            refuse([(("total",), f"must be the sum of the counts in modules, {whole}, got {self.total}")])
        times = Counter((module.part, module.kind) for module in self.modules)
        refuse(((("modules",), f"has {kind} of {part} {n} times") for (part, kind), n in times.items() if n > 1))
        return self

    @property
    def vision(self) -> int:
        """Parameters that only images use: the vision tower and the projector."""
        return sum(module.count for module in self.modules if module.part in {"vision", "projector"})


def weight_bytes(
    parameters: Parameters,
    storage: Storage,
    keep: frozenset[Part] = frozenset(),
    quantiser: Quantiser = "bitsandbytes",
) -> int:
    """Bytes of the weights in that storage; the linear layers of the parts in ``keep`` stay in 16 bit.

    ``int8`` is LLM.int8() or torchao's weight-only, by the quantiser, and ``nf4`` the 4 bit of bitsandbytes without
    double quantisation; all equal, to the byte, what a small Qwen2-VL took on the CPU with bitsandbytes 0.50.2 and
    torchao 0.18.0. ``fp8`` is vLLM's, converted while loading: in the
    versions whose source was read the head and embeddings stay in 16 bit, and Qwen2-VL's vision tower is converted.
    Which parts of the other models 0.33.0 converts was not verified, nor any of it on a GPU: keep what is in doubt.
    """
    return sum(
        _bytes(module, "16bit" if module.part in keep and storage != "float32" else storage, quantiser)
        for module in parameters.modules
    )


def _bytes(module: Module, storage: Storage, quantiser: Quantiser) -> int:
    if storage == "float32":
        return 4 * module.count
    if storage == "16bit" or module.kind != "linear":
        return 2 * module.count
    if storage == "int8":
        return module.count + (_SCALE + _ZERO_POINT * (quantiser == "torchao")) * module.rows
    if storage == "nf4":
        # exact where every matrix is a multiple of the block, which holds for all built-in entries
        return -(-module.count // 2) + _SCALE * -(-module.count // _NF4_BLOCK) + _NF4_MAP * module.matrices
    if storage == "fp8":
        # one scale per matrix; vLLM joins some matrices and then needs fewer
        return module.count + _SCALE * module.matrices
    assert_never(storage)
