"""Changes containers, volumes and images through the Docker SDK, always by id."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests.exceptions
from docker.models.containers import Container

from orchestrator.adapters.docker_socket import no_docker
from orchestrator.adapters.endpoint import docker_host
from orchestrator.adapters.hub import refused
from orchestrator.compose import OWNER, Download
from orchestrator.diagnosis import FAILURES, UNKNOWN, docker_said
from orchestrator.errors import FitError, OrchestratorError
from orchestrator.observation import LABEL
from orchestrator.pace import stall_limit
from orchestrator.ports import Advance
from orchestrator.secretfile import HF_TOKEN, USER

_TIMEOUT = 120
#: label of the containers that prepare volumes; they live for an instant
_HELPER = f"{LABEL}helper"
#: label of the containers that fetch weights
_FETCHER = f"{LABEL}fetcher"
#: the program that fetches weights, inside a container
_PROGRAM = Path(__file__).parent / "fetch_program.py"
#: asks the driver from inside a container, where it may have lost its devices; a hung driver does not answer
_SMI = ("timeout", "10", "nvidia-smi", "-L")
#: exit codes of a program that is missing or can't be run, and of one that ``timeout`` ended
_CANT_RUN, _TIMED_OUT = frozenset({125, 126, 127}), 124
#: label of the containers that run a script, which ends by itself
_SCRIPT = f"{LABEL}script"
#: lines of a script's stderr that are shown
_LAST = 5


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Docker's errors as ours: what failed, and what Docker said."""
    try:
        yield
    except docker.errors.APIError as error:
        raise OrchestratorError(f"{what}: {error.explanation or error}") from error
    except docker.errors.DockerException as error:
        raise OrchestratorError(f"{what}: {error}") from error
    except requests.exceptions.RequestException as error:
        raise no_docker(error) from error


def _fetched(download: Download, output: Iterator[bytes]) -> Generator[Advance, None, str]:
    """What the program in the container prints; raises what it says it failed with. Returns its last other line."""
    words = "it said nothing"
    for line in _lines(output):
        try:
            said = json.loads(line)
        except ValueError:
            words = line.decode(errors="replace").strip() or words
            continue
        if "error" in said:
            raise _refused(download, said["error"], said["message"])
        if "done" in said:
            yield Advance("", said["done"], said["total"])
    return words


def _lines(output: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in output:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


def _refused(download: Download, kind: str, message: str) -> OrchestratorError:
    what = f"can't fetch the weights of {download.repository}: {message}"
    again = "what is there is kept: run it again"
    if kind == "disk":
        return FitError(what, hint=f"make room where Docker keeps its volumes; {again}")
    return refused(kind, what, revision=download.revision, again=again)


def _not_pulled(reference: str, said: str) -> OrchestratorError:
    cause = docker_said(said)
    what = f"can't pull {reference}: {said}"
    if cause == UNKNOWN:
        return OrchestratorError(what, hint="check its name, the network and the disk")
    return OrchestratorError(f"{what} ({cause})", hint=FAILURES[cause].remedy)


class Layers:
    """Sums what Docker says of each layer of a pull."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}
        self._bytes: dict[str, tuple[int, int]] = {}

    def told(self, message: Mapping[str, Any]) -> Iterator[Advance]:
        """What is new in a message: a layer's state, or more bytes."""
        layer, status = message.get("id", ""), message.get("status", "")
        detail = message.get("progressDetail") or {}
        if status == "Downloading" and detail.get("total"):
            self._bytes[layer] = (detail.get("current", 0), detail["total"])
        elif status in {"Download complete", "Pull complete"} and layer in self._bytes:
            self._bytes[layer] = (self._bytes[layer][1],) * 2
        elif self._seen.get(layer) == status:
            return
        self._seen[layer] = status
        known = self._bytes.values()
        # a layer's size is known only once its download begins, so the total grows, and is told as it is
        done, total = (sum(n for n, _ in known), sum(n for _, n in known)) if known else (None, None)
        yield Advance(f"{layer}: {status}" if layer else status, done, total)


class SdkActor:
    """The Docker Engine on this machine."""

    def __init__(self) -> None:
        with _said("can't talk to Docker"):
            self._client = docker.DockerClient(base_url=docker_host(), timeout=_TIMEOUT)

    def pull(self, reference: str) -> Iterator[Advance]:
        """Pull an image; yields whenever a layer changes its state, and bytes of the layers that are known so far."""
        limit = stall_limit("image")
        api = docker.APIClient(base_url=docker_host(), timeout=int(limit))
        with _said(f"can't pull {reference}"), closing(api):
            layers = Layers()
            try:
                for message in api.pull(reference, stream=True, decode=True):
                    if "error" in message:
                        raise _not_pulled(reference, str(message["error"]))
                    yield from layers.told(message)
            except docker.errors.APIError as error:
                raise _not_pulled(reference, str(error.explanation or error)) from error
            except requests.exceptions.RequestException as error:
                if "timed out" not in str(error).lower():
                    raise
                raise OrchestratorError(
                    f"no progress for {limit:g} s in phase image: {reference}",
                    hint="check the network, and run it again: layers that are there are kept",
                ) from error

    def fetch(self, download: Download) -> Iterator[Advance]:
        """Fetch weights by a container that lives no longer than this; what is there is kept."""
        program = _PROGRAM.read_text(encoding="utf-8")
        volumes = {name: {"bind": place, "mode": "rw"} for name, place in download.volumes.items()}
        if download.token_file:
            volumes[download.token_file] = {"bind": HF_TOKEN.mount, "mode": "ro"}
        with (
            _said(f"can't fetch {download.repository}"),
            self._thrown_away(
                _FETCHER,
                download.image,
                program,
                [download.repository, download.revision],
                user=download.owner,
                environment={**download.environment, "PYTHONUNBUFFERED": "1"},
                volumes=volumes,
            ) as container,
        ):
            words = yield from _fetched(download, container.logs(stream=True, follow=True))
            if code := container.wait()["StatusCode"]:
                raise _refused(download, "other", f"exit code {code}, {words}")

    def prepare_volumes(self, names: Sequence[str], image: str, owner: str) -> None:
        """Create volumes that are missing and give their roots to ``owner`` (uid:gid)."""
        with _said("can't prepare the volumes"):
            self._clear(_HELPER)
            mounts = {name: {"bind": f"/volumes/{name}", "mode": "rw"} for name in names}
            self._client.containers.run(
                image,
                command=[owner, *(mount["bind"] for mount in mounts.values())],
                entrypoint=["chown"],
                user="0:0",
                volumes=mounts,
                network_mode="none",
                cap_drop=["ALL"],
                cap_add=["CHOWN"],
                labels=[_HELPER],
                remove=True,
            )

    def _clear(self, label: str, **which: str) -> None:
        """Remove what earlier runs left that were cut off."""
        for left in self._client.api.containers(all=True, filters={"label": label, **which}):
            self._client.api.remove_container(left["Id"], force=True)

    @contextmanager
    def _thrown_away(
        self, label: str, image: str, program: str, words: Sequence[str], *, environment: Mapping[str, str], **more: Any
    ) -> Iterator[Container]:
        """A container that runs a Python program with few rights, and lives no longer than the block."""
        self._clear(label, status="exited")
        container = self._client.containers.create(
            image,
            entrypoint=["python3", "-c", program],
            command=list(words),
            environment={**environment, "HOME": "/tmp"},  # noqa: S108 (a tmpfs)
            tmpfs={"/tmp": f"uid={USER},mode=1777"},  # noqa: S108 (the container's)
            init=True,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            labels=[label],
            **more,
        )
        try:
            container.start()
            yield container
        finally:
            container.remove(force=True, v=True)

    def run_script(self, image: str, script: str, words: Sequence[str]) -> str:
        """What a Python script prints in a throw-away container, which has no network, no GPU and no rights."""
        # a host whose default runtime is NVIDIA's would put GPUs in
        environment = {"NVIDIA_VISIBLE_DEVICES": "void", "PYTHONDONTWRITEBYTECODE": "1"}
        alone: dict[str, Any] = {"user": OWNER, "network_mode": "none", "environment": environment}
        with (
            _said(f"can't run a script in {image}"),
            self._thrown_away(_SCRIPT, image, script, words, **alone) as container,
        ):
            container.wait()
            said, complained = (
                container.logs(stdout=stdout, stderr=not stdout).decode(errors="replace") for stdout in (True, False)
            )
        if not said:
            last = "".join(f"\n  {line}" for line in complained.splitlines()[-_LAST:])
            raise OrchestratorError(
                f"a script in {image} gave no answer{last}",
                hint=f"see whether the image works: docker run --rm --entrypoint python3 {image} --version",
            )
        return said

    def start(self, container: str) -> None:
        """Start a stopped container."""
        with _said("can't start it"):
            self._client.api.start(container)

    def stop(self, container: str, grace: int) -> None:
        """Stop a container; it is killed after ``grace`` seconds."""
        with _said("can't stop it"):
            self._client.api.stop(container, timeout=grace)

    def restart(self, container: str, grace: int) -> None:
        """Stop and start a container."""
        with _said("can't restart it"):
            self._client.api.restart(container, timeout=grace)

    def remove(self, container: str, grace: int) -> None:
        """Stop and remove a container; no error if it is gone."""
        with _said("can't remove it"):
            try:
                if grace:
                    self._client.api.stop(container, timeout=grace)
                self._client.api.remove_container(container, force=True)
            except docker.errors.NotFound:
                return

    def recipe(self, container: str) -> str:
        """Docker's description of a container, without what belongs to this very one."""
        with _said("can't read what it was made of"):
            return json.dumps(_recipe(self._client.api.inspect_container(container)))

    def recreate(self, recipe: str) -> None:
        """Make and start a container that is gone, of the same image whatever its tag names now."""
        found = json.loads(recipe)
        name, image, config = found["name"], found["image"], found["config"]
        with _said(f"can't make {name} anew"):
            if not self._is(image, config["Image"]):
                config["Image"] = image
            create: Callable[..., dict[str, str]] = self._client.api.create_container_from_config
            made = create(config, name)["Id"]
        try:
            self.start(made)
        except OrchestratorError:
            self.remove(made, grace=0)
            raise

    def _is(self, image: str, reference: str) -> bool:
        """Whether a reference still names the image with that id."""
        try:
            return self._client.images.get(reference).id == image
        except docker.errors.NotFound:
            return False

    def remove_network(self, network: str) -> None:
        """Remove a network by its id; no error if it is gone. One that is in use stays: Docker refuses that."""
        with _said("can't remove the network"):
            try:
                self._client.api.remove_network(network)
            except docker.errors.NotFound:
                return

    def remove_volume(self, name: str) -> None:
        """Remove a volume and all that is in it; no error if it is gone."""
        with _said(f"can't remove the volume {name}"):
            try:
                self._client.api.remove_volume(name)
            except docker.errors.NotFound:
                return

    def gpus_seen(self, container: str) -> str | None:
        """Why ``nvidia-smi`` fails inside a running container; "" where it works, None where it can't be asked."""
        api = self._client.api
        try:
            asked = api.exec_create(container, list(_SMI))["Id"]
            said = api.exec_start(asked).decode(errors="replace")
            code = api.exec_inspect(asked)["ExitCode"]
        except (docker.errors.DockerException, requests.exceptions.RequestException):
            return None
        if code in _CANT_RUN:
            return None
        if code == _TIMED_OUT:
            return "nvidia-smi did not answer within 10 s"
        return (said.strip().splitlines() or [f"nvidia-smi ended with exit code {code}"])[-1] if code else ""

    def logs(self, container: str, *, follow: bool, tail: int | None) -> Iterator[bytes]:
        """What the container printed, both streams, in chunks."""
        with _said("can't read the log"):
            found = self._client.api.logs(container, stream=True, follow=follow, tail="all" if tail is None else tail)
            yield from found


def _recipe(found: Mapping[str, Any]) -> dict[str, Any]:
    """From ``docker inspect`` to what makes such a container. Its own id, as host name and alias, is left out."""
    own = found["Id"][:12]
    config = {key: value for key, value in found["Config"].items() if (key, value) != ("Hostname", own)}
    networks = {
        name: {"Aliases": [alias for alias in given.get("Aliases") or () if alias != own]}
        for name, given in found["NetworkSettings"]["Networks"].items()
    }
    made = {**config, "HostConfig": found["HostConfig"], "NetworkingConfig": {"EndpointsConfig": networks}}
    return {"name": found["Name"].lstrip("/"), "image": found["Image"], "config": made}
