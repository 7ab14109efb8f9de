"""What counts as left over, on values alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.observation import Helper, Network, Observation, Remains
from orchestrator.plan.leftovers import Leftover, containers, document_of, helpers, networks, of_project
from tests.builders import container

NOW = 1000.0


@pytest.mark.parametrize(
    ("changes", "present", "why"),
    [
        ({}, True, ""),
        ({}, None, ""),
        ({}, False, "no document describes it"),
        ({"state": "exited"}, False, "no document describes it"),
        ({"state": "exited"}, True, ""),
        ({"state": "dead"}, True, "its removal was cut off"),
        ({"state": "removing"}, True, "its removal was cut off"),
        ({"state": "created", "created": 990.0}, True, "it was created and never started"),
        ({"state": "created", "created": 990.5}, True, ""),
        ({"state": "created", "error": "no device"}, True, "it was created and never started: no device"),
    ],
)
def test_containers(changes: dict[str, Any], present: bool | None, why: str) -> None:
    c = container("a", **changes)
    found = containers(Observation((c,)), {c.id: present}, NOW)
    expected = (Leftover("container", c.name, why, c.id, c.running, c.project),) if why else ()
    assert found == expected


def test_a_container_s_documents_are_what_compose_was_given_and_its_own() -> None:
    c = container("a", applied="/state/lab/compose.yaml")
    assert list(document_of(c, "compose.yaml")) == ["/state/lab/compose.yaml", "/state/lab/a-transformers.yaml"]
    alone = replace(c, applied="/etc/models/a-transformers.yaml")
    assert list(document_of(alone, "compose.yaml")) == ["/etc/models/a-transformers.yaml"]
    assert list(document_of(replace(c, applied=""), "compose.yaml")) == []


def test_networks_of_known_projects_on_which_nobody_is() -> None:
    remains = Remains(
        networks=(
            Network("1", "a_default", "a"),
            Network("2", "a_default", "a", ("web",)),
            Network("3", "b_default", "b"),
        )
    )
    assert [n.id for n in networks({"a", "c"}, remains)] == ["1"]


HELPERS = Remains(
    helpers=(
        Helper("1", "prepares", "helper", running=True),
        Helper("2", "prepared", "helper", running=False),
        Helper("3", "asks", "script", running=True),
        Helper("4", "asked", "script", running=False),
        Helper("7", "will-ask", "script", running=False, created=NOW - 9),
        Helper("5", "old", "schema", running=True, project="a"),
        Helper("6", "other", "schema", running=False, project="b"),
    )
)


def test_helpers_that_doctor_may_remove_or_tell_of() -> None:
    assert [(h.id, h.kind, h.running) for h in helpers(HELPERS, NOW)] == [
        ("2", "helper", False),
        ("4", "helper", False),
        ("5", "container", True),
        ("6", "container", False),
    ]


def test_what_down_all_takes_of_a_project() -> None:
    seen = Observation((container("x", project="a"),))
    found = of_project("a", seen, HELPERS, ("x-transformers.yaml", "gone-vllm.yaml", "compose.yaml"), NOW)
    assert [(f.kind, f.id) for f in found] == [
        ("helper", "1"),
        ("helper", "2"),
        ("helper", "4"),
        ("container", "5"),
        ("document", "gone-vllm.yaml"),
        ("document", "compose.yaml"),
    ]
