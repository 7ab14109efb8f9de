"""What the server has done, as Prometheus text (format 0.0.4). Used from one event loop."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Upper bounds in seconds: from a tiny model's answer on a CPU to a long page.
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
OUTCOMES = ("answered", "refused", "overloaded", "cancelled", "timeout", "failed")
_OUTCOME_OF = {200: "answered", 429: "overloaded", 499: "cancelled", 408: "timeout", 504: "timeout"}


def outcome_of(status: int) -> str:
    """The outcome that an HTTP status stands for."""
    return _OUTCOME_OF.get(status, "refused" if status < 500 else "failed")


class Histogram:
    """Counts values up to each bound."""

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Takes in one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> list[str]:
        """Its samples; the buckets are cumulative, as Prometheus wants them."""
        total, out = 0, []
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            out.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*out, f"{name}_sum {self._sum!r}", f"{name}_count {total}"]


@dataclass(frozen=True, slots=True)
class State:
    """What is true at one moment. ``steps``: passes that added a token to each running answer; ``stepped``: the tokens
    that they added, so stepped / steps is the mean batch. ``gpu_memory_bytes`` is None without a GPU.
    """

    waiting: int
    running: int
    steps: int
    stepped: int
    memory_bytes: int
    gpu_memory_bytes: int | None = None


class Metrics:
    """All that the server counts."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.seconds = Histogram()
        self.first_token = Histogram()

    def text(self, state: State) -> str:
        """The whole page."""
        outcomes = [f'orchestrator_requests_total{{outcome="{name}"}} {self.requests[name]}' for name in OUTCOMES]
        first, whole = "orchestrator_first_token_seconds", "orchestrator_request_seconds"
        blocks = [
            ("orchestrator_requests_total", "counter", "Chat requests that ended, by outcome.", outcomes),
            (whole, "histogram", "From arrival to the end of an answer.", self.seconds.lines(whole)),
            (first, "histogram", "From arrival to the first token.", self.first_token.lines(first)),
            _single("orchestrator_prompt_tokens_total", "counter", "Tokens read.", self.prompt_tokens),
            _single("orchestrator_completion_tokens_total", "counter", "Tokens written.", self.completion_tokens),
            _single("orchestrator_requests_waiting", "gauge", "Requests in the queue.", state.waiting),
            _single("orchestrator_requests_running", "gauge", "Requests being answered.", state.running),
            _single("orchestrator_steps_total", "counter", "Passes that added a token to each answer.", state.steps),
            _single("orchestrator_stepped_tokens_total", "counter", "Tokens that these passes added.", state.stepped),
            _single("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", state.memory_bytes),
        ]
        if state.gpu_memory_bytes is not None:
            told = "GPU memory that PyTorch holds, in bytes; the CUDA context is not in it."
            blocks.append(_single("orchestrator_gpu_memory_bytes", "gauge", told, state.gpu_memory_bytes))
        lines: list[str] = []
        for name, kind, told, samples in blocks:
            lines += [f"# HELP {name} {told}", f"# TYPE {name} {kind}", *samples]
        return "\n".join(lines) + "\n"


def _single(name: str, kind: str, told: str, value: int) -> tuple[str, str, str, list[str]]:
    return name, kind, told, [f"{name} {value}"]


class Record:
    """One request, from its arrival to its end."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.began = time.monotonic()
        self._first = False

    def token(self) -> None:
        """A token has come; the first one is timed."""
        if not self._first:
            self._first = True
            self._metrics.first_token.observe(time.monotonic() - self.began)

    def end(self, status: int, *, prompt_tokens: int = 0, completion_tokens: int = 0) -> None:
        """The request has ended with this HTTP status. Only answers go into the latency."""
        outcome = outcome_of(status)
        self._metrics.requests[outcome] += 1
        self._metrics.prompt_tokens += prompt_tokens
        self._metrics.completion_tokens += completion_tokens
        if outcome == "answered":
            self._metrics.seconds.observe(time.monotonic() - self.began)
