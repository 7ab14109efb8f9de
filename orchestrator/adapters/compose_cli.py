"""``docker compose``, as a subprocess with an argv list. It applies exactly the files that teams commit."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from orchestrator import traits
from orchestrator.adapters.endpoint import docker_host
from orchestrator.compose import FLEET_FILE
from orchestrator.diagnosis import FAILURES, docker_said
from orchestrator.errors import EnvironmentProblem, FitError, OrchestratorError

_INSTALL = "install Compose v2: 'make setup' in a checkout does it, as does Docker's own package docker-compose-plugin"


def compose_environment() -> dict[str, str]:
    """The user's environment, without what would make Compose read other files, and with the endpoint made plain."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COMPOSE_")}
    return {**kept, "DOCKER_HOST": docker_host()}


class Compose:
    """The plugin of the ``docker`` on PATH."""

    def version(self) -> str:
        """Version of the plugin; EnvironmentProblem when there is none or it is too old."""
        docker = shutil.which("docker")
        if docker is None:
            raise EnvironmentProblem("the docker command is not on PATH", hint=_INSTALL)
        found = self._run("version", "--short")
        version = found.stdout.strip().removeprefix("v")
        if found.returncode != 0 or not traits.version(version):
            raise EnvironmentProblem("Docker has no Compose plugin", where=docker, hint=_INSTALL)
        if not traits.at_least(traits.version(version), traits.COMPOSE_MINIMUM):
            needed = ".".join(map(str, traits.COMPOSE_MINIMUM))
            raise EnvironmentProblem(
                f"Docker Compose {version} is too old, {needed} or newer is needed",
                where=docker,
                hint=_INSTALL,
            )
        return version

    def up(self, folder: Path, project: str, services: Sequence[str]) -> None:
        """One ``up -d`` of these services of the fleet file in a folder: all of them are made anew.

        Compose by itself keeps a container whose secret comes from another file now (seen with 2.26.1).
        """
        argv = (
            "--project-name",
            project,
            "--file",
            str(folder / FLEET_FILE),
            "up",
            "--detach",
            "--pull",
            "never",
            "--force-recreate",
            *services,
        )
        found = self._run(*argv)
        if found.returncode != 0:
            raise _failure(found.stderr)

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["docker", "compose", *words],
                env=compose_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                close_fds=False,  # the lock goes with it; all else that is open is not inheritable
            )
        except OSError as error:
            raise EnvironmentProblem(f"the docker command can't be run: {error}", hint=_INSTALL) from error


def _failure(stderr: str) -> OrchestratorError:
    last = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = next((line for line in reversed(last) if "error" in line.lower()), last[-1] if last else "no message")
    cause = docker_said(stderr)
    remedy = FAILURES[cause].remedy
    match cause:
        case "no-such-address":
            return FitError(f"this host has no such address to publish on: {said} ({cause})", hint=remedy)
        case "port-taken":
            return FitError(f"a port was taken in the meantime: {said} ({cause})", hint=remedy)
        case "gpu-runtime-missing":
            return EnvironmentProblem(f"Docker can't hand out GPUs: {said} ({cause})", hint=remedy)
        case "unknown":
            half = "nothing was left half-started; --verbose shows all of its output"
            return OrchestratorError(f"docker compose failed: {said}", hint=half)
    return OrchestratorError(f"docker compose failed: {said} ({cause})", hint=remedy)
