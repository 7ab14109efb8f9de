"""Ports: preferred, kept, moved, refused."""

from __future__ import annotations

import pytest

from orchestrator.errors import FitError, RequestError
from orchestrator.observation import Observation, PortHolder
from orchestrator.plan.ports import Ports, check_port


def ports(*taken: int, move: bool = True) -> Ports:
    held = tuple(PortHolder(port, f"process nginx (pid {port})") for port in taken)
    return Ports(Observation(ports=held), move=move)


@pytest.mark.parametrize("port", [1024, 25000, 32767, 61000, 65535])
def test_ports_that_may_be_used(port: int) -> None:
    check_port(port)


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (-1, "can't be used"),
        (0, "can't be used"),
        (80, "can't be used"),
        (1023, "can't be used"),
        (65536, "can't be used"),
        (32768, "ephemeral"),
        (60999, "ephemeral"),
    ],
)
def test_ports_that_may_not(port: int, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        check_port(port)
    assert caught.value.hint.startswith("choose one from 1024")


def test_the_preferred_port() -> None:
    assert ports().choose("a", 25000, own="") == (25000, "")


def test_a_taken_port_gives_way_and_says_to_whom() -> None:
    found = ports(25000, 25001).choose("a", 25000, own="")
    assert found == (25002, "port 25000 is taken by process nginx (pid 25000)")


def test_two_services_of_one_plan_never_share() -> None:
    choice = ports()
    assert choice.choose("a", 25000, own="")[0] == 25000
    assert choice.choose("b", 25000, own="") == (25001, "port 25000 is taken by a of this plan")
    assert choice.choose("c", 25001, own="")[0] == 25002


def test_a_pinned_or_rendered_port_does_not_move() -> None:
    with pytest.raises(FitError, match=r"port 25000 for a is taken by process nginx \(pid 25000\)"):
        ports(25000, move=False).choose("a", 25000, own="")


def test_a_container_s_own_port_is_free_for_it() -> None:
    choice = Ports(Observation(ports=(PortHolder(25000, "container a", "id-a"),)), move=True)
    assert choice.choose("a", 25000, own="id-a") == (25000, "")
    choice = Ports(Observation(ports=(PortHolder(25000, "container a", "id-a"),)), move=True)
    assert choice.choose("b", 25000, own="id-b")[0] == 25001


def test_the_search_skips_the_ephemeral_range_and_ends() -> None:
    with pytest.raises(FitError, match="no free port near 32767"):
        ports(32767).choose("a", 32767, own="")


def test_the_search_stays_below_the_last_port() -> None:
    with pytest.raises(FitError, match="no free port near 65535"):
        ports(65535).choose("a", 65535, own="")
