"""Why a model does not run: the classes of failure with what to do, and which one it is.

The gate names a class by its engine's exit code and log (``gate/causes.py``). Here its word is joined with what only
the host sees: Docker's own error, the kernel's kill, the container's exit code, and who else is on the GPU.
``docs/troubleshooting.md`` is made of the table (``.ci/troubleshooting``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.observation import Container

UNKNOWN = "unknown"
#: characters of a line of a log that are shown
_LINE = 160
_KILLED, _OTHER = "killed-by-the-kernel", "other-process-on-gpu"


@dataclass(frozen=True, slots=True)
class Failure:
    """One class: what a user sees (patterns of words, for the documentation), why, and what to do."""

    sees: str
    why: str
    remedy: str


_MEMORY = "Lower max_num_seqs, max_model_len or the images' limit in the registry entry."
#: by class; the names are a contract: scripts read them in ``status --json``
FAILURES = {
    "gpu-memory-at-load": Failure(
        "CUDA out of memory, before the weights are in",
        "The weights and what loading them takes do not fit into what is free of the GPU.",
        "Take weights of fewer bits or a larger GPU; 'orchestrator plan NAME --explain' shows the sum.",
    ),
    "gpu-memory-at-profiling": Failure(
        "CUDA out of memory after the weights; No available memory for the cache blocks",
        "The largest request that the limits allow does not fit beside the weights.",
        f"{_MEMORY} See what else holds memory on the GPU.",
    ),
    "gpu-memory-while-serving": Failure(
        "CUDA out of memory, of an engine that had answered",
        "A request needed more than was set aside for it, or somebody else took memory of the GPU.",
        _MEMORY,
    ),
    _OTHER: Failure(
        "Free memory on device ... is less than desired; Error in memory profiling",
        "Another process holds memory of the GPU, or took or freed some while the engine measured.",
        "See what else holds memory on the GPU ('nvidia-smi', 'orchestrator inventory'), and end it or move the model.",
    ),
    "gpu-runtime-missing": Failure(
        "could not select device driver; No CUDA GPUs are available; Failed to infer device type",
        "Docker can't hand out GPUs, or gave the container none that works.",
        "Install the NVIDIA Container Toolkit and restart Docker; 'orchestrator doctor' shows what is missing.",
    ),
    "driver-too-old": Failure(
        "driver on your system is too old; unsatisfied condition: cuda>=...",
        "The image's CUDA is newer than the NVIDIA driver of the host can run.",
        "Update the driver, or name an older image in the registry entry.",
    ),
    "gpu-too-old": Failure(
        "no kernel image is available for execution on the device",
        "The engine was not built for GPUs of this age.",
        "Name an older image in the registry entry, or use another GPU.",
    ),
    "gpu-too-small": Failure(
        "The claim is larger than the GPU",
        "The container was made for a larger GPU than it has.",
        "Run 'orchestrator up' again: it plans for the GPUs that are there.",
    ),
    "gpu-fault": Failure(
        "CUDA error: an illegal memory access, unspecified launch failure, uncorrectable ECC error",
        "The GPU or its driver failed; every further call of that process fails too.",
        "If it comes back, see 'dmesg' for Xid messages, and reset the GPU or restart the host.",
    ),
    "gated-or-missing-repository": Failure(
        "gated repo; RepositoryNotFoundError; RevisionNotFoundError; does not appear to have a file named",
        "The hub has no such repository, revision or file, or shows it only to who accepted its terms.",
        "Correct source in the registry entry. If it is gated: accept its terms on the hub, set source.gated, and give "
        "a token that may read it.",
    ),
    "bad-token": Failure(
        "Invalid user token; Illegal header value b'Bearer '; The secret file of HF_TOKEN is empty",
        "A token or key is missing, empty, more than one word, or not accepted.",
        "Put the right one into its file, alone on one line, then 'orchestrator restart NAME'.",
    ),
    "downloads-off": Failure(
        "outgoing traffic has been disabled",
        "HF_HUB_OFFLINE is set, and the weights are not in the cache.",
        "Start it once without HF_HUB_OFFLINE, or fetch them with 'orchestrator pull NAME'.",
    ),
    "hub-busy": Failure(
        "429 Client Error; 503 Server Error",
        "The model hub limits the rate, or is out of order for now.",
        "Wait, or give a token: the hub allows more to those it knows.",
    ),
    "network-down": Failure(
        "couldn't connect to 'https://huggingface.co'; Temporary failure in name resolution; Max retries exceeded; "
        "dial tcp",
        "The container, or Docker itself, reaches no network, no name server, or not the hub or registry.",
        "See to the network, or to a proxy: HTTPS_PROXY in the entry's environment, and Docker's own for images.",
    ),
    "no-disk": Failure(
        "No space left on device",
        "The disk with Docker's images and volumes is full.",
        "Make room ('docker system df' shows what takes it); 'orchestrator doctor' shows what is free.",
    ),
    "no-shared-memory": Failure(
        "Insufficient space in /dev/shm; signal 7 (bus error)",
        "The engine's processes share more memory than the container's /dev/shm holds.",
        "Raise shm_mib in the registry entry.",
    ),
    "port-taken": Failure(
        "port is already allocated; address already in use",
        "Another container or process listens on the port.",
        "Run 'orchestrator up' again: it names who holds the port, or takes another.",
    ),
    "no-such-address": Failure(
        "cannot assign requested address",
        "The address to publish on is none of this host's.",
        "Give --address one of those that 'ip address' shows, or 0.0.0.0 for all of them.",
    ),
    "image-missing": Failure(
        "No such image; manifest unknown; pull access denied",
        "The image is not on this host, and its registry does not give it.",
        "Correct image in the registry entry, or log in to its registry ('docker login').",
    ),
    "image-incomplete": Failure(
        "No module named ...; executable file not found; exit code 126 or 127",
        "The image lacks a program, a file or a Python package that the engine needs.",
        "Name another image in the registry entry; one of ours is built anew by 'orchestrator image build'.",
    ),
    "architecture-unsupported": Failure(
        "Model architectures [...] are not supported; does not recognize this architecture",
        "This version of the engine does not know the model.",
        "Name a newer image in the registry entry, or take the other engine with --mode.",
    ),
    "remote-code-refused": Failure(
        "contains custom code which must be executed; needs --trust-remote-code",
        "The repository brings Python code of its own, which runs only if the entry allows it.",
        "Read that code, then set source.remote_code in the registry entry.",
    ),
    "wrong-dtype-or-quantisation": Failure(
        "Unknown quantization method; only supported on GPUs with compute capability",
        "The engine, the GPU and the weights do not agree on a number format.",
        "Take other weights, set dtype to float16 in the registry entry, or name another image there.",
    ),
    "kv-cache-too-small": Failure(
        "KV cache is needed, which is larger than the available KV cache memory",
        "The cache that was planned does not hold one request of full length.",
        "Correct layers, kv_heads and head_size in the registry entry, or lower its max_model_len.",
    ),
    "context-too-long": Failure(
        "greater than the derived max_model_len",
        "The entry asks for a longer context than the model has.",
        "Lower max_model_len in the registry entry.",
    ),
    "corrupted-weights": Failure(
        "Error while deserializing header; Error(s) in loading state_dict; not a valid JSON file",
        "A file was cut off, damaged, or is of another model.",
        "'orchestrator down NAME --purge' removes the weights; 'orchestrator up NAME' fetches them anew.",
    ),
    _KILLED: Failure(
        "killed (signal 9); exit code 137",
        "The kernel ended a process because main memory ran out, or somebody killed it.",
        "Give the host or the container more memory, or run fewer models; 'dmesg' names what was killed.",
    ),
    "host-memory": Failure(
        "can't allocate memory; MemoryError; std::bad_alloc",
        "Main memory ran out, and the engine was told so.",
        "Give the host or the container more memory, or run fewer models.",
    ),
    "wrong-cpu-instructions": Failure(
        "signal 4 (illegal instruction), exit code 132; exec format error",
        "The image was built for another kind of CPU, or for a newer one.",
        "Name an image for this CPU in the registry entry.",
    ),
    "wrong-flag": Failure(
        "unrecognized arguments; invalid ... value",
        "This version of the engine has no such option, or does not take the value.",
        "Correct flags in the registry entry, or name an image that takes them.",
    ),
    "wrong-configuration": Failure(
        "Value error, ...; exit code 2",
        "The engine found two settings that contradict each other, or one that it can't use.",
        "Correct the registry entry.",
    ),
    "lock-folder": Failure(
        "Can't open the lock",
        "The volume that all models of the host share is missing or not writable.",
        "'orchestrator doctor --fix' puts its owner right.",
    ),
    "gate-options": Failure(
        "must be a whole number; usage: gate",
        "The container's command line was not made by this version of orchestrator.",
        "Run 'orchestrator up' again, or mend the Compose file.",
    ),
    "unclean-end": Failure(
        "The container went down uncleanly",
        "The host, Docker or the container's first process died during or soon after starts of the engine.",
        "See whether the host has enough memory and power, then 'orchestrator restart NAME'.",
    ),
    UNKNOWN: Failure(
        "the log's own last error",
        "It is none of the above.",
        "'orchestrator logs NAME' shows all that the engine said.",
    ),
}

# What Docker says, by its engines 20.10 to 29. The first match wins.
_DOCKER = (
    ("no-such-address", r"cannot assign requested address"),
    ("port-taken", r"port is already allocated|address already in use|failed to bind host port"),
    ("driver-too-old", r"unsatisfied condition: (?:cuda|driver)|update your driver"),
    (
        "gpu-runtime-missing",
        r"could not select device driver|unknown runtime specified|unresolvable CDI devices|nvml error|libnvidia-ml",
    ),
    ("no-disk", r"no space left on device|disk quota exceeded"),
    (
        "image-missing",
        r"no such image|manifest unknown|manifest for .* not found|pull access denied|no basic auth|unauthorized:",
    ),
    (
        "network-down",
        r"dial (?:tcp|udp)|no such host|TLS handshake timeout|i/o timeout|Client\.Timeout exceeded",
    ),
    ("wrong-cpu-instructions", r"exec format error|no matching manifest for"),
    ("image-incomplete", r"executable file not found|exec: .*(?:no such file|permission denied)"),
)
_BY_CODE = {126: "image-incomplete", 127: "image-incomplete", 132: "wrong-cpu-instructions", 137: _KILLED}
_OF_GPU_MEMORY = frozenset({"gpu-memory-at-load", "gpu-memory-at-profiling", "gpu-memory-while-serving", _OTHER})


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``cause``: the class. ``what``: what happened, with the engine's or Docker's own numbers and names."""

    cause: str
    what: str
    remedy: str

    @property
    def words(self) -> str:
        """For people, on one line. Of what is not known there is nothing to add."""
        if self.cause == UNKNOWN:
            return self.what
        end = "" if self.what.endswith((".", "!")) else "."
        return f"{self.what}{end} {self.remedy} ({self.cause})"


def docker_said(message: str) -> str:
    """The class of an error of Docker's or Compose's; "unknown" where it is none of ours."""
    return next((name for name, pattern in _DOCKER if re.search(pattern, message, re.IGNORECASE)), UNKNOWN)


def diagnose(container: Container, others: Sequence[str] = (), said: str = "") -> Diagnosis | None:
    """Why a container does not serve and won't; None for one that may, or that somebody stopped or paused.

    ``others``: processes outside our containers on its GPUs, in words. ``said``: the last error of its log, for one
    whose gate is silent.
    """
    if not container.failed or (container.phase in {"created", "paused"} and not container.error):
        return None
    cause, what = _cause(container, said)
    if others and cause in _OF_GPU_MEMORY:
        cause, what = _OTHER, f"{what.rstrip('.')}; on its GPU too: {', '.join(others)}."
    remedy = FAILURES[cause].remedy.replace("NAME", container.model)
    return Diagnosis(cause, what, remedy)


def concerns_gpu_memory(container: Container) -> bool:
    """Whether who else is on the GPU could explain its failure."""
    return container.failed and bool(container.gpus and container.gate and container.gate.cause in _OF_GPU_MEMORY)


def last_error(lines: Sequence[str]) -> str:
    """The last line of a log that reports an error; "" where there is none."""
    found = (line.strip()[:_LINE] for line in reversed(lines) if re.search(r"(?:[Ee]rror|Exception)\b|^server: ", line))
    return next(found, "")


def _cause(container: Container, last: str) -> tuple[str, str]:
    gate = container.gate
    said = gate.reason if gate else ""
    # A class of a newer gate's than this table is as good as none.
    cause = gate.cause if gate and gate.cause in FAILURES else UNKNOWN
    if container.phase != "parked" and container.error:
        return docker_said(container.error), container.error
    if container.oom and cause in {UNKNOWN, _KILLED}:
        return _KILLED, "The kernel killed it for want of memory (Docker's OOMKilled)."
    if said:
        return cause, said
    code = container.exit_code
    words = f"exit code {code}: {last}" if last else f"exit code {code}"
    return _BY_CODE.get(code, UNKNOWN), words
