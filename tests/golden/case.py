"""A golden case: a folder with what is given and what must come of it.

Given: ``request.yaml`` (what is asked for), ``inventory.yaml`` (the host), or fleet files with ``hosts/*.yaml`` (the
hosts are those) and perhaps a lock, and where wanted ``registry/*.yaml`` (a user's entries), ``observation.json``
(foreign containers and taken ports), ``before/`` (a ``request.yaml`` that was brought up earlier, with a ``registry/``
or a fleet file of its own). Expected: ``plan.txt`` and ``compose/``, or ``recommend.txt``, or ``error.txt``. Only the
text is expected of a plan that says ``documents: false``.

For a report there is no host, but ``seen.json``: what was verified, measured and heard on one. Expected: ``report.*``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from orchestrator.adapters.library import Files
from orchestrator.app.planning import Source, choose, rendered
from orchestrator.app.recommend import recommend
from orchestrator.app.render import render
from orchestrator.app.report import report
from orchestrator.app.up import Options, Screen, plan, up
from orchestrator.cli.context import FLEET, LOCK
from orchestrator.compose import EXAMPLE_FILE
from orchestrator.errors import OrchestratorError
from orchestrator.evidence import Fingerprint, Listing, Measurement, from_record
from orchestrator.fleet.file import FleetFile
from orchestrator.observation import Foreign, PortHolder
from orchestrator.plan.packing import Strategy
from orchestrator.plan.request import Mode, Request
from orchestrator.plan.steps import Plan
from orchestrator.registry.tree import read
from orchestrator.report.compatibility_json import report_json
from orchestrator.report.compatibility_text import TEMPLATES, language, report_markdown
from orchestrator.report.plan import plan_text
from orchestrator.report.recommend import recommend_text
from tests.fakes import FakeWorld

FLEETS = "orchestrator*.yaml"
SECRETS = (f"compose/{EXAMPLE_FILE}", f"compose/*/{EXAMPLE_FILE}")
GIVEN = ("request.yaml", "inventory.yaml", "seen.json", "observation.json", "registry/*.yaml", FLEETS, "hosts/*.yaml")
BEFORE = ("before/request.yaml", "before/registry/*.yaml", f"before/{FLEETS}", "before/hosts/*.yaml")
EXPECTED = ("plan.txt", "recommend.txt", "error.txt", "report.*", "compose/*.yaml", "compose/*/*.yaml", *SECRETS)


class Asked(BaseModel):
    """``request.yaml``."""

    model_config = ConfigDict(extra="forbid")

    about: str
    verb: Literal["plan", "render", "recommend", "report"] = "plan"
    models: list[str] = []
    everything: bool = False
    mode: Mode = "auto"
    gpu: str = ""
    port: int = 0
    allow_unpinned: bool = False
    explain: bool = False
    strategy: Strategy = "pack"
    address: str = ""
    api_key: bool | None = None
    documents: bool = True
    fleets: list[str] = []

    def request(self) -> Request:
        """As the command line would make it."""
        return Request(
            tuple(self.models),
            mode=self.mode,
            gpu=self.gpu,
            port=self.port,
            allow_unpinned=self.allow_unpinned,
            move_ports=self.verb == "plan" and not self.port,
            partial=self.everything,
            strategy=self.strategy,
            address=self.address,
            api_key=self.api_key,
        )


@dataclass(frozen=True)
class Case:
    """One folder."""

    folder: Path

    def wrong(self) -> list[str]:
        """Why the folder is not a case; [] if it is one."""
        files = sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())
        known = (*GIVEN, *BEFORE, *EXPECTED)
        found = [f"{name} is not a file of a case" for name in files if not any(_match(name, k) for k in known)]
        hosts = any(name == "seen.json" or _match(name, FLEETS) for name in files)
        needed = ["request.yaml", *([] if hosts else ["inventory.yaml"])]
        found += [f"{name} is missing" for name in needed if name not in files]
        if any(name.startswith("before/") for name in files) and "before/request.yaml" not in files:
            found.append("before/request.yaml is missing")
        return found

    def expected(self) -> dict[str, str]:
        """The expected files by name."""
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        texts = {str(path.relative_to(self.folder)): path for path in paths}
        return {n: p.read_text(encoding="utf-8") for n, p in texts.items() if any(_match(n, k) for k in EXPECTED)}

    def actual(self) -> dict[str, str]:
        """What the project makes of it now."""
        try:
            return self._made()
        except OrchestratorError as error:
            lines = [f"exit code {error.exit_code}", f"error: {error.what}"]
            lines += [f"where: {error.where}"] if error.where else []
            lines += [f"hint:  {error.hint}"] if error.hint else []
            return {"error.txt": "\n".join(lines).replace(str(self.folder), "CASE") + "\n"}

    def rewrite(self) -> None:
        """Make what comes of it now the expected."""
        for name in self.expected():
            (self.folder / name).unlink()
        for name, text in self.actual().items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text, encoding="utf-8")

    def _made(self) -> dict[str, str]:
        asked = _asked(self.folder / "request.yaml")
        if asked.fleets:
            return self._of_fleets(asked)
        world = self._world()
        if asked.verb == "render":
            return self._rendered(world, asked)
        if asked.verb == "recommend":
            host = world.library.inventory(self.folder / "inventory.yaml")
            return {"recommend.txt": recommend_text(recommend(world, (), host), host)}
        if asked.verb == "report":
            return self._reported(world)
        found = plan(world, asked.request(), self._options("registry"), everything=asked.everything)
        text = plan_text(found.plan, found.placements, explain=asked.explain)
        return {"plan.txt": text, **(_documents(found.work.files) if asked.documents else {})}

    def _rendered(self, world: FakeWorld, asked: Asked) -> dict[str, str]:
        source = self._options("registry").source
        specs = choose(world, asked.request(), source, everything=asked.everything).specs
        host = world.library.inventory(self.folder / "inventory.yaml")
        placements, files = rendered(world, asked.request(), specs, host)
        warnings = tuple(w for p in placements.items for w in p.warnings)
        text = plan_text(Plan("orchestrator", host.name, (), warnings), placements, explain=asked.explain)
        text += "".join(f"left out: {error.what}\n" for error in placements.omitted)
        return {"plan.txt": text, **_documents(files)}

    def _reported(self, world: FakeWorld) -> dict[str, str]:
        """In both languages, and once as JSON."""
        seen = json.loads((self.folder / "seen.json").read_text(encoding="utf-8"))
        for record in seen["verifications"]:
            world.workspace.attest(from_record(record))
        world.workspace.record([Measurement(Fingerprint(**m.pop("fingerprint")), **m) for m in seen["measurements"]])
        for listing in seen["listings"]:
            world.workspace.hear(Listing(**listing))
        world.workspace.remarks = tuple(seen["remarks"])
        files = world.library.reports()
        found = report(world, self._options("registry").source.registries)
        texts = {
            f"report.{lang}.md": report_markdown(found, language(lang, files), files[template])
            for lang, template in TEMPLATES.items()
        }
        return {**texts, "report.json": json.dumps(report_json(found, language("en", files)), indent=1) + "\n"}

    def _of_fleets(self, asked: Asked) -> dict[str, str]:
        """A plan or the files for each fleet, on its own host; without names, as a team would ask."""
        texts: list[str] = []
        made: dict[str, str] = {}
        for name in asked.fleets:
            file = Files().fleet(self.folder / name)
            source = Source(file.registries, file, self.folder / LOCK)
            request = Request(tuple(asked.models), file.fleet.project)
            command = "orchestrator render" if name == FLEET else f"orchestrator --fleet {name} render"
            world = self._world(file)
            if asked.verb == "plan":
                found = plan(world, request, Options(source))
                texts.append(plan_text(found.plan, found.placements, explain=asked.explain))
                continue
            out = file.output.relative_to(self.folder)
            done = render(world, request, source, None, out, everything=False, write=False, command_line=command)
            shown = (d for d in done.differences if d.path.suffix == ".yaml" or d.path.name == EXAMPLE_FILE)
            made |= {f"{d.path}": d.new.decode() for d in shown}
        return {**({"plan.txt": "\n".join(texts)} if texts else {}), **made}

    def _options(self, registry: str) -> Options:
        own = self.folder / registry
        return Options(Source((own,) if own.is_dir() else ()), self.folder / "inventory.yaml")

    def _world(self, fleet: FleetFile | None = None) -> FakeWorld:
        """A fake world with what ``observation.json`` says, after what ``before/`` brought up. A fleet has its host."""
        gpus = Files().inventory(fleet.host).gpus if fleet and fleet.host else ()
        world = FakeWorld(gpus=gpus, library=Files())
        path = self.folder / "observation.json"
        seen: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        world.docker.foreign = tuple(Foreign(**one) for one in seen.pop("foreign", ()))
        world.docker.listeners = tuple(PortHolder(**one) for one in seen.pop("ports", ()))
        assert not seen, f"observation.json knows no {', '.join(seen)}"
        earlier = self.folder / "before" / "request.yaml"
        if earlier.exists():
            screen = Screen(lambda _: None, lambda _: None, lambda _: True)
            asked = _asked(earlier)
            files = [Files().fleet(earlier.parent / name) for name in asked.fleets]
            for file in files:
                up(world, Request((), file.fleet.project), Options(Source(file.registries, file), wait=False), screen)
            if not files:
                up(world, asked.request(), replace(self._options("before/registry"), wait=False), screen)
        return world


def _asked(path: Path) -> Asked:
    return Asked.model_validate(read(str(path), path.read_text(encoding="utf-8")).data)


def _documents(files: Mapping[str, bytes]) -> dict[str, str]:
    return {f"compose/{name}": data.decode() for name, data in files.items() if name.endswith(".yaml")}


def _match(name: str, pattern: str) -> bool:
    """As a shell would: a star stays within its folder."""
    return name.count("/") == pattern.count("/") and fnmatch(name, pattern)
