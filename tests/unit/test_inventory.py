"""GPUs as values: which may be named, which are equal, how much CUDA sees, and how a host is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import FileProblems, RequestError
from orchestrator.inventory import GIB, MIB, Gpu, Host, Process, cuda_total
from orchestrator.inventory_file import parse_inventory
from orchestrator.report.inventory import inventory_json, inventory_text, inventory_yaml

CARD = Gpu("GPU-a", "A card", 24 * GIB, 20 * GIB, index="0")
SLICE = Gpu("MIG-a", "A card MIG 1g.5gb", 5 * GIB, 4 * GIB, index="1:0", parent="GPU-b", compute_capability=(8, 0))
LOST = Gpu("2", "unknown", None, None, "NVML: GPU is lost", index="2", usable=False)
HOST = Host("here", (CARD, SLICE, LOST), "a remark", "28.5.2", "2.40.3", "580.1")


@pytest.mark.parametrize(("wanted", "found"), [("GPU-a", CARD), ("0", CARD), ("MIG-a", SLICE), ("1:0", SLICE)])
def test_a_gpu_is_named_by_id_or_index(wanted: str, found: Gpu) -> None:
    assert HOST.gpu(wanted) == found


def test_a_gpu_without_an_index_has_its_position() -> None:
    assert Host("here", (Gpu("GPU-x", "", 1, 1), Gpu("GPU-y", "", 1, 1))).gpu("1").id == "GPU-y"


def test_a_gpu_that_is_not_there_or_not_usable_is_refused_with_reasons() -> None:
    with pytest.raises(RequestError) as missing:
        HOST.gpu("1")
    assert missing.value.hint == "GPUs here: 0 (GPU-a), 1:0 (MIG-a)"
    with pytest.raises(RequestError) as lost:
        HOST.gpu("2")
    assert lost.value.where == "NVML: GPU is lost"
    with pytest.raises(RequestError) as none:
        Host("here", (), "no driver").gpu("0")
    assert "no driver" in none.value.hint
    assert HOST.usable_gpus == (CARD, SLICE)


def test_only_whole_cards_of_one_model_and_size_are_equal() -> None:
    def kind(name: str = "A", total: int | None = 1, parent: str = "", identity: str = "x") -> str:
        return Gpu(identity, name, total, None, parent=parent).kind

    assert kind(identity="x") == kind(identity="y")
    assert kind() != kind("B")
    assert kind() != kind(total=2)
    assert kind(total=None, identity="x") != kind(total=None, identity="y")
    assert kind(parent="p", identity="x") != kind(parent="p", identity="y")


@pytest.mark.parametrize(
    ("card", "nvml_mib", "cuda_gib"),
    [
        ("T4", 15360, 14.56),
        ("RTX 4090", 24564, 23.64),
        ("L40", 46068, 44.40),
        ("A100 80 GB", 81920, 79.25),
        ("H100 80 GB", 81559, 79.18),
        ("RTX PRO 6000", 97887, 94.97),
    ],
)
def test_cuda_has_never_less_than_is_counted_on(card: str, nvml_mib: int, cuda_gib: float) -> None:
    """Public figures of both; see ``cuda_total``."""
    bound = cuda_total(nvml_mib * MIB)
    assert bound <= cuda_gib * GIB, card
    assert bound >= 0.985 * cuda_gib * GIB, card


def test_what_the_driver_reserves_is_taken_off_where_it_is_known() -> None:
    assert cuda_total(1000 * MIB, 100 * MIB) == 900 * MIB
    assert Gpu("x", "", 1000 * MIB, None, reserved=100 * MIB).cuda_total == 900 * MIB
    assert Gpu("x", "", None, None).cuda_total is None


@given(st.integers(0, 1 << 40), st.none() | st.integers(0, 1 << 41))
def test_cuda_total_is_between_nothing_and_all(total: int, reserved: int | None) -> None:
    assert 0 <= cuda_total(total, reserved) <= total


def test_the_text_tells_slices_holders_remarks_and_what_can_not_be_used() -> None:
    held = Gpu("GPU-h", "A card", 2 * GIB, GIB, processes=(Process(7, GIB, "python3"), Process(8, None)))
    lines = inventory_text(Host("here", (*HOST.gpus, held), HOST.gpu_note)).splitlines()
    assert [line.split("  ", 1)[0] for line in lines] == [
        *("docker", "compose", "driver", "gpu 0", "gpu 1:0", "gpu 2", "gpu 3", "", "", "note")
    ]
    text = "\n".join(lines)
    assert "gpu 2    unknown 2 can't be used: NVML: GPU is lost" in text
    assert "1.00 GiB held by process 7 python3" in text
    assert "an untold amount held by process 8\n" in text
    assert text.endswith("note     a remark")


def test_json_has_every_fact() -> None:
    held = Gpu("GPU-h", "A card", 2, 1, "", "0", "GPU-p", True, 1, (9, 0), True, (Process(7, None, "python3"),))
    assert inventory_json(Host("here", (held, LOST)))["gpus"] == [
        {
            "id": "GPU-h",
            "name": "A card",
            "total_bytes": 2,
            "free_bytes": 1,
            "note": "",
            "index": "0",
            "parent": "GPU-p",
            "usable": True,
            "reserved_bytes": 1,
            "compute_capability": "9.0",
            "persistence": True,
            "processes": [{"pid": 7, "used_bytes": None, "name": "python3"}],
        },
        {
            "id": "2",
            "name": "unknown",
            "total_bytes": None,
            "free_bytes": None,
            "note": "NVML: GPU is lost",
            "index": "2",
            "parent": None,
            "usable": False,
            "reserved_bytes": None,
            "compute_capability": None,
            "persistence": None,
            "processes": [],
        },
    ]


def test_the_file_keeps_what_planning_needs_and_leaves_out_what_can_not_be_used() -> None:
    card = Gpu("GPU-a", "A card", 100 * MIB, 1, index="0", reserved=5 * MIB + 1)
    text = inventory_yaml(Host("here", (card, SLICE, LOST)))
    assert parse_inventory("host.yaml", text).gpus == (
        Gpu("GPU-a", "A card", 100 * MIB, None, reserved=6 * MIB),
        Gpu("MIG-a", "A card MIG 1g.5gb", 5 * GIB, None, index="1:0", parent="GPU-b", compute_capability=(8, 0)),
    )
    assert "gpus: []" in inventory_yaml(Host("here", (LOST,)))


def test_an_index_in_the_file_is_one_gpus() -> None:
    text = inventory_yaml(Host("here", (Gpu("GPU-a", "", 1, 1, index="1"), Gpu("GPU-b", "", 1, 1))))
    with pytest.raises(FileProblems) as found:
        parse_inventory("host.yaml", text.replace("total_mib: 0", "total_mib: 1"))
    assert [problem.message for problem in found.value.problems] == ["'1' is listed 2 times"] * 2


def test_a_plain_gpu_needs_three_lines_in_the_file() -> None:
    assert inventory_yaml(Host("here", (Gpu("GPU-a", "A card", 1 * MIB, None),))).splitlines()[-3:] == [
        '  - id: "GPU-a"',
        '    name: "A card"',
        "    total_mib: 1",
    ]
