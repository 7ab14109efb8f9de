"""Steps: the least that leads from what is to what was asked for, each with its cause."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.errors import FitError
from orchestrator.observation import Container, Foreign, Gate, Image, Observation
from orchestrator.plan.steps import Desired, Plan, Step, removal, steps, versions
from tests.builders import container

WANT = Desired(
    service="phi-transformers",
    model="phi",
    container="orchestrator-phi-transformers",
    image="an-image:1",
    built=True,
    image_source="source-1",
    digest="d" * 64,
    command=("run", "--port", "8000"),
    port=25000,
    gpus=(),
    volumes=("cache", "weights"),
    address="127.0.0.1",
    key_file="",
)
IMAGES = {"an-image:1": Image("sha256:1", "source-1")}


def todo(*have: Container, want: Desired = WANT, images: dict[str, Image] | None = None, **seen: Any) -> list[Step]:
    observation = Observation(
        containers=have,
        images=IMAGES if images is None else images,
        volumes=seen.pop("volumes", frozenset({"weights", "cache"})),
        **seen,
    )
    return list(steps([want], observation, frozenset()))


def only(*have: Container, **seen: Any) -> Step:
    (step,) = todo(*have, **seen)
    return step


def test_nothing_there() -> None:
    assert only() == Step("create", "phi-transformers", "no container")


def test_what_a_cut_off_replacement_left_is_removed_first() -> None:
    """Compose gives the new container another name until the old one is gone."""
    left = replace(container("phi"), id="id-left", name="0123456789ab_orchestrator-phi-transformers", state="created")
    remove, keep = todo(container("phi"), left)
    assert (remove.kind, remove.subject, remove.target) == ("remove", "phi-transformers", "id-left")
    assert keep.kind == "keep"
    assert only(container("phi"), replace(left, project="another")).kind == "keep"


def test_everything_there() -> None:
    assert only(container("phi")) == Step("keep", "phi-transformers", "nothing changed", "id-phi-transformers")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"image": "an-image:2"}, "image changed: 1 -> 2"),
        ({"image": "another:1"}, "image changed: an-image:1 -> another:1"),
        ({"gpus": ("GPU-b",)}, "GPU changed: CPU -> GPU-b"),
        ({"port": 25001}, "port changed: 25000 -> 25001"),
        ({"address": "0.0.0.0", "key_file": "/k"}, "address changed: 127.0.0.1 -> 0.0.0.0"),
        ({"key_file": "/k", "command": ("run",)}, "API key: callers need one now"),
        ({"command": ("run", "--port", "8001")}, "command changed: --port 8000 -> 8001"),
        ({"command": ("run", "--port", "8000", "--fast")}, "command changed: nothing -> --fast"),
        ({"command": ("run",)}, "command changed: --port -> nothing"),
        ({}, "settings changed"),
    ],
)
def test_a_change_replaces_and_says_what_changed(changes: dict[str, Any], cause: str) -> None:
    want = replace(WANT, digest="e" * 64, **changes)
    images = IMAGES | dict.fromkeys(("an-image:2", "another:1"), Image("sha256:2", "source-1"))
    assert only(container("phi"), want=want, images=images) == Step(
        "replace", "phi-transformers", cause, "id-phi-transformers"
    )


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("vllm/vllm-openai:v0.32.0", "vllm/vllm-openai:v0.33.0", ("v0.32.0", "v0.33.0")),
        ("hub:5000/a:1", "hub:5000/a:2", ("1", "2")),
        ("hub:5000/a", "hub:5001/a", ("hub:5000/a", "hub:5001/a")),
        ("a", "a:2", ("a", "a:2")),
        ("a:1", "b:2", ("a:1", "b:2")),
        ("a:1", "a:1", ("a:1", "a:1")),
        (f"sha256:{'1' * 64}", "a:2", ("sha256:111111111111", "a:2")),
        (f"a@sha256:{'1' * 64}", f"a@sha256:{'2' * 64}", ("a@sha256:111111111111", "a@sha256:222222222222")),
        (f"a:1@sha256:{'1' * 64}", f"a:1@sha256:{'2' * 64}", ("a:1@sha256:111111111111", "a:1@sha256:222222222222")),
        (f"a:1@sha256:{'1' * 64}", f"a:2@sha256:{'2' * 64}", ("1", "2")),
    ],
)
def test_versions_are_told_by_what_differs(old: str, new: str, told: tuple[str, str]) -> None:
    assert versions(old, new) == told


def test_a_key_that_is_no_longer_asked_for_replaces() -> None:
    step = only(replace(container("phi"), key_file="/k"), want=replace(WANT, digest="e" * 64))
    assert (step.kind, step.cause) == ("replace", "API key: callers need none any more")


def test_another_file_with_the_key_replaces_although_the_document_is_the_same() -> None:
    """The document holds no path; Docker mounted the one that was named then."""
    have = replace(container("phi"), key_file="/old")
    step = only(have, want=replace(WANT, key_file="/new"))
    assert (step.kind, step.cause) == ("replace", "API key file changed: /old -> /new")
    assert only(have, want=replace(WANT, key_file="/old")).kind == "keep"


@pytest.mark.parametrize(
    ("changes", "kind", "cause"),
    [
        ({"state": "created", "gate": None, "health": ""}, "replace", "it was created but never started"),
        (
            {"state": "created", "gate": None, "health": "", "error": "port is already allocated"},
            "replace",
            "it was created but never started: port is already allocated",
        ),
        ({"state": "exited", "gate": None, "health": "", "exit_code": 143}, "start", "it is stopped"),
        ({"state": "exited", "gate": None, "health": "", "exit_code": 1, "error": "boom"}, "start", "it is dead: boom"),
        ({"gate": Gate("parked", "out of memory"), "health": "unhealthy"}, "restart", "it is parked: out of memory"),
        ({"gate": Gate("starting"), "health": "starting"}, "keep", "nothing changed; it is starting"),
        ({"gate": Gate("queued"), "health": "starting"}, "keep", "nothing changed; it is queued"),
        ({"gate": None, "health": "unhealthy"}, "keep", "nothing changed; it is unresponsive"),
        ({"image_id": "sha256:0"}, "replace", "image was rebuilt"),
    ],
)
def test_the_state_of_the_container_decides(changes: dict[str, Any], kind: str, cause: str) -> None:
    step = only(container("phi", **changes))
    assert (step.kind, step.cause, step.target) == (kind, cause, "id-phi-transformers")


def test_a_change_comes_before_the_state() -> None:
    stopped = container("phi", state="exited", gate=None, health="")
    assert only(stopped, want=replace(WANT, digest="e" * 64)).kind == "replace"


def test_a_container_of_another_project_is_not_it() -> None:
    assert only(container("phi", project="other", id="x")).kind == "create"


@pytest.mark.parametrize(
    ("built", "images", "step"),
    [
        (True, {}, Step("build", "an-image:1", "image is missing")),
        (False, {}, Step("pull", "an-image:1", "image is missing")),
        (True, {"an-image:1": Image("sha256:1", "source-0")}, Step("build", "an-image:1", "its sources changed")),
    ],
)
def test_images(built: bool, images: dict[str, Image], step: Step) -> None:
    found = todo(container("phi"), want=replace(WANT, built=built), images=images)
    assert found == [step, Step("replace", "phi-transformers", "image was rebuilt", "id-phi-transformers")]


@pytest.mark.parametrize(
    ("built", "source", "have"), [(True, "", "source-0"), (False, "source-1", ""), (True, "source-1", "source-1")]
)
def test_an_image_that_is_good_enough(built: bool, source: str, have: str) -> None:
    want = replace(WANT, built=built, image_source=source)
    assert only(container("phi"), want=want, images={"an-image:1": Image("sha256:1", have)}).kind == "keep"


def test_one_image_is_built_once_for_all() -> None:
    other = replace(WANT, service="b-transformers", container="orchestrator-b-transformers")
    found = steps([WANT, other], Observation(volumes=frozenset({"weights", "cache"})), frozenset())
    assert [step.kind for step in found] == ["build", "create", "create"]


def test_volumes_missing_or_cut_off() -> None:
    observation = Observation((container("phi"),), images=IMAGES, volumes=frozenset({"weights", "cache"}))
    assert steps([WANT], observation, frozenset({"weights"}))[0] == Step(
        "volume", "weights", "its preparation was cut off"
    )
    assert todo(volumes=frozenset()) == [
        Step("volume", "cache", "no such volume"),
        Step("volume", "weights", "no such volume"),
        Step("create", "phi-transformers", "no container"),
    ]


def test_a_foreign_container_with_a_name_of_ours_is_refused() -> None:
    foreign = (Foreign("0123456789abcdef", "orchestrator-phi-transformers"),)
    with pytest.raises(FitError, match=r"taken by a container that is not ours \(0123456789ab\)") as caught:
        todo(foreign=foreign)
    assert "docker rename orchestrator-phi-transformers" in caught.value.hint


def test_a_foreign_container_that_compose_would_take_for_ours_is_refused() -> None:
    foreign = (Foreign("0123456789abcdef", "web", "orchestrator-phi-transformers"), Foreign("1", "other"))
    with pytest.raises(FitError, match=r"web is not ours, but carries Compose's labels of our phi-transformers"):
        todo(foreign=foreign)


def test_services_keep_the_order_given() -> None:
    wants = [replace(WANT, service=name, container=name, volumes=()) for name in ("c", "a", "b")]
    assert [s.subject for s in steps(wants, Observation(images=IMAGES), frozenset())] == ["c", "a", "b"]


def test_a_plan_is_idle_only_when_all_is_kept() -> None:
    keep, create = Step("keep", "a", "nothing changed"), Step("create", "b", "no container")
    assert Plan("p", "here", (keep,)).idle
    assert not Plan("p", "here", (keep, create)).idle
    assert Plan("p", "here", (keep, create)).of("create", "replace") == (create,)


def test_removal_names_each_container_by_id() -> None:
    plan = removal("p", "here", [container("phi")], "asked for")
    assert plan.steps == (Step("remove", "phi-transformers", "asked for", "id-phi-transformers"),)


def test_a_start_says_whom_it_waits_for_on_its_gpu() -> None:
    want = replace(WANT, gpus=("GPU-1",))
    loading = container("other", project="else", gpus=("GPU-1",), health="starting", gate=Gate("starting"))
    elsewhere = container("third", gpus=("GPU-2",), health="starting", gate=Gate("starting"))
    found = steps([want], Observation(containers=(loading, elsewhere), images=IMAGES), frozenset())
    assert found[-1].cause == f"no container; it waits for {loading.name} on its GPU"


def test_an_image_that_only_got_its_digest_is_told_to_be_pinned() -> None:
    have = replace(container("phi"), digest="e" * 64)
    pin = f"an-image:1@sha256:{'1' * 64}"
    want = replace(WANT, image=pin, built=False)
    (step,) = todo(have, want=want, images={pin: Image("sha256:1")})
    assert (step.kind, step.cause) == ("replace", "image pinned: an-image:1 -> sha256:111111111111")
    have = replace(have, image=f"an-image:1@sha256:{'2' * 64}")
    (step,) = todo(have, want=want, images={pin: Image("sha256:1")})
    assert step.cause == "image changed: an-image:1@sha256:222222222222 -> an-image:1@sha256:111111111111"
