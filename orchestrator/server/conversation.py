"""A conversation as values, free of HTTP and of any model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from PIL.Image import Image

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. Its parts keep their order; a part is text or an image (RGB)."""

    role: Role
    parts: tuple[str | Image, ...]

    @property
    def images(self) -> tuple[Image, ...]:
        """Its images, in order."""
        return tuple(part for part in self.parts if not isinstance(part, str))

    @property
    def text(self) -> str:
        """Its text parts, a line each."""
        return "\n".join(part for part in self.parts if isinstance(part, str))


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose tokens. None leaves it to the model's own generation config; temperature 0 is greedy."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """What one request asks. ``options`` are the model family's own, not checked yet."""

    turns: tuple[Turn, ...]
    sampling: Sampling = Sampling()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer, with its size in tokens."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int

    def told(self) -> str:
        """For the log: its size and why it ended, nothing of what it says."""
        return f"answered: {self.prompt_tokens} prompt tokens, {self.completion_tokens} tokens, {self.finish_reason}"

    def usage(self) -> dict[str, int]:
        """The counts, in OpenAI's shape."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }
