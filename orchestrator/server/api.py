"""The request of ``/v1/chat/completions``, checked; and the answers, in OpenAI's shape.

Parameters that this server can't honour are refused when they ask for something, never ignored in silence; so are
keys that OpenAI's API does not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .conversation import Ask, Completion, Sampling, Turn
from .errors import ApiError
from .images import Fetch, ImageLimits, Images

#: Parameters of OpenAI's API that are accepted only with a value that changes nothing.
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "tools": ([],),
    "tool_choice": ("none",),
    "functions": ([],),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": (),
    "store": (False,),
}
#: Parameters of OpenAI's API that say nothing about the answer itself.
_HARMLESS = frozenset(
    {"user", "metadata", "service_tier", "parallel_tool_calls", "safety_identifier", "prompt_cache_key"}
)
#: Characters of a caller's own text that an error gives back.
_ECHO = 100


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class TextPart(_Part):
    """Text in a message."""

    type: Literal["text"]
    text: str


class ImageUrl(_Part):
    """The place of an image."""

    url: str


class ImagePart(_Part):
    """An image in a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


def _as_parts(content: object) -> object:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _as_list(stop: object) -> object:
    return [stop] if isinstance(stop, str) else stop


Stops = Annotated[list[str], Field(max_length=4), BeforeValidator(_as_list)]
Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]
# Lists end at their first fault: 600 kB full of faults took 1.3 s and 250 MB to refuse.
Content = Annotated[list[Part], Field(fail_fast=True), BeforeValidator(_as_parts)]


class Message(_Part):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content


class StreamOptions(BaseModel):
    """How to stream."""

    model_config = ConfigDict(frozen=True, strict=True)

    include_usage: bool = False


class ChatRequest(BaseModel):
    """What this server understands of a chat request."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    model: str
    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Stops | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    options: Annotated[dict[str, Any], Field(description="of the model's family, not of OpenAI's API")] | None = None

    @property
    def include_usage(self) -> bool:
        """Whether a stream is to end with the usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    def ask(self, limits: ImageLimits, fetch: Fetch | None = None) -> Ask:
        """What is asked, as ``conversation`` gives it. Raises ``ApiError`` where a limit is passed."""
        return Ask(self.conversation(limits, fetch), self._sampling(), self.options or {})

    def _sampling(self) -> Sampling:
        return Sampling(
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            stop=tuple(text for text in self.stop or () if text),
        )

    def conversation(self, limits: ImageLimits, fetch: Fetch | None = None) -> tuple[Turn, ...]:
        """The messages with their images decoded; ``fetch`` gets those that are no data URLs.

        Raises ``ApiError`` where a limit is passed. May take seconds: not for an event loop.
        """
        count = sum(isinstance(part, ImagePart) for message in self.messages for part in message.content)
        if count > limits.count:
            message = f"at most {limits.count} images in one request, got {count}"
            raise ApiError(message, param="messages", code="too_many_images")
        images = Images(limits, fetch)
        return tuple(_turn(message, images) for message in self.messages)


def _turn(message: Message, images: Images) -> Turn:
    role = "system" if message.role == "developer" else message.role
    parts = (part.text if isinstance(part, TextPart) else images.decode(part.image_url.url) for part in message.content)
    return Turn(role, tuple(parts))


def parse_chat(body: bytes, served_name: str) -> ChatRequest:
    """A request from its body. Raises ``ApiError``: 400 for a wrong one, 404 for another model's name."""
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from None
    if request.model != served_name:
        message = f"no model {_short(request.model)} here; this server has {served_name!r}"
        raise ApiError(message, status=404, param="model", code="model_not_found")
    if request.stream_options is not None and not request.stream:
        raise ApiError("stream_options needs stream: true", param="stream_options", code="invalid_value")
    for name, value in (request.model_extra or {}).items():
        _check_other(name, value)
    return request


def _check_other(name: str, value: object) -> None:
    """Raises ``ApiError`` for a parameter that this server does not honour and that asks for something."""
    known = ", ".join(ChatRequest.model_fields)
    if name not in _NEUTRAL and name not in _HARMLESS:
        message = f"{_short(name)} is not known; this server knows {known}"
        raise ApiError(message, param=name[:_ECHO], code="unknown_parameter")
    if name in _NEUTRAL and value is not None and value not in _NEUTRAL[name]:
        message = (
            f"{name} is not supported with this value; this server gives one answer in text to text and images,"
            f" by {known}"
        )
        raise ApiError(message, param=name, code="unsupported_parameter")


def _short(text: str) -> str:
    """A caller's text as an error quotes it."""
    return repr(text if len(text) <= _ECHO else text[:_ECHO] + "...")


def _refusal(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    # What pydantic says may quote a value of the caller at its whole length.
    return ApiError(f"{place or 'body'}: {first['msg'][:500]}", param=place or None, code="invalid_value")


def chat_answer(completion: Completion, *, request_id: str, created: int, model: str) -> dict[str, Any]:
    """The body of a successful answer; ``created`` in Unix seconds."""
    message = {"role": "assistant", "content": completion.text}
    return {
        "id": request_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": completion.finish_reason}],
        "usage": completion.usage(),
    }


def model_list(served_name: str, *, created: int, max_model_len: int) -> dict[str, Any]:
    """The body of ``/v1/models``; ``max_model_len`` in tokens, as vLLM adds it."""
    card = {
        "id": served_name,
        "object": "model",
        "created": created,
        "owned_by": "orchestrator",
        "max_model_len": max_model_len,
    }
    return {"object": "list", "data": [card]}
