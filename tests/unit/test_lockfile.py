"""The lock: what it wants, what it puts into entries, and its file."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestrator.errors import FileProblems
from orchestrator.lockfile import Lock, Pin, Wanted, lock_text, parse_lock, pinned, wanted
from orchestrator.registry.spec import ModelSpec
from tests.builders import spec

COMMIT, OTHER = "1" * 40, "2" * 40
DIGEST, ANOTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
VLLM = "vllm/vllm-openai:v0.33.0"
GOOD = f"""\
schema_version: 1
repositories:
  "owner/phi": {{revision: "{COMMIT}", date: "2026-11-29"}}
images:
  "{VLLM}": {{digest: "{DIGEST}", date: "2026-11-28"}}
"""


def lock(text: str = GOOD) -> Lock:
    return parse_lock("a.lock.yaml", text)


def problems(text: str) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        lock(text)
    return [str(problem) for problem in caught.value.problems]


def locked(*specs: ModelSpec, by: Lock | None = None) -> Sequence[ModelSpec]:
    return pinned(specs, by or lock())


def contradictions(*specs: ModelSpec) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        locked(*specs)
    assert "'orchestrator lock --upgrade NAME'" in caught.value.hint
    return [str(problem) for problem in caught.value.problems]


def names(*specs: ModelSpec) -> list[str]:
    return [one.name for one in wanted(specs)]


def test_what_is_wanted_of_entries_each_once_and_sorted() -> None:
    environment = {"environment": {"HF_ENDPOINT": "http://mirror"}}
    one = spec("one", vllm={}, source={"repository": "z/shared", "gated": True})
    two = spec("two", vllm={}, transformers={"image": "mine/server:2", **environment})
    three = spec("three", source={"repository": "z/shared", "gated": True})
    assert wanted([one, two, three]) == (
        Wanted("repositories", "owner/two", ("two",), "http://mirror"),
        Wanted("repositories", "z/shared", ("one", "three"), gated=True),
        Wanted("images", "mine/server:2", ("two",)),
        Wanted("images", VLLM, ("one", "two")),
    )


def test_what_has_a_pin_or_is_not_pulled_is_not_wanted() -> None:
    assert names(spec(source={"revision": COMMIT})) == []
    assert names(spec(source={"path": "/models/phi"})) == []
    assert names(spec(vllm={"image": f"{VLLM}@{DIGEST}"})) == ["owner/phi"]
    assert names(spec()) == ["owner/phi"], "an image of ours is built"


@pytest.mark.parametrize(
    ("vllm", "found"),
    [
        ({"devices": ["gpu"], "cpu_image": "mine/cpu:1"}, [VLLM]),
        ({"devices": ["cpu"], "cpu_image": "mine/cpu:1", "shm_mib": 256}, ["mine/cpu:1"]),
        ({"devices": ["cpu"], "shm_mib": 256}, []),
        ({"possible": False}, []),
    ],
)
def test_only_images_that_may_be_rendered_are_wanted(vllm: dict[str, object], found: list[str]) -> None:
    assert names(spec(vllm=vllm)) == ["owner/phi", *found]


def test_a_lock_stands_in_for_what_entries_leave_open() -> None:
    entry = spec(vllm={"cpu_image": VLLM}, transformers={"image": VLLM})
    (found,) = locked(entry)
    assert found.source.revision == COMMIT
    assert found.engines.vllm is not None
    assert found.engines.transformers is not None
    images = (found.engines.vllm.image, found.engines.vllm.cpu_image, found.engines.transformers.image)
    assert set(images) == {f"{VLLM}@{DIGEST}"}
    assert found.model_copy(update={"source": entry.source, "engines": entry.engines}) == entry
    assert wanted([found]) == ()


def test_a_lock_leaves_alone_what_it_does_not_name() -> None:
    others = (spec("other", vllm={"image": "mine/vllm:v0.33.0"}), spec(source={"path": "/models/phi"}), spec("x"))
    assert locked(*others) == others
    assert locked(spec(), by=Lock()) == (spec(),)


def test_a_lock_with_the_entry_s_own_pins_changes_nothing() -> None:
    entry = spec(vllm={"image": f"{VLLM}@{DIGEST}"}, source={"revision": COMMIT})
    assert locked(entry) == (entry,)


def test_a_lock_against_the_entries_own_pins_is_refused_with_all_of_them() -> None:
    found = contradictions(
        spec(vllm={"image": f"{VLLM}@{ANOTHER}"}, source={"revision": OTHER}), spec("b", source={"repository": "b"})
    )
    assert found == [
        f"a.lock.yaml:3 repositories.owner/phi: the entry phi pins {OTHER}, the lock {COMMIT}",
        f"a.lock.yaml:5 images.{VLLM}: the entry phi pins {ANOTHER}, the lock {DIGEST}",
    ]


def test_the_file_is_read_back_and_always_the_same() -> None:
    found = lock()
    text = lock_text(found)
    assert text.endswith(GOOD)
    assert text.startswith("# ")
    assert lock_text(lock(text)) == text
    more = Lock({"b": Pin(COMMIT, "2026-11-29"), "a": Pin(OTHER, "2026-11-29")})
    assert lock_text(more) == lock_text(Lock(dict(sorted(more.repositories.items()))))
    assert lock(lock_text(Lock())) == Lock(file="a.lock.yaml")


def test_names_are_quoted() -> None:
    found = Lock({"1.0": Pin(COMMIT, "2026-11-29"), "yes": Pin(OTHER, "2026-11-29")}, file="a.lock.yaml")
    assert lock(lock_text(found)) == found


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (COMMIT, "main", "3 repositories.owner/phi.revision: must be a commit of 40 hexadecimal digits"),
        (DIGEST, "sha256:12", "5 images.vllm/vllm-openai:v0.33.0.digest: must match the pattern"),
        ("2026-11-28", "yesterday", "5 images.vllm/vllm-openai:v0.33.0.date: must match the pattern"),
        (VLLM, f"{VLLM}@sha256:1", f"5 images.{VLLM}@sha256:1: has a digest already"),
        ("schema_version: 1", "schema_version: 2", "1 schema_version: must be 1, got 2"),
        ("images:", "image:", "4 image: is not a known key; did you mean 'images'?"),
        ("owner/phi", "../phi", "3 repositories.../phi: must be a repository like owner/name"),
        ("images:", "repositories:", "4 repositories: is given twice"),
    ],
)
def test_wrong_files(old: str, new: str, problem: str) -> None:
    assert GOOD.count(old) >= 1
    (found,) = problems(GOOD.replace(old, new))
    assert found.startswith(f"a.lock.yaml:{problem}"), found


def test_all_problems_of_a_file_at_once() -> None:
    assert len(problems(GOOD.replace(COMMIT, "main").replace("2026-11-28", "yesterday"))) == 2
    assert len(problems("- 1\n")) == 1
    assert len(problems("{")) == 1


def test_pins_are_added_and_keep_their_date_while_they_are_the_same() -> None:
    one, two = Wanted("repositories", "owner/phi", ("phi",)), Wanted("images", VLLM, ("phi",))
    old = lock()
    assert old.missing([one, two, Wanted("images", "owner/phi", ("x",))]) == (Wanted("images", "owner/phi", ("x",)),)
    new = old.with_pins({one: old.pin(one, COMMIT, "2027-01-01"), two: old.pin(two, ANOTHER, "2027-01-01")})
    assert new.of(one) == Pin(COMMIT, "2026-11-29")
    assert new.of(two) == Pin(ANOTHER, "2027-01-01")


def test_without_an_entry_s_pins() -> None:
    assert lock().without([spec(vllm={"image": f"{VLLM}@{ANOTHER}"})]) == Lock({}, {}, "a.lock.yaml")
    assert lock().without([spec("other", vllm={"image": "mine/vllm:v0.33.0"})]) == lock()
