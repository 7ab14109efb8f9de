"""Asks the hub and the registries of images what is newest."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import closing
from urllib.parse import quote

import docker
import docker.errors
import requests

from orchestrator.adapters.docker_socket import no_docker
from orchestrator.adapters.endpoint import docker_host
from orchestrator.adapters.hub import refused
from orchestrator.errors import EnvironmentProblem, OrchestratorError, RequestError

_HUB = "https://huggingface.co"
#: seconds for an answer; the engine may have to log in to a registry first
_PATIENCE, _REGISTRY_PATIENCE = 10, 20
_AGAIN = "run it again"
#: what the hub calls what isn't there
_MISSING = frozenset({"RepoNotFound", "RevisionNotFound", "EntryNotFound"})


class _Token(requests.auth.AuthBase):
    """The token, or none: by themselves requests would send what ~/.netrc has for the hub."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class HubAndRegistries:
    """The hub over HTTP, registries through Docker."""

    def commit(self, repository: str, endpoint: str, token: str) -> str:
        """The newest commit of a repository's main branch."""
        hub = (endpoint or os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")
        what = f"can't ask {hub} for the commit of {repository}"
        try:
            url = f"{hub}/api/models/{quote(repository)}/revision/main"
            answer = requests.get(url, auth=_Token(token), timeout=_PATIENCE)
        except requests.RequestException as error:
            raise refused("network", f"{what}: {_reason(error)}", again=_AGAIN) from None
        if answer.status_code != requests.codes.ok:
            said = answer.headers.get("X-Error-Message", "")
            words = f"{what}: {answer.status_code} {said or answer.reason}".rstrip()
            raise refused(_kind(answer.status_code, answer.headers.get("X-Error-Code", "")), words, again=_AGAIN)
        try:
            return re.fullmatch(r"[0-9a-f]{40}", answer.json()["sha"])[0]  # type: ignore[index]
        except (ValueError, KeyError, TypeError):
            raise refused("other", f"{what}: its answer names no commit", again="is it a hub of models?") from None

    def digest(self, image: str) -> str:
        """Of the image for all platforms, where the registry has one such; so it is the same for every host."""
        what = f"can't ask the registry for the digest of {image}"
        try:
            with closing(docker.APIClient(base_url=docker_host(), timeout=_REGISTRY_PATIENCE)) as api:
                ask: Callable[[str], dict[str, dict[str, str]]] = api.inspect_distribution
                return ask(image)["Descriptor"]["digest"]
        except docker.errors.APIError as error:
            raise _no_image(f"{what}: {error.explanation or error}", error) from error
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise no_docker(error) from error


def _kind(status: int, code: str) -> str:
    if code in _MISSING or status == requests.codes.not_found:
        return "missing"
    if code == "GatedRepo" or status in {requests.codes.unauthorized, requests.codes.forbidden}:
        return "gated"
    return "network"


def _no_image(what: str, error: docker.errors.APIError) -> OrchestratorError:
    status = error.status_code
    if status == requests.codes.not_found:
        hint = "check its name in the registry entry; an image that is only on this host has no digest to lock"
        return RequestError(what, hint=hint)
    if status in {requests.codes.unauthorized, requests.codes.forbidden}:
        return EnvironmentProblem(what, hint="check its name in the registry entry, or 'docker login' its registry")
    return OrchestratorError(what, hint=f"check the network; {_AGAIN}")


def _reason(error: requests.RequestException) -> str:
    """In a few words: requests tells the URL and its own objects as well."""
    if isinstance(error, requests.Timeout):
        return f"no answer within {_PATIENCE} s"
    cause = error.args[0] if error.args else error
    return str(getattr(cause, "reason", cause)).rpartition(">: ")[2]
