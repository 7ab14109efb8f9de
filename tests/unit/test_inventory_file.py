"""Inventory files: right ones, and every way to be wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import FileProblems, RequestError
from orchestrator.inventory import MIB, gib
from orchestrator.inventory_file import parse_inventory
from orchestrator.report.inventory import inventory_yaml
from tests.builders import gpu, host

GOOD = """\
schema_version: 1
name: box
docker: "28.5.2"
gpus:
  - id: GPU-a
    name: A card
    total_mib: 24564
"""


def problems(text: str) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        parse_inventory("box.yaml", text)
    assert "orchestrator inventory --output" in caught.value.hint
    return [str(problem) for problem in caught.value.problems]


def test_a_right_one() -> None:
    found = parse_inventory("box.yaml", GOOD)
    assert (found.name, found.docker, found.compose, found.gpu_note) == ("box", "28.5.2", "", "")
    assert [(g.id, g.total, g.free) for g in found.gpus] == [("GPU-a", 24564 * MIB, None)]


def test_a_host_without_gpus_says_so() -> None:
    found = parse_inventory("box.yaml", "schema_version: 1\nname: box\ngpus: []\n")
    assert found.gpus == ()
    assert found.gpu_note == "the inventory file lists none"


def test_a_gpu_without_memory_says_so() -> None:
    (found,) = parse_inventory("box.yaml", GOOD.replace("24564", "null")).gpus
    assert (found.total, found.note) == (None, "the inventory file gives no memory for it")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "box.yaml"),
        ("just words", "box.yaml"),
        ("- a\n- b\n", "box.yaml"),
        ("\tx: 1", "box.yaml:1"),
        ("name: a\nname: b\n", "box.yaml:2"),
        (GOOD.replace("schema_version: 1", "schema_version: 2"), "box.yaml:1 schema_version"),
        (GOOD.replace("24564", "lots"), "box.yaml:7 gpus.0.total_mib"),
        (GOOD.replace("24564", "0"), "box.yaml:7 gpus.0.total_mib"),
        (GOOD.replace("GPU-a", '"a b"'), "box.yaml:5 gpus.0.id"),
        (GOOD.replace("GPU-a", "0"), "box.yaml:5 gpus.0.id"),
        (GOOD + "services: {}\n", "box.yaml:8 services"),
        (GOOD.replace("name: box\n", ""), "box.yaml:1 name"),
    ],
)
def test_wrong_ones_say_where(text: str, expected: str) -> None:
    assert any(problem.startswith(expected) for problem in problems(text)), problems(text)


def test_all_mistakes_at_once() -> None:
    text = GOOD.replace("schema_version: 1", "schema_version: 3").replace("24564", "-1").replace("name: box", "nam: x")
    assert len(problems(text)) == 4


def test_one_gpu_twice() -> None:
    text = GOOD + "  - id: GPU-a\n    name: B\n    total_mib: 1\n"
    assert problems(text) == [
        "box.yaml:5 gpus.0.id: 'GPU-a' is listed 2 times",
        "box.yaml:8 gpus.1.id: 'GPU-a' is listed 2 times",
    ]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_no_text_is_a_crash(text: str) -> None:
    with pytest.raises(FileProblems):
        parse_inventory("box.yaml", text)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=40))
def test_what_is_written_is_read_back(name: str) -> None:
    before = replace(host(gpu("GPU-a", total=24), gpu("GPU-b", total=None, note="N/A")), name=name)
    after = parse_inventory("box.yaml", inventory_yaml(before))
    assert [(g.id, g.name, g.total) for g in after.gpus] == [
        ("GPU-a", "A card", 24 * 1024 * MIB),
        ("GPU-b", "A card", None),
    ]
    assert (after.docker, after.compose, after.name) == (before.docker, before.compose, before.name)


def test_gpus_by_position_and_id() -> None:
    box = host(gpu("GPU-a"), gpu("GPU-b"))
    assert box.gpu("1") == box.gpu("GPU-b") == box.gpus[1]
    with pytest.raises(RequestError, match="there is no GPU '2' on here"):
        box.gpu("2")
    with pytest.raises(RequestError) as caught:
        host().gpu("0")
    assert caught.value.hint == "this host has no usable GPU: NVML: no driver"


def test_an_id_that_looks_like_another_s_position_is_an_id() -> None:
    box = host(gpu("1"), gpu("0"))
    assert box.gpu("0").id == "0"


@pytest.mark.parametrize(("size", "text"), [(None, "?"), (0, "0.00 GiB"), (24 * 1024 * MIB, "24.00 GiB")])
def test_gib(size: int | None, text: str) -> None:
    assert gib(size) == text
