"""The lock: which commit of a repository and which digest of an image stand in for what entries leave open. Pure.

Entries name images by tags, which can move, and leave ``revision`` null until somebody pins it. A lock file beside the
fleet file says what both were when ``orchestrator lock`` asked, and is applied where entries are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from orchestrator.errors import FileProblems, Problem
from orchestrator.registry.fields import Commit, ImageReference, Repository
from orchestrator.registry.messages import problems
from orchestrator.registry.spec import ENGINES, Engines, ModelSpec
from orchestrator.registry.tree import Tree, dotted, read

Kind = Literal["repositories", "images"]
_DIGEST = r"sha256:[0-9a-f]{64}"
_HEAD = """\
# Which commit of each repository of weights, and which digest of each image, entries stand for. Commit this file.
# Written by 'orchestrator lock', which adds what is missing; 'orchestrator lock --upgrade' asks for all of it again.
schema_version: 1
"""
_Part = TypeVar("_Part", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Pin:
    """A commit, or a digest with ``sha256:`` in front. ``date``: the day (UTC) on which it was the newest."""

    value: str
    date: str
    line: int = field(default=0, compare=False)
    """Of the lock file; 0 for none yet."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A repository or an image that entries leave open. ``models``: names of these entries."""

    kind: Kind
    name: str
    models: tuple[str, ...]
    endpoint: str = ""
    """The hub that an entry names; "" for none."""
    gated: bool = False


@dataclass(frozen=True, slots=True)
class Lock:
    """What is pinned: commits by repository, digests by image reference."""

    repositories: Mapping[str, Pin] = field(default_factory=lambda: MappingProxyType({}))
    images: Mapping[str, Pin] = field(default_factory=lambda: MappingProxyType({}))
    file: str = ""

    def of(self, wanted: Wanted) -> Pin | None:
        """The pin of a repository or an image; None where there is none."""
        return (self.repositories if wanted.kind == "repositories" else self.images).get(wanted.name)

    def missing(self, wanted: Iterable[Wanted]) -> tuple[Wanted, ...]:
        """Those of them that are not pinned."""
        return tuple(one for one in wanted if self.of(one) is None)

    def pin(self, wanted: Wanted, value: str, date: str) -> Pin:
        """The pin of what was found on that day. One that was pinned to the same before keeps its date."""
        old = self.of(wanted)
        return old if old is not None and old.value == value else Pin(value, date)

    def with_pins(self, found: Mapping[Wanted, Pin]) -> Lock:
        """With these pins added, or in place of others."""
        repositories = {one.name: pin for one, pin in found.items() if one.kind == "repositories"}
        images = {one.name: pin for one, pin in found.items() if one.kind == "images"}
        return replace(self, repositories={**self.repositories, **repositories}, images={**self.images, **images})

    def without(self, specs: Sequence[ModelSpec]) -> Lock:
        """Without the pins of what these entries name, pinned by themselves or not."""
        repositories = {spec.source.repository for spec in specs}
        images = {image.partition("@")[0] for spec in specs for image in _images(spec)}
        return replace(
            self,
            repositories={name: pin for name, pin in self.repositories.items() if name not in repositories},
            images={name: pin for name, pin in self.images.items() if name not in images},
        )


_KINDS: tuple[Kind, Kind] = ("repositories", "images")


def wanted(specs: Sequence[ModelSpec]) -> tuple[Wanted, ...]:
    """The repositories without a revision and the images without a digest that entries name, in order."""
    found: dict[tuple[Kind, str], Wanted] = {}
    for spec in specs:
        for one in _wanted(spec):
            before = found.get((one.kind, one.name))
            models = (*before.models, *one.models) if before else one.models
            found[one.kind, one.name] = replace(before or one, models=tuple(dict.fromkeys(models)))
    return tuple(found[key] for kind in _KINDS for key in sorted(found) if key[0] == kind)


def _wanted(spec: ModelSpec) -> Iterator[Wanted]:
    source = spec.source
    if source.repository and not source.path and source.revision is None:
        engines = (spec.engine(name) for name in ENGINES)
        endpoints = [e.environment["HF_ENDPOINT"] for e in engines if e and "HF_ENDPOINT" in e.environment]
        yield Wanted("repositories", source.repository, (spec.name,), (*endpoints, "")[0], source.gated)
    for image in _images(spec):
        if "@" not in image:
            yield Wanted("images", image, (spec.name,))


def _images(spec: ModelSpec) -> tuple[str, ...]:
    """The images that an entry names for what it runs on. vLLM's own for the CPU is none of them: it is one of two."""
    vllm, own = spec.engines.vllm, spec.engines.transformers
    named: list[str | None] = [own.image] if own and own.possible else []
    if vllm and vllm.possible:
        named += [vllm.image if "gpu" in vllm.devices else None, vllm.cpu_image if "cpu" in vllm.devices else None]
    return tuple(image for image in named if image)


def pinned(specs: Sequence[ModelSpec], lock: Lock) -> tuple[ModelSpec, ...]:
    """The entries with what the lock says put in. FileProblems where it says other than an entry itself."""
    wrong = [problem for spec in specs for problem in _contradictions(spec, lock)]
    if wrong:
        raise FileProblems(tuple(wrong), hint="'orchestrator lock --upgrade NAME' takes the entry's word")
    return tuple(_pinned(spec, lock) for spec in specs)


def _contradictions(spec: ModelSpec, lock: Lock) -> Iterator[Problem]:
    commit = lock.repositories.get(spec.source.repository or "")
    if commit and not spec.source.path and spec.source.revision not in {None, commit.value}:
        words = f"the entry {spec.name} pins {spec.source.revision}, the lock {commit.value}"
        yield Problem(lock.file, commit.line, dotted(("repositories", spec.source.repository or "")), words)
    for image in _images(spec):
        name, _, digest = image.partition("@")
        pin = lock.images.get(name)
        if pin and digest and digest != pin.value:
            words = f"the entry {spec.name} pins {digest}, the lock {pin.value}"
            yield Problem(lock.file, pin.line, dotted(("images", name)), words)


def _pinned(spec: ModelSpec, lock: Lock) -> ModelSpec:
    commit = lock.repositories.get(spec.source.repository or "")
    if commit and not spec.source.path:
        spec = _with(spec, source=_with(spec.source, revision=commit.value))
    return _with(spec, engines=_engines(spec.engines, lock))


def _engines(engines: Engines, lock: Lock) -> Engines:
    def image(reference: str | None) -> str | None:
        pin = lock.images.get(reference or "")
        return f"{reference}@{pin.value}" if pin else reference

    vllm, own = engines.vllm, engines.transformers
    if vllm is not None:
        vllm = _with(vllm, image=image(vllm.image), cpu_image=image(vllm.cpu_image))
    return _with(engines, vllm=vllm, transformers=own and _with(own, image=image(own.image)))


def _with(part: _Part, **changes: object) -> _Part:
    return part.model_copy(update=changes)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class _Revision(_Strict):
    revision: Commit
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class _Image(_Strict):
    digest: Annotated[str, Field(pattern=f"^{_DIGEST}$")]
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]


def _open(reference: str) -> str:
    if "@" in reference:
        raise ValueError("has a digest already")
    return reference


class _File(_Strict):
    schema_version: Literal[1]
    repositories: dict[Repository, _Revision] = {}
    images: dict[Annotated[ImageReference, AfterValidator(_open)], _Image] = {}


def parse_lock(file: str, text: str) -> Lock:
    """The lock that the text is. FileProblems with every problem, if it is not one."""
    tree = read(file, text)
    try:
        found = _File.model_validate_json(json.dumps(tree.data))
    except ValidationError as error:
        raise _refusal(tree, () if tree.broken else problems(error, tree, _File)) from None
    if tree.problems:
        raise _refusal(tree, ())
    return Lock(
        {n: Pin(r.revision, r.date, tree.line(("repositories", n))) for n, r in found.repositories.items()},
        {n: Pin(i.digest, i.date, tree.line(("images", n))) for n, i in found.images.items()},
        file,
    )


def _refusal(tree: Tree, found: Sequence[Problem]) -> FileProblems:
    hint = "'orchestrator lock' writes a right one where there is none"
    return FileProblems(tuple(dict.fromkeys((*tree.problems, *found))), hint=hint)


def lock_text(lock: Lock) -> str:
    """The file. Sorted, a line for each pin, so that the same lock is always the same bytes."""
    parts = (("repositories", "revision", lock.repositories), ("images", "digest", lock.images))
    return _HEAD + "".join(_section(name, key, pins) for name, key, pins in parts if pins)


def _section(name: str, key: str, pins: Mapping[str, Pin]) -> str:
    lines = (f'  {json.dumps(of)}: {{{key}: "{pin.value}", date: "{pin.date}"}}\n' for of, pin in sorted(pins.items()))
    return f"{name}:\n" + "".join(lines)
