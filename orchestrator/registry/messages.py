"""pydantic's errors as problems with a line, a path and a sentence for people. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.errors import Problem
from orchestrator.registry.fields import MisplacedError
from orchestrator.registry.spec import ModelSpec
from orchestrator.registry.tree import Path, Tree, dotted

#: pydantic's type of error -> what was wanted
_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}
#: pydantic's type of error -> the name of the bound in its context, and words for it
_LIMITS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "more than"),
}


def problems(error: ValidationError, tree: Tree, model: type[BaseModel] = ModelSpec) -> tuple[Problem, ...]:
    """One problem for each thing that is wrong. ``model`` is what the file as a whole was validated as."""
    found: dict[Problem, None] = {}
    for details in error.errors(include_url=False):
        for path, message in _places(details, tree, model):
            found[Problem(tree.file, tree.line(path), dotted(path), message)] = None
    return tuple(found)


def _places(details: ErrorDetails, tree: Tree, model: type[BaseModel]) -> Iterator[tuple[Path, str]]:
    path = _known_part(details["loc"], tree)
    kind, value = details["type"], details["input"]
    context: dict[str, Any] = details.get("ctx", {})
    if kind == "missing":
        yield details["loc"], "is missing"
    elif kind == "extra_forbidden":
        yield path, _unknown_key(path, model)
    elif kind == "value_error":
        # a rule about a key speaks of the key itself, so its value needs no telling
        yield from _own_rule(path, context["error"], None if details["loc"][-1:] == ("[key]",) else value)
    elif len(path) < len(details["loc"]) and kind in _WANTED:
        # one error for each choice of a union: flags are the only one
        yield path, f"must be text, a number, or true or false, got {described(value)}"
    else:
        yield path, _sentence(kind, context, value) or details["msg"]


def _known_part(location: Path, tree: Tree) -> Path:
    """The location without the parts that pydantic adds and the file has not (choices of a union, ``[key]``)."""
    for end in range(1, len(location) + 1):
        if location[:end] not in tree.lines:
            return location[: end - 1]
    return location


def _own_rule(path: Path, error: Exception, value: object) -> Iterator[tuple[Path, str]]:
    if isinstance(error, MisplacedError):
        for below, message in error.places:
            yield (*path, *below), message
    elif isinstance(value, str | int):
        yield path, f"{error}, got {described(value)}"
    else:
        yield path, str(error)


def _sentence(kind: str, context: dict[str, Any], value: object) -> str:
    got = f"got {described(value)}"
    if kind in _WANTED:
        quotes = "; put it in quotes" if kind == "string_type" and isinstance(value, int | float) else ""
        return f"must be {_WANTED[kind]}, {got}{quotes}"
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        return f"must be {words} {context[name]}, {got}"
    if kind == "literal_error":
        return f"must be {context['expected']}, {got}"
    if kind == "string_pattern_mismatch":
        return f"must match the pattern {context['pattern']}, {got}"
    return "must not be empty" if kind == "string_too_short" else ""


def described(value: object) -> str:
    """A value as people would call it: ``text 'x'``, ``a list``, ``nothing``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return f"text {value!r}" if len(value) <= 60 else f"text {value[:59]!r}…"
    return "nothing" if value is None else "a list" if isinstance(value, list | tuple) else "a mapping"


def _unknown_key(path: Path, model: type[BaseModel]) -> str:
    known = _keys_at(path[:-1], model)
    near = difflib.get_close_matches(str(path[-1])[:80], known, n=1, cutoff=0.6)
    if near:
        return f"is not a known key; did you mean {near[0]!r}?"
    return f"is not a known key; known here: {', '.join(known)}"


def _keys_at(path: Path, model: type[BaseModel]) -> list[str]:
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``X``, ``X | None`` or ``tuple[X, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
