"""What ``verify`` recorded, in the real state folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.adapters.workspace import STATE_VARIABLE, StateFolder
from orchestrator.errors import OrchestratorError
from orchestrator.evidence import Verification, Verifications

FAILED = Verification("demo", "vllm", "failed", "none", 1.0, "0.1.0", cause="Ümläut")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    return StateFolder(print)


def test_the_last_verification_of_each_pair_is_kept(state: StateFolder) -> None:
    assert state.verifications() == Verifications()
    other = replace(FAILED, engine="transformers")
    answered = replace(FAILED, outcome="answered", level="answered", when=2.0)
    for verification in (FAILED, other, answered):
        state.attest(verification)
    assert state.verifications().found == (other, answered)


@pytest.mark.parametrize("text", ["", "{", "null", '{"version": 2}', '{"version": 1}', "\udcff"])
def test_a_record_that_can_not_be_read_is_passed_over_with_a_remark(
    state: StateFolder, tmp_path: Path, text: str
) -> None:
    state.attest(FAILED)
    file = tmp_path / "verifications" / "demo.transformers.json"
    file.write_bytes(text.encode(errors="surrogateescape"))
    known = state.verifications()
    assert known.found == (FAILED,)
    (remark,) = known.remarks
    assert remark.startswith(f"{file}: ")
    state.attest(replace(FAILED, engine="transformers"))
    assert state.verifications().remarks == ()


def test_one_verify_at_a_time_and_beside_other_verbs(state: StateFolder) -> None:
    with state.lock("orchestrator verify demo", 0, "verify"):
        with state.lock("orchestrator up a", 0):
            pass
        with (
            pytest.raises(OrchestratorError, match="'orchestrator verify demo' of "),
            state.lock("orchestrator verify phi", 0, "verify"),
        ):
            pass
