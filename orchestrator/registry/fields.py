"""The scalar values of a registry entry and their rules; ``spec`` puts them together.

A rule says what a value must be; the loader adds where the value stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from orchestrator.traits import flag_trouble

#: A wrong value: its path below the part that is being validated, and what is wrong.
Place = tuple[tuple[str, ...], str]

NAME_PATTERN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ENV_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FLAG_PATTERN = re.compile(r"[a-z][a-z0-9-]*(\.[A-Za-z0-9_-]+)*")
_REPOSITORY_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_COMMIT_PATTERN = re.compile(r"[0-9a-f]{40}")
_ARGUMENT_PATTERN = re.compile(r"[a-z_][a-z0-9_]*")
_IMAGE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")
#: Lower ports need privileges. Linux hands out ephemeral ports from 32768 to 60999 and may take ours first.
FIRST_PORT, FIRST_EPHEMERAL, LAST_EPHEMERAL, LAST_PORT = 1024, 32768, 60999, 65535
#: Secrets come from files at run time; the registry is committed.
_SECRETS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "VLLM_API_KEY", "ORCHESTRATOR_API_KEY"})
#: vLLM uses these two between its own processes; setting them breaks it.
_VLLM_INTERNAL = frozenset({"VLLM_PORT", "VLLM_HOST_IP"})
#: makes vLLM answer /sleep, /wake_up and /is_sleeping, and more (docs/operations.md); they are 404 without it
SLEEP_VARIABLE = "VLLM_SERVER_DEV_MODE"
#: Flags that are made from another field of the entry, or from the placement, and from which.
_DERIVED = {
    "model": "source.repository",
    "revision": "source.revision",
    "trust-remote-code": "source.remote_code",
    "dtype": "dtype",
    "max-model-len": "max_model_len",
    "host": "the placement",
    "port": "port",
}
DERIVED_VLLM = _DERIVED | {
    "served-model-name": "name",
    "max-num-seqs": "max_num_seqs",
    "gpu-memory-utilization": "the claim",
    "api-key": "the API key's file",
    "kv-cache-memory": "the claim",
    "kv-cache-memory-bytes": "the claim",
    "limit-mm-per-prompt": "images.max_per_prompt",
    "quantization": "storages",
    "enable-sleep-mode": "sleep_mode",
}
DERIVED_TRANSFORMERS = _DERIVED | {
    "served-name": "name",
    "family": "architecture.family",
    "builtin": "source.builtin",
    "device": "devices",
    "quantisation": "storages",
    "quantiser": "quantiser",
    "keep-16bit": "keep_16bit",
    "images-at-once": "images_at_once",
    "require-api-key": "the API key's file",
    "max-images": "images.max_per_prompt",
    "max-pixels": "images.max_pixels",
    "max-tiles": "images.tiles",
    "stop": "prompt.stop",
}


class Frozen(BaseModel):
    """A part of an entry: frozen, strict, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class MisplacedError(ValueError):
    """Wrong values inside the part that is being validated."""

    def __init__(self, *places: Place) -> None:
        super().__init__("; ".join(f"{'.'.join(path)} {message}" for path, message in places))
        self.places = places


def refuse(found: Iterable[Place]) -> None:
    """Raise MisplacedError where anything was found."""
    places = tuple(found)
    if places:
        raise MisplacedError(*places)


def derived_flags(flags: Iterable[str], known: Mapping[str, str]) -> Iterator[Place]:
    """The flags that would be given twice, since they follow from another field."""
    for flag in flags:
        if flag in known:
            yield ("flags", flag), f"is not for flags: it follows from {known[flag]}"


def unknown_flags(flags: Mapping[str, str | int | float | bool], image: str) -> Iterator[Place]:
    """The flags that the vLLM of this image does not take, as far as that is known."""
    for flag, value in flags.items():
        if trouble := flag_trouble(flag, image, off=value is False):
            yield ("flags", flag), trouble


def internal_variables(environment: Iterable[str]) -> Iterator[Place]:
    """The variables that vLLM keeps for itself, and the one that another field sets."""
    for key in environment:
        if key in _VLLM_INTERNAL:
            yield ("environment", key), "is used by vLLM internally"
        elif key == SLEEP_VARIABLE:
            yield ("environment", key), "is not for environment: it follows from sleep_mode"


def wrong_lengths(context: int, image_tokens: int, lengths: Mapping[str, int]) -> Iterator[Place]:
    """The lengths (``max_model_len`` in tokens, by engine) that the model can't have."""
    for engine, length in lengths.items():
        path = ("engines", engine, "max_model_len")
        if length > context:
            yield path, f"must be at most the model's context of {context}, got {length}"
        elif length <= image_tokens:
            yield (
                path,
                f"must be more than the {image_tokens} tokens of one image (images.tokens), got {length}",
            )


def _slug(value: str) -> str:
    if not NAME_PATTERN.fullmatch(value) or len(value) > 40:
        raise ValueError("must be lower-case words of letters and digits joined by '-', up to 40 characters")
    return value


def _port(value: int) -> int:
    if value < FIRST_PORT:
        raise ValueError(f"must be at least {FIRST_PORT}: lower ports need privileges")
    if value > LAST_PORT:
        raise ValueError(f"must be at most {LAST_PORT}")
    if FIRST_EPHEMERAL <= value <= LAST_EPHEMERAL:
        raise ValueError(
            f"must be outside the kernel's ephemeral range {FIRST_EPHEMERAL}-{LAST_EPHEMERAL}, "
            "where any program may take it"
        )
    return value


def _variable(value: str) -> str:
    if not _ENV_PATTERN.fullmatch(value):
        raise ValueError("is not a name of an environment variable")
    if value in _SECRETS:
        raise ValueError("is a secret: it is read from a file at run time and has no place in the registry")
    return value


def _flag_name(value: str) -> str:
    if value.startswith("-"):
        raise ValueError("is written without the dashes in front")
    if not _FLAG_PATTERN.fullmatch(value):
        raise ValueError("is not a name of a flag: lower-case words joined by '-'")
    return value


def _argument(value: str) -> str:
    if not _ARGUMENT_PATTERN.fullmatch(value):
        raise ValueError("is not a name of a processor's argument: lower-case words joined by '_'")
    return value


def _absolute(value: str) -> str:
    if not value.startswith("/") or ".." in value.split("/"):
        raise ValueError("must be an absolute path without '..'")
    return value


def _repository(value: str) -> str:
    if not _REPOSITORY_PATTERN.fullmatch(value):
        raise ValueError("must be a repository like owner/name")
    return value


def _commit(value: str) -> str:
    if not _COMMIT_PATTERN.fullmatch(value):
        raise ValueError("must be a commit of 40 hexadecimal digits, since a branch or tag can move")
    return value


def _image(value: str) -> str:
    if not _IMAGE_PATTERN.fullmatch(value):
        raise ValueError("must be an image reference like owner/name:tag")
    return value


def _expression(value: str) -> str:
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"must be a regular expression: {error}") from error
    return value


Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[int, Field(ge=1)]
Slug = Annotated[
    str,
    AfterValidator(_slug),
    Field(json_schema_extra={"pattern": f"^{NAME_PATTERN.pattern}$", "maxLength": 40}),
]
Port = Annotated[int, AfterValidator(_port), Field(json_schema_extra={"minimum": FIRST_PORT, "maximum": LAST_PORT})]
Argument = Annotated[
    str, AfterValidator(_argument), Field(json_schema_extra={"pattern": f"^{_ARGUMENT_PATTERN.pattern}$"})
]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
Repository = Annotated[str, AfterValidator(_repository)]
Commit = Annotated[str, AfterValidator(_commit), Field(json_schema_extra={"pattern": f"^{_COMMIT_PATTERN.pattern}$"})]
ImageReference = Annotated[str, AfterValidator(_image)]
Expression = Annotated[str, AfterValidator(_expression)]
Environment = dict[Annotated[str, AfterValidator(_variable)], str]
Flag = str | int | float | bool
Flags = dict[Annotated[str, AfterValidator(_flag_name)], Flag]
