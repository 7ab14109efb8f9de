"""The command line of each engine, from a placement and the registry entry. argv tuples, never shell text."""

from __future__ import annotations

from orchestrator import traits
from orchestrator.plan.placement import Placement
from orchestrator.registry.spec import Engine, Flag, ModelSpec, Transformers, Vllm

#: where the container's engine listens, inside the container
PORT = 8000
#: where a local folder of weights is mounted
LOCAL_WEIGHTS = "/weights/local"


def engine_command(spec: ModelSpec, placement: Placement) -> tuple[str, ...]:
    """The argv that starts the engine; the gate runs it."""
    engine = spec.engine(placement.engine)
    if isinstance(engine, Vllm):
        return _vllm(spec, engine, placement)
    if isinstance(engine, Transformers):
        return _transformers(spec, engine, placement)
    raise ValueError(f"{spec.name} has no engine {placement.engine}")


def _model(spec: ModelSpec) -> str:
    return LOCAL_WEIGHTS if spec.source.path else spec.source.repository or ""


def _revision(spec: ModelSpec) -> tuple[str, ...]:
    pinned = spec.source.revision if not spec.source.path else None
    return ("--revision", pinned) if pinned else ()


def _flags(engine: Engine) -> tuple[str, ...]:
    return tuple(word for key in sorted(engine.flags) for word in _flag(key, engine.flags[key]))


def _flag(key: str, value: Flag) -> tuple[str, ...]:
    if value is True:
        return (f"--{key}",)
    if value is False:
        return (f"--no-{key}",)
    return (f"--{key}", str(value))


def _vllm(spec: ModelSpec, engine: Vllm, placement: Placement) -> tuple[str, ...]:
    return (
        *("vllm", "serve", _model(spec)),
        *_revision(spec),
        *("--served-model-name", spec.name, "--host", "0.0.0.0", "--port", str(PORT)),  # noqa: S104 (inside the container)
        *("--dtype", engine.dtype),
        *(("--quantization", "fp8") if engine.stored[0] == "fp8" else ()),
        *("--max-model-len", str(engine.max_model_len), "--max-num-seqs", str(engine.max_num_seqs)),
        *_vllm_memory(engine, placement),
        *("--limit-mm-per-prompt", f'{{"image":{spec.images.max_per_prompt},"video":0}}'),
        *(("--trust-remote-code",) if spec.source.remote_code else ()),
        *_flags(engine),
    )


def _vllm_memory(engine: Vllm, placement: Placement) -> tuple[str, ...]:
    """An explicit budget. vLLM checks free memory against the utilization even when the cache size is given."""
    if placement.gpu is None or not placement.gpu.total:
        return ()
    share = -(-1000 * (placement.claim.total - placement.claim.outside) // placement.gpu.total)
    utilization = ("--gpu-memory-utilization", f"{min(share, 990) / 1000:.3f}")
    if not traits.has_kv_cache_bytes(engine.image):
        return utilization
    return (*utilization, "--kv-cache-memory-bytes", str(placement.claim.kv_cache))


def _transformers(spec: ModelSpec, engine: Transformers, placement: Placement) -> tuple[str, ...]:
    recipe = spec.source.recipe
    weights = (
        ("--recipe", recipe.name, "--seed", str(recipe.seed)) if recipe else ("--model", _model(spec), *_revision(spec))
    )
    pixels = ("--max-pixels", str(spec.images.max_pixels)) if spec.images.max_pixels else ()
    return (
        *("python3", "-m", "server", *weights),
        *("--served-name", spec.name, "--family", spec.architecture.family),
        *("--host", "0.0.0.0", "--port", str(PORT)),  # noqa: S104 (inside the container; published on loopback)
        *("--device", "cuda" if placement.device == "gpu" else "cpu", "--dtype", engine.dtype),
        *("--quantisation", "int8" if engine.stored[0] == "int8" else "none"),
        *("--max-model-len", str(engine.max_model_len)),
        *("--max-images", str(spec.images.max_per_prompt), *pixels),
        *(("--trust-remote-code",) if spec.source.remote_code else ()),
        *(f"--stop={stop}" for stop in spec.prompt.stop),
        *_flags(engine),
    )
