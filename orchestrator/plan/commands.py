"""The command line of each engine, from a placement and the registry entry. argv tuples, never shell text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from orchestrator import traits
from orchestrator.plan.placement import Placement
from orchestrator.profile import Profile
from orchestrator.registry.spec import EngineName, Flag, Images, ModelSpec, Transformers, Vllm

#: where the container's engine listens, inside the container
PORT = 8000
#: where a local folder of weights is mounted
LOCAL_WEIGHTS = "/weights/local"
#: the variable in which each engine takes its API key; the gate fills it from a file
KEY_VARIABLES: Mapping[EngineName, str] = MappingProxyType(
    {"vllm": "VLLM_API_KEY", "transformers": "ORCHESTRATOR_API_KEY"}
)
#: vLLM's flag for arguments of the model's processor, as JSON
_PROCESSOR = "mm-processor-kwargs"
#: thousandths of a card that vLLM is given at most
_MOST = 990


def engine_command(spec: ModelSpec, placement: Placement) -> tuple[str, ...]:
    """The argv that starts the engine; the gate runs it."""
    engine = spec.engine(placement.engine)
    if isinstance(engine, Vllm):
        return _vllm(spec, engine, placement)
    if isinstance(engine, Transformers):
        return _transformers(spec, engine, placement)
    raise ValueError(f"{spec.name} has no engine {placement.engine}")


def _model(spec: ModelSpec) -> str:
    """What the engine loads. Weights that come with orchestrator are mounted for vLLM like a local folder."""
    return LOCAL_WEIGHTS if spec.source.path or spec.source.builtin else spec.source.repository or ""


def _revision(spec: ModelSpec) -> tuple[str, ...]:
    pinned = spec.source.revision if not spec.source.path else None
    return ("--revision", pinned) if pinned else ()


def _flags(flags: Mapping[str, Flag]) -> tuple[str, ...]:
    return tuple(word for key in sorted(flags) for word in _flag(key, flags[key]))


def _flag(key: str, value: Flag) -> tuple[str, ...]:
    if value is True:
        return (f"--{key}",)
    if value is False:
        return (f"--no-{key}",)
    return (f"--{key}", str(value))


def _vllm(spec: ModelSpec, engine: Vllm, placement: Placement) -> tuple[str, ...]:
    profile = placement.profile
    return (
        *("vllm", "serve", _model(spec)),
        *_revision(spec),
        *("--served-model-name", spec.name, "--host", "0.0.0.0", "--port", str(PORT)),  # noqa: S104 (inside the container)
        *("--dtype", engine.dtype),
        *(("--quantization", "fp8") if profile.storage == "fp8" else ()),
        *(("--enforce-eager",) if not profile.graphs else ()),
        *(("--enable-sleep-mode",) if placement.sleep_mode else ()),
        *(("--tensor-parallel-size", str(profile.gpus)) if profile.gpus > 1 else ()),
        *("--max-model-len", str(profile.context), "--max-num-seqs", str(engine.max_num_seqs)),
        *_vllm_memory(placement),
        *("--limit-mm-per-prompt", _limits(spec.images.max_per_prompt, placement.image.reference)),
        *(("--trust-remote-code",) if spec.source.remote_code else ()),
        *_flags(_with_image_size(engine.flags, spec.images, profile)),
    )


def _limits(images: int, image: str) -> str:
    """How many images a prompt may have, in the form that this vLLM reads. No videos: their memory is not claimed."""
    json_is_read = traits.VLLM_LIMITS_AS_JSON.has(traits.vllm_release(image))
    return f'{{"image":{images},"video":0}}' if json_is_read else f"image={images},video=0"


def _with_image_size(flags: Mapping[str, Flag], images: Images, profile: Profile) -> Mapping[str, Flag]:
    """The entry's flags, with the profile's limit on pixels or tiles among the processor's arguments."""
    argument = images.tiles.argument if images.tiles else None
    limits = {"max_pixels": profile.pixels, **({argument: profile.tiles} if argument else {})}
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    if not limits:
        return flags
    arguments = json.loads(str(flags.get(_PROCESSOR, "{}")))
    return {**flags, _PROCESSOR: json.dumps({**arguments, **limits}, separators=(",", ":"))}


def _vllm_memory(placement: Placement) -> tuple[str, ...]:
    """An explicit budget. vLLM checks free memory against the utilization even when the cache size is given.

    The utilization is a share of what CUDA counts, which is less than NVML's total; rounded up, so that the budget is
    never below the claim.
    """
    knows = traits.vllm_has("kv-cache-memory-bytes", placement.image.reference)
    cache = ("--kv-cache-memory-bytes", str(placement.claim.kv_cache)) if knows else ()
    if placement.device == "cpu":
        return cache
    totals = [gpu.cuda_total for gpu in placement.on if gpu.cuda_total]
    if not totals:
        return ()
    share = -(-1000 * (placement.claim.total - placement.claim.outside) // min(totals))
    return ("--gpu-memory-utilization", f"{min(share, _MOST) / 1000:.3f}", *cache)


def _quantisation(engine: Transformers, profile: Profile) -> tuple[str, ...]:
    if profile.storage in {"16bit", "float32"}:
        return ("--quantisation", "none")
    kept = (word for part in engine.keep_16bit for word in ("--keep-16bit", part))
    return ("--quantisation", profile.storage, "--quantiser", engine.quantiser, *kept)


def _transformers(spec: ModelSpec, engine: Transformers, placement: Placement) -> tuple[str, ...]:
    builtin, profile = spec.source.builtin, placement.profile
    weights = ("--builtin", builtin) if builtin else ("--model", _model(spec), *_revision(spec))
    budget = placement.claim.total - placement.claim.outside
    return (
        *("python3", "-m", "server", *weights),
        *("--served-name", spec.name, "--family", spec.architecture.family),
        *("--host", "0.0.0.0", "--port", str(PORT)),  # noqa: S104 (inside the container; published on loopback)
        *("--device", "cuda" if placement.device == "gpu" else "cpu", "--dtype", engine.dtype),
        *(("--gpu-memory-bytes", str(budget)) if placement.device == "gpu" else ()),
        *_quantisation(engine, profile),
        *("--max-model-len", str(profile.context), "--max-num-seqs", str(profile.sequences)),
        *("--images-at-once", str(engine.images_at_once), "--max-images", str(spec.images.max_per_prompt)),
        *(("--max-pixels", str(profile.pixels)) if profile.pixels else ()),
        *(("--max-tiles", str(profile.tiles)) if profile.tiles else ()),
        *(("--trust-remote-code",) if spec.source.remote_code else ()),
        *(("--require-api-key",) if placement.key else ()),
        *(f"--stop={stop}" for stop in spec.prompt.stop),
        *_flags(engine.flags),
    )
