"""The command line, as one frozen value."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, cast, get_args

from .builtin import BUILTIN
from .families import FAMILIES

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["bfloat16", "float16", "float32"]
Quantisation = Literal["none", "int8", "nf4"]
Quantiser = Literal["bitsandbytes", "torchao"]
Part = Literal["vision", "projector", "language", "other"]


@dataclass(frozen=True, slots=True)
class Config:
    """What to serve and how.

    ``max_model_len`` is in tokens, ``max_pixels`` in pixels after resizing, ``images_at_once`` how many images
    of requests that begin together go through the model in one pass, ``request_seconds`` from the arrival of a
    request to the end of its answer. ``gpu_memory_bytes``: what PyTorch may take of the GPU; None for all of it.
    """

    family: str
    served_name: str
    model: str | None = None
    revision: str | None = None
    builtin: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    device: Device = "auto"
    dtype: Dtype = "bfloat16"
    quantisation: Quantisation = "none"
    quantiser: Quantiser = "bitsandbytes"
    keep_16bit: tuple[Part, ...] = ()
    gpu_memory_bytes: int | None = None
    max_model_len: int = 4096
    max_images: int = 1
    max_pixels: int | None = None
    max_tiles: int | None = None
    max_num_seqs: int = 1
    images_at_once: int = 1
    allow_image_urls: bool = False
    max_queue: int = 16
    request_seconds: int = 600
    require_api_key: bool = False
    trust_remote_code: bool = False
    stop: tuple[str, ...] = ()


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage text: the last line of the log is the cause."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"server: {message}\n")
        raise SystemExit(2)


def _between(low: int, high: int) -> type[int]:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be from {low} to {high}, got {value}")
        return value

    parse.__name__ = "whole number"
    return cast("type[int]", parse)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="server", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--model", help="a Hugging Face repository, or a folder of weights")
    add("--revision", help="commit, tag or branch of the repository")
    add("--builtin", help=f"weights that come with the server instead: {', '.join(sorted(BUILTIN))}")
    add("--served-name", required=True, help="the name that callers ask for")
    add("--family", required=True, help=f"which adapter serves the model: {', '.join(sorted(FAMILIES))}")
    add("--host", default="127.0.0.1")
    add("--port", type=_between(1, 65535), default=8000)
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    add("--quantisation", choices=get_args(Quantisation), default="none", help="of linear layers, the head apart")
    add("--quantiser", choices=get_args(Quantiser), default="bitsandbytes", help="int8: either; nf4: bitsandbytes")
    add("--keep-16bit", action="append", default=[], choices=get_args(Part), help="is not quantised; may be repeated")
    add("--gpu-memory-bytes", type=_between(1, 2**63 - 1), help="what PyTorch may take of the GPU; nothing on the CPU")
    add("--max-model-len", type=_between(1, 2**31), default=4096, help="tokens of prompt and answer together")
    add("--max-images", type=_between(0, 1000), default=1, help="images in one request")
    add("--max-pixels", type=_between(1, 2**31), help="larger images are scaled down to it")
    add("--max-tiles", type=_between(1, 64), help="pieces of one image at most, by families that cut images")
    add("--max-num-seqs", type=_between(1, 1024), default=1, help="answers that are written at the same time")
    add("--images-at-once", type=_between(1, 1024), default=1, help="images of several requests that are read together")
    add(
        "--allow-image-urls",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="fetch images that a request names by http:// or https://, from public addresses alone",
    )
    add("--max-queue", type=_between(1, 10000), default=16, help="requests that may wait; more are refused")
    add("--request-seconds", type=_between(1, 86400), default=600, help="time for one request, waiting included")
    add("--require-api-key", action="store_true", help="don't start without ORCHESTRATOR_API_KEY in the environment")
    add("--trust-remote-code", action="store_true")
    add("--stop", action="append", default=[], metavar="TEXT", help="the answer ends here; may be repeated")
    return parser


def parse(argv: Sequence[str]) -> Config:
    """Reads the command line. Leaves with exit code 2 and one line where it is wrong."""
    parser = _parser()
    given = parser.parse_args(argv)
    if given.family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        parser.error(f"family {given.family!r} is not supported by this image; it supports: {known}")
    if given.builtin is not None and given.builtin not in BUILTIN:
        parser.error(f"no built-in weights {given.builtin!r}; there are: {', '.join(sorted(BUILTIN))}")
    if (given.builtin is None) == (given.model is None):
        parser.error("needs one of --model and --builtin")
    if not all(given.stop) or not given.served_name:
        parser.error("--stop and --served-name must not be empty")
    if given.quantisation == "nf4" and given.quantiser != "bitsandbytes":
        parser.error(f"--quantisation nf4 needs --quantiser bitsandbytes, got {given.quantiser}")
    return Config(**{**vars(given), "stop": tuple(given.stop), "keep_16bit": tuple(given.keep_16bit)})
