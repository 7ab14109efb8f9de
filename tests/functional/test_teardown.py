"""``down``: what it proves, what it says when the proof fails, what crashes left, weights, and interruptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import EnvironmentProblem, OrchestratorError
from orchestrator.evidence import Holder
from orchestrator.inventory import GIB, Gpu
from orchestrator.observation import Container, Foreign, Helper, LockState, Network, PortHolder
from tests.builders import container, gpu
from tests.fakes import FakeWorld
from tests.functional.cli import Command, world

A = "id-a-transformers"
NETWORK = Network("id-net", "orchestrator_default", "orchestrator")


def on_gpu(model: str = "a", **changes: object) -> Container:
    return replace(container(model, gpus=("GPU-a",)), **changes)  # type: ignore[arg-type]


def holder(gib: float | None, pid: int = 7, container_id: str = A, command: str = "python3 -m server") -> Holder:
    return Holder(pid, "GPU-a", None if gib is None else int(gib * GIB), command, "root", container_id)


@pytest.fixture
def here() -> FakeWorld:
    """One model that holds 11.2 GiB of GPU 0."""
    found = world(replace(gpu("GPU-a", free=12.0), index="0"))
    found.docker.add(on_gpu())
    found.docker.networks = {"id-net": NETWORK}
    found.docker.volumes = {"orchestrator-weights", "orchestrator-cache", "orchestrator-locks"}
    found.gpus.processes = (holder(11.2),)
    found.actor.removed = lambda: driver(found, 23.2)
    return found


def driver(here: FakeWorld, free: float | None, *holders: Holder) -> None:
    """Let the driver say that."""
    here.gpus.processes = holders
    here.gpus.gpus = (replace(gpu("GPU-a", free=free), index="0"),)


def test_everything_is_proved_in_one_line(here: FakeWorld, do: Command) -> None:
    said = do("down", "a")
    assert said.code == 0
    assert (
        "a-transformers: gone, container and name are gone, port 25000 is free, 11.20 GiB of GPU 0 came back\n"
    ) in said.err
    assert here.log == [f"remove {A}", "network id-net"]


def test_a_model_on_the_cpu_asks_no_driver(here: FakeWorld, do: Command) -> None:
    here.docker.containers = {c.id: c for c in (container("a"),)}
    assert "gone, container and name are gone, port 25000 is free\n" in do("down", "a").err


def test_what_was_not_published_has_no_port_to_prove(here: FakeWorld, do: Command) -> None:
    """The other holds the port because this one never got it."""
    here.docker.containers = {c.id: c for c in (container("a", state="exited", published=False, exit_code=1),)}
    here.docker.listeners = (PortHolder(25000, "process nginx (pid 7)"),)
    assert "gone, container and name are gone\n" in do("down", "a").err


def test_without_a_driver_it_is_said_that_memory_was_not_looked_at(here: FakeWorld, do: Command) -> None:
    here.gpus.gpus = ()
    here.actor.removed = lambda: None
    said = do("down", "a")
    assert said.code == 0
    assert "GPU memory could not be looked at (NVML: no driver)" in said.err


def test_memory_may_come_back_late(here: FakeWorld, do: Command) -> None:
    here.actor.removed = lambda: here.clock.at(9.0, lambda: driver(here, 23.2))
    said = do("down", "a")
    assert said.code == 0
    assert "11.20 GiB of GPU 0 came back (9.0 s)" in said.err


def test_nine_tenths_are_enough(here: FakeWorld, do: Command) -> None:
    """The driver's own part of a process goes with the last one on the card."""
    here.actor.removed = lambda: driver(here, 12.0 + 0.91 * 11.2)
    assert do("down", "a").code == 0
    here.docker.add(on_gpu())
    driver(here, 12.0, holder(11.2))
    here.actor.removed = lambda: driver(here, 12.0 + 0.89 * 11.2)
    do("down", "a").refused(1, "1.23 GiB of GPU 0 did not come back: the driver names nobody", "--gpu-reset")


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (holder(11.2), "11.20 GiB of GPU 0 did not come back: pid 7 (python3 -m server) of container id-a-transfo"),
        (holder(11.2, container_id=""), "pid 7 (python3 -m server) of user root holds 11.20 GiB"),
        (holder(11.2, 99, "", "worker"), "11.20 GiB of GPU 0 did not come back: pid 99 (worker) of user root"),
        (holder(None), "pid 7 (python3 -m server) of container id-a-transfo holds ?"),
        (replace(holder(11.2, container_id=""), user=""), "of an unknown user holds 11.20 GiB"),
    ],
)
def test_who_holds_the_memory_is_named(here: FakeWorld, do: Command, left: Holder, words: str) -> None:
    here.actor.removed = lambda: driver(here, 12.0, left)
    said = do("down", "a")
    said.refused(1, words, f"'kill {left.pid}'")
    assert "came back" not in said.err
    assert left.pid != 99 or here.clock.time == 1015.0, "patience ended"
    assert "network id-net" in here.log, "the rest is cleared all the same"


def test_what_others_do_in_the_meantime_is_counted_out(here: FakeWorld, do: Command) -> None:
    """A neighbour grows by 5 GiB, and a model that waited for the memory takes 6."""
    here.docker.add(on_gpu("b", port=25001))
    neighbour = holder(3.0, 8, "id-b-transformers")
    driver(here, 9.0, holder(11.2), neighbour)
    grown = replace(neighbour, bytes=8 * GIB), holder(6.0, 9, "id-other")
    here.actor.removed = lambda: driver(here, 9.2, *grown)
    assert "11.20 GiB of GPU 0 came back" in do("down", "a").err


def test_a_neighbour_that_shrinks_does_not_pay_for_us(here: FakeWorld, do: Command) -> None:
    here.docker.add(on_gpu("b", port=25001))
    neighbour = holder(11.0, 8, "id-b-transformers")
    driver(here, 1.0, holder(11.2), neighbour)
    here.actor.removed = lambda: driver(here, 12.0, replace(neighbour, bytes=0))
    do("down", "a").refused(1, "11.20 GiB of GPU 0 did not come back: the driver names nobody")


@pytest.mark.parametrize(
    ("free", "sizes", "words"),
    [
        (None, (11.2,), "11.20 GiB of GPU 0 came back"),
        (12.0, (None,), "its processes are off GPU 0 (the driver does not tell how much they held)"),
        (12.0, (8.0, 3.2), "11.20 GiB of GPU 0 came back"),
        (12.0, (8.0, None), "its processes are off GPU 0"),
        (12.0, (), "the driver told of nothing that it held of GPU 0"),
    ],
)
def test_what_the_driver_does_not_tell(
    here: FakeWorld, do: Command, free: float | None, sizes: tuple[float | None, ...], words: str
) -> None:
    driver(here, free, *(holder(size, pid) for pid, size in enumerate(sizes, 7)))
    here.actor.removed = lambda: driver(here, None if free is None else 23.2)
    assert words in do("down", "a").err


@pytest.mark.parametrize(
    ("gpus", "words"),
    [
        ((), "GPU 0 can't be looked at any more: NVML: no driver"),
        ((replace(gpu("GPU-a", note="it fell off the bus"), usable=False),), "any more: it fell off the bus"),
        ((gpu("GPU-a", free=None),), "GPU 0 can't be looked at any more: the driver does not answer"),
    ],
)
def test_a_driver_that_goes_silent_proves_nothing(
    here: FakeWorld, do: Command, gpus: tuple[Gpu, ...], words: str
) -> None:
    def removed() -> None:
        here.gpus.gpus, here.gpus.processes = gpus, ()

    here.actor.removed = removed
    said = do("down", "a")
    said.refused(1, words)
    assert "a-transformers: gone" not in said.err


def test_two_models_of_one_gpu(here: FakeWorld, do: Command) -> None:
    """Each says its own; if it is not all back, none says so."""
    here.docker.add(on_gpu("b", port=25001))
    driver(here, 9.0, holder(11.2), holder(3.0, 8, "id-b-transformers"))
    said = do("down", "a", "b")
    assert "11.20 GiB of GPU 0 came back" in said.err
    assert "3.00 GiB of GPU 0 came back" in said.err

    here.docker.add(on_gpu("a"), on_gpu("b", port=25001))
    driver(here, 9.0, holder(11.2), holder(3.0, 8, "id-b-transformers"))
    here.actor.removed = lambda: driver(here, 20.2, holder(3.0, 8, ""))
    said = do("down", "a", "b")
    said.refused(1, "3.00 GiB of GPU 0 did not come back: pid 8")
    assert "came back (" not in said.err


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (
            lambda here: setattr(here.docker, "listeners", (PortHolder(25000, "process docker-proxy (pid 9)"),)),
            "port 25000 is still held by process docker-proxy (pid 9)",
        ),
        (
            lambda here: setattr(here.docker, "foreign", (Foreign("b" * 64, "orchestrator-a-transformers"),)),
            "the name orchestrator-a-transformers was taken again by another container (bbbbbbbbbbbb)",
        ),
        (lambda here: here.docker.add(on_gpu(state="dead")), "the container orchestrator-a-transformers is still dead"),
    ],
)
def test_what_is_not_gone_is_named(
    here: FakeWorld, do: Command, after: Callable[[FakeWorld], None], words: str
) -> None:
    def removed() -> None:
        driver(here, 23.2)
        after(here)

    here.actor.removed = removed
    said = do("down", "a")
    said.refused(1, words)
    assert "a-transformers: gone" not in said.err


def test_a_port_that_is_let_go_late(here: FakeWorld, do: Command) -> None:
    here.docker.listeners = (PortHolder(25000, "process docker-proxy (pid 9)"),)
    here.actor.removed = lambda: here.clock.at(2.0, lambda: setattr(here.docker, "listeners", ()))
    driver(here, 23.2)
    assert "port 25000 is free" in do("down", "a").err


def test_the_others_go_although_one_can_not(here: FakeWorld, do: Command) -> None:
    here.docker.add(on_gpu("b", port=25001))
    failing = here.actor.remove

    def remove(container: str, grace: int) -> None:
        if container == A:
            raise OrchestratorError("can't remove it: Docker said no", hint="try again")
        failing(container, grace)

    here.actor.remove = remove  # type: ignore[method-assign]
    here.workspace.files["orchestrator"] = {"a-transformers.yaml": b"", "b-transformers.yaml": b""}
    driver(here, 12.0, holder(11.2))
    here.actor.removed = lambda: None
    said = do("down", "a", "b")
    said.refused(
        1, "Docker said no\n", "orchestrator-a-transformers is still running", "pid 7 (python3 -m server)", "try"
    )
    assert set(here.docker.containers) == {A}
    assert here.workspace.documents("orchestrator") == ("a-transformers.yaml",)
    assert "b-transformers: gone, container and name" not in said.err, "they share the GPU, whose memory is not back"


# What crashes leave


def test_down_all_finds_what_crashes_left(here: FakeWorld, do: Command) -> None:
    here.docker.containers.clear()
    here.docker.helpers = {
        "h1": Helper("h1", "busy_curie", "helper", running=True),
        "h2": Helper("h2", "dull_curie", "script", running=False),
        "h3": Helper("h3", "slow_curie", "script", running=True),
        "h4": Helper("h4", "orchestrator-old", "schema", running=True, project="orchestrator"),
        "h5": Helper("h5", "other-old", "schema", running=False, project="other"),
    }
    here.docker.networks["n2"] = replace(NETWORK, id="n2")
    here.docker.networks["n3"] = Network("n3", "other_default", "other")
    here.workspace.files["orchestrator"] = {"compose.yaml": b"", "gone-vllm.yaml": b""}
    here.workspace.marked = frozenset({"orchestrator-weights", "orchestrator-lost"})
    here.workspace.written = {"/state/orchestrator/.a.yaml.12"}
    here.workspace.lock_of = LockState(note="'orchestrator up a' of root (pid 12)")
    said = do("down", "--all")
    assert said.code == 0, said
    assert here.log == ["remove h1", "remove h2", "remove h4", "network id-net", "network n2"]
    assert set(here.docker.helpers) == {"h3", "h5"}, "a script ends by itself, and other projects are others'"
    assert here.workspace.documents("orchestrator") == ()
    assert here.workspace.marked == frozenset()
    assert not here.workspace.written
    assert "'orchestrator up a' of root (pid 12) had died" in said.err
    assert "nothing to remove" not in said.err
    again = do("down", "--all")
    assert (again.code, again.err) == (0, "nothing to remove in project orchestrator\n")


def test_a_model_that_runs_keeps_its_documents_and_network(here: FakeWorld, do: Command) -> None:
    here.docker.add(on_gpu("b", port=25001))
    here.workspace.files["orchestrator"] = {"a-transformers.yaml": b"", "b-transformers.yaml": b"", "compose.yaml": b""}
    assert do("down", "a").code == 0
    assert here.workspace.documents("orchestrator") == ("b-transformers.yaml", "compose.yaml")
    assert list(here.docker.networks) == ["id-net"]


def test_a_network_that_others_use_stays_and_they_are_named(here: FakeWorld, do: Command) -> None:
    here.docker.networks["id-net"] = replace(NETWORK, users=("web",))
    said = do("down", "--all", "--yes")
    assert said.code == 0
    assert "network orchestrator_default: wait, it stays, because of web" in said.err


def test_a_volume_that_is_not_its_user_s_keeps_its_mark(here: FakeWorld, do: Command) -> None:
    here.workspace.marked = frozenset({"orchestrator-weights"})
    here.docker.owners = {"orchestrator-weights": "0:0"}
    assert "its preparation was cut off; the next 'up' or 'doctor --fix' ends it" in do("down", "--all", "--yes").err
    assert here.workspace.marked == {"orchestrator-weights"}


def test_down_of_what_is_down_is_no_error(here: FakeWorld, do: Command) -> None:
    """A model or service by the registry, or by a document that an earlier down was cut off from forgetting."""
    here.workspace.files["orchestrator"] = {"own-vllm.yaml": b"", "a-transformers.yaml": b""}
    said = do("down", "demo", "own", "a")
    assert said.code == 0
    assert "demo: gone, it was down already\nown: gone, it was down already\n" in said.err
    assert here.workspace.documents("orchestrator") == ()
    do("down", "own").refused(1, "there is no container of own")
    assert "demo-vllm: gone, it was down already\n" in do("down", "demo-vllm").err
    for name in ("demo-", "demo-vlm", "own-vllm", "-vllm"):
        do("down", "--", name).refused(1, f"there is no container of {name}")


# Weights


def test_weights_stay_unless_asked(here: FakeWorld, do: Command) -> None:
    do("down", "--all", "--yes")
    assert len(here.docker.volumes) == 3


def test_purge_asks_with_the_size(here: FakeWorld, do: Command) -> None:
    do("down", "a", "--purge").refused(1, "declined; nothing was changed")
    assert here.log == []
    said = do("down", "a", "--purge", "--yes")
    assert said.code == 0
    assert "volume orchestrator-weights: gone, 12.0 GB came back" in said.err
    assert not here.docker.volumes


def test_purge_of_an_idle_host(here: FakeWorld, do: Command) -> None:
    here.docker.containers.clear()
    do("down", "--all", "--purge").refused(1, "declined")
    assert do("down", "--all", "--purge", "--yes").code == 0
    assert not here.docker.volumes
    assert do("down", "--all", "--purge", "--yes").err.endswith("nothing to remove in project orchestrator\n")


@pytest.mark.parametrize("arguments", [["a"], ["--all"]])
def test_purge_refuses_while_somebody_uses_weights(here: FakeWorld, do: Command, arguments: list[str]) -> None:
    here.docker.add(container("b", project="other", port=25001, id="id-other"))
    here.docker.mounting = (("id-web", "web"),)
    said = do("down", *arguments, "--purge", "--yes")
    said.refused(1, "while containers use them: other-b-transformers, web; nothing was changed", "orchestrator-w")
    assert here.log == []


def test_weights_stay_where_the_proof_fails(here: FakeWorld, do: Command) -> None:
    here.actor.removed = lambda: driver(here, 12.0, holder(11.2))
    do("down", "a", "--purge", "--yes").refused(1, "did not come back")
    assert len(here.docker.volumes) == 3


def test_the_size_is_asked_for_only_for_a_purge(here: FakeWorld, do: Command) -> None:
    """Docker counts it file by file."""

    def sizes(volumes: object) -> dict[str, int]:
        raise AssertionError

    here.docker.sizes = sizes  # type: ignore[method-assign]
    assert do("down", "a").code == 0


# Interruptions


@pytest.mark.parametrize(("verb", "word"), [("down", "remove"), ("stop", "stop")])
def test_ctrl_c_says_what_is_left_and_how_to_go_on(here: FakeWorld, do: Command, verb: str, word: str) -> None:
    here.docker.add(on_gpu("b", port=25001))
    failing: Callable[..., None] = getattr(here.actor, word)

    def interrupted(container: str, grace: int) -> None:
        if container != A:
            raise KeyboardInterrupt
        failing(container, grace)

    setattr(here.actor, word, interrupted)
    said = do(verb, "a", "b")
    said.refused(130, f"'orchestrator {verb} b-transformers' goes on", "b-transformers (ready)")
    assert ("removed: a-transformers" in said.err) == (verb == "down")
    setattr(here.actor, word, failing)
    assert do(verb, "b-transformers").code == 0


def test_ctrl_c_while_memory_is_waited_for(here: FakeWorld, do: Command) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    here.actor.removed = lambda: here.clock.at(1.0, interrupt)
    said = do("--project", "orchestrator", "down", "a")
    said.refused(
        130, "interrupted; removed: a-transformers; whether all", "'orchestrator down --all' clears what is left"
    )
    assert do("down", "--all").code == 0
    assert not here.docker.networks


def test_ctrl_c_when_docker_can_not_be_asked_any_more(here: FakeWorld, do: Command) -> None:
    def remove(container: str, grace: int) -> None:
        here.docker.broken = EnvironmentProblem("no Docker Engine answers", hint="start it")
        raise KeyboardInterrupt

    here.actor.remove = remove  # type: ignore[method-assign]
    here.docker.add(container("a", project="lab", id="id-lab"))
    do("--project", "lab", "down", "a").refused(
        130, "could not be seen", "'orchestrator --project lab status' shows it"
    )


def test_gpus_have_names_without_an_index(here: FakeWorld, do: Command) -> None:
    def bare(free: float) -> tuple[Gpu, ...]:
        return (gpu("GPU-a", free=free),)

    here.gpus.gpus = bare(12.0)

    def removed() -> None:
        here.gpus.gpus, here.gpus.processes = bare(23.2), ()

    here.actor.removed = removed
    assert "11.20 GiB of GPU GPU-a came back" in do("down", "a").err


def test_a_broken_entry_of_one_s_own_keeps_nothing_up(here: FakeWorld, do: Command, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [", encoding="utf-8")
    assert do("--registry", str(tmp_path), "down", "a").code == 0
    do("--registry", str(tmp_path), "down", "a").refused(1, "there is no container of a")
