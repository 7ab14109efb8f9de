"""The field ``options`` of a request: what a family can be asked beyond OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ..conversation import Turn
from ..errors import ApiError


class Options(BaseModel):
    """Base of a family's options: unknown ones are refused, values are not converted."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


O = TypeVar("O", bound=Options)  # noqa: E741


def read_options(kind: type[O], options: Mapping[str, Any]) -> O:
    """The options of a request. Raises ``ApiError`` 400 that names what is wrong and what there is."""
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in ("options", *first["loc"]))
        known = ", ".join(kind.model_fields)
        message = f"{place}: {first['msg']}; this model's options: {known}"
        raise ApiError(message, param=place, code="invalid_value") from None


def no_options(options: Mapping[str, Any]) -> None:
    """Raises ``ApiError`` 400 where a model without options is given some."""
    if options:
        raise ApiError("this model has no options", param="options", code="invalid_value")


def one_turn(turns: tuple[Turn, ...] | list[Turn], what: str) -> Turn:
    """The only message of a request. Raises ``ApiError`` 400 where there are more, or it is not the user's."""
    if len(turns) != 1 or turns[0].role != "user":
        message = f"{what} takes one message of the user, no system prompt and no earlier turns"
        raise ApiError(message, param="messages", code="invalid_value")
    return turns[0]
