"""The real command line as a subprocess, on the tests' engine, with a state folder and a registry of its own."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML

from orchestrator.compose import VOLUMES
from tests.integration.engine import Engine, wait_for
from tests.integration.stub_image import STUB_IMAGE

REPOSITORY = Path(__file__).parents[2]
DEMO = REPOSITORY / "orchestrator" / "registry" / "models" / "demo.yaml"
SECONDS = 120.0


def read_yaml(path: Path) -> dict[str, Any]:
    """The values in a YAML file."""
    return cast("dict[str, Any]", YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")))


def write_yaml(path: Path, value: dict[str, Any]) -> None:
    """Write a YAML file."""
    with path.open("w", encoding="utf-8") as stream:
        YAML(typ="safe", pure=True).dump(value, stream)


@dataclass
class Done:
    """An ended run."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}"


@dataclass
class Running:
    """A run that goes on; what it prints is in files, so that it never waits for a reader."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def says(self, text: str) -> None:
        """Wait until its stderr holds ``text``."""

        def said() -> bool:
            printed = self.err.read_text(errors="replace")
            if text not in printed and self.process.poll() is not None:
                raise AssertionError(f"ended before it said {text!r}: {self.end()}")
            return text in printed

        wait_for(said, f"{text!r} from {self.process.args!r}", seconds=SECONDS)

    def signal(self, number: int) -> None:
        """Send a signal to it alone."""
        self.process.send_signal(number)

    def kill_all(self) -> None:
        """Kill it and everything it started, as the end of a session does."""
        os.killpg(self.process.pid, signal.SIGKILL)

    def end(self, timeout: float = SECONDS) -> Done:
        """Wait for its end."""
        code = self.process.wait(timeout)
        return Done(code, self.out.read_text(errors="replace"), self.err.read_text(errors="replace"))


@dataclass
class Cli:
    """``orchestrator`` as its users run it. ``program`` is what is run; ``folder`` holds all that it writes."""

    engine: Engine
    folder: Path
    program: tuple[str, ...] = (sys.executable, "-m", "orchestrator")
    extra: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    def __post_init__(self) -> None:
        for name in ("registry", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def registry(self) -> Path:
        return self.folder / "registry"

    @property
    def env(self) -> dict[str, str]:
        """Ours, without the caller's settings of this project."""
        dropped = re.compile(r"ORCHESTRATOR_(?!WHEELS).*")
        kept = {name: value for name, value in self.engine.env.items() if not dropped.fullmatch(name)}
        own = {"ORCHESTRATOR_STATE_DIR": str(self.state), "TMPDIR": str(self.folder / "tmp")}
        if any(self.registry.iterdir()):
            own["ORCHESTRATOR_REGISTRY"] = str(self.registry)
        return {**kept, **own, **self.extra}

    def beside(self, name: str, *program: str, **extra: str) -> Cli:
        """Another shell with the same state folder and registry; one Cli is for one thread only."""
        extra = {**self.env, "ORCHESTRATOR_REGISTRY": str(self.registry), **extra}
        return Cli(self.engine, self.folder / name, program or self.program, extra)

    def entry(
        self,
        name: str,
        *,
        port: int,
        environment: Mapping[str, str] | None = None,
        devices: Sequence[str] = ("cpu",),
        folder: Path | None = None,
        parameters: int = 0,
        image: str = STUB_IMAGE,
        expect: str = "",
        **engine: object,
    ) -> str:
        """Write an entry that the stub serves, made from the demo's; returns its name.

        ``parameters``: so many more than the demo has. ``expect``: of the answer. ``engine``: more keys of the engine.
        """
        entry = read_yaml(DEMO)
        entry.update(name=name, title=f"Stub {name}")
        del entry["probe"]["expect"]  # the stub reads no picture
        del entry["engines"]["vllm"]
        entry["probe"].update({"expect": expect} if expect else {})
        entry["parameters"]["total"] += parameters
        entry["parameters"]["modules"][-1]["count"] += parameters
        entry["engines"]["transformers"].update(
            image=image, port=port, environment=dict(environment or {}), devices=list(devices), **engine
        )
        write_yaml((folder or self.registry) / f"{name}.yaml", entry)
        return name

    def gpus(self, *ids: str) -> None:
        """Let all runs see a host with these GPUs of 24 GiB instead of this one's."""
        rows = [{"id": id_, "name": "Stub", "total_mib": 24576} for id_ in ids]
        path = self.folder / "host.yaml"
        path.write_text(json.dumps({"schema_version": 1, "name": "stub-host", "gpus": rows}))
        self.extra["ORCHESTRATOR_INVENTORY"] = str(path)

    def start(self, *arguments: str) -> Running:
        """Start a run, in a session of its own."""
        self._count += 1
        out, err = self.folder / f"{self._count}.out", self.folder / f"{self._count}.err"
        # A job in the background of a shell is born deaf to SIGINT.
        argv = ["env", "--default-signal=INT", *self.program, *arguments]
        with out.open("wb") as output, err.open("wb") as errors:
            process = subprocess.Popen(
                argv,
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        return Running(process, out, err)

    def run(self, *arguments: str, code: int | None = 0, timeout: float = SECONDS) -> Done:
        """Run to the end; the exit code has to be ``code``, None for any, and there is never a traceback."""
        done = self.start(*arguments).end(timeout)
        assert code is None or done.code == code, f"orchestrator {' '.join(arguments)}: {done}"
        assert "Traceback" not in done.err, done
        return done

    def status(self, *names: str, code: int | None = 0) -> dict[str, dict[str, Any]]:
        """``status --json``, by model."""
        found = json.loads(self.run("status", *names, "--json", code=code).out)
        assert found["schema"] == 1
        return {entry["model"]: entry for entry in found["models"]}

    def inspect(self, container: str) -> dict[str, Any]:
        """``docker inspect`` of one container."""
        with self.engine.client() as client:
            return cast("dict[str, Any]", client.api.inspect_container(container))

    def ids(self) -> dict[str, str]:
        """Ids of all containers of the engine, by name."""
        with self.engine.client() as client:
            return {row["Names"][0].lstrip("/"): row["Id"] for row in client.api.containers(all=True)}

    def process(self, container: str) -> int:
        """The pid, in this process's namespace, of a program in a running container."""
        id_ = self.ids()[container]
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if id_ in (process / "cgroup").read_text() and "python3" in (process / "cmdline").read_text():
                    return int(process.name)
            except OSError:
                continue
        raise AssertionError(f"no process of {container} is seen from here")

    def started(self) -> dict[str, str]:
        """When each running container was started, by name."""
        return {name: self.inspect(id_)["State"]["StartedAt"] for name, id_ in self.ids().items()}


def prepare_volumes(engine: Engine) -> None:
    """What docs/operations.md says to do once on a host, for who has no orchestrator there."""
    names = [name for name, _ in VOLUMES]
    mounts = [word for name in names for word in ("--volume", f"{name}:/{name}")]
    chown = ("--user", "0:0", "--entrypoint", "chown", *mounts, STUB_IMAGE, "2000:0", *(f"/{name}" for name in names))
    engine.run("docker", "run", "--rm", *chown)


def answers(port: int) -> bool:
    """Whether GET /health on the port gives 200."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        link.request("GET", "/health")
        return link.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()


def steps(text: str) -> dict[str, str]:
    """Kind by subject, of a printed plan."""
    kinds = "pull|build|volume|create|replace|restart|start|keep|stop|remove|sleep|wake"
    return {found[2]: found[1] for found in re.finditer(rf"^  ({kinds}) +(\S+)", text, re.MULTILINE)}
