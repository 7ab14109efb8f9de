"""Why an engine ended, and whether another start could help. Pure: exit code and log lines in, verdict out.

A pattern that says "can't heal" is only trusted on a line that reports an error, since engines print several
of these texts as harmless warnings too (a missing ``generation_config.json``, a driver too old for a CUDA
that is not used). The first match in the order of the table wins. What nobody knows may be tried again,
because a wrong "can't heal" keeps a model down while a wrong "may heal" costs three bounded starts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_RAISED = r"(?:[Ee]rror|Exception)\b.*"


@dataclass(frozen=True)
class Verdict:
    """``reason``: one sentence. ``heals``: may another start help."""

    reason: str
    heals: bool


@dataclass(frozen=True)
class _Cause:
    pattern: str
    reason: str
    heals: bool = True

    def matches(self, line: str) -> bool:
        return re.search(self.pattern, line) is not None


def _fatal(pattern: str, reason: str) -> _Cause:
    return _Cause(rf"{_RAISED}(?:{pattern})", reason, heals=False)


# Texts of vLLM, torch, transformers and huggingface_hub, as their sources print them.
_CAUSES = (
    _Cause(r"Free memory on device", "Too little free GPU memory for the engine's own start check."),
    _Cause(r"OutOfMemoryError|CUDA out of memory|HIP out of memory", "The GPU ran out of memory."),
    _Cause(r"No available memory for the cache blocks", "No GPU memory was left for the KV cache."),
    _Cause(r"Error in memory profiling", "Another process changed the GPU's memory while the engine measured it."),
    _fatal(r"outgoing traffic has been disabled", "The weights are not in the cache and downloads are off."),
    _Cause(r"(?:\b429|\b5\d\d) (?:Client|Server) Error", "The model hub refused for now (rate limit or outage)."),
    _Cause(
        r"couldn't connect to '?http|Max retries exceeded|Temporary failure in name resolution"
        r"|ReadTimeout",
        "The model hub could not be reached.",
    ),
    _fatal(r"does not appear to have a file named|no file named .* found", "A file of the model is missing."),
    _Cause(
        r"RevisionNotFoundError: |Error\b.*is not a valid git identifier",
        "The model hub has no such revision.",
        heals=False,
    ),
    # Before the refusals: without a token the hub answers 401 for a repository that does not exist.
    _Cause(
        r"RepositoryNotFoundError: |Error\b.*(?:is not a local folder and is not a valid model identifier"
        r"|Invalid repository ID or local directory)",
        "The model was not found: no such repository or folder, or it is private and the token can't see it.",
        heals=False,
    ),
    _fatal(
        r"gated repo|Access to model .* is restricted|\b40[13] Client Error|Invalid user token",
        "The model hub refused access: the repository is gated or the token is missing or wrong.",
    ),
    _fatal(
        r"trust_remote_code=True|contains custom code which must be executed|requires you to execute the",
        "The model needs its own code to run (trust remote code), which was not allowed.",
    ),
    _fatal(
        r"[Mm]odel architectures? .* (?:are|is) not supported|does not recognize this architecture"
        r"|has no vLLM implementation",
        "The engine does not support the model's architecture.",
    ),
    _fatal(
        r"driver on your system is too old|CUDA driver version is insufficient"
        r"|forward compatibility was attempted on non supported HW",
        "The NVIDIA driver is too old for the engine's CUDA.",
    ),
    _fatal(
        r"no kernel image is available|only supported on GPUs with compute capability",
        "The GPU is too old for this engine or number format.",
    ),
    _fatal(r"greater than the derived max_model_len", "The context asked for is longer than the model's."),
    _fatal(r"Insufficient space in /dev/shm", "The container's shared memory is too small (shm_size)."),
    _fatal(
        r"unrecognized arguments|invalid choice|invalid \w+ value|arguments are required|No such option",
        "The engine does not accept its command line.",
    ),
)

# Only as the very last words of an engine: in the middle of a log both are often handled and harmless.
_LAST_WORDS = (
    _fatal(r"No such file or directory|can't open file", "A file the engine needs is missing."),
    _fatal(r"No module named|cannot import name", "The image lacks a Python package the engine needs."),
)

_BY_CODE = {
    2: "The engine refused its configuration (exit code 2).",
    126: "The engine's program can't be executed (exit code 126).",
    127: "The engine's program was not found (exit code 127).",
}


def describe_exit(code: int) -> str:
    """Say how a process ended; codes above 128 are 128 + signal, as in a shell."""
    if code == 0:
        return "The engine ended by itself with exit code 0."
    if code == 137:
        return "The engine was killed (signal 9): out of memory on the host, or by hand."
    if code > 128:
        return f"The engine died of signal {code - 128}."
    return f"The engine ended with exit code {code}."


def classify(code: int, tail: Sequence[str], *, was_ready: bool) -> Verdict:
    """Judge one end of an engine by its exit code and the last lines of its log.

    An engine that has answered before had a configuration that works, and its later log holds texts that came
    with requests; so nothing in either counts as beyond healing then.
    """
    if was_ready:
        return Verdict(describe_exit(code), heals=True)
    cause = _find(tail)
    if code in _BY_CODE:
        told = f" {cause.reason}" if cause is not None and not cause.heals else ""
        return Verdict(_BY_CODE[code] + told, heals=False)
    if cause is None:
        return Verdict(describe_exit(code), heals=True)
    return Verdict(cause.reason, heals=cause.heals)


def _find(tail: Sequence[str]) -> _Cause | None:
    for cause in _CAUSES:
        if any(cause.matches(line) for line in tail):
            return cause
    last = next((line for line in reversed(tail) if line.strip()), "")
    return next((cause for cause in _LAST_WORDS if cause.matches(last)), None)
