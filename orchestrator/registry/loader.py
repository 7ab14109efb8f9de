"""Registry files to a ``Registry``. Pure: the text comes from ``adapters.registry_files``.

Text to a tree (``tree``), the tree to a ``ModelSpec`` or to problems (``messages``), entries to each other
(``entries``). Every problem of every file is found before anything is raised.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import ValidationError

from orchestrator.errors import FileProblems, Problem, RequestError
from orchestrator.registry import messages
from orchestrator.registry.entries import Entry, between_entries
from orchestrator.registry.fields import wrong_lengths
from orchestrator.registry.spec import ENGINES, ModelSpec
from orchestrator.registry.tree import Tree, dotted, read


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of the registry: its name as people are shown it, and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Registry:
    """Every model that is known, by name and sorted by name."""

    models: Mapping[str, ModelSpec]

    def get(self, name: str) -> ModelSpec:
        """The model with this name; RequestError names the nearest ones."""
        return self.select((name,))[0]

    def select(self, names: Sequence[str]) -> tuple[ModelSpec, ...]:
        """The models with these names, each once, in this order; RequestError names every unknown one."""
        unknown = [name for name in dict.fromkeys(names) if name not in self.models]
        if unknown:
            raise RequestError(
                f"there is no model {' and no model '.join(repr(name[:80]) for name in unknown)} in the registry",
                hint=self._suggestion(unknown),
            )
        return tuple(self.models[name] for name in dict.fromkeys(names))

    def _suggestion(self, unknown: Sequence[str]) -> str:
        near = dict.fromkeys(known for name in unknown for known in self._nearest(name))
        return f"did you mean {' or '.join(near)}?" if near else f"known models: {', '.join(self.models)}"

    def _nearest(self, name: str) -> list[str]:
        """Names like this one; a repository or its last part counts as well (``Qwen2-VL-2B-Instruct``)."""
        slug = re.sub(r"[^a-z0-9]+", "-", name[:80].lower().rpartition("/")[2]).strip("-")
        aliases = {known: known for known in self.models}
        for known, spec in self.models.items():
            repository = (spec.source.repository or "").lower().rpartition("/")[2]
            aliases.setdefault(re.sub(r"[^a-z0-9]+", "-", repository), known)
        begun = [alias for alias in aliases if slug and alias.startswith(slug)]
        near = begun or difflib.get_close_matches(slug, aliases, n=3, cutoff=0.6)
        return list(dict.fromkeys(aliases[alias] for alias in near))


def load(layers: Sequence[Sequence[SourceFile]], found: Sequence[Problem] = ()) -> Registry:
    """The registry of these layers: the first is built in; each later one adds entries and replaces them whole.

    Raises FileProblems with every problem of every file, those ``found`` while reading included.
    """
    entries = [
        Entry(layer, tree, *_validate(tree))
        for layer, files in enumerate(layers)
        for tree in (read(file.name, file.text) for file in files)
    ]
    problems = [*found, *(p for entry in entries for p in entry.problems), *between_entries(entries)]
    if problems:
        raise FileProblems(tuple(dict.fromkeys(problems)))
    models = {entry.spec.name: entry.spec for entry in entries if entry.spec is not None}
    return Registry(MappingProxyType(dict(sorted(models.items()))))


def _validate(tree: Tree) -> tuple[ModelSpec | None, tuple[Problem, ...]]:
    if tree.broken:
        return None, tree.problems
    try:
        # by way of JSON: there strict validation takes a list for a tuple
        spec = ModelSpec.model_validate_json(json.dumps(tree.data))
    except ValidationError as error:
        told = {dotted(path) for path in tree.unread}
        more = dict.fromkeys((*messages.problems(error, tree), *_lengths(tree)))
        return None, (*tree.problems, *(problem for problem in more if problem.path not in told))
    return (None if tree.problems else spec), tree.problems


def _lengths(tree: Tree) -> tuple[Problem, ...]:
    """The rule between the parts of an entry, which pydantic skips once a part is wrong."""
    lengths = {engine: tree.get("engines", engine, "max_model_len") for engine in ENGINES}
    whole: dict[str, int] = {engine: length for engine, length in lengths.items() if type(length) is int and length > 0}
    context, tokens = tree.get("architecture", "context"), tree.get("images", "tokens")
    places = wrong_lengths(
        context if type(context) is int and context > 0 else 1 << 63,
        tokens if type(tokens) is int and tokens > 0 else 0,
        whole,
    )
    return tuple(Problem(tree.file, tree.line(path), dotted(path), message) for path, message in places)
