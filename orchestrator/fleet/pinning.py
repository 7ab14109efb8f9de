"""An entry of the registry with what a fleet pins of it. Pure.

The pinned value takes the place of the entry's own, and of the smallest that the entry allows; so the plan, the claim
and the rendered files know of nothing but an entry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from orchestrator.fleet.spec import Settings
from orchestrator.plan.request import Mode
from orchestrator.registry.fields import Place, wrong_lengths
from orchestrator.registry.limits import Images, wrong_pixels, wrong_tiles
from orchestrator.registry.messages import problems
from orchestrator.registry.spec import ENGINES, EngineName, ModelSpec, Transformers, Vllm
from orchestrator.registry.tree import read

_KINDS: dict[EngineName, type[Vllm | Transformers]] = {"vllm": Vllm, "transformers": Transformers}
#: settings that mean nothing, or another thing, on the other engine
_OF_ONE_ENGINE = ("flags", "image", "tensor_parallel", "sleep_mode", "images_at_once")
#: settings of this file whose field in an entry has another name, by that
_NAMES = {"storages": "storage"}
#: tokens to which the smallest context is rounded up where a pinned image size leaves it too small
_ROUND = 256


def pinned(entry: ModelSpec, mode: Mode, settings: Settings) -> tuple[ModelSpec | None, tuple[Place, ...]]:
    """The entry with these settings on the engine of this mode, on all where it is auto; or what is wrong with them."""
    if not settings.model_fields_set:
        return entry, ()
    engines = [name for name in ENGINES if entry.engine(name) is not None and mode in {"auto", name}]
    wrong = [
        *_misplaced(settings, mode),
        *_wrong_images(entry, settings, engines),
        *_wrong_storage(entry, settings, engines),
    ]
    # what is wrong by itself is left out, so that what is wrong with the rest is told as well
    left = Settings.model_construct(**{k: v for k, v in settings if v is not None and (k,) not in dict(wrong)})
    data = entry.model_dump(mode="json")
    images = entry.images.limited(left.max_pixels, left.max_tiles)
    data["images"] = images.model_dump(mode="json")
    for name in engines:
        _pin(data["engines"][name], left, images)
    try:
        spec = ModelSpec.model_validate_json(json.dumps(data))
    except ValidationError as error:
        lengths: dict[str, int] = {name: left.max_model_len for name in engines if left.max_model_len}
        found = [*wrong, *_told(error, data, settings), *_lengths(entry, images, lengths)]
        return None, tuple(dict.fromkeys(found))
    return (None if wrong else spec), tuple(wrong)


def _misplaced(settings: Settings, mode: Mode) -> Iterator[Place]:
    for key in _OF_ONE_ENGINE:
        if key not in settings.model_fields_set:
            continue
        owners = [name for name in ENGINES if key in _KINDS[name].model_fields]
        if mode == "auto":
            yield (key,), f"is for one engine: name it with 'engine: {' or '.join(owners)}'"
        elif mode not in owners:
            yield (key,), f"is for {owners[0]} only"


def _wrong_storage(entry: ModelSpec, settings: Settings, engines: Sequence[EngineName]) -> Iterator[Place]:
    for name in engines if settings.storage else ():
        known = get_args(get_args(_KINDS[name].model_fields["storages"].annotation)[0])
        engine = entry.engine(name)
        if engine is not None and engine.dtype == "float32":
            yield ("storage",), "is not for a model whose dtype is float32: its weights are stored as they are"
        elif settings.storage not in known:
            yield ("storage",), f"must be {' or '.join(map(repr, known))} on {name}, got {settings.storage!r}"


def _lengths(entry: ModelSpec, images: Images, lengths: Mapping[str, int]) -> Iterator[Place]:
    """The rule between parts of the entry, which pydantic skips once a part is wrong."""
    for path, message in wrong_lengths(entry.architecture.context, images.tokens, lengths):
        yield path[-1:], message


def _wrong_images(entry: ModelSpec, settings: Settings, engines: Sequence[EngineName]) -> Iterator[Place]:
    by_argument = "vllm" in engines
    pixels = wrong_pixels(entry.images, settings.max_pixels)
    tiles = wrong_tiles(entry.images.tiles, settings.max_tiles, by_argument=by_argument)
    yield from (((key,), message) for key, message in (("max_pixels", pixels), ("max_tiles", tiles)) if message)


def _pin(engine: dict[str, Any], settings: Settings, images: Images) -> None:
    """Put the settings into an engine's part of the entry."""
    given = settings.model_dump(mode="json", exclude_unset=True)
    smallest = engine["smallest"]
    for key, value in given.items():
        if key in {"flags", "environment"}:
            engine[key] |= value
        elif key == "storage":
            engine["storages"] = [value]
        elif key not in {"max_pixels", "max_tiles"}:
            engine[key] = [value] if key == "tensor_parallel" else value
        if key in smallest:
            smallest[key] = value if key == "max_num_seqs" else None
    least = smallest["max_model_len"]
    if least is not None and least <= images.tokens:
        smallest["max_model_len"] = min(-(-(images.tokens + 1) // _ROUND) * _ROUND, engine["max_model_len"])


def _told(error: ValidationError, data: dict[str, Any], settings: Settings) -> Iterator[Place]:
    """What the entry's own rules say, at the setting it is about."""
    for problem in problems(error, read("", json.dumps(data))):
        _, _, rest = problem.path.removeprefix("engines.").partition(".")
        first, _, below = rest.removeprefix("smallest.").partition(".")
        key = _NAMES.get(first, first)
        if key not in settings.model_fields_set:
            yield (), f"{problem.path}: {problem.message}"
        else:
            yield (key, below) if below and key != "storage" else (key,), problem.message
