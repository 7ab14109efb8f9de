"""What the health check says and its exit code, for each phase."""

from __future__ import annotations

import pytest

from orchestrator.gate import command, health
from orchestrator.gate.core import Policy

SHOWN = ["schema", "phase", "since", "restarts", "reason", "cause", "detail", "exit_code", "progress"]


def state(phase: str, detail: str = "") -> dict[str, object]:
    told = {"schema": 1, "phase": phase, "since": 100, "restarts": 1, "reason": "", "detail": detail}
    return {**told, "exit_code": None, "progress": None, "port": 8000}


def test_ready_and_answering_is_the_only_success() -> None:
    shown, code = health.judge(state("ready"), 163.0, 200)
    assert code == 0
    assert list(shown) == SHOWN


def test_asleep_is_well() -> None:
    shown, code = health.judge(state("ready"), 163.0, 200, asleep=True)
    assert (list(shown), shown["phase"], code) == (SHOWN, "asleep", 0)


@pytest.mark.parametrize(("status", "told"), [(503, "GET /health gave 503"), (0, "GET /health: no answer within 3 s")])
def test_a_ready_engine_that_does_not_answer_is_unresponsive(status: int, told: str) -> None:
    shown, code = health.judge(state("ready"), 163.0, status)
    assert (shown["phase"], shown["detail"], code) == ("unresponsive", told, 1)


@pytest.mark.parametrize("phase", ["queued", "waiting-memory", "starting"])
def test_waiting_shows_for_how_long(phase: str) -> None:
    assert health.judge(state(phase, "x"), 163.9, None)[0]["detail"] == "x; for 63 s"
    assert health.judge(state(phase), 163.9, None)[0]["detail"] == "for 63 s"


@pytest.mark.parametrize("phase", ["queued", "waiting-memory", "starting", "pausing", "parked", "stopping"])
def test_every_other_phase_fails_and_has_the_same_keys(phase: str) -> None:
    shown, code = health.judge(state(phase), 163.0, None)
    assert (list(shown), shown["phase"], code) == (SHOWN, phase, 1)


def test_a_clock_that_went_back_shows_no_negative_time() -> None:
    assert health.judge(state("queued"), 50.0, None)[0]["detail"] == "for 0 s"


def test_an_engine_without_a_gate_is_ready_when_it_answers() -> None:
    shown, code = health.alone(200)
    assert (list(shown), shown["phase"], shown["detail"], code) == (SHOWN, "ready", "", 0)
    shown, code = health.alone(503)
    assert (list(shown), shown["phase"], shown["detail"], code) == (SHOWN, "starting", "GET /health gave 503", 1)


@pytest.mark.parametrize(
    "argv",
    [
        ["--state"],
        ["--port"],
        ["--port", "x"],
        ["--port", "-1"],
        ["--wrong", "x"],
        ["--port", "1", "--state"],
        ["--wait", "x"],
    ],
)
def test_wrong_words_for_health_are_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert health.main(argv) == 2
    assert capsys.readouterr().err.startswith("usage: gate health")


# --- the command line of `run`

RUN = ["--port", "8000"]


def test_the_contract_is_understood() -> None:
    words = "--port 8000 --gpu GPU-a --gpu GPU-b --claim-mib 5300 --secret HF_TOKEN=/run/secrets/hf --name n"
    options = command.parse([*words.split(), "--", "vllm", "serve", "--port", "9"], "host")
    assert options.argv == ("vllm", "serve", "--port", "9")
    assert options.gpus == ("GPU-a", "GPU-b")
    assert (options.port, options.claim_mib, options.name, options.host) == (8000, 5300, "n", "host")
    assert [(name, str(path)) for name, path in options.secrets] == [("HF_TOKEN", "/run/secrets/hf")]
    assert (str(options.locks), str(options.state)) == ("/locks", "/run/orchestrator/gate.json")
    assert options.policy == Policy()
    assert (options.grace_s, options.poll_s) == (25.0, 0.25)
    assert not options.sleep_mode
    assert command.parse([*RUN, "--sleep-mode", "--", "x"], "h").sleep_mode
    assert not command.parse([*RUN, "--", "x", "--sleep-mode"], "h").sleep_mode


def test_an_engine_may_have_a_double_dash_of_its_own() -> None:
    assert command.parse([*RUN, "--", "a", "--", "b"], "h").argv == ("a", "--", "b")


@pytest.mark.parametrize(
    "argv",
    [
        ["--", "x"],
        RUN,
        [*RUN, "--"],
        ["--port", "0", "--", "x"],
        ["--port", "70000", "--", "x"],
        [*RUN, "--claim-mib", "-1", "--", "x"],
        [*RUN, "--claim-mib", "1.5", "--", "x"],
        [*RUN, "--secret", "HF_TOKEN", "--", "x"],
        [*RUN, "--secret", "A B=/x", "--", "x"],
        [*RUN, "--pause", "5,,6", "--", "x"],
        [*RUN, "--poll", "0", "--", "x"],
        [*RUN, "--poll", "nan", "--", "x"],
        [*RUN, "--unknown", "--", "x"],
    ],
)
def test_a_wrong_command_line_is_refused(argv: list[str]) -> None:
    with pytest.raises(command.UsageError):
        command.parse(argv, "host")
