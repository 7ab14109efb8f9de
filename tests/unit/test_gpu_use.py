"""From a process that holds GPU memory to its container, on the texts that the kernel writes."""

from __future__ import annotations

import pytest

from orchestrator.adapters.gpu_use import containers_in, uses
from orchestrator.evidence import Use
from orchestrator.inventory import Gpu, Process

ID = "8bd117555be197e722dcd8ff6b14cb4b908bca1ac5710da5f6617db4f812e0e6"
INNER = "0" * 64

V1 = "\n".join(
    [
        f"9:name=systemd:/docker/{ID}",
        f"8:pids:/docker/{ID}",
        f"2:cpu,cpuacct:/docker/{ID}",
        f"1:memory:/docker/{ID}",
        "0::/",
    ]
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (V1, (ID,)),
        (f"0::/docker/{ID}\n", (ID,)),
        (f"0::/docker/{ID}/init.scope\n", (ID,)),
        (f"0::/system.slice/docker-{ID}.scope\n", (ID,)),
        (f"11:memory:/system.slice/docker-{ID}.scope\n1:name=systemd:/system.slice/docker-{ID}.scope\n", (ID,)),
        (f"0::/models.slice/docker-{ID}.scope\n", (ID,)),
        (f"0::/models/{ID}\n", (ID,)),
        (f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope\n", (ID,)),
        (f"0::/../{ID}\n", (ID,)),
        (f"0::/../docker-{ID}.scope\n", (ID,)),
        (f"0::/kubepods.slice/kubepods-pod12.slice/cri-containerd-{ID}.scope\n", (ID,)),
        (f"0::/system.slice/containerd.service/kubepods-pod12.slice:cri-containerd:{ID}\n", (ID,)),
        (f"0::/docker/{ID}/docker/{INNER}\n", (ID, INNER)),
        (f"0::/system.slice/docker-{ID}.scope/system.slice/docker-{INNER}.scope\n", (ID, INNER)),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", ()),
        ("0::/\n", ()),
        (f"0::/docker/{ID[:12]}\n", ()),
        (f"0::/buildkit/{ID}x\n", ()),
        ("12:memory\nnonsense\n", ()),
        ("", ()),
    ],
)
def test_the_containers_of_a_cgroup(text: str, found: tuple[str, ...]) -> None:
    assert containers_in(text) == found


def gpu(identity: str, *processes: tuple[int, int | None]) -> Gpu:
    return Gpu(identity, "A card", None, None, processes=tuple(Process(pid, used) for pid, used in processes))


def test_a_container_holds_what_its_processes_hold_on_each_gpu() -> None:
    gpus = (gpu("GPU-b", (1, 10), (2, 20), (3, 5)), gpu("GPU-a", (2, 7)))
    assert uses(gpus, {1: "one", 2: "one", 3: "two"}) == (
        Use("one", "GPU-a", 7),
        Use("one", "GPU-b", 30),
        Use("two", "GPU-b", 5),
    )


def test_one_untold_process_makes_its_containers_sum_unknown_and_no_others() -> None:
    gpus = (gpu("GPU-a", (1, None), (2, 20), (3, 5)), gpu("GPU-b", (1, 4)))
    assert uses(gpus, {1: "one", 2: "one", 3: "two"}) == (
        Use("one", "GPU-a", None),
        Use("one", "GPU-b", 4),
        Use("two", "GPU-a", 5),
    )


def test_processes_of_no_container_are_together() -> None:
    assert uses((gpu("GPU-a", (1, 10), (2, 20)),), {1: ""}) == (Use("", "GPU-a", 30),)
    assert uses((), {}) == ()
