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

#: architectures that vLLM lists and serves by another model: HfMoondream (moondream2) by Moondream3, since 0.21.0
VLLM_OTHER_MODELS = frozenset({"HfMoondream"})

#: The official image of vLLM for the CPU (from its documentation; never pulled or run here), and the version in the
#: image of ours that takes its place where it can't be had (templates/images/vllm)
VLLM_CPU_IMAGE = "vllm/vllm-openai-cpu:v0.33.0-x86_64"
VLLM_CPU_BUILD = "0.32.0"

#: fp8 weights in vLLM need compute capability 8.0 (as stored bytes; 8.9 computes in them); from vLLM's documentation,
#: not verified here
FP8_CAPABILITY = (8, 0)


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


def can_sleep(image: str) -> bool:
    """Whether the vLLM in this image has sleep mode. An image without a version is taken as current."""
    known = image_version(image)
    return not known or at_least(known, VLLM_SLEEP_MODE)
