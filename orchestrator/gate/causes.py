"""What engines print when they can't go on: a pattern, the class it belongs to, and whether another start could help.

The classes, with what to do about each, are in ``orchestrator/diagnosis.py``, which is not there in a container; here
they are only named. A pattern that says "can't heal" is only trusted on a line that reports an error, since engines
print several of these texts as harmless warnings too (a missing ``generation_config.json``, a driver too old for a CUDA
that is not used). The first match in the order of the table wins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_RAISED = r"(?:[Ee]rror|Exception)\b.*"
#: of the engine's own words that are passed on
_SAID_CHARACTERS = 140


@dataclass(frozen=True)
class Cause:
    """``name``: the class. What the pattern calls ``said`` is told as the engine says it: it has the numbers.

    ``beside``: what some other line must hold too.
    """

    name: str
    pattern: str
    reason: str
    heals: bool = True
    beside: str = ""

    def told(self, tail: Sequence[str]) -> str:
        """The reason, if this is it, else "". From the last line that matches: the last traceback has no prefixes."""
        found = next((match for line in reversed(tail) if (match := re.search(self.pattern, line))), None)
        if found is None or not any(re.search(self.beside, line) for line in tail):
            return ""
        said = (found.groupdict().get("said") or "")[:_SAID_CHARACTERS].rstrip(" .")
        return f"{self.reason[:-1]}: {said}." if said else self.reason


def _raised(name: str, pattern: str, reason: str) -> Cause:
    """It may heal, but the text alone says too little: the line has to report an error."""
    return Cause(name, rf"{_RAISED}(?:{pattern})", reason)


def _fatal(name: str, pattern: str, reason: str) -> Cause:
    return Cause(name, rf"{_RAISED}(?:{pattern})", reason, heals=False)


_OUT_OF_MEMORY = r"OutOfMemoryError|(?:CUDA|HIP) out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"
#: after the weights: frames of vLLM's measuring and warming up, and what it and our server say once they are loaded
_LOADED = r"profile_run|determine_available_memory|_dummy_run|capture_model|warm_up|Model loading took|weights loaded"
#: also asked of the log of an engine that had been ready, which tells no more than these
WHILE_SERVING = (
    Cause("gpu-memory-while-serving", _OUT_OF_MEMORY, "The GPU ran out of memory while the engine served."),
    _raised(
        "gpu-fault",
        r"CUDA error: (?!no kernel image|out of memory)(?P<said>[\w ,'-]+)|the GPU is lost",
        "The GPU failed the engine.",
    ),
)

# Texts of vLLM, torch, transformers and huggingface_hub, as their sources print them. Seen from vLLM 0.32.0 on the CPU:
# those of architectures, quantisation, too long a context, the KV cache (both), /dev/shm, flags and their values.
CAUSES = (
    Cause(
        "other-process-on-gpu", r"Free memory on device", "Too little free GPU memory for the engine's own start check."
    ),
    Cause(
        "gpu-memory-at-profiling",
        _OUT_OF_MEMORY,
        "The GPU ran out of memory while the engine measured or warmed up.",
        beside=_LOADED,
    ),
    Cause("gpu-memory-at-load", _OUT_OF_MEMORY, "The GPU ran out of memory while the weights were loaded."),
    Cause(
        "gpu-memory-at-profiling", r"No available memory for the cache blocks", "No memory was left for the KV cache."
    ),
    Cause(
        "other-process-on-gpu",
        r"Error in memory profiling",
        "Another process changed the GPU's memory while the engine measured it.",
    ),
    _fatal(
        "kv-cache-too-small",
        r"\((?P<said>[\d.]+ Gi?B KV cache is needed, which is larger than the available KV cache memory \([^)]*\))",
        "The KV cache is too small for one sequence of max_model_len.",
    ),
    Cause(
        "downloads-off",
        rf"{_RAISED}outgoing traffic has been disabled|^server: .* HF_HUB_OFFLINE forbids",
        "The weights are not in the cache and downloads are off.",
        heals=False,
    ),
    Cause(
        "hub-busy",
        rf"(?:\b429|\b5\d\d) (?:Client|Server) Error|{_RAISED}\b(?:429 Too|50[0234] (?:Internal|Bad|Service|Gateway))",
        "The model hub refused for now (rate limit or outage).",
    ),
    Cause(
        "network-down",
        r"couldn't connect to '?http|Max retries exceeded|Temporary failure in name resolution"
        r"|Name or service not known|ReadTimeout|ConnectTimeout|Network is unreachable"
        r"|check your (?:internet )?connection",
        "The model hub could not be reached.",
    ),
    _fatal(
        "no-shared-memory",
        r"Insufficient space in /dev/shm.*?: (?P<said>\d+ MiB required, \d+ MiB free)|Failed core proc\(s\): .*: -7\b"
        r"|No space left on device: '?/(?:dev/shm|psm_|torch_)|shared memory segment /dev/shm"
        r"|unable to (?:write to file|mmap|resize file) .*/torch_|insufficient shared memory",
        "The container's shared memory is too small.",
    ),
    _raised("no-disk", r"No space left on device|Not enough free disk space|Disk quota exceeded", "The disk is full."),
    Cause(
        "gated-or-missing-repository",
        rf"{_RAISED}(?:does not appear to have a file named|no file named .* found"
        r"|Should have a `model_type` key in its config)|^server: no folder ",
        "A file of the model is missing.",
        heals=False,
    ),
    Cause(
        "gated-or-missing-repository",
        r"RevisionNotFoundError: |Error\b.*is not a valid git identifier|^server: .* has no revision ",
        "The model hub has no such revision.",
        heals=False,
    ),
    # Before the rest of the refusals: with a wrong token nothing else that the hub says is worth anything.
    Cause(
        "bad-token",
        r"Invalid user token|Invalid credentials in Authorization header|Illegal header value b'Bearer"
        r"|Error\b.*no token found|^server: --require-api-key: ",
        "A token or key is missing, empty or wrong.",
        heals=False,
    ),
    # Before those for want of a licence: without a token the hub answers 401 for a repository that does not exist.
    Cause(
        "gated-or-missing-repository",
        rf"RepositoryNotFoundError: |{_RAISED}(?:is not a local folder and is not a valid model identifier"
        r"|Invalid repository ID or local directory)|^server: the hub has no repository",
        "The model was not found: no such repository or folder, or it is private and the token can't see it.",
        heals=False,
    ),
    Cause(
        "gated-or-missing-repository",
        rf"{_RAISED}(?:gated repo|Access to model .* is restricted|\b40[13] (?:Client Error|Unauthorized|Forbidden))"
        r"|^server: .* asks for a token that was granted access",
        "The model hub refused access: the repository is gated, or the token may not read it.",
        heals=False,
    ),
    Cause(
        "remote-code-refused",
        rf"{_RAISED}(?:trust_remote_code=True|contains custom code which must be executed|requires you to execute the)"
        r"|^server: .* needs --trust-remote-code",
        "The model needs its own code to run (trust remote code), which was not allowed.",
        heals=False,
    ),
    _fatal(
        "architecture-unsupported",
        r"[Mm]odel architectures? (?P<said>\S+) (?:are|is) not supported|does "
        r"not recognize this architecture|has no vLLM implementation",
        "The engine does not support the model's architecture.",
    ),
    _fatal(
        "wrong-dtype-or-quantisation",
        r"Unknown quantization method: (?P<said>[\w-]+)|Cannot find the config file for",
        "The engine does not know how the weights are quantised.",
    ),
    _fatal(
        "wrong-dtype-or-quantisation",
        r"only supported on GPUs with compute capability|uantization method \S+ is not supported for the current GPU"
        r"|is not supported for quantization method|does not match the quantization method"
        r"|not implemented for '(?:Half|BFloat16|Float8_\w+)'|must have the same dtype",
        "The number format does not fit the GPU, the engine or the weights.",
    ),
    _fatal(
        "driver-too-old",
        r"driver on your system is too old|CUDA driver version is insufficient"
        r"|forward compatibility was attempted on non supported HW",
        "The NVIDIA driver is too old for the engine's CUDA.",
    ),
    _fatal("gpu-too-old", r"no kernel image is available", "The GPU is too old for this engine."),
    _fatal(
        "gpu-runtime-missing",
        r"Found no NVIDIA driver|No CUDA GPUs are available|no CUDA-capable device is detected"
        r"|Failed to infer device type|libcuda\.so\.1: cannot open|NVML Shared Library Not Found|CUDA unknown error",
        "The engine sees no GPU in its container.",
    ),
    WHILE_SERVING[1],
    Cause(
        "corrupted-weights",
        rf"{_RAISED}(?:deserializing header|PytorchStreamReader failed|in loading state_dict|invalid load key"
        r"|not a valid JSON file|Unable to load weights from|file should be of size)|^server: .*\.json is broken: ",
        "A file of the weights is damaged, or belongs to another model.",
        heals=False,
    ),
    Cause(
        "context-too-long",
        rf"{_RAISED}greater than the derived max_model_len|^server: --max-model-len .* the model's context",
        "The context asked for is longer than the model's.",
        heals=False,
    ),
    _raised("port-taken", r"[Aa]ddress already in use", "The engine's port is taken."),
    Cause(
        "host-memory",
        rf"{_RAISED}(?:can't allocate memory|Cannot allocate memory)|std::bad_alloc|^MemoryError\b",
        "The host's or the container's main memory ran out.",
    ),
    _raised(
        "killed-by-the-kernel", r"Failed core proc\(s\): .*: -9\b", "A process of the engine was killed (signal 9)."
    ),
    Cause(
        "wrong-cpu-instructions",
        rf"Failed core proc\(s\): .*: -4\b|Illegal instruction|{_RAISED}(?:with baseline optimizations|Exec format)",
        "The engine uses instructions that this CPU does not have.",
        heals=False,
    ),
    Cause(
        "wrong-flag",
        rf"(?:{_RAISED}|^server: )(?P<said>unrecognized arguments.*|argument \S+: (?:invalid|expected|Value|must) .*"
        r"|[^:]*arguments are required.*|No such option.*)",
        "The engine does not accept its command line.",
        heals=False,
    ),
    Cause(
        "image-incomplete",
        r"^server: (?P<said>.* which this image does not hold)",
        "The image lacks a Python package the engine needs.",
        heals=False,
    ),
    # Last, since pydantic's refusal of a configuration holds some of the texts above.
    Cause(
        "wrong-configuration",
        r"^\s*Value error, (?P<said>.+?)(?: \[type=.*)?$",
        "The engine refuses its configuration.",
        heals=False,
    ),
)

# Only as the very last words of an engine: in the middle of a log both are often handled and harmless.
LAST_WORDS = (
    _fatal("image-incomplete", r"No such file or directory|can't open file", "A file the engine needs is missing."),
    _fatal(
        "image-incomplete",
        r"No module named|cannot import name",
        "The image lacks a Python package the engine needs.",
    ),
)
