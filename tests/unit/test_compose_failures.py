"""What Compose, or a pull, says when it fails becomes an error of the contract. The texts are Docker Engine's."""

from __future__ import annotations

import pytest

from orchestrator.adapters.compose_cli import _failure
from orchestrator.adapters.docker_actor import _not_pulled
from orchestrator.errors import EnvironmentProblem, FitError, OrchestratorError

PROCESS_HAS_IT = (
    "Error response from daemon: driver failed programming external connectivity on endpoint x: Error starting "
    "userland proxy: listen tcp4 127.0.0.1:24001: bind: address already in use"
)
CONTAINER_HAS_IT = (
    "Error response from daemon: driver failed programming external connectivity on endpoint x: Bind for "
    "127.0.0.1:24001 failed: port is already allocated"
)
NOT_OURS = (
    "Error response from daemon: driver failed programming external connectivity on endpoint x: Error starting "
    "userland proxy: listen tcp4 10.9.9.9:24001: bind: cannot assign requested address"
)
NOT_OURS_28 = (
    "Error response from daemon: failed to set up container networking: driver failed programming external "
    "connectivity on endpoint x: failed to bind host port 10.9.9.9:24001/tcp: cannot assign requested address"
)
NO_TOOLKIT = 'Error response from daemon: could not select device driver "nvidia" with capabilities: [[gpu]]'
NAME_TAKEN = 'Error response from daemon: Conflict. The container name "/x" is already in use by container "y".'


@pytest.mark.parametrize(
    ("said", "kind", "code", "words"),
    [
        (NO_TOOLKIT, EnvironmentProblem, 4, "Docker can't hand out GPUs"),
        ("Error response from daemon: Unknown runtime specified nvidia.", EnvironmentProblem, 4, "can't hand out GPUs"),
        (PROCESS_HAS_IT, FitError, 3, "a port was taken in the meantime"),
        (CONTAINER_HAS_IT, FitError, 3, "a port was taken in the meantime"),
        (NOT_OURS, FitError, 3, "this host has no such address to publish on"),
        (NOT_OURS_28, FitError, 3, "this host has no such address to publish on"),
        (NAME_TAKEN, OrchestratorError, 1, "docker compose failed"),
        ("", OrchestratorError, 1, "no message"),
    ],
)
def test_what_compose_says(said: str, kind: type[OrchestratorError], code: int, words: str) -> None:
    error = _failure(said and f" Container orchestrator-x  Starting\n{said}\n")
    assert type(error) is kind
    assert error.exit_code == code
    assert words in error.what
    assert said in error.what
    assert error.hint


@pytest.mark.parametrize(
    ("said", "end", "hint"),
    [
        ("manifest for a/b:1 not found: manifest unknown: manifest unknown", " (image-missing)", "Correct image"),
        ('Get "https://a/v2/": unauthorized: authentication required', " (image-missing)", "docker login"),
        ('Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused', " (network-down)", "proxy"),
        ("write /var/lib/docker/tmp/x: no space left on device", " (no-disk)", "Make room"),
        ("invalid tar header", "", "check its name, the network and the disk"),
    ],
)
def test_why_an_image_can_not_be_pulled(said: str, end: str, hint: str) -> None:
    error = _not_pulled("a/b:1", said)
    assert (error.what, error.exit_code) == (f"can't pull a/b:1: {said}{end}", 1)
    assert hint in error.hint
