"""``doctor`` and ``doctor --fix``: what is found, what is mended, and what is left to a human."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.compose import OWNER
from orchestrator.errors import EnvironmentProblem, OrchestratorError
from orchestrator.observation import Container, Gate, Helper, Image, LockState, Network, PortHolder
from orchestrator.plan.images import built_image
from tests.builders import container, gpu
from tests.fakes import FakeWorld
from tests.functional.cli import Command, world

WEIGHTS = "orchestrator-weights"
IMAGE = built_image("tf5-cpu").reference


@pytest.fixture
def here() -> FakeWorld:
    found = world(gpu("GPU-a"))
    found.gpus.driver = "580.95.05"
    return found


def found(do: Command, check: str, *arguments: str) -> list[dict[str, Any]]:
    """The findings of a check that are not ok."""
    said = json.loads(do("doctor", "--json", *arguments).out)
    return [f for f in said["findings"] if f["check"] == check and f["verdict"] != "ok"]


def described(here: FakeWorld, *containers: Container) -> None:
    """Put containers there as ``up`` does: with their documents."""
    for c in containers:
        here.docker.add(replace(c, applied=f"/state/{c.project}/compose.yaml"))
        here.workspace.files.setdefault(c.project, {}).update({f"{c.service}.yaml": b"", "compose.yaml": b""})


# The machine


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        ("580.65.06", None),
        ("590.10", None),
        ("575.57.08", "has CUDA 13.0, which needs driver 580 or newer; this is 575.57.08"),
    ],
)
def test_the_driver_against_the_images(here: FakeWorld, do: Command, driver: str, words: str | None) -> None:
    here.gpus.driver = driver
    seen = found(do, "driver")
    assert bool(seen) == (words is not None)
    assert all(words in f["detail"] and f["verdict"] == "problem" for f in seen if words)
    assert do("doctor").code == (4 if words else 0)
    if words:
        assert any("vllm/vllm-openai:v0.33.0" in f["detail"] and "qwen2-vl-2b" in f["where"] for f in seen)
        assert any("orchestrator/transformers:" in f["detail"] for f in seen), "and our own images"


def test_no_driver_no_word_of_it(here: FakeWorld, do: Command) -> None:
    here.gpus.gpus = ()
    assert "driver " not in do("doctor").out.replace("no driver", "")


def test_how_docker_hands_out_gpus(here: FakeWorld, do: Command) -> None:
    here.docker.ways = ("the NVIDIA runtime", "CDI with 2 devices")
    assert "Docker hands out GPUs by the NVIDIA runtime, CDI with 2 devices" in do("doctor").out
    here.docker.ways = ()
    assert found(do, "GPU runtime")[0]["verdict"] == "problem"


@pytest.mark.parametrize(("total", "verdict"), [(0, "note"), (200 << 20, "problem")])
def test_memory_for_shared_memory(here: FakeWorld, do: Command, total: int, verdict: str) -> None:
    here.docker.total_memory = total
    assert [f["verdict"] for f in found(do, "memory")] == [verdict]


def test_a_port_that_another_holds(here: FakeWorld, do: Command) -> None:
    here.docker.listeners = (PortHolder(24000, "process nginx (pid 7)"),)
    (seen,) = found(do, "ports")
    assert (seen["verdict"], seen["where"]) == ("note", "process nginx (pid 7)")
    assert do("doctor").code == 0, "up moves on"


# What is ours


def test_a_dead_model_is_an_error_and_no_lack_of_the_machine(here: FakeWorld, do: Command) -> None:
    described(here, container("a", gate=Gate("parked", "boom"), health="unhealthy"))
    assert do("doctor").code == 1
    (seen,) = found(do, "containers")
    assert (seen["where"], seen["hint"]) == (
        "container orchestrator-a-transformers",
        "'orchestrator logs a-transformers'",
    )
    here.docker.free_disk = 10**9
    assert do("doctor").code == 4


def test_a_container_that_lost_its_gpu(here: FakeWorld, do: Command) -> None:
    described(here, *(container(m, gpus=("GPU-a",), project="lab") for m in ("a", "b", "c")), container("cpu"))
    described(here, container("stopped", gpus=("GPU-a",), state="exited"))
    here.actor.blind = {"id-a-transformers": "Failed to initialize NVML: Unknown Error", "id-b-transformers": None}
    lost, unknown = found(do, "GPU access")
    assert lost["verdict"] == "problem"
    assert "lab-a-transformers can't reach its GPU any more" in lost["detail"]
    assert "NVML: Unknown Error" in lost["detail"]
    assert lost["hint"].startswith("'orchestrator --project lab restart a-transformers' gives it back")
    assert unknown["detail"] == "lab-b-transformers: could not be asked whether the GPU is there"
    assert do("doctor").code == 1
    assert here.log == []

    here.gpus.gpus = ()
    assert found(do, "GPU access") == [], "the host has no GPU either, which is another finding"


def test_what_up_made_is_no_leftover(here: FakeWorld, do: Command) -> None:
    here.docker.images[IMAGE] = Image("sha256:1")
    do("up", "demo", "--yes")
    do("stop", "demo")
    assert found(do, "leftovers") == []
    here.workspace.files.clear()
    (seen,) = found(do, "leftovers")
    assert seen["detail"] == "orchestrator-demo-transformers: no document describes it"
    assert seen["fixable"] is True


def test_what_runs_without_a_document_is_left_to_a_human(here: FakeWorld, do: Command) -> None:
    here.docker.add(container("a"))
    (seen,) = found(do, "leftovers")
    assert seen["detail"] == "orchestrator-a-transformers runs, and no document describes it"
    assert seen["fixable"] is False
    assert do("doctor").code == 0
    assert do("doctor", "--fix").code == 0
    assert here.log == []


def test_documents_that_can_not_be_seen_are_taken_to_be_there(here: FakeWorld, do: Command) -> None:
    """They may be another user's."""
    here.docker.add(container("a", state="exited", applied="/home/other/compose.yaml"))
    here.workspace.hidden = True
    assert found(do, "leftovers") == []


def test_documents_without_a_container_are_told_of(here: FakeWorld, do: Command) -> None:
    here.workspace.files["lab"] = {"gone-vllm.yaml": b"", "compose.yaml": b""}
    (seen,) = found(do, "leftovers")
    assert (seen["where"], seen["fixable"]) == ("/state/lab/gone-vllm.yaml", False)
    assert "'orchestrator --project lab down gone-vllm'" in seen["hint"]


@pytest.fixture
def cluttered(here: FakeWorld) -> FakeWorld:
    """A machine with everything on it that may be left, and one model that serves."""
    described(here, container("a"))
    here.docker.images[IMAGE] = Image("sha256:1")
    here.docker.add(
        container("never", state="created", port=1, error="no such device"),
        container("half", state="dead", port=2),
        container("ended", state="exited", port=3, project="lab"),
    )
    here.docker.helpers = {
        "h1": Helper("h1", "cut_off", "helper", running=False),
        "h2": Helper("h2", "at_work", "helper", running=True),
    }
    here.docker.networks = {
        "n1": Network("n1", "old_default", "old"),
        "n2": Network("n2", "strange_default", "strange"),
        "n3": Network("n3", "orchestrator_default", "orchestrator"),
    }
    here.workspace.files["old"] = {"x-vllm.yaml": b""}
    here.docker.volumes = {WEIGHTS, "orchestrator-cache"}
    here.docker.owners = {WEIGHTS: "0:0"}
    here.workspace.marked = frozenset({"orchestrator-cache", "orchestrator-lost"})
    here.workspace.lock_of = replace(here.workspace.lock_of, note="'orchestrator up a' (pid 12)")
    here.workspace.written = {"/state/.x.12"}
    return here


def test_looking_changes_nothing(cluttered: FakeWorld, do: Command) -> None:
    said = do("doctor")
    assert said.code == 1
    for words in ("never started: no such device", "removal was cut off", "belongs to 0:0", "no container uses it"):
        assert words in said.out
    assert cluttered.log == []
    assert len(cluttered.docker.helpers) == 2


def test_fix_does_what_is_safe_and_says_each(cluttered: FakeWorld, do: Command) -> None:
    said = do("doctor", "--fix")
    assert said.code == 0, said
    assert cluttered.log == [
        "volumes orchestrator-cache orchestrator-weights",
        "remove id-never-transformers",
        "remove id-half-transformers",
        "remove id-ended-transformers",
        "remove h1",
        "network n1",
    ]
    assert set(cluttered.docker.containers) == {"id-a-transformers"}
    assert set(cluttered.docker.helpers) == {"h2"}
    assert set(cluttered.docker.networks) == {"n2", "n3"}
    assert cluttered.workspace.marked == frozenset()
    assert not cluttered.workspace.written
    for words in (
        "container orchestrator-never-transformers: gone, it was created and never started: no such device",
        "helper cut_off: gone, it was cut off",
        "network old_default: gone",
        f"volume {WEIGHTS}: given to {OWNER}",
        "mark orchestrator-lost: gone",
        "lock 'orchestrator up a' (pid 12): gone",
        "draft /state/.x.12: gone",
    ):
        assert words in said.err, words
    assert do("doctor", "--fix").err == ""


def test_fix_tells_in_json(cluttered: FakeWorld, do: Command) -> None:
    said = json.loads(do("doctor", "--fix", "--json").out)
    assert {(d["kind"], d["name"]) for d in said["fixed"]} >= {("network", "old_default"), ("volume", WEIGHTS)}
    assert not [f for f in said["findings"] if f["fixable"]]
    assert json.loads(do("doctor", "--fix", "--json").out)["fixed"] == []


def test_what_can_not_be_mended_is_told_and_the_rest_is_done(cluttered: FakeWorld, do: Command) -> None:
    cluttered.actor.fails = {"remove": OrchestratorError("can't remove it: Docker said no")}
    said = do("doctor", "--fix")
    assert "container orchestrator-never-transformers: failed, can't remove it: Docker said no" in said.err
    assert set(cluttered.docker.networks) == {"n2", "n3"}
    assert "never started" in said.out, "it is still there"


def test_fix_looks_again_under_the_lock(cluttered: FakeWorld, do: Command) -> None:
    """Somebody starts the container between the look and the lock."""
    lock = cluttered.workspace.lock

    def late(purpose: str, timeout: float, name: str = "") -> Any:
        cluttered.docker.change("ended-transformers", state="running")
        return lock(purpose, timeout)

    cluttered.workspace.lock = late  # type: ignore[method-assign]
    do("doctor", "--fix")
    assert "remove id-ended-transformers" not in cluttered.log
    assert "remove id-never-transformers" in cluttered.log


def test_a_young_container_may_be_about_to_start(here: FakeWorld, do: Command) -> None:
    described(here, container("a", state="created", created=995.0))
    assert found(do, "leftovers") == []
    here.clock.time = 1010.0
    assert len(found(do, "leftovers")) == 1


def test_a_volume_of_root_s_without_an_image(here: FakeWorld, do: Command) -> None:
    here.docker.volumes, here.docker.owners = {WEIGHTS}, {WEIGHTS: "0:0"}
    (seen,) = found(do, "volumes")
    assert (seen["verdict"], seen["fixable"]) == ("problem", False)
    assert f"chown -v {WEIGHTS}:/v IMAGE {OWNER} /v" in seen["hint"]
    assert do("doctor", "--fix").code == 1
    assert here.log == []


def test_a_volume_that_can_not_be_looked_at_is_not_accused(here: FakeWorld, do: Command) -> None:
    here.docker.volumes, here.docker.owners = {WEIGHTS}, {WEIGHTS: ""}
    assert found(do, "volumes") == []


@pytest.mark.parametrize(
    ("state", "verdict", "words"),
    [
        (LockState(True, "'orchestrator up a' (pid 12)", True), "note", "'orchestrator up a' (pid 12) is at work"),
        (LockState(True, ""), "note", "another orchestrator is at work"),
        (LockState(True, "'up' (pid 12)", False, ("docker (pid 13)",)), "problem", "holds the lock: docker (pid 13)"),
        (LockState(True, "'up' (pid 12)", False), "problem", "holds the lock: a process of another user"),
        (LockState(False, "'up' (pid 12)"), "note", "'up' (pid 12) died without giving it back; nothing waits for it"),
    ],
)
def test_the_lock(here: FakeWorld, do: Command, state: LockState, verdict: str, words: str) -> None:
    here.workspace.lock_of = state
    here.workspace.marked = frozenset({"orchestrator-lost"})
    (seen,) = found(do, "lock")
    assert (seen["verdict"], words in seen["detail"]) == (verdict, True), seen
    assert bool(found(do, "volumes")) != state.held, "a preparation may be going on"


def test_fix_without_docker_says_what_is_lacking(here: FakeWorld, do: Command) -> None:
    here.docker.broken = EnvironmentProblem("no Docker Engine answers", hint="start it")
    here.workspace.written = {"/state/.x.12"}
    said = do("doctor", "--fix")
    assert said.code == 4
    assert "draft /state/.x.12: gone" in said.err


def test_entries_of_one_s_own_count(here: FakeWorld, do: Command, tmp_path: Any) -> None:
    (tmp_path / "broken.yaml").write_text("a: [", encoding="utf-8")
    said = do("--registry", str(tmp_path), "doctor")
    assert said.code == 4
    assert "broken.yaml" in said.out
    assert "Traceback" not in said.err
