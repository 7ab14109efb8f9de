"""What the gate decides, without any process, file or clock."""

from __future__ import annotations

import errno
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.gate import core
from orchestrator.gate.core import Card, Ended, Park, Policy, Record, Start
from orchestrator.gate.progress import Progress
from orchestrator.gate.verdict import named

POLICY = Policy(restarts=3, pauses=(5.0, 20.0, 60.0), forget_after_s=600.0)
GPUS = ("GPU-b", "GPU-a")


def test_a_crash_is_tried_again_three_times_with_growing_pauses_and_then_parked() -> None:
    seen: list[Start] = []
    following = core.after_end(Ended(1), 0, POLICY)
    while isinstance(following, Start):
        seen.append(following)
        following = core.after_end(Ended(1), following.restarts, POLICY)
    assert [(start.restarts, start.pause_s) for start in seen] == [(1, 5.0), (2, 20.0), (3, 60.0)]
    assert following == Park("The engine ended with exit code 1. Gave up after 3 restarts.", 3, "unknown")


def test_the_last_pause_repeats_when_there_are_more_restarts_than_pauses() -> None:
    assert [Policy(5, (1.0, 2.0)).pause(n) for n in range(6)] == [0.0, 1.0, 2.0, 2.0, 2.0, 2.0]


def test_no_restarts_at_all_parks_at_the_first_crash() -> None:
    assert isinstance(core.after_end(Ended(1), 0, Policy(restarts=0)), Park)


@pytest.mark.parametrize("code", [2, 126, 127])
def test_a_wrong_configuration_is_parked_at_once(code: int) -> None:
    assert isinstance(core.after_end(Ended(code), 0, POLICY), Park)


def test_an_engine_that_was_ready_is_never_parked_for_what_it_logged_or_its_code() -> None:
    ended = Ended(2, ("OSError: You are trying to access a gated repo.",), was_ready=True, ready_s=5.0)
    assert core.after_end(ended, 0, POLICY) == Start(1, 5.0, "The engine ended with exit code 2.", "unknown")


@pytest.mark.parametrize(("ready_s", "restarts"), [(599.9, 3), (600.0, 0)])
def test_restarts_are_forgotten_after_ten_minutes_of_being_ready(ready_s: float, restarts: int) -> None:
    following = core.after_end(Ended(137, was_ready=True, ready_s=ready_s), 3, POLICY)
    assert following.restarts == (3 if restarts else 1)
    assert isinstance(following, Park if restarts else Start)


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOENT, 127), (errno.EACCES, 126), (errno.ENOEXEC, 126), (errno.EAGAIN, 1), (errno.ENOMEM, 1), (None, 1)],
)
def test_a_program_that_can_not_be_started_has_the_code_of_a_shell(number: int | None, code: int) -> None:
    assert core.code_of_failed_start(number) == code


# --- memory


def test_waits_for_the_card_that_is_short_and_shows_the_numbers() -> None:
    cards = {"GPU-a": Card(1000, 24576), "GPU-b": Card(9000, 24576)}
    memory = core.judge_memory(GPUS, 5300, cards)
    assert (memory.go, memory.hopeless) == (False, False)
    assert memory.detail == "GPU-a: 1000 of 24576 MiB free, 5300 claimed"


def test_goes_when_each_card_has_the_claim_free() -> None:
    cards = {"GPU-a": Card(5300, 24576), "GPU-b": Card(5300, 24576)}
    assert core.judge_memory(GPUS, 5300, cards) == core.Memory("", go=True, hopeless=False)


def test_a_claim_above_the_whole_card_is_hopeless() -> None:
    assert core.judge_memory(("GPU-a",), 30000, {"GPU-a": Card(24000, 24576)}).hopeless


def test_unknown_memory_is_said_and_holds_nothing_up() -> None:
    memory = core.judge_memory(("GPU-a",), 5300, {}, "nvidia-smi: No such file or directory")
    assert memory.go
    assert memory.detail == "free memory not known for GPU-a (nvidia-smi: No such file or directory)"


def test_one_unknown_card_does_not_hide_that_another_is_short() -> None:
    memory = core.judge_memory(GPUS, 5300, {"GPU-a": Card(1, 24576)})
    assert not memory.go
    assert "GPU-a: 1 of 24576" in memory.detail
    assert "not known for GPU-b" in memory.detail


def test_without_a_claim_or_a_gpu_there_is_nothing_to_wait_for() -> None:
    assert core.judge_memory(("GPU-a",), 0, {}).go
    assert core.judge_memory((), 5300, {}).go


def test_nvidia_smi_lines_are_read_and_cards_that_do_not_tell_are_left_out() -> None:
    text = "GPU-a, 1234, 24576\nGPU-b, [N/A], [N/A]\nGPU-c, [Not Supported], 3\n\nNo devices were found\n"
    assert core.parse_cards(text) == {"GPU-a": Card(1234, 24576)}


@given(st.text())
def test_no_output_of_nvidia_smi_breaks_the_reader(text: str) -> None:
    assert isinstance(core.parse_cards(text), dict)


# --- locks


def test_locks_are_sorted_and_taken_once() -> None:
    assert core.lock_names(("GPU-b", "GPU-a", "GPU-b")) == (
        ("gpu-GPU-a.lock", "GPU-a"),
        ("gpu-GPU-b.lock", "GPU-b"),
    )
    assert core.lock_names(GPUS) == core.lock_names(tuple(reversed(GPUS)))


@given(st.lists(st.text(), unique=True, max_size=5))
def test_lock_names_are_safe_and_differ_for_each_id(gpus: list[str]) -> None:
    names = [name for name, _ in core.lock_names(gpus)]
    assert len(set(names)) == len(gpus)
    for name in names:
        assert "/" not in name
        assert "\0" not in name
        assert name.isascii()
        assert not name.startswith(".")
        assert len(name) < 200


def test_a_made_up_id_can_not_take_the_lock_name_of_another() -> None:
    odd = core.lock_names(("../MIG 1/0",))[0][0]
    assert odd.startswith("gpu~.._MIG_1_0-")
    made_up = odd[len("gpu~") : -len(".lock")]
    assert core.lock_names((made_up,))[0][0] != odd


# --- the record


def test_a_container_without_a_record_starts_at_once() -> None:
    assert core.resume(None, "c1", "argv", POLICY) == Start(0, 0.0, "")


@pytest.mark.parametrize("other", [Record("c2", "argv", 4, "bad"), Record("c1", "other", 4, "bad")])
def test_a_record_of_another_container_or_command_line_is_ignored(other: Record) -> None:
    assert core.resume(other, "c1", "argv", POLICY) == Start(0, 0.0, "")


@pytest.mark.parametrize(("starts", "restarts", "pause_s"), [(1, 1, 5.0), (2, 2, 20.0), (3, 3, 60.0)])
def test_starts_that_ended_uncleanly_count_as_failed(starts: int, restarts: int, pause_s: float) -> None:
    following = core.resume(Record("c1", "argv", starts), "c1", "argv", POLICY)
    assert isinstance(following, Start)
    assert (following.restarts, following.pause_s) == (restarts, pause_s)


def test_a_container_that_keeps_going_down_uncleanly_is_parked() -> None:
    following = core.resume(Record("c1", "argv", 4), "c1", "argv", POLICY)
    assert isinstance(following, Park)
    assert "went down uncleanly after 4 starts" in following.reason


def test_a_park_survives_an_unclean_end_with_its_reason() -> None:
    following = core.resume(Record("c1", "argv", 1, "No such model."), "c1", "argv", POLICY)
    assert isinstance(following, Park)
    assert following.reason.startswith("No such model. ")


def test_a_record_survives_its_file() -> None:
    record = Record("c1", "argv", 2, "wh\u00fc", "no-disk")
    assert core.read_record(record.to_json()) == record


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"container": 1, "argv": "a", "starts": 1, "parked": ""}',
        '{"container": "c", "argv": "a", "starts": "x", "parked": ""}',
    ],
)
def test_what_is_not_a_record_is_none(text: str) -> None:
    assert core.read_record(text) is None


# --- what is shown


@given(st.text(max_size=3000), st.integers(10, 400))
def test_clipped_text_fits_and_is_one_line(text: str, limit: int) -> None:
    short = core.clip(text, limit)
    assert len(json.dumps(short)) - 2 <= limit
    assert "\n" not in short


@given(st.text(max_size=3000), st.text(max_size=3000))
def test_the_state_stays_below_a_kibibyte(reason: str, detail: str) -> None:
    progress = Progress("warm-up", detail, 1_795_000_000, 0.99, 10**13, 10**13)
    longest = max(named(), key=len)
    text = core.State("waiting-memory", 1_795_000_000, 3, reason, detail, 137, progress, longest).to_json(65535)
    assert len(text.encode()) < 1024
    assert json.loads(text)["port"] == 65535


def test_short_text_is_not_touched() -> None:
    assert core.clip("GPU-a is held by x", 100) == "GPU-a is held by x"


def test_the_digest_of_a_command_line_keeps_its_word_borders() -> None:
    assert core.digest(["a", "b c"]) != core.digest(["a b", "c"])
