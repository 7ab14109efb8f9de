"""Text for people, JSON for programs: shapes are a contract."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.compatibility import Pair
from orchestrator.diagnosis import diagnose
from orchestrator.errors import FitError
from orchestrator.evidence import Listing
from orchestrator.inventory import GIB
from orchestrator.observation import Gate
from orchestrator.plan.placement import Placements
from orchestrator.plan.steps import Plan, Step
from orchestrator.profile import Profile
from orchestrator.registry.spec import ENGINES, ModelSpec
from orchestrator.report.inventory import inventory_json, inventory_text
from orchestrator.report.models import model_text, models_table
from orchestrator.report.plan import plan_json, plan_text
from orchestrator.report.recommend import limits
from orchestrator.report.status import remark, status_json, status_table, uptime
from orchestrator.report.table import table
from tests.builders import PROFILE, claim, container, gpu, host, placement, spec

PLAN = Plan("orchestrator", "here", (Step("create", "phi-vllm", "no container", "id"),), ("phi: mind this",))
SMALL = Profile(1024, 1, None, "fp8")
PLACED = Placements((placement(engine="vllm", gpu=gpu(), claim=claim(5)),))
SQUEEZED = placement(engine="vllm", gpu=gpu(), claim=claim(5), profile=SMALL, gain="1.00 GiB more would buy: more")


def test_a_table_is_aligned_and_leaves_out_empty_columns() -> None:
    assert table([("a", "", "ccc"), ("bbb", "", "c")], ("X", "Y", "Z")) == "X    Z\na    ccc\nbbb  c\n"
    assert table([]) == ""


@given(st.lists(st.lists(st.text("ab ", max_size=5), min_size=3, max_size=3), max_size=5))
def test_no_line_of_a_table_ends_in_blanks(rows: list[list[str]]) -> None:
    assert all(line == line.rstrip() for line in table(rows).splitlines())


def test_a_plan_as_text() -> None:
    assert plan_text(PLAN, PLACED) == (
        "Plan for project orchestrator on here\n"
        "  SERVICE   ENGINE  ON              CLAIM     LIMITS                   ADDRESS\n"
        "  phi-vllm  vllm    A card (GPU-a)  5.00 GiB  2,048 tokens x 1, 16bit  127.0.0.1:25000\n"
        "\n"
        "  create  phi-vllm  no container\n"
        "warning: phi: mind this\n"
    )


def test_a_plan_explained_shows_the_sum() -> None:
    text = plan_text(PLAN, PLACED, explain=True)
    assert "phi-vllm claims\n  weights    5.00 GiB  a test\n  claim      5.00 GiB  the sum\n" in text
    assert "phi-transformers claims no GPU memory" in plan_text(PLAN, Placements((placement(),)), explain=True)


def test_the_limits_name_the_tiles() -> None:
    assert limits(Profile(2048, 1, None, "16bit", tiles=12)) == "2,048 tokens x 1, 12 tiles, 16bit"
    assert limits(Profile(2048, 1, 800_000, "16bit")) == "2,048 tokens x 1, 0.8 MP, 16bit"


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
                "profile": "context=2048 sequences=1 pixels=- weights=16bit graphs=on gpus=1",
                "given_up": [],
                "claim_bytes": 5 * GIB,
                "claim": [{"label": "weights", "bytes": 5 * GIB, "source": "a test"}],
                "address": "127.0.0.1",
                "port": 25000,
                "api_key": False,
            }
        ],
        "left_out": [],
        "steps": [{"kind": "create", "subject": "phi-vllm", "cause": "no container"}],
        "warnings": ["phi: mind this"],
    }


def test_a_plan_says_what_was_given_up_and_what_more_memory_buys() -> None:
    text = plan_text(PLAN, Placements((SQUEEZED,)))
    assert "5.00 GiB  1,024 tokens x 1, fp8  127" in text
    assert (
        "note: phi-vllm: context 1,024 instead of 2,048 tokens, weights in fp8 instead of 16bit\n"
        "note: phi-vllm: 1.00 GiB more would buy: more\n"
    ) in text
    (shown,) = cast("list[dict[str, object]]", plan_json(PLAN, Placements((SQUEEZED,)))["placements"])
    assert shown["given_up"] == ["context 1,024 instead of 2,048 tokens", "weights in fp8 instead of 16bit"]


def test_what_a_better_profile_needs_is_told_on_request_where_nothing_was_given_up() -> None:
    full = replace(SQUEEZED, profile=PROFILE)
    assert "more would buy" not in plan_text(PLAN, Placements((full,)))
    assert "note: phi-vllm: 1.00 GiB more would buy" in plan_text(PLAN, Placements((full,)), explain=True)


def test_a_partial_plan_names_what_was_left_out() -> None:
    apart = placement("b", engine="vllm", gpu=gpu(), claim=claim(9), fleet=False)
    placed = Placements((*PLACED.items, apart), (FitError("c does not fit on here"),))
    text = plan_text(PLAN, placed)
    assert "left out: b-vllm does not fit beside the others; alone it would, with 2,048 tokens x 1, 16bit\n" in text
    assert text.endswith("left out: c does not fit on here\n")
    assert text.count("b-vllm") == 1
    assert plan_json(PLAN, placed)["left_out"] == ["b-vllm", "c does not fit on here"]


def test_a_group_of_gpus_is_named_whole() -> None:
    two = placement(engine="vllm", on=(gpu("GPU-a"), gpu("GPU-b")), profile=replace(PROFILE, gpus=2, graphs=False))
    text = plan_text(PLAN, Placements((two,)))
    assert "A card (GPU-a) + A card (GPU-b)" in text
    assert "2,048 tokens x 1, 16bit, no graphs, 2 GPUs" in text


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
    found = container(**changes)
    assert remark(found, diagnose(found)) == text


def test_status_as_a_table() -> None:
    long = container("b", "vllm", gpus=("GPU-0123456789abcdef",), claim=5 * GIB, port=25001)
    text = status_table([container("a"), long], 1000.0 + 7300, {"id-a-transformers": "answered in 0.2 s"}, {}, {})
    assert text == (
        "MODEL  ENGINE        STATE  HEALTH   GPU           CLAIM    ADDRESS          UP  REMARK\n"
        "a      transformers  ready  healthy  CPU           -        127.0.0.1:25000  2h  answered in 0.2 s\n"
        "b      vllm          ready  healthy  GPU-01234567  5.0 GiB  127.0.0.1:25001  2h\n"
    )


def test_status_shows_claim_and_use_side_by_side_and_what_outgrew_its_claim() -> None:
    ours = [container(name, gpus=("GPU-a",), claim=5 * GIB) for name in ("a", "b")]
    text = status_table(ours, 1000.0, {}, {"id-a-transformers": 5 * GIB, "id-b-transformers": 11 * GIB // 2}, {})
    assert text == (
        "MODEL  ENGINE        STATE  HEALTH   GPU    CLAIM    USE      ADDRESS          UP  REMARK\n"
        "a      transformers  ready  healthy  GPU-a  5.0 GiB  5.0 GiB  127.0.0.1:25000  0s\n"
        "b      transformers  ready  healthy  GPU-a  5.0 GiB  5.5 GiB  127.0.0.1:25000  0s  "
        "holds 0.50 GiB more than it claimed\n"
    )


def test_a_reason_or_an_answer_goes_before_an_outgrown_claim() -> None:
    grown = {"id-a-transformers": 9 * GIB}
    parked = container("a", gpus=("GPU-a",), claim=GIB, gate=Gate("parked", "boom"), health="unhealthy")
    assert "boom" in status_table([parked], 0, {}, grown, {})
    (shown,) = cast("list[dict[str, object]]", status_json([parked], {}, grown, {})["models"])
    assert (shown["outgrown"], shown["use_bytes"], shown["remark"]) == (True, 9 * GIB, "boom")


def test_status_as_json() -> None:
    parked = container("a", gate=Gate("parked", "boom", restarts=3), health="unhealthy", profile="context=1")
    why = diagnose(parked)
    assert why
    assert status_json([parked], {}, {}, {parked.id: why}) == {
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
                "use_bytes": None,
                "outgrown": False,
                "profile": "context=1",
                "url": "http://127.0.0.1:25000",
                "api_key": False,
                "image": "an-image:1",
                "started": 1000.0,
                "restarts": 3,
                "remark": "boom",
                "cause": {
                    "class": "unknown",
                    "what": "boom",
                    "remedy": "'orchestrator logs a' shows all that the engine said.",
                },
                "drift": [],
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


def pairs(*specs: ModelSpec, said: Listing | None = None) -> list[Pair]:
    """Every model on each of its engines; ``said`` is what vLLM said."""
    return [
        Pair(spec, name, ("own:1", "ours:1"), said if name == "vllm" else None)
        for spec in specs
        for name in ENGINES
        if spec.engine(name) is not None
    ]


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
    assert models_table([entry, small], pairs(entry, small)) == (
        "NAME  PARAMETERS  VLLM               TRANSFORMERS  SUMMARY\n"
        "phi   2.15 B      impossible         listed        A model\n"
        "tiny  0.54 M      on request (none)  -             A model\n"
    )


def test_a_stand_in_is_told_wherever_the_level_is() -> None:
    evidence = {"level": "served-tiny", "stand_in": True, "note": "tiny weights"}
    source = {"repository": "owner/phi", "licence": "MIT", "remote_code": True}
    entry = spec(source=source, transformers={"evidence": evidence})
    assert "  served-tiny by stand-in  A model\n" in models_table([entry], pairs(entry))
    assert "  evidence: served-tiny by stand-in: tiny weights\n" in model_text(entry, pairs(entry))


def test_what_the_engine_said_is_told_with_its_image_and_day() -> None:
    entry = spec(vllm={"report": {"allowed": True, "status": "tested"}})
    said = Listing("vllm", "0.32.0", "ours:1", f"sha256:{'ab' * 32}", 1795910400.0, {"PhiForCausalLM": ""})
    assert " listed  -             A model\n" in models_table([entry], pairs(entry, said=said))
    text = model_text(entry, pairs(entry, said=said))
    assert "  evidence: listed\n" in text
    words = "listed by vLLM 0.32.0, image ours:1 sha256:abababababab, asked 2026-11-29; the entry's image is own:1"
    assert f"  asked: {words}\n" in text
    unlisted = replace(said, image="own:1", architectures={})
    text = model_text(entry, pairs(entry, said=unlisted))
    assert "  evidence: none\n" in text
    assert "  asked: vLLM 0.32.0 has no class for PhiForCausalLM; the registry says possible, image own:1 " in text
    assert "entry's image" not in text


def test_everything_known_of_a_model() -> None:
    entry = spec(
        known=[{"text": "it was seen", "source": "a run"}],
        transformers={
            "problems": [{"text": "it is slow", "source": "another run"}],
            "report": {"allowed": True, "memory_gb": 4.5, "status": "tested"},
        },
    )
    text = model_text(entry, pairs(entry))
    assert text.startswith("phi: Phi. A model\n")
    assert "known: it was seen [a run]\n" in text
    assert "  problem: it is slow [another run]\n" in text
    assert "report of 24 January 2026: allowed, 4.5 GB, tested\n" in text
