"""``lock``, and what it does to every verb that reads entries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from orchestrator.errors import EnvironmentProblem, OrchestratorError, RequestError
from orchestrator.lockfile import Lock, parse_lock
from tests.builders import gpu
from tests.fakes import FakeWorld, parse
from tests.functional.cli import Command, world

FILE = "orchestrator.lock.yaml"
DOTS, QWEN = "rednote-hilab/dots.ocr", "Qwen/Qwen2-VL-2B-Instruct"
VLLM = "vllm/vllm-openai:v0.33.0"
REPOSITORIES = 8
ENTRY = Path(__file__).parents[2] / "orchestrator/registry/models/qwen2-vl-2b.yaml"


@pytest.fixture
def here() -> FakeWorld:
    found = world(gpu("GPU-a", total=80.0))
    found.clock.time = 1_796_000_000.0  # 2026-11-30, a few hours into it
    return found


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[Path]:
    """The current folder, where the lock lies."""
    with chdir(tmp_path):
        yield tmp_path


def lock() -> Lock:
    return parse_lock(FILE, Path(FILE).read_text(encoding="utf-8"))


def test_lock_writes_a_commit_and_a_digest_with_their_day(here: FakeWorld, do: Command) -> None:
    said = do("lock", "dots-ocr")
    assert said.code == 0, said
    found = lock()
    assert [(name, pin.date) for name, pin in found.repositories.items()] == [(DOTS, "2026-11-30")]
    assert [(name, pin.date) for name, pin in found.images.items()] == [(VLLM, "2026-11-30")]
    assert said.out.splitlines() == [
        f"{DOTS}: {found.repositories[DOTS].value}",
        f"{VLLM}: {found.images[VLLM].value}",
    ]
    assert said.err == f"{FILE}: 2 of 2 changed\n"
    assert here.log == []


def test_lock_adds_what_is_missing_and_keeps_what_is_there(here: FakeWorld, do: Command) -> None:
    do("lock", "dots-ocr")
    before = lock()
    here.origins.moment, here.origins.asked = "later", []
    assert do("lock", "dots-ocr", "qwen2-vl-2b").code == 0
    assert [name for name, _, _ in here.origins.asked] == [QWEN]
    after = lock()
    assert after.images == before.images
    assert after.repositories == {**before.repositories, QWEN: after.repositories[QWEN]}
    text = Path(FILE).read_bytes()
    assert do("lock", "qwen2-vl-2b").err == f"{FILE}: 0 of 2 changed\n"
    assert Path(FILE).read_bytes() == text


def test_lock_without_names_is_for_every_model(here: FakeWorld, do: Command) -> None:
    assert do("lock").code == 0
    assert (len(lock().repositories), set(lock().images)) == (REPOSITORIES, {VLLM})


def test_upgrade_asks_again_for_those_named_alone(here: FakeWorld, do: Command) -> None:
    do("lock", "dots-ocr", "qwen2-vl-2b")
    before = lock()
    here.origins.moment = "later"
    here.clock.time += 86400
    said = do("lock", "--upgrade", "qwen2-vl-2b")
    after = lock()
    assert after.repositories[DOTS] == before.repositories[DOTS]
    assert f"{QWEN}: {before.repositories[QWEN].value} -> {after.repositories[QWEN].value}" in said.out
    assert (after.repositories[QWEN].date, after.images[VLLM].date) == ("2026-12-01", "2026-12-01")


def test_upgrade_keeps_what_other_fleets_may_name_and_the_day_of_what_is_the_same(do: Command, here: FakeWorld) -> None:
    do("lock")
    text = Path(FILE).read_text(encoding="utf-8")
    other = f'repositories:\n  "a/nother": {{revision: "{"7" * 40}", date: "2026-01-01"}}\n'
    Path(FILE).write_text(text.replace("repositories:\n", other), encoding="utf-8")
    before = Path(FILE).read_bytes()
    here.clock.time += 86400
    assert do("lock", "--upgrade").code == 0
    assert Path(FILE).read_bytes() == before


def test_check_asks_nobody(here: FakeWorld, do: Command) -> None:
    do("lock", "--check", "dots-ocr").refused(
        1, f"  {DOTS} (dots-ocr)\n  {VLLM} (dots-ocr)\n", "'orchestrator lock dots-ocr'"
    )
    assert not Path(FILE).exists()
    do("lock", "dots-ocr")
    here.origins.asked = []
    assert do("lock", "--check", "dots-ocr").code == 0
    do("lock", "--check").refused(1, QWEN, "'orchestrator lock' adds it")
    assert here.origins.asked == []
    do("lock", "--check", "--upgrade").refused(2, "exclude each other")


def test_one_that_is_not_found_leaves_the_file_as_it_was_and_all_are_named(here: FakeWorld, do: Command) -> None:
    here.origins.fails = {
        DOTS: RequestError("no such repository", hint="look"),
        QWEN: EnvironmentProblem("a token is missing", hint="make one"),
    }
    said = do("lock", "dots-ocr", "qwen2-vl-2b", "qwen2-vl-7b")
    said.refused(1, "nothing was locked\n", "  no such repository\n", "  a token is missing\n", "make one; look")
    assert not Path(FILE).exists()
    do("lock", "qwen2-vl-2b").refused(4, "a token is missing")
    here.origins.fails = {VLLM: OrchestratorError("no network", hint="look")}
    do("lock", "dots-ocr").refused(1, "no network")
    assert not Path(FILE).exists()


def test_the_token_is_for_gated_repositories_alone_and_never_shown(here: FakeWorld, do: Command, folder: Path) -> None:
    models = folder / "entries"
    models.mkdir()
    copied = models / "qwen2-vl-2b.yaml"
    copied.write_bytes(ENTRY.read_bytes())
    copied.write_text(
        copied.read_text(encoding="utf-8").replace("  revision: null\n", "  revision: null\n  gated: true\n"),
        encoding="utf-8",
    )
    own = ("--registry", str(models), "lock", "dots-ocr", "qwen2-vl-2b")
    do(*own)
    assert {token for _, _, token in here.origins.asked} == {""}, "there is no file with one"
    here.origins.asked = []
    here.workspace.put("hf_token", "hf_secret\n", mode=0o600)
    said = do(*own, "--upgrade")
    assert here.origins.asked == [(QWEN, "", "hf_secret"), (DOTS, "", ""), (VLLM, "", "")]
    assert "hf_secret" not in said.out + said.err + Path(FILE).read_text(encoding="utf-8")


# what it does elsewhere


def test_a_locked_revision_needs_no_consent_and_is_rendered(here: FakeWorld, do: Command) -> None:
    do("plan", "dots-ocr").refused(2, "no revision of it is pinned", "'orchestrator lock'")
    do("lock", "dots-ocr")
    assert do("plan", "dots-ocr").code == 0
    assert do("render", "dots-ocr", "--output", "out").code == 0
    service = parse(Path("out/dots-ocr-vllm.yaml").read_bytes())["services"]["dots-ocr-vllm"]
    assert service["image"] == f"{VLLM}@{lock().images[VLLM].value}"
    command = service["command"]
    assert command[command.index("--revision") + 1] == lock().repositories[DOTS].value
    assert lock().repositories[DOTS].value in do("models", "show", "dots-ocr").out


def test_up_and_pull_take_what_is_locked(here: FakeWorld, do: Command) -> None:
    do("lock", "dots-ocr")
    pinned = f"{VLLM}@{lock().images[VLLM].value}"
    assert do("up", "dots-ocr").code == 0
    assert f"pull {pinned}" in here.log
    assert do("pull", "dots-ocr").code == 0
    assert here.actor.downloads[-1].revision == lock().repositories[DOTS].value
    assert "keep" in do("plan", "dots-ocr").out


def test_what_runs_by_its_tag_is_replaced_once_it_is_locked(here: FakeWorld, do: Command) -> None:
    do("up", "qwen2-vl-2b")
    do("lock", "qwen2-vl-2b")
    short = lock().images[VLLM].value[:19]
    assert f"image pinned: {VLLM} -> {short}\n" in do("plan", "qwen2-vl-2b").out


def test_a_lock_against_an_entry_s_own_pin_is_refused_until_it_is_upgraded(do: Command, folder: Path) -> None:
    do("lock", "qwen2-vl-2b")
    models = folder / "entries"
    models.mkdir()
    entry = ENTRY.read_text(encoding="utf-8")
    (models / "qwen2-vl-2b.yaml").write_text(
        entry.replace("revision: null", f'revision: "{"5" * 40}"'), encoding="utf-8"
    )
    own = ("--registry", str(models))
    do(*own, "plan", "qwen2-vl-2b").refused(2, f"{FILE}:5 repositories.{QWEN}: the entry qwen2-vl-2b pins 5555")
    assert do(*own, "lock", "--upgrade", "qwen2-vl-2b").code == 0
    assert QWEN not in lock().repositories
    assert do(*own, "plan", "qwen2-vl-2b").code == 0


@pytest.mark.parametrize("verb", [("plan", "demo"), ("lock",), ("lock", "--check"), ("models", "show", "demo")])
def test_a_lock_that_is_none_is_refused_with_its_lines(do: Command, verb: tuple[str, ...]) -> None:
    Path(FILE).write_text("schema_version: 1\nimages: {a: 1}\n", encoding="utf-8")
    do(*verb).refused(2, f"{FILE}:2 images.a: must be")


def test_a_lock_that_can_not_be_read(do: Command) -> None:
    Path(FILE).mkdir()
    do("plan", "demo").refused(2, "can't read the file", FILE)


# beside a fleet file

FLEET = """\
schema_version: 1
project: ocr
models:
  dots-ocr: {engine: vllm}
  qwen2-vl-7b: {engine: vllm, settings: {image: "mine/vllm:v0.33.0"}}
"""


def test_the_lock_of_a_fleet_is_beside_its_file_and_for_its_models(here: FakeWorld, do: Command, folder: Path) -> None:
    (folder / "fleets").mkdir()
    (folder / "fleets/one.yaml").write_text(FLEET, encoding="utf-8")
    fleet = ("--fleet", "fleets/one.yaml")
    do(*fleet, "plan").refused(2, "no revision of it is pinned: dots-ocr")
    do(*fleet, "lock", "--check").refused(1, "fleets/orchestrator.lock.yaml")
    assert do(*fleet, "lock").code == 0
    found = parse_lock("", (folder / "fleets" / FILE).read_text(encoding="utf-8"))
    assert set(found.repositories) == {DOTS, "Qwen/Qwen2-VL-7B-Instruct"}
    assert set(found.images) == {VLLM, "mine/vllm:v0.33.0"}, "also the images that the fleet pins"
    assert do(*fleet, "render").code == 0
    texts = [path.read_text(encoding="utf-8") for path in (folder / "fleets/compose").glob("*-vllm.yaml")]
    assert [found.repositories[DOTS].value in text for text in texts].count(True) == 1
    assert [f'"mine/vllm:v0.33.0@{found.images["mine/vllm:v0.33.0"].value}"' in text for text in texts].count(True) == 1
    assert do(*fleet, "lock", "--check").code == 0
    assert texts[0].splitlines()[2] == "#   orchestrator --fleet fleets/one.yaml render"


def test_the_command_of_a_fleet_is_short_and_options_are_told(do: Command, folder: Path) -> None:
    (folder / "orchestrator.yaml").write_text(FLEET.replace("ocr: {", "ocr: {allow_unpinned: true, "), encoding="utf-8")

    def line(*arguments: str) -> str:
        assert do(*arguments).code == 0
        return (
            Path("compose/compose.yaml").read_text(encoding="utf-8").splitlines()[2].removeprefix("#   orchestrator ")
        )

    assert line("render") == "render"
    assert line("--project", "ocr", "render", "--all") == "render"
    assert line("--project", "other", "render", "dots-ocr") == "--project other render dots-ocr"
    assert line("render", "--output", "compose", "--api-key") == "render --api-key"
    assert line("render", "--output", "./compose/") == "render"
    assert line("--no-fleet", "render", "demo") == "--no-fleet render demo --output compose"
