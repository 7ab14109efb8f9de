"""A fleet file: text to values, and what it asks of the plan. Every problem of the file is found at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from orchestrator.errors import FileProblems, Problem, RequestError
from orchestrator.fleet.pinning import pinned
from orchestrator.fleet.spec import Fleet, Member
from orchestrator.plan.request import Own, Request, beyond_loopback
from orchestrator.registry.loader import Registry
from orchestrator.registry.messages import problems
from orchestrator.registry.spec import ModelSpec
from orchestrator.registry.tree import Tree, read

#: for whoever has such a file in the folder by chance
_ASIDE = "'orchestrator --no-fleet ...' leaves the fleet file aside"


@dataclass(frozen=True, slots=True)
class FleetFile:
    """A fleet, and the file it stands in."""

    path: Path
    fleet: Fleet
    tree: Tree

    @property
    def host(self) -> Path | None:
        """The host's inventory file."""
        return self._beside(self.fleet.host) if self.fleet.host else None

    @property
    def registries(self) -> tuple[Path, ...]:
        """Folders of the team's own entries."""
        return tuple(self._beside(folder) for folder in self.fleet.registry)

    @property
    def output(self) -> Path:
        """The folder that is rendered to."""
        return self._beside(self.fleet.output)

    def _beside(self, name: str) -> Path:
        return self.path.parent / name

    def chosen(self, names: Sequence[str]) -> tuple[str, ...]:
        """The models named, without names all of the fleet; RequestError for those that are not in it."""
        strangers = [name for name in dict.fromkeys(names) if name not in self.fleet.models]
        if strangers:
            raise RequestError(
                f"{', '.join(strangers)}: not in the fleet",
                where=f"{self.path} lists {', '.join(self.fleet.models)}",
                hint=f"add '{strangers[0]}:' below 'models:' there, or leave the fleet file aside with --no-fleet",
            )
        return tuple(dict.fromkeys(names)) or tuple(self.fleet.models)

    def request(self, request: Request) -> Request:
        """The request with what the file says of each of its models. What the request says itself comes first.

        In another project than the fleet's the file's ports give way, because the fleet itself may hold them.
        """
        names = self.chosen(request.models)
        return replace(
            request,
            models=names,
            own=MappingProxyType({name: self._own(self._member(name)) for name in names}),
            declared=True,
            whole=not request.models,
            move_ports=request.move_ports and request.project != self.fleet.project,
            partial=False,
            strategy=request.strategy or self.fleet.strategy,
        )

    def specs(self, registry: Registry, names: Sequence[str]) -> tuple[ModelSpec, ...]:
        """The entries of the models named with what the file pins; FileProblems with all that does not go together.

        All of the file is checked, whatever was named.
        """
        chosen = self.chosen(names)
        found: list[Problem] = []
        specs = {name: self._spec(name, registry, found) for name in self.fleet.models}
        if found:
            raise FileProblems(tuple(found), hint=_ASIDE)
        return tuple(spec for name, spec in specs.items() if spec is not None and name in chosen)

    def _spec(self, name: str, registry: Registry, found: list[Problem]) -> ModelSpec | None:
        member, place = self._member(name), ("models", name)
        try:
            entry = registry.get(name)
        except RequestError as error:
            found.append(self.problem(place, f"{error.what}; {error.hint}"))
            return None
        engine = member.engine or self.fleet.defaults.engine
        if engine != "auto" and entry.engine(engine) is None:
            found.append(self.problem((*place, "engine"), f"{name} has no {engine} entry in the registry"))
            return None
        spec, wrong = pinned(entry, engine, member.settings)
        found += [self.problem((*place, "settings", *path), message) for path, message in wrong]
        return spec

    def problem(self, path: tuple[str, ...], message: str) -> Problem:
        """A problem at that path of the file."""
        return Problem(self.tree.file, self.tree.line(path), ".".join(path), message)

    def _member(self, name: str) -> Member:
        return self.fleet.models[name] or Member()

    def _own(self, member: Member) -> Own:
        defaults = self.fleet.defaults
        address = member.address or defaults.address
        key = defaults.api_key if member.api_key is None else member.api_key
        unpinned = defaults.allow_unpinned if member.allow_unpinned is None else member.allow_unpinned
        return Own(
            mode=member.engine or defaults.engine,
            gpu=",".join(member.gpu or ()),
            port=member.port or 0,
            allow_unpinned=unpinned,
            address=address,
            # a key that is asked for by default is no reason to refuse a model that is published beyond loopback
            api_key=None if beyond_loopback(address) and member.api_key is None else key,
        )


def parse_fleet(path: Path, text: str) -> FleetFile:
    """The fleet that the text describes. FileProblems with every problem, if it is not one."""
    tree = read(str(path), text)
    if tree.broken:
        raise FileProblems(tree.problems, hint=_ASIDE)
    try:
        fleet = Fleet.model_validate_json(json.dumps(tree.data))
    except ValidationError as error:
        found = dict.fromkeys((*tree.problems, *problems(error, tree, Fleet)))
        raise FileProblems(tuple(found), hint=_ASIDE) from None
    file = FleetFile(path, fleet, tree)
    wrong = (*tree.problems, *_ports(file))
    if wrong:
        raise FileProblems(wrong, hint=_ASIDE)
    return file


def _ports(file: FleetFile) -> list[Problem]:
    """Ports that two models would have."""
    holders: dict[int, str] = {}
    found = []
    for name, member in file.fleet.models.items():
        port = member.port if member else None
        if port is not None and holders.setdefault(port, name) != name:
            line = file.tree.line(("models", holders[port], "port"))
            found.append(
                file.problem(("models", name, "port"), f"{port} is also the port of {holders[port]} (line {line})")
            )
    return found
