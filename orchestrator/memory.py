"""How much GPU memory a model may use: its claim on each GPU, as a sum whose every line has a source.

Bytes throughout. Weights and KV cache are exact; activation, CUDA context and graphs are bounds from the sources named,
and are not verified here on a GPU unless docs/memory-accuracy.md says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.inventory import GIB, MIB, Gpu
from orchestrator.profile import Profile
from orchestrator.registry.spec import Engine, EngineName, ModelSpec, Transformers
from orchestrator.registry.weights import Quantiser, Storage, weight_bytes

#: peak of a prefill, bytes per token and unit of hidden size: the largest of four traced (Qwen2-1.5B: 66.6 kB/1536)
_PREFILL_BYTES = 44
#: tokens that are prefilled at once; entries pin vLLM's ``max-num-batched-tokens`` to it
_PREFILL_TOKENS = 2048
#: CUDA context, cuBLAS and kernels of one process, on cards up to 48 GiB and above (0.3-0.55 GiB were reported)
_CONTEXT, _CONTEXT_LARGE, _LARGE_CARD = int(0.6 * GIB), int(0.75 * GIB), 49 * GIB
_GRAPHS = int(0.3 * GIB)
#: memory outside PyTorch, for one GPU and for a group (llm-d planner's constants)
_NON_TORCH, _NON_TORCH_GROUP = int(0.15 * GIB), int(0.6 * GIB)
#: what vLLM itself keeps back when it proposes a cache size
_MARGIN = 150 * MIB
#: tokens of one block of vLLM's cache on a GPU and on the CPU, of which it keeps one empty (KV/token x context + one
#: block has to fit)
_BLOCK, _CPU_BLOCK = 16, 128
_WIDTH: dict[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
#: words for a storage, and where its size comes from
_STORED: dict[Storage, tuple[str, str]] = {
    "float32": ("32 bit", "4 bytes each"),
    "16bit": ("16 bit", "2 bytes each"),
    "int8": ("8 bit", "linear layers 1 byte and 4 per row, all others 2 (LLM.int8)"),
    "nf4": ("4 bit", "linear layers half a byte and 4 per 64, all others 2 (NF4)"),
    "fp8": ("fp8", "linear layers 1 byte and 4 per matrix, all others 2 (vLLM)"),
}
_STORED_BY_TORCHAO = ("8 bit", "linear layers 1 byte and 5 per row, all others 2 (torchao, weights only)")


@dataclass(frozen=True, slots=True)
class Line:
    """One part of a claim."""

    label: str
    size: int
    source: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The memory that a container may use on each of its GPUs.

    ``kv_cache`` is the part that holds keys and values; ``outside`` the part that vLLM does not count as its own.
    """

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


def context_size(gpus: Sequence[Gpu]) -> int:
    """The CUDA context to count with on these GPUs: that of the largest card."""
    return _CONTEXT_LARGE if any((gpu.total or 0) > _LARGE_CARD for gpu in gpus) else _CONTEXT


def kv_per_token(spec: ModelSpec, engine: Engine) -> int:
    """Bytes of KV cache for one token: keys and values of every layer, in the engine's dtype."""
    shape = spec.architecture
    return 2 * shape.layers * shape.kv_heads * shape.head_size * _WIDTH[engine.dtype]


def bare_weights(spec: ModelSpec, engine: Engine, storage: Storage) -> int:
    """Bytes of the weights alone."""
    return weight_bytes(spec.parameters, storage, frozenset(engine.keep_16bit), _quantiser(engine))


def _quantiser(engine: Engine) -> Quantiser:
    """What makes 8 bit on that engine; vLLM makes none."""
    return engine.quantiser if isinstance(engine, Transformers) else "bitsandbytes"


def claim(spec: ModelSpec, name: EngineName, profile: Profile, context: int) -> Claim:
    """The claim of a model on each GPU of its group. ``context``: bytes of a CUDA context there."""
    engine = spec.engine(name)
    if engine is None:
        raise ValueError(f"{spec.name} has no engine {name}")
    cache = _cache(spec, engine, profile, _BLOCK if name == "vllm" else 0)
    lines = [_weights(spec, engine, profile), cache]
    lines += _vllm(spec, profile) if name == "vllm" else _transformers(spec, engine, profile, cache.size)
    lines.append(Line("CUDA context", context, "per process; 0.3-0.55 GiB reported up to 80 GB"))
    return Claim(tuple(line for line in lines if line.size), kv_cache=cache.size, outside=context)


def cpu_claim(spec: ModelSpec, name: EngineName, profile: Profile) -> Claim:
    """What a model claims on the CPU: nothing of a GPU. vLLM is told all the same how large its cache is to be."""
    engine = spec.engine(name)
    if engine is None or name != "vllm":
        return Claim()
    return Claim(kv_cache=_cache(spec, engine, profile, _CPU_BLOCK).size)


def measured(computed: Claim, static: int) -> Claim:
    """The claim of a start like one that was measured: ``static`` bytes were in use when it was ready.

    An engine gives its activation memory back after warm-up and takes it again for the largest request, so the computed
    activation and margin stay on top.
    """
    kept = tuple(line for line in computed.lines if line.label in {"activation", "margin", "loading peak"})
    return Claim(
        (Line("measured when ready", static, "an earlier start like this one"), *kept),
        computed.kv_cache,
        computed.outside,
    )


def kept(total: int, computed: Claim) -> Claim:
    """The claim of a container that runs: what its label says, whatever would be computed now."""
    if total == computed.total:
        return computed
    return Claim((Line("as it was started", total, "label of the container"),), computed.kv_cache, computed.outside)


def _weights(spec: ModelSpec, engine: Engine, profile: Profile) -> Line:
    torchao = profile.storage == "int8" and _quantiser(engine) == "torchao"
    label, source = _STORED_BY_TORCHAO if torchao else _STORED[profile.storage]
    size = -(-bare_weights(spec, engine, profile.storage) // profile.gpus)
    share = f", 1/{profile.gpus} on each GPU" if profile.gpus > 1 else ""
    return Line(f"weights, {label}", size, f"{spec.parameters.total:,} parameters, {source}{share}")


def _cache(spec: ModelSpec, engine: Engine, profile: Profile, block: int) -> Line:
    """A group divides the KV heads; a head is never divided. ``block``: tokens of a block, all whole; 0 for none."""
    heads = spec.architecture.kv_heads
    per_token = kv_per_token(spec, engine) // heads * -(-heads // profile.gpus)
    source = f"{per_token:,} bytes x {profile.context:,} tokens x {profile.sequences} sequences"
    if not block:
        return Line("KV cache", per_token * profile.context * profile.sequences, source)
    tokens = -(-profile.context // block) * block * profile.sequences + block
    return Line("KV cache", per_token * tokens, f"{source}, in blocks of {block} and one block more")


def _activation(spec: ModelSpec, profile: Profile, images: int = 1) -> int:
    """The larger of the vision tower on so many of the largest images and a prefill."""
    prefill = min(_PREFILL_TOKENS, profile.context) * _PREFILL_BYTES * spec.architecture.hidden_size
    return max(images * spec.images.activation(profile.pixels, profile.tiles), prefill)


def _vllm(spec: ModelSpec, profile: Profile) -> list[Line]:
    group = profile.gpus > 1
    return [
        Line("activation", _activation(spec, profile), "largest image or prefill, traced on CPU tensors"),
        Line("CUDA graphs", _GRAPHS if profile.graphs else 0, "bound for small models"),
        Line("outside PyTorch", _NON_TORCH_GROUP if group else _NON_TORCH, "llm-d planner's constant"),
        Line("margin", _MARGIN, "as vLLM itself keeps back"),
    ]


def _transformers(spec: ModelSpec, engine: Engine, profile: Profile, cache: int) -> list[Line]:
    """Requests are read one at a time, or as many images together as the entry says.

    Quantising at load moves 16-bit tensors through the GPU, the largest of which may exceed what serving needs.
    """
    images = engine.images_at_once if isinstance(engine, Transformers) else 1
    activation = _activation(spec, profile, images) * 3 // 2
    largest = max((m.count for m in spec.parameters.modules if m.kind in {"embedding", "head"}), default=0)
    peak = largest * _WIDTH[engine.dtype] - activation - cache
    return [
        Line("activation", activation, "largest image or prefill x 1.5: 32-bit results of 8-bit layers"),
        Line("loading peak", max(0, peak), "the largest tensor in 16 bit, beyond cache and activation"),
    ]
