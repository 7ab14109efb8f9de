"""How much GPU memory a model may use on an engine: its claim, as a sum whose every line has a source.

Bytes throughout. Weights and KV cache are exact; activation, CUDA context and graphs are bounds from the sources named,
and are not verified here on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.inventory import GIB, MIB
from orchestrator.registry.spec import Engine, EngineName, ModelSpec, Storage
from orchestrator.registry.weights import weight_bytes

_BYTES_16_BIT, _BYTES_32_BIT = 2, 4
#: peak of a prefill, bytes per token and unit of hidden size: the largest of four traced (Qwen2-1.5B: 66.6 kB/1536)
_PREFILL_BYTES = 44
#: tokens that vLLM prefills at once on cards below 70 GiB (its ``max_num_batched_tokens`` default)
_PREFILL_TOKENS = 2048
#: words for a storage, and where its size comes from; an unquantised one follows from the number of parameters
_STORED: dict[Storage, tuple[str, str]] = {
    "float32": ("32 bit", ""),
    "16bit": ("16 bit", ""),
    "int8": ("8 bit", "linear layers 1 byte and 4 per row, all others 2 (LLM.int8)"),
    "fp8": ("fp8", "linear layers 1 byte and 4 per matrix, all others 2 (vLLM)"),
}
_CONTEXT = int(0.6 * GIB)
_GRAPHS = int(0.3 * GIB)
_NON_TORCH = int(0.15 * GIB)
_MARGIN = int(0.15 * GIB)


@dataclass(frozen=True, slots=True)
class Line:
    """One part of a claim."""

    label: str
    size: int
    source: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The GPU memory that a container may use. ``outside`` is the part that vLLM does not count as its own budget."""

    lines: tuple[Line, ...] = ()
    kv_cache: int = 0
    outside: int = 0

    @property
    def total(self) -> int:
        """The whole claim, in bytes; 0 on the CPU."""
        return sum(line.size for line in self.lines)

    @property
    def mib(self) -> int:
        """The claim in MiB, rounded up."""
        return -(-self.total // MIB)


def weights(spec: ModelSpec, engine: Engine) -> Line:
    """Size of the weights in the storage that the entry prefers for the engine."""
    storage = engine.stored[0]
    size = weight_bytes(spec.parameters, storage, frozenset(engine.keep_16bit))
    label, source = _STORED.get(storage, (storage, ""))
    return Line(f"weights, {label}", size, source or f"{spec.parameters.total:,} parameters")


def kv_per_token(spec: ModelSpec, engine: Engine) -> int:
    """Bytes of KV cache for one token: keys and values of every layer."""
    shape = spec.architecture
    width = _BYTES_32_BIT if engine.dtype == "float32" else _BYTES_16_BIT
    return 2 * shape.layers * shape.kv_heads * shape.head_size * width


def _activation(spec: ModelSpec) -> int:
    vision = spec.images.patches * spec.images.bytes_per_patch
    prefill = _PREFILL_TOKENS * _PREFILL_BYTES * spec.architecture.hidden_size
    return max(vision, prefill)


def claim(spec: ModelSpec, name: EngineName) -> Claim:
    """The claim of a model on a GPU, with that engine.

    vLLM keeps at least one sequence of full length; Transformers one per ``max_num_seqs``.
    """
    engine = spec.engine(name)
    if engine is None:
        raise ValueError(f"{spec.name} has no engine {name}")
    sequences = 1 if name == "vllm" else engine.max_num_seqs
    cache = kv_per_token(spec, engine) * engine.max_model_len * sequences
    lines = [
        weights(spec, engine),
        Line(
            "KV cache",
            cache,
            f"{engine.max_model_len:,} tokens x {kv_per_token(spec, engine):,} bytes x {sequences}",
        ),
    ]
    activation = _activation(spec)
    if name == "vllm":
        lines += [
            Line("activation", activation, "largest image or prefill, traced on CPU tensors"),
            Line("CUDA graphs", _GRAPHS, "bound for small models; not verified here"),
            Line("NCCL and libraries", _NON_TORCH, "llm-d planner's constant for one GPU"),
            Line("margin", _MARGIN, "what vLLM itself keeps back"),
        ]
    else:
        lines.append(
            Line(
                "activation",
                activation * 3 // 2,
                "largest image or prefill x 1.5: 32-bit results of 8-bit layers",
            )
        )
    lines.append(Line("CUDA context", _CONTEXT, "0.3-0.55 GiB reported on cards up to 80 GB; not verified here"))
    return Claim(tuple(lines), kv_cache=cache, outside=_CONTEXT)
