"""The real pynvml on a library of ours that answers from a script: GPUs as they are, and as they fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.adapters.gpu_use import container_of, owners, uses
from orchestrator.errors import RequestError
from orchestrator.evidence import Use
from orchestrator.inventory import MIB, Host, Process
from orchestrator.inventory_file import parse_inventory
from orchestrator.report.inventory import inventory_text, inventory_yaml
from tests.integration.nvml.library import (
    DRIVER_NOT_LOADED,
    GPU_IS_LOST,
    NO_PERMISSION,
    NOT_SUPPORTED,
    SONAME,
    UNKNOWN,
    VERSION_MISMATCH,
    Card,
    Nvml,
    build,
    script,
)


@pytest.fixture
def nvml(library: Path, tmp_path: Path) -> Nvml:
    return Nvml(library, tmp_path / "root")


def host(nvml: Nvml, *cards: Card) -> Host:
    found = nvml.read_one(*cards)
    return Host("here", found.gpus, found.note, "28.5.2", "2.40.3", found.driver)


SLICE = Card("MIG-1", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", 4864, 4851, 0, mig=None)
IN_SLICES = Card(
    "GPU-p",
    "NVIDIA A100-SXM4-40GB",
    40960,
    40000,
    capability="8 0",
    mig=1,
    slices={0: Card("MIG-0", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", 19968, 19000, 0, mig=None), 4: SLICE},
)


def test_a_card_is_told_with_all_its_facts(nvml: Nvml) -> None:
    found = nvml.read_one(Card(), Card("GPU-b", persistence=0))
    first, second = found.gpus
    assert (first.id, first.name, first.index) == ("GPU-a", "NVIDIA H100 80GB HBM3", "0")
    assert (first.total, first.free, first.reserved) == (81559 * MIB, 81008 * MIB, 551 * MIB)
    assert (first.compute_capability, first.persistence, first.usable, first.note) == ((9, 0), True, True, "")
    assert (second.index, second.persistence) == ("1", False)
    assert first.kind == second.kind
    assert (found.driver, found.note) == ("580.95.05", "")


def test_one_reader_sees_time_pass(nvml: Nvml) -> None:
    """A co-tenant grows; one stops and its memory comes back late; a card falls off the bus and the other stays."""
    tenant, other = Card(free=60000, compute={7: 21000}), Card("GPU-b")
    grown = Card(free=40000, compute={7: 41000})
    ended = Card(free=40000)
    back = Card()
    lost = Card(fails={"*": GPU_IS_LOST})
    readings = nvml.read(*(script(card, other) for card in (tenant, grown, ended, back, lost, back)))
    assert [reading.gpus[0].free for reading in readings] == [
        size if size is None else size * MIB for size in (60000, 40000, 40000, 81008, None, 81008)
    ]
    assert [[p.used for p in reading.gpus[0].processes] for reading in readings[:3]] == [
        [21000 * MIB],
        [41000 * MIB],
        [],
    ]
    assert [reading.gpus[0].usable for reading in readings] == [True] * 4 + [False, True]
    assert {reading.gpus[1].free for reading in readings} == {81008 * MIB}


def test_a_board_that_shares_the_hosts_memory_is_only_for_who_names_it(nvml: Nvml) -> None:
    board = Card("GPU-u", "NVIDIA GB10", total=None, free=None, reserved=None, mig=None, compute={9: 1000})
    here = host(nvml, board)
    gpu = here.gpu("0")
    assert (gpu.total, gpu.free, gpu.cuda_total, gpu.usable) == (None, None, None, True)
    assert "does not tell its memory" in gpu.note
    assert "--gpu" in gpu.note
    assert gpu.processes == (Process(9, 1000 * MIB),)
    assert "? of ? free the driver does not tell" in inventory_text(here)


@pytest.mark.parametrize(
    ("card", "note"),
    [
        (Card(fails={"nvmlDeviceGetMemoryInfo": NO_PERMISSION}), "can't be read (Insufficient Permissions)"),
        (Card(total=100, free=200), "209715200 bytes free of 104857600"),
        (Card(total=0, free=0), "0 bytes free of 0"),
    ],
)
def test_memory_that_can_not_be_believed_is_not_planned_with(nvml: Nvml, card: Card, note: str) -> None:
    (gpu,) = nvml.read_one(card).gpus
    assert (gpu.id, gpu.total, gpu.free, gpu.usable) == ("GPU-a", None, None, True)
    assert note in gpu.note


def test_mig_slices_are_gpus_and_their_card_is_none(nvml: Nvml) -> None:
    here = host(nvml, IN_SLICES, Card("GPU-b"))
    assert [(gpu.id, gpu.index, gpu.parent) for gpu in here.gpus] == [
        ("MIG-0", "0:0", "GPU-p"),
        ("MIG-1", "0:4", "GPU-p"),
        ("GPU-b", "1", ""),
    ]
    assert [gpu.free for gpu in here.gpus] == [19000 * MIB, 4851 * MIB, 81008 * MIB]
    assert here.gpu("0:4").name == "NVIDIA A100-SXM4-40GB MIG 1g.5gb"
    assert here.gpu("1").id == "GPU-b"
    assert here.gpus[0].compute_capability == (8, 0)
    assert len({gpu.kind for gpu in here.gpus}) == 3
    with pytest.raises(RequestError, match="there is no GPU '0'"):
        here.gpu("0")


def test_the_card_of_slices_is_not_asked_for_memory(nvml: Nvml) -> None:
    calls = ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetComputeRunningProcesses_v3")
    refused = replace(IN_SLICES, fails=dict.fromkeys(calls, NO_PERMISSION))
    assert nvml.read_one(refused).gpus == nvml.read_one(IN_SLICES).gpus


def test_a_slice_without_a_name_of_its_own_is_named_by_its_size(nvml: Nvml) -> None:
    card = "NVIDIA A100-SXM4-40GB"
    slices = {0: Card("MIG-0", card, 4864, 4800, attributes=(1, 4864)), 1: Card("MIG-1", card, 4864, 4800)}
    found = nvml.read_one(Card("GPU-p", card, mig=1, slices=slices))
    assert [gpu.name for gpu in found.gpus] == [f"{card} MIG 1g.5gb", f"{card} MIG"]


def test_mig_without_slices_can_not_be_used(nvml: Nvml) -> None:
    here = host(nvml, Card(mig=1), Card("GPU-b"))
    assert [gpu.usable for gpu in here.gpus] == [False, True]
    assert "no slices" in here.gpus[0].note
    assert [gpu.id for gpu in here.usable_gpus] == ["GPU-b"]


def test_a_slice_that_does_not_answer_hides_no_other(nvml: Nvml) -> None:
    lost = Card("MIG-1", fails={"nvmlDeviceGetMemoryInfo": GPU_IS_LOST})
    slices = {0: Card("MIG-0", fails={"nvmlDeviceGetUUID": UNKNOWN}), 1: lost, 2: SLICE}
    found = nvml.read_one(Card("GPU-p", mig=1, slices=slices))
    assert [(gpu.id, gpu.usable) for gpu in found.gpus] == [("0:0", False), ("MIG-1", False), ("MIG-1", True)]
    assert "Unknown Error" in found.gpus[0].note


@pytest.mark.parametrize(
    ("call", "identity"),
    [
        ("nvmlDeviceGetHandleByIndex_v2", "0"),
        ("nvmlDeviceGetUUID", "0"),
        ("nvmlDeviceGetComputeRunningProcesses_v3", "GPU-a"),
        ("nvmlDeviceGetMigMode", "GPU-a"),
        ("nvmlDeviceGetMemoryInfo", "GPU-a"),
        ("nvmlDeviceGetMemoryInfo_v2", "GPU-a"),
    ],
)
def test_a_card_that_falls_off_the_bus_at_any_moment_is_told_and_the_other_stays(
    nvml: Nvml, call: str, identity: str
) -> None:
    here = host(nvml, Card(fails={call: GPU_IS_LOST}), Card("GPU-b"))
    lost, other = here.gpus
    assert (lost.id, lost.usable, lost.total, lost.free) == (identity, False, None, None)
    assert "GPU is lost (it fell off the bus" in lost.note
    assert (other.usable, other.free) == (True, 81008 * MIB)
    assert here.gpu("1").id == "GPU-b", "the other keeps its index"
    with pytest.raises(RequestError, match="can't be used"):
        here.gpu("0")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (DRIVER_NOT_LOADED, "NVML: Driver Not Loaded"),
        (VERSION_MISMATCH, "restart the host"),
        (77, "NVML: scripted error 77"),
    ],
)
def test_no_driver_is_a_reason_and_no_error(nvml: Nvml, code: int, reason: str) -> None:
    (found,) = nvml.read(script(Card(), fails={"nvmlInitWithFlags": code}))
    assert (found.gpus, found.driver) == ((), "")
    assert reason in found.note


def test_a_driver_that_answers_nothing_more_is_a_reason(nvml: Nvml) -> None:
    (found,) = nvml.read(script(Card(), fails={"nvmlDeviceGetCount_v2": UNKNOWN}))
    assert (found.gpus, found.note) == ((), "NVML: Unknown Error")


def test_no_library_and_no_card(nvml: Nvml, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / SONAME).touch()  # hides a real one
    (found,) = Nvml(broken, tmp_path / "other").read(script(Card()))
    assert found.note == "NVML: NVML Shared Library Not Found"
    assert nvml.read_one().note == "the driver reports no GPU"


@pytest.mark.parametrize("seen", ["dev/kfd", "sys/module/amdgpu"])
def test_amd_is_said_to_be_unsupported_where_nothing_else_is(nvml: Nvml, seen: str) -> None:
    (nvml.root / seen).mkdir(parents=True)
    assert nvml.read_one().note.startswith("AMD GPUs are not supported yet; ")
    assert nvml.read_one(Card()).note == ""


def test_an_old_driver_tells_less(library: Path, tmp_path: Path) -> None:
    old = Nvml(build(tmp_path / "old", "-DOLD_DRIVER"), tmp_path / "root")
    (gpu,) = old.read_one(Card(compute={7: 100})).gpus
    assert (gpu.free, gpu.reserved, gpu.processes, gpu.note) == (81008 * MIB, None, (), "")


def test_a_gpu_that_lacks_the_extras_is_still_a_gpu(nvml: Nvml) -> None:
    (gpu,) = nvml.read_one(Card(reserved=None, capability=None, persistence=None, mig=None)).gpus
    assert (gpu.total, gpu.free) == (81559 * MIB, 81008 * MIB)
    assert (gpu.reserved, gpu.compute_capability, gpu.persistence) == (None, None, None)
    assert not nvml.read_one(Card(fails={"nvmlDeviceGetMigMode": NOT_SUPPORTED})).gpus[0].note


def test_processes_are_told_once_with_their_names(nvml: Nvml) -> None:
    name = nvml.root / "proc" / "30" / "comm"
    name.parent.mkdir(parents=True)
    name.write_text("VLLM::EngineCor\n")
    card = Card(compute={30: 5000, 20: 100, 25: None}, graphics={20: 100, 10: 40})
    (gpu,) = nvml.read_one(card).gpus
    assert gpu.processes == (
        Process(10, 40 * MIB),
        Process(20, 100 * MIB),
        Process(25, None),
        Process(30, 5000 * MIB, "VLLM::EngineCor"),
    )
    many = nvml.read_one(Card(compute=dict.fromkeys(range(1, 200), 1))).gpus[0].processes
    assert len(many) == 199


def test_a_variable_that_hides_gpus_from_cuda_alone_is_remarked(nvml: Nvml) -> None:
    found = nvml.read_one(Card(), Card("GPU-b"), CUDA_VISIBLE_DEVICES="1")
    assert [gpu.id for gpu in found.gpus] == ["GPU-a", "GPU-b"]
    assert "CUDA_VISIBLE_DEVICES is '1'" in found.note
    assert "CUDA_VISIBLE_DEVICES" in inventory_text(Host("here", found.gpus, found.note))


def test_the_inventory_file_of_real_cards_plans_the_same(nvml: Nvml) -> None:
    here = host(nvml, Card(fails={"*": GPU_IS_LOST}), IN_SLICES, Card("GPU-b"))
    again = parse_inventory("host.yaml", inventory_yaml(here))
    assert [
        (g.id, g.name, g.total, g.reserved, g.parent, g.compute_capability, g.kind, g.cuda_total) for g in again.gpus
    ] == [
        (g.id, g.name, g.total, g.reserved, g.parent, g.compute_capability, g.kind, g.cuda_total)
        for g in here.usable_gpus
    ]
    assert [again.gpu(index).id for index in ("1:0", "1:4", "2")] == ["MIG-0", "MIG-1", "GPU-b"]


def test_what_a_process_holds_is_its_containers(nvml: Nvml) -> None:
    """From NVML's pids through the kernel's cgroups to containers; the kernel is a folder of files here."""
    ours, inner = "a1" * 32, "b2" * 32
    for pid, path in ((30, f"/docker/{ours}"), (31, f"/system.slice/docker-{ours}.scope"), (32, "/user.slice")):
        folder = nvml.root / "proc" / str(pid)
        folder.mkdir(parents=True)
        (folder / "cgroup").write_text(f"0::{path}\n")
    (nvml.root / "proc" / "30" / "cgroup").write_text(f"0::/docker/{ours}/docker/{inner}\n")
    gpus = nvml.read_one(Card(compute={30: 5000, 31: 300, 32: 20, 33: 1})).gpus
    assert uses(gpus, owners(gpus, root=nvml.root)) == (
        Use("", "GPU-a", 21 * MIB),
        Use(ours, "GPU-a", 5300 * MIB),
    )
    assert container_of(30, {inner}, nvml.root) == inner
