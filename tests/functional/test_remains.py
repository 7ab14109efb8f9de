"""The adapters behind ``down`` and ``doctor``: what lies around in the state folder, in /proc and on the engine."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.gpu_use import holders
from orchestrator.adapters.remains import remains
from orchestrator.adapters.workspace import StateFolder
from orchestrator.evidence import Holder
from orchestrator.inventory import Gpu, Process
from orchestrator.observation import Helper, Network, Volume

NOBODY = 4194304  # more than the kernel gives
ID = "8bd117555be197e722dcd8ff6b14cb4b908bca1ac5710da5f6617db4f812e0e6"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    return StateFolder(lambda _: None)


# The state folder


def test_drafts_of_dead_writers(state: StateFolder, tmp_path: Path) -> None:
    state.write("lab", {"a-vllm.yaml": b"", ".env": b""})
    dead, alive = tmp_path / "lab" / f".a-vllm.yaml.{NOBODY}", tmp_path / f".preparing.{os.getpid()}"
    dead.touch()
    alive.touch()
    assert state.drafts(remove=False) == (str(dead),)
    assert state.drafts(remove=True) == (str(dead),)
    assert not dead.exists()
    assert alive.exists()
    assert (tmp_path / "lab" / ".env").exists()


def test_projects_and_documents(state: StateFolder, tmp_path: Path) -> None:
    assert state.projects() == ()
    state.write("lab", {"a-vllm.yaml": b""})
    (tmp_path / "empty").mkdir()
    assert state.projects() == ("lab",)
    document = str(tmp_path / "lab" / "a-vllm.yaml")
    assert state.has(document) is True
    assert state.has(document + "x") is False
    assert state.has(document + "/x") is False
    assert state.has("x" * 5000) is None, "it can't be looked at"


def test_marks_are_taken_away_one_by_one(state: StateFolder, tmp_path: Path) -> None:
    (tmp_path / "preparing").write_text("a\nb", encoding="utf-8")
    state.prepared(["a"])
    assert state.unfinished() == {"b"}
    state.prepared(["b", "c"])
    assert not (tmp_path / "preparing").exists()
    state.prepared(["b"])


def test_the_lock_s_state(state: StateFolder, tmp_path: Path) -> None:
    free = state.lock_state()
    assert (free.held, free.note, free.where) == (False, "", str(tmp_path / "orchestrator.lock"))
    with state.lock("orchestrator up a", 1.0):
        held = state.lock_state()
        assert (held.held, held.alive) == (True, True)
        assert held.note.startswith("'orchestrator up a' of ")
    assert not state.lock_state().held
    assert state.lock_state().note == ""


def test_a_note_without_a_lock_and_a_lock_without_its_holder(state: StateFolder, tmp_path: Path) -> None:
    lock = tmp_path / "orchestrator.lock"
    lock.write_text(f"'orchestrator up a' of me (pid {NOBODY})", encoding="utf-8")
    stale = state.lock_state()
    assert (stale.held, stale.alive, stale.keepers) == (False, False, ())
    with lock.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        kept = state.lock_state()
    assert (kept.held, kept.alive) == (True, False)
    assert not any(f"(pid {os.getpid()})" in keeper for keeper in kept.keepers), "we look, and are not the one"


# /proc


def test_whose_memory_it_is(tmp_path: Path) -> None:
    process = tmp_path / "proc" / "12"
    process.mkdir(parents=True)
    (process / "cmdline").write_bytes(b"python3\0-m\0server\0--port\08000\0")
    (process / "cgroup").write_text(f"0::/docker/{ID}\n", encoding="utf-8")
    gpus = [Gpu("GPU-a", "A card", 1, 1, processes=(Process(12, 7, "python3"), Process(13, None, "Xorg")))]
    found = holders(gpus, (), tmp_path)
    assert found[0].user
    assert found == (
        Holder(12, "GPU-a", 7, "python3 -m server", found[0].user, ID),
        Holder(13, "GPU-a", None, "Xorg", "", ""),
    )


# The engine


def listed(id_: str, name: str, labels: Mapping[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {"Id": id_, "Names": [f"/{name}"], "Labels": labels, "State": "exited", **more}


def test_what_lies_around_on_an_engine(tmp_path: Path) -> None:
    mount = [{"Type": "volume", "Name": "weights"}, {"Type": "bind", "Source": "/weights"}]
    joined = {"NetworkSettings": {"Networks": {"lab_default": {"NetworkID": "n1"}}}}
    unstarted = {"NetworkSettings": {"Networks": {"lab_default": {"NetworkID": ""}}}}
    containers = [
        listed("1", "lab-a-vllm", {"io.orchestrator.schema": "1"}, Mounts=mount, **joined),
        listed("2", "old", {"io.orchestrator.schema": "0", "io.orchestrator.project": "lab"}, State="running"),
        listed("3", "chowns", {"io.orchestrator.helper": ""}, Mounts=mount),
        listed("4", "web", None, **unstarted),
        listed("6", "waits", {"io.orchestrator.fetcher": ""}, State="created", Created=1000),
        listed("5", "bare", {"a": "b"}, NetworkSettings=None, Mounts=None),
    ]
    answers: dict[str, Any] = {
        "/containers/json?all=1": containers,
        "/networks": [
            {"Id": "n1", "Name": "lab_default", "Labels": {"com.docker.compose.project": "lab"}},
            {"Id": "n2", "Name": "lab_default", "Labels": None},
        ],
        "/volumes/weights": {"Mountpoint": str(tmp_path)},
        "/volumes/hidden": {"Mountpoint": "/nowhere"},
    }

    def get(path: str, shape: type = dict, **missing: None) -> Any:
        return answers.get(path.partition("?filters")[0])

    found = remains(get, ("weights", "hidden", "gone"))
    assert found.helpers == (
        Helper("2", "old", "schema", running=True, project="lab"),
        Helper("3", "chowns", "helper", running=False),
        Helper("6", "waits", "fetcher", running=False, created=1000.0),
    )
    assert found.networks == (
        Network("n1", "lab_default", "lab", ("lab-a-vllm", "web")),
        Network("n2", "lab_default", "", ("web",)),
    )
    own = tmp_path.stat()
    assert found.volumes == (
        Volume("weights", f"{own.st_uid}:{own.st_gid}", (("1", "lab-a-vllm"), ("3", "chowns"))),
        Volume("hidden", "", ()),
    )
