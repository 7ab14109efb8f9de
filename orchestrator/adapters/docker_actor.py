"""Changes containers, volumes and images through the Docker SDK, always by id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import docker
import docker.errors
import requests.exceptions

from orchestrator.adapters.docker_socket import no_docker
from orchestrator.adapters.endpoint import docker_host
from orchestrator.errors import OrchestratorError
from orchestrator.observation import LABEL

_TIMEOUT = 120
#: label of the containers that prepare volumes; they live for an instant
_HELPER = f"{LABEL}helper"
#: asks the driver from inside a container, where it may have lost its devices; a hung driver does not answer
_SMI = ("timeout", "10", "nvidia-smi", "-L")
#: exit codes of a program that is missing or can't be run, and of one that ``timeout`` ended
_CANT_RUN, _TIMED_OUT = frozenset({125, 126, 127}), 124


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


class SdkActor:
    """The Docker Engine on this machine."""

    def __init__(self) -> None:
        with _said("can't talk to Docker"):
            self._client = docker.DockerClient(base_url=docker_host(), timeout=_TIMEOUT)

    def pull(self, reference: str) -> Iterator[str]:
        """Pull an image; yields a line whenever a layer changes its state."""
        name, _, tag = reference.rpartition(":") if ":" in reference.rpartition("/")[2] else (reference, "", "latest")
        with _said(f"can't pull {reference}"):
            seen: dict[str, str] = {}
            for message in self._client.api.pull(name, tag=tag, stream=True, decode=True):
                if "error" in message:
                    raise OrchestratorError(
                        f"can't pull {reference}: {message['error']}",
                        hint="check its name, the network and the disk",
                    )
                layer, status = message.get("id", ""), message.get("status", "")
                if seen.get(layer) != status:
                    seen[layer] = status
                    yield f"{layer}: {status}" if layer else status

    def prepare_volumes(self, names: Sequence[str], image: str, owner: str) -> None:
        """Create volumes that are missing and give their roots to ``owner`` (uid:gid)."""
        with _said("can't prepare the volumes"):
            self._clear_helpers()
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

    def _clear_helpers(self) -> None:
        """Remove what earlier preparations left that were cut off."""
        for left in self._client.api.containers(all=True, filters={"label": _HELPER}):
            self._client.api.remove_container(left["Id"], force=True)

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
