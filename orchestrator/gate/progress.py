"""How far an engine is on its way to its first answer. Pure: log lines and looks at the machine in, progress out.

``text``, ``share`` and the phase come from what engines print. ``moved`` is the last time that anything went on: a new
line, more bytes of weights, or work of the engine's processes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

BOOT = "boot"
WEIGHTS = "weights"
LOAD = "load"
WARM_UP = "warm-up"

# Work of the engine's processes between two looks. What only waits still polls a little, so it is a share of a core;
# what loads from a slow disk uses no CPU, so what it reads counts too.
_BUSY = 0.05
_READ_BYTES = 1 << 20
_SHOWN_EVERY_S = 4
_SIZES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Progress:
    """``moved``: Unix seconds. ``share`` of the phase from 0 to 1; ``bytes`` of the weights present, ``total`` of them.

    None is what is not known.
    """

    phase: str = BOOT
    text: str = ""
    moved: int = 0
    share: float | None = None
    bytes: int | None = None
    total: int | None = None

    def shown(self) -> dict[str, object]:
        """For the state: what is known."""
        return {key: value for key, value in self.__dict__.items() if value is not None}


@dataclass(frozen=True)
class Look:
    """The machine at one moment, ``at`` in Unix seconds.

    ``bytes`` of weights there (None: there is no folder to look at), and whether files are being ``downloading``;
    ``cpu`` seconds and bytes ``read`` from disk are of the engine's processes so far.
    """

    at: float
    bytes: int | None = None
    downloading: bool = False
    cpu: float = 0.0
    read: int = 0


@dataclass(frozen=True)
class _Marker:
    """``text`` may name groups of the pattern. Groups: ``percent``, ``n`` of ``of``, ``total`` in bytes with a unit."""

    pattern: str
    phase: str
    text: str

    def read(self, line: str, before: Progress) -> Progress | None:
        found = re.search(self.pattern, line)
        if found is None:
            return None
        told = found.groupdict()
        share = int(told["percent"]) / 100 if told.get("percent") else None
        total = _bytes(told["total"]) if told.get("total") else before.total
        return replace(before, phase=self.phase, text=self.text.format(**told), share=share, total=total)


# In the order of a start. vLLM as the source of 0.32 prints it (on the CPU also as seen; on a GPU not verified here);
# then our own server; then huggingface_hub, whose bars both of them turn off.
_MARKERS = (
    _Marker(r"Resolved architecture: (?P<name>\w+)", BOOT, "{name}"),
    _Marker(r"Initializing a V1 LLM engine", BOOT, "engine begins"),
    _Marker(r"Starting to load model", LOAD, "begins"),
    _Marker(r"Time spent downloading weights for", LOAD, "downloaded"),
    _Marker(
        r"Loading .*checkpoint shards:\s+(?P<percent>\d+)% Completed \| (?P<n>\d+)/(?P<of>\d+)",
        LOAD,
        "{n} of {of} files",
    ),
    _Marker(r"Loading weights took", LOAD, "weights are read"),
    _Marker(r"Model loading took", WARM_UP, "measures its memory"),
    _Marker(r"Encoder cache will be initialized", WARM_UP, "measures its memory"),
    _Marker(r"Dynamo bytecode transform time|torch\.compile took|Compiling a graph", WARM_UP, "compiles"),
    _Marker(r"Available KV cache memory|[CG]PU KV cache size", WARM_UP, "KV cache"),
    _Marker(
        r"Capturing CUDA graphs[^:]*:\s+(?P<percent>\d+)%\|[^|]*\| (?P<n>\d+)/(?P<of>\d+)",
        WARM_UP,
        "CUDA graph {n} of {of}",
    ),
    _Marker(r"Graph capturing finished|init engine \(", WARM_UP, "engine is set up"),
    _Marker(r"Starting vLLM server on", WARM_UP, "opens its port"),
    _Marker(r" server: fetching weights: ", WEIGHTS, ""),
    _Marker(r" server: loading weights: ", LOAD, "begins"),
    _Marker(r" server: weights loaded in ", WARM_UP, "weights are read"),
    _Marker(r" server: ready: ", WARM_UP, "opens its port"),
    _Marker(r"Fetching \d+ files:\s+\d+%\|[^|]*\| (?P<n>\d+)/(?P<of>\d+)", WEIGHTS, "{n} of {of} files"),
    _Marker(r"Downloading[^:]*:\s+\d+%\|[^|]*\| [\d.]+\w?/(?P<total>[\d.]+[KMGT]?)B? ?\[", WEIGHTS, ""),
)
# Lines that say that nothing goes on. They come again and again, and must not look like progress.
_IDLE = re.compile(
    r"No available shared memory broadcast block|Waiting for \d+ local|Trying to resume download|Retrying in \d"
)


def after_lines(before: Progress, lines: Sequence[str], now: float) -> Progress:
    """The progress after these new lines of the engine's log."""
    for line in lines:
        if line.strip() and not _IDLE.search(line):
            told = (marker.read(line, before) for marker in _MARKERS)
            before = replace(next(filter(None, told), before), moved=int(now))
    return before


def after_look(before: Progress, last: Look, look: Look) -> Progress:
    """The progress after a look at the machine, compared with the look before."""
    grown = look.bytes is not None and look.bytes > (last.bytes or 0)
    now = replace(before, bytes=look.bytes)
    if look.downloading and before.phase != WEIGHTS:
        # Engines do not say that they download, and some call it loading.
        now = replace(now, phase=WEIGHTS, text="", share=None)
    busy = look.cpu - last.cpu >= _BUSY * max(look.at - last.at, 0.001) or look.read - last.read >= _READ_BYTES
    return replace(now, moved=int(look.at)) if grown or busy else now


def news(shown: Progress, now: Progress) -> bool:
    """Whether to show it: another step at once, mere bytes and signs of life from time to time.

    Each change makes Docker run the health check, which is a Python process.
    """
    same = replace(now, moved=shown.moved, bytes=shown.bytes)
    return same != shown or now.moved - shown.moved >= _SHOWN_EVERY_S


def _bytes(text: str) -> int:
    unit = text[-1] if text[-1].isalpha() else ""
    return int(float(text[: len(text) - len(unit)]) * _SIZES[unit])
