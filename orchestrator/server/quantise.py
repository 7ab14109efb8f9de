"""Linear layers in 8 or 4 bit, converted once the model is loaded.

By our own code, and not while transformers loads: its versions match the layers to leave out by different rules (4.x
anywhere in the name, 5.x from its beginning), 4.48 and 4.51 refuse bitsandbytes without a GPU, and none converts for
torchao and bitsandbytes alike. The price: the weights in 16 bit pass through the host's memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from .config import Config
from .errors import UnhealableError
from .families.parts import to_convert

_log = logging.getLogger("server")

#: activations beyond it are outliers, multiplied in 16 bit: the figure of the LLM.int8 paper, and of transformers
_OUTLIER = 6.0
#: tells of the cast to float16 in every layer of every pass
_CHATTY = "bitsandbytes.autograd._functions"

_Convert = Callable[[nn.Linear], nn.Module]


def check(config: Config) -> None:
    """Raises ``UnhealableError`` where the image lacks the library."""
    if find_spec(config.quantiser) is None:
        raise UnhealableError(
            f"--quantisation {config.quantisation} needs {config.quantiser}, which this image does not hold"
        )


def convert(model: nn.Module, device: torch.device, config: Config) -> None:
    """Converts the model's linear layers in place, each on its way to the device; all else stays where it is.

    Raises ``UnhealableError`` where there is nothing to convert.
    """
    # Subclasses do more than multiply, and what uses them may need their weights as they are.
    layers = {name: layer for name, layer in model.named_modules() if type(layer) is nn.Linear}
    chosen = to_convert(config.family, layers, config.keep_16bit)
    kept = ", ".join(("the head", *config.keep_16bit))
    if not chosen:
        raise UnhealableError(
            f"--quantisation {config.quantisation} converts none of {len(layers)} linear layers, kept in 16 bit: {kept}"
        )
    make = _maker(device, config)
    for name in chosen:
        above, _, own = name.rpartition(".")
        setattr(model.get_submodule(above), own, make(layers.pop(name)))
    _log.info(
        "%s by %s: %d of %d linear layers, kept in 16 bit: %s",
        *(config.quantisation, config.quantiser, len(chosen), len(chosen) + len(layers), kept),
    )


def _maker(device: torch.device, config: Config) -> _Convert:
    logging.getLogger(_CHATTY).setLevel(logging.ERROR)
    library = import_module(f"{config.quantiser}.quantization" if config.quantiser == "torchao" else "bitsandbytes.nn")
    makers: Mapping[tuple[str, str], Callable[..., nn.Module]] = {
        ("bitsandbytes", "int8"): _llm_int8,
        ("bitsandbytes", "nf4"): _nf4,
        ("torchao", "int8"): _int8_weight_only,
    }
    return partial(makers[config.quantiser, config.quantisation], library, device)


def _llm_int8(library: Any, device: torch.device, layer: nn.Linear) -> nn.Module:
    made: nn.Module = library.Linear8bitLt(
        *(layer.in_features, layer.out_features, layer.bias is not None),
        has_fp16_weights=False,
        threshold=_OUTLIER,
        device="meta",
    )
    made.weight = library.Int8Params(layer.weight.data, requires_grad=False).to(device)
    made.bias = layer.bias
    return made


def _nf4(library: Any, device: torch.device, layer: nn.Linear) -> nn.Module:
    """Without double quantisation: the planner's arithmetic does not count on the 0.4 bits a weight that it saves."""
    made: nn.Module = library.Linear4bit(
        *(layer.in_features, layer.out_features, layer.bias is not None),
        compute_dtype=layer.weight.dtype,
        quant_type="nf4",
        device="meta",
    )
    # On a CPU with AVX512-BF16 it would pack its weight anew, and fail where sizes are not whole blocks.
    made.support_avx512bf16_for_cpu = False
    made.weight = library.Params4bit(layer.weight.data, quant_type="nf4", compress_statistics=False).to(device)
    made.bias = layer.bias
    return made


def _int8_weight_only(library: Any, device: torch.device, layer: nn.Linear) -> nn.Module:
    """The layer keeps its class, and its weight multiplies like any other: also where a model does so by itself."""
    layer.to(device)
    library.quantize_(layer, library.Int8WeightOnlyConfig())
    return layer
