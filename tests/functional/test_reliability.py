"""docs/reliability.md is what its script makes of the committed results, and has every fault of the campaign."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from orchestrator.diagnosis import FAILURES
from tests.integration.faults.table import FAULTS

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "tests" / "integration" / "faults" / "results.json"
#: parts of the faults with a class of which it has to be right
SHARE = 0.95


def test_the_page_is_fresh_and_has_every_fault() -> None:
    done = subprocess.run(
        [sys.executable, ".ci/reliability", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert [fault.name for fault in FAULTS if f"| {fault.name} | {fault.broken} |" not in page] == []


def test_every_fault_has_a_name_of_its_own_and_a_class_that_there_is() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(names) == len(set(names)) >= 25
    assert {fault.cause for fault in FAULTS} - {""} <= set(FAILURES)


def test_the_committed_results_are_those_of_the_table_and_reach_the_figures() -> None:
    records = json.loads(RESULTS.read_text(encoding="utf-8"))
    results = {record["name"]: record for record in records if record["part"] == "faults"}
    assert results.keys() == {fault.name for fault in FAULTS}
    for fault in FAULTS:
        assert (results[fault.name]["expected"], results[fault.name]["exit"]) == (fault.cause, fault.exit), fault.name
    classed = [result for result in results.values() if result["expected"]]
    assert sum(result["cause"] == result["expected"] for result in classed) >= SHARE * len(classed)
    assert not any(result["ready"] or result["left"] for result in results.values())
    assert all(record["holds"] for record in records if "holds" in record)
