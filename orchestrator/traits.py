"""What an engine's version can do. A new release of vLLM or Docker is one line here.

Sources: vLLM source distributions and docker/compose tags, as noted beside each entry.
"""

from __future__ import annotations

import re

#: health checks that run more often while a container starts: Docker Engine 25 (seen refused by 20.10)
DOCKER_START_INTERVAL = (25, 0)
#: ``include`` of other files: Docker Compose 2.20
COMPOSE_MINIMUM = (2, 20)
#: ``--kv-cache-memory-bytes``: in vLLM 0.11.0, absent in 0.10.0
VLLM_KV_CACHE_BYTES = (0, 11)
#: ``--gpu-memory-utilization`` means this instance alone: since 0.9.2; before, memory of other processes counted in
VLLM_PER_INSTANCE = (0, 9, 2)
#: ``--enable-sleep-mode`` with all three of /sleep, /wake_up and /is_sleeping: in vLLM 0.8.0; 0.7.3 lacks the last
VLLM_SLEEP_MODE = (0, 8)

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


def version(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: "v0.33.0" -> (0, 33, 0), "2.26.1-4" -> (2, 26, 1); () where there are none."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def image_version(reference: str) -> tuple[int, ...]:
    """The version in an image's tag; () for a digest, "latest" or no tag."""
    name = reference.partition("@")[0]
    _, colon, tag = name.rpartition(":")
    return version(tag) if colon and "/" not in tag else ()


def at_least(have: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether a known version is that of a feature or newer. An unknown version is not."""
    return bool(have) and have >= wanted


def has_kv_cache_bytes(image: str) -> bool:
    """Whether the vLLM in this image takes a KV cache size in bytes. An image without a version is taken as current."""
    known = image_version(image)
    return not known or at_least(known, VLLM_KV_CACHE_BYTES)


def counts_neighbours(image: str) -> bool:
    """Whether the vLLM in this image counts the memory of other processes in its own share."""
    known = image_version(image)
    return bool(known) and known < VLLM_PER_INSTANCE


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
    """Whether the vLLM in this image has sleep mode. An image without a version is taken as current."""
    known = image_version(image)
    return not known or at_least(known, VLLM_SLEEP_MODE)
