"""Why an engine ended, what to do about it, and whether another start could help. Pure: exit code, log to verdict.

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
#: of the engine's own words that are passed on
_SAID_CHARACTERS = 140


@dataclass(frozen=True)
class Verdict:
    """``reason``: what happened, and what to do where that is known. ``heals``: may another start help."""

    reason: str
    heals: bool


@dataclass(frozen=True)
class _Cause:
    """What the pattern calls ``said`` is told as the engine says it, since it has the numbers or the name."""

    pattern: str
    reason: str
    remedy: str = ""
    heals: bool = True

    def judge(self, tail: Sequence[str]) -> Verdict | None:
        """From the last line that matches: the last traceback has no prefixes."""
        found = next((match for line in reversed(tail) if (match := re.search(self.pattern, line))), None)
        if found is None:
            return None
        said = (found.groupdict().get("said") or "")[:_SAID_CHARACTERS].rstrip(" .")
        reason = f"{self.reason[:-1]}: {said}." if said else self.reason
        return Verdict(f"{reason} {self.remedy}".rstrip(), self.heals)


def _fatal(pattern: str, reason: str, remedy: str = "") -> _Cause:
    return _Cause(rf"{_RAISED}(?:{pattern})", reason, remedy, heals=False)


# Texts of vLLM, torch, transformers and huggingface_hub, as their sources print them. Seen from vLLM 0.32.0 on the CPU:
# those of architectures, quantisation, too long a context, the KV cache (both), /dev/shm, flags and their values.
_CAUSES = (
    _Cause(
        r"Free memory on device",
        "Too little free GPU memory for the engine's own start check.",
        "See what else holds memory on the GPU.",
    ),
    _Cause(
        r"OutOfMemoryError|CUDA out of memory|HIP out of memory",
        "The GPU ran out of memory.",
        "Lower max_num_seqs, max_model_len or the images' limit in the registry entry.",
    ),
    _Cause(
        r"No available memory for the cache blocks",
        "No GPU memory was left for the KV cache.",
        "See what else holds memory on the GPU, or lower the limits in the registry entry.",
    ),
    _Cause(r"Error in memory profiling", "Another process changed the GPU's memory while the engine measured it."),
    _fatal(
        r"\((?P<said>[\d.]+ Gi?B KV cache is needed, which is larger than the available KV cache memory \([^)]*\))",
        "The KV cache is too small for one sequence of max_model_len.",
        "Correct layers, kv_heads and head_size in the registry entry, or lower its max_model_len.",
    ),
    _fatal(
        r"outgoing traffic has been disabled",
        "The weights are not in the cache and downloads are off.",
        "Start it once without HF_HUB_OFFLINE.",
    ),
    _Cause(r"(?:\b429|\b5\d\d) (?:Client|Server) Error", "The model hub refused for now (rate limit or outage)."),
    _Cause(
        r"couldn't connect to '?http|Max retries exceeded|Temporary failure in name resolution"
        r"|ReadTimeout",
        "The model hub could not be reached.",
        "See to the network, or to HTTPS_PROXY in the entry's environment.",
    ),
    _fatal(
        r"does not appear to have a file named|no file named .* found",
        "A file of the model is missing.",
        "Correct source in the registry entry.",
    ),
    _Cause(
        r"RevisionNotFoundError: |Error\b.*is not a valid git identifier",
        "The model hub has no such revision.",
        "Correct source.revision in the registry entry.",
        heals=False,
    ),
    # Before the refusals: without a token the hub answers 401 for a repository that does not exist.
    _Cause(
        r"RepositoryNotFoundError: |Error\b.*(?:is not a local folder and is not a valid model identifier"
        r"|Invalid repository ID or local directory)",
        "The model was not found: no such repository or folder, or it is private and the token can't see it.",
        "Correct source in the registry entry, or give a token that may read it.",
        heals=False,
    ),
    _fatal(
        r"gated repo|Access to model .* is restricted|\b40[13] Client Error|Invalid user token",
        "The model hub refused access: the repository is gated or the token is missing or wrong.",
        "Accept its terms on the hub, set source.gated in the registry entry, and give a token that may read it.",
    ),
    _fatal(
        r"trust_remote_code=True|contains custom code which must be executed|requires you to execute the",
        "The model needs its own code to run (trust remote code), which was not allowed.",
        "Read that code, then set source.remote_code in the registry entry.",
    ),
    _fatal(
        r"[Mm]odel architectures? (?P<said>\S+) (?:are|is) not supported|does "
        r"not recognize this architecture|has no vLLM implementation",
        "The engine does not support the model's architecture.",
        "Name a newer image in the registry entry, or take the other engine with --mode.",
    ),
    _fatal(
        r"Unknown quantization method: (?P<said>[\w-]+)",
        "The engine does not know how the weights are quantised.",
        "Take other weights, or name another image in the registry entry.",
    ),
    _fatal(
        r"driver on your system is too old|CUDA driver version is insufficient"
        r"|forward compatibility was attempted on non supported HW",
        "The NVIDIA driver is too old for the engine's CUDA.",
        "Update the driver, or name an older image in the registry entry.",
    ),
    _fatal(
        r"no kernel image is available|only supported on GPUs with compute capability",
        "The GPU is too old for this engine or number format.",
        "Set dtype to float16 in the registry entry, name an older image, or use another GPU.",
    ),
    _fatal(
        r"greater than the derived max_model_len",
        "The context asked for is longer than the model's.",
        "Lower max_model_len in the registry entry.",
    ),
    _fatal(
        r"Insufficient space in /dev/shm.*?: (?P<said>\d+ MiB required, \d+ MiB free)|Failed core proc\(s\): .*: -7\b",
        "The container's shared memory is too small.",
        "Raise shm_mib in the registry entry.",
    ),
    _fatal(
        r"(?P<said>unrecognized arguments.*|argument \S+: (?:invalid|expected|Value) .*"
        r"|[^:]*arguments are required.*|No such option.*)",
        "The engine does not accept its command line.",
        "Correct flags in the registry entry, or name an image that takes them.",
    ),
    # Last, since pydantic's refusal of a configuration holds some of the texts above.
    _Cause(
        r"^\s*Value error, (?P<said>.+?)(?: \[type=.*)?$",
        "The engine refuses its configuration.",
        "Correct the registry entry.",
        heals=False,
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
    found = _find(tail)
    if code in _BY_CODE:
        return found if found is not None and not found.heals else Verdict(_BY_CODE[code], heals=False)
    return found or Verdict(describe_exit(code), heals=True)


def _find(tail: Sequence[str]) -> Verdict | None:
    for cause in _CAUSES:
        if (verdict := cause.judge(tail)) is not None:
            return verdict
    last = [line for line in tail if line.strip()][-1:]
    return next((verdict for cause in _LAST_WORDS if (verdict := cause.judge(last)) is not None), None)
