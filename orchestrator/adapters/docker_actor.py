"""Changes containers, volumes and images through the Docker SDK, always by id."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

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

    def run_script(self, image: str, script: str, words: Sequence[str]) -> str:
        """What a Python script prints in a throw-away container, which has no network, no GPU and no rights."""
        api = self._client.api
        with _said(f"can't run a script in {image}"):
            self._clear(_SCRIPT, status="exited")
            made = api.create_container(
                image,
                command=["-c", script, *words],
                entrypoint=["python3"],
                user="2000:0",
                # a host whose default runtime is NVIDIA's would put GPUs in
                environment={"HOME": "/tmp", "NVIDIA_VISIBLE_DEVICES": "void", "PYTHONDONTWRITEBYTECODE": "1"},  # noqa: S108
                labels=[_SCRIPT],
                host_config=api.create_host_config(
                    init=True,
                    network_mode="none",
                    read_only=True,
                    tmpfs={"/tmp": "uid=2000,mode=1777"},  # noqa: S108 (inside the container)
                    cap_drop=["ALL"],
                    security_opt=["no-new-privileges"],
                ),
            )["Id"]
            try:
                api.start(made)
                api.wait(made)
                said, complained = (
                    api.logs(made, stdout=stdout, stderr=not stdout).decode(errors="replace")
                    for stdout in (True, False)
                )
            finally:
                api.remove_container(made, force=True, v=True)
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

    def remove_network(self, project: str) -> None:
        """Remove the default network of a project if no container uses it, nor a stopped one would."""
        api, name, label = self._client.api, f"{project}_default", f"com.docker.compose.project={project}"
        with _said("can't remove the network"):
            for network in api.networks(names=[name], filters={"label": label}):
                # names are matched in part
                if network["Name"] == name and not api.containers(all=True, filters={"network": network["Id"]}):
                    api.remove_network(network["Id"])

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
