"""Text for people, JSON for programs: shapes are a contract."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.inventory import GIB
from orchestrator.observation import Gate
from orchestrator.plan.placement import Placements
from orchestrator.plan.steps import Plan, Step
from orchestrator.report.inventory import inventory_json, inventory_text
from orchestrator.report.models import model_text, models_table
from orchestrator.report.plan import plan_json, plan_text, steps_text
from orchestrator.report.status import remark, status_json, status_table, uptime
from orchestrator.report.table import table
from tests.builders import claim, container, gpu, host, placement, spec

PLAN = Plan("orchestrator", "here", (Step("create", "phi-vllm", "no container", "id"),), ("phi: mind this",))
PLACED = Placements((placement(engine="vllm", gpu=gpu(), claim=claim(5)),))


def test_a_table_is_aligned_and_leaves_out_empty_columns() -> None:
    assert table([("a", "", "ccc"), ("bbb", "", "c")], ("X", "Y", "Z")) == "X    Z\na    ccc\nbbb  c\n"
    assert table([]) == ""


@given(st.lists(st.lists(st.text("ab ", max_size=5), min_size=3, max_size=3), max_size=5))
def test_no_line_of_a_table_ends_in_blanks(rows: list[list[str]]) -> None:
    assert all(line == line.rstrip() for line in table(rows).splitlines())


def test_a_plan_as_text() -> None:
    assert plan_text(PLAN, PLACED) == (
        "Plan for project orchestrator on here\n"
        "  SERVICE   ENGINE  ON              CLAIM     ADDRESS\n"
        "  phi-vllm  vllm    A card (GPU-a)  5.00 GiB  127.0.0.1:25000\n"
        "\n"
        "  create  phi-vllm  no container\n"
        "warning: phi: mind this\n"
    )


def test_a_plan_explained_shows_the_sum() -> None:
    text = plan_text(PLAN, PLACED, explain=True)
    assert "phi-vllm claims\n  weights    5.00 GiB  a test\n  claim      5.00 GiB  the sum\n" in text
    assert "phi-transformers claims no GPU memory" in plan_text(PLAN, Placements((placement(),)), explain=True)


def test_a_plan_as_json() -> None:
    found = plan_json(PLAN, PLACED)
    assert json.loads(json.dumps(found)) == {
        "schema": 1,
        "project": "orchestrator",
        "host": "here",
        "placements": [
            {
                "model": "phi",
                "engine": "vllm",
                "device": "gpu",
                "service": "phi-vllm",
                "container": "orchestrator-phi-vllm",
                "gpus": ["GPU-a"],
                "claim_bytes": 5 * GIB,
                "claim": [{"label": "weights", "bytes": 5 * GIB, "source": "a test"}],
                "address": "127.0.0.1",
                "port": 25000,
            }
        ],
        "steps": [{"kind": "create", "subject": "phi-vllm", "cause": "no container"}],
        "warnings": ["phi: mind this"],
    }


def test_steps_alone() -> None:
    assert steps_text(PLAN) == "Plan for project orchestrator\n  create  phi-vllm  no container\n"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, ""),
        ({"gate": Gate("parked", "out of memory"), "health": "unhealthy"}, "out of memory"),
        ({"gate": Gate("queued", detail="b has the lock"), "health": "starting"}, "b has the lock"),
        ({"state": "exited", "exit_code": 3, "gate": None}, "exit code 3"),
        ({"state": "created", "error": "no such device", "gate": None}, "no such device"),
        ({"gate": None, "health": "starting"}, ""),
    ],
)
def test_remarks_say_why(changes: dict[str, Any], text: str) -> None:
    assert remark(container(**changes)) == text


def test_status_as_a_table() -> None:
    long = container("b", "vllm", gpus=("GPU-0123456789abcdef",), claim=5 * GIB, port=25001)
    text = status_table([container("a"), long], 1000.0 + 7300, {"id-a-transformers": "answered in 0.2 s"})
    assert text == (
        "MODEL  ENGINE        STATE  HEALTH   GPU           CLAIM    ADDRESS          UP  REMARK\n"
        "a      transformers  ready  healthy  CPU           -        127.0.0.1:25000  2h  answered in 0.2 s\n"
        "b      vllm          ready  healthy  GPU-01234567  5.0 GiB  127.0.0.1:25001  2h\n"
    )


def test_status_as_json() -> None:
    found = status_json([container("a", gate=Gate("parked", "boom", restarts=3), health="unhealthy")], {})
    assert found == {
        "schema": 1,
        "models": [
            {
                "model": "a",
                "engine": "transformers",
                "service": "a-transformers",
                "container": "orchestrator-a-transformers",
                "container_id": "id-a-transformers",
                "project": "orchestrator",
                "state": "parked",
                "ready": False,
                "health": "unhealthy",
                "gpus": [],
                "claim_bytes": 0,
                "url": "http://127.0.0.1:25000",
                "image": "an-image:1",
                "started": 1000.0,
                "restarts": 3,
                "remark": "boom",
            }
        ],
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (86400, "1d"), (10**7, "115d")],
)
def test_uptime(seconds: float, text: str) -> None:
    assert uptime(seconds) == text


def test_an_inventory_as_text_and_json() -> None:
    box = host(gpu("GPU-a", total=24, free=None, note="its memory can't be read"))
    assert "gpu 0    A card GPU-a, ? of 24.00 GiB free its memory can't be read" in inventory_text(box)
    assert "gpu      none: NVML: no driver" in inventory_text(host())
    (shown,) = cast("list[dict[str, object]]", inventory_json(box)["gpus"])
    assert (
        shown.items()
        >= {
            "id": "GPU-a",
            "name": "A card",
            "total_bytes": 24 * GIB,
            "free_bytes": None,
            "note": "its memory can't be read",
        }.items()
    )


def test_models_as_a_table() -> None:
    entry = spec(
        gib=4,
        vllm={"possible": False},
        transformers={"evidence": {"level": "listed"}},
    )
    small = spec(
        "tiny",
        port=25001,
        gib=0.001,
        vllm={"report": {"allowed": False}},
    )
    assert models_table([entry, small]) == (
        "NAME  PARAMETERS  VLLM               TRANSFORMERS  SUMMARY\n"
        "phi   2.15 B      impossible         listed        A model\n"
        "tiny  0.54 M      on request (none)  -             A model\n"
    )


def test_everything_known_of_a_model() -> None:
    entry = spec(
        known=[{"text": "it was seen", "source": "a run"}],
        transformers={
            "problems": [{"text": "it is slow", "source": "another run"}],
            "report": {"allowed": True, "memory_gb": 4.5, "status": "tested"},
        },
    )
    text = model_text(entry)
    assert text.startswith("phi: Phi. A model\n")
    assert "known: it was seen [a run]\n" in text
    assert "  problem: it is slow [another run]\n" in text
    assert "report of 24 January 2026: allowed, 4.5 GB, tested\n" in text
