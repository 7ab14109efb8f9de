"""Loads a model from a folder, and tells what a restart can heal from what it can't."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from .. import quantise
from ..config import Config
from ..errors import UnhealableError
from ..memory import cap

_log = logging.getLogger("server")

#: what ``from_pretrained`` calls the type of the weights, which depends on the version
_DTYPE = "dtype" if tuple(map(int, transformers.__version__.split(".")[:2])) >= (4, 56) else "torch_dtype"


def device_of(config: Config) -> torch.device:
    """The device to load to. Raises ``RuntimeError`` where no GPU is in sight: that may pass."""
    if config.device == "cuda" and torch.version.cuda is None:
        raise UnhealableError("--device cuda: this image holds PyTorch without CUDA")
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise RuntimeError("no GPU is in sight of this container")
    return torch.device("cuda" if available and config.device != "cpu" else "cpu")


def check_config(folder: Path, config: Config, *, model_type: str) -> None:
    """Raises ``UnhealableError`` where config.json is missing, broken, of another family, or too short in context."""
    try:
        data = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        found = data.get("model_type")
    except FileNotFoundError:
        raise UnhealableError(f"{folder} holds no config.json") from None
    except (ValueError, AttributeError) as error:
        raise UnhealableError(f"{folder}/config.json is broken: {error}") from None
    if found != model_type:
        raise UnhealableError(
            f"family {config.family} serves model_type {model_type}; {folder}/config.json says {found}"
        )
    language = data.get("text_config") or data.get("llm_config") or data
    context = language.get("max_position_embeddings", config.max_model_len)
    if config.max_model_len > context:
        raise UnhealableError(f"--max-model-len {config.max_model_len} is more than the model's context of {context}")


def load_model(model_class: Any, folder: Path, config: Config, /, **options: Any) -> Any:
    """The model on its device, in eval mode, quantised where that is asked for.

    ``model_class``: a class of transformers, an auto class too. ``options`` go to its ``from_pretrained``, such as the
    implementation of attention.
    Raises ``UnhealableError`` where files are missing, broken or do not hold every weight. What the machine
    may get over (no GPU in sight, no memory, an I/O error) comes as it is.
    """
    device = device_of(config)
    quantised = config.quantisation != "none"
    if quantised:
        quantise.check(config)
    if device.type == "cuda" and config.gpu_memory_bytes is not None:
        share = cap(torch.cuda, config.gpu_memory_bytes)
        _log.info("may take %.2f GiB of the GPU, %.1f%% of it", config.gpu_memory_bytes / (1 << 30), 100 * share)
    options |= {_DTYPE: getattr(torch, config.dtype), "trust_remote_code": config.trust_remote_code}
    if device.type == "cuda" and not quantised:
        options["device_map"] = {"": device}
    _log.info("loading weights: %s, %s on %s", folder, config.dtype, device)
    began = time.monotonic()
    try:
        model, loading = model_class.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **options
        )
    except (ImportError, ValueError, SafetensorError) as error:
        raise UnhealableError(f"can't load {folder}: {one_line(error)}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise UnhealableError(f"can't load {folder}: {one_line(error)}") from error
    missing = sorted(loading["missing_keys"])
    if missing:
        # transformers would fill them with random numbers and serve nonsense.
        raise UnhealableError(f"{folder} lacks {len(missing)} weights of the model, the first is {missing[0]}")
    if quantised:
        quantise.convert(model, device, config)
    # Converted layers too: those of bitsandbytes multiply in 16 bit on the CPU while they believe to be trained.
    model.eval()
    if "device_map" not in options:
        model.to(device)
    _log.info("weights loaded in %.1f s", time.monotonic() - began)
    return model


def one_line(error: Exception) -> str:
    """What an error says, on one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]
