"""The compatibility report's content: what is held against the founding report, counted, ticked and recommended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.compatibility import Pair
from orchestrator.evidence import Fingerprint, Listing, Measurement, Outcome, Verification
from orchestrator.inventory import GIB
from orchestrator.registry.spec import ENGINES, ModelSpec
from orchestrator.report.compatibility import Report, Row, compatibility
from orchestrator.report.contradictions import Contradiction, contradictions
from tests.builders import spec

FACT = {"text": "so it is", "source": "seen"}
JANUARY = {"allowed": True, "status": "needs testing"}


def report(*specs: ModelSpec, verified: Verification | None = None) -> Report:
    return compatibility(
        [Pair(s, engine, (), verified=verified) for s in specs for engine in ENGINES if s.engine(engine)]
    )


def row(engine: Mapping[str, Any], **parts: Any) -> Row:
    """The only pair of an entry, on vLLM."""
    (found,) = report(spec(vllm=engine, **parts)).rows
    return found


def found(engine: Mapping[str, Any], **parts: Any) -> tuple[Contradiction, ...]:
    return contradictions((row(engine, **parts),))


def answered(level: str = "answered", outcome: Outcome = "answered") -> Verification:
    return Verification("phi", "vllm", outcome, level, 0.0, "0.1.0")  # type: ignore[arg-type]


# contradictions


@pytest.mark.parametrize(
    ("gb", "below", "holds"),
    [(1.0, True, False), (1.2, False, False), (2.5, False, True)],
    ids=["below the weights", "the weights and nothing else", "a smaller profile"],
)
def test_a_figure_is_held_against_weights_and_claims(gb: float, below: bool, holds: bool) -> None:
    entry = {"report": {**JANUARY, "memory_gb": gb}, "max_model_len": 4096, "smallest": {"max_model_len": 512}}
    (one,) = found(entry, gib=1.0, architecture={"layers": 24, "kv_heads": 16, "head_size": 64})
    figure = one.row.figure
    assert figure is not None
    assert (one.kind, one.said) == ("memory", f"{gb} GB")
    assert figure.weights == GIB
    assert figure.storage == "16bit"
    assert (figure.below_weights, figure.fits is not None) == (below, holds)


def test_a_figure_that_holds_the_whole_claim_is_none() -> None:
    assert found({"report": {**JANUARY, "memory_gb": 24.0}}) == ()


def test_the_weights_of_transformers_are_those_in_8_bit_with_nothing_kept_back() -> None:
    modules = [
        {"part": "vision", "kind": "linear", "count": 10**9, "rows": 1000, "matrices": 1},
        {"part": "language", "kind": "linear", "count": 10**9, "rows": 1000, "matrices": 1},
    ]
    entry = {"report": {**JANUARY, "memory_gb": 2.0}, "keep_16bit": ["vision"], "storages": ["16bit"]}
    table = {"total": 2 * 10**9, "modules": modules}
    (found_row,) = report(spec(transformers=entry, parameters=table)).rows
    assert found_row.figure is not None
    assert found_row.figure.weights == 2 * 10**9 + 2 * 4 * 1000
    assert found_row.figure.storage == "int8"


def test_vllm_that_january_does_not_allow_and_the_facts_do() -> None:
    entry = {"report": {"allowed": False, "status": "no", "notes": "long context"}, "known": [FACT, FACT]}
    (one,) = found(entry)
    assert (one.kind, one.said, [fact.text for fact in one.evidence]) == ("possible", "long context", ["so it is"])


def test_what_january_allows_and_the_facts_do_not() -> None:
    entry = {"report": {**JANUARY, "notes": "fine"}, "possible": False, "problems": [FACT]}
    (one,) = found(entry)
    assert (one.kind, one.said, [fact.text for fact in one.evidence]) == ("impossible", "fine", ["so it is"])


def test_what_both_call_impossible_is_no_contradiction() -> None:
    assert found({"report": {"allowed": False, "status": "no"}, "possible": False, "problems": [FACT]}) == ()


def test_another_architecture_with_the_facts_that_name_it() -> None:
    facts = [FACT, {"text": "Phi4ForCausalLM is another one", "source": "seen"}]
    (one,) = found({"report": JANUARY}, architecture={"reported": "Phi4ForCausalLM"}, known=facts)
    assert (one.kind, one.said, one.now, one.whole) == ("architecture", "Phi4ForCausalLM", "PhiForCausalLM", True)
    assert [fact.text for fact in one.evidence] == ["Phi4ForCausalLM is another one"]
    assert found({"report": JANUARY}, architecture={"reported": "PhiForCausalLM"}) == ()


def test_what_january_calls_tested_needs_real_weights() -> None:
    tested = {"report": {"allowed": True, "status": "tested"}}
    (one,) = found({**tested, "evidence": {"level": "served-tiny"}})
    assert (one.kind, one.now) == ("untested", "served-tiny")
    assert found({**tested, "evidence": {"level": "answered"}}) == ()


def test_what_a_fact_says_that_it_corrects() -> None:
    facts = [{**FACT, "corrects": "special prompts"}, {**FACT, "corrects": "1.0 GB"}, FACT]
    engine = {"report": {**JANUARY, "memory_gb": 1.0}, "known": facts, "problems": facts}
    both = found(engine, known=facts)
    assert [one.kind for one in both] == ["memory", *["statement"] * 3]
    said = [(one.said, one.whole) for one in both[1:]]
    assert said == [("special prompts", False), ("special prompts", False), ("special prompts", True)]


def test_nothing_is_held_against_a_report_that_does_not_know_the_model() -> None:
    engine = {"report": {"allowed": False}, "known": [{**FACT, "corrects": "a word"}]}
    assert found(engine, architecture={"reported": "Phi4ForCausalLM"}) == ()


# what is counted and ticked


@pytest.mark.parametrize(
    ("verification", "ticked"),
    [
        (answered(), True),
        (answered("served-tiny"), False),
        (answered(outcome="wrong"), False),
        (answered("none", "failed"), False),
        (None, False),
    ],
)
def test_a_tick_is_an_answer_with_real_weights(verification: Verification | None, ticked: bool) -> None:
    entry = spec(vllm={"evidence": {"level": "served-tiny"}})
    made = report(entry, verified=verification)
    assert made.rows[0].tested == ticked
    assert made.seen_here == (verification is not None)
    assert made.tiny == made.rows


def test_what_fails_here_is_not_tested_whatever_the_registry_says() -> None:
    entry = spec(vllm={"evidence": {"level": "answered"}})
    assert report(entry).rows[0].tested
    assert not report(entry, verified=answered("none", "failed")).rows[0].tested


def test_models_that_come_with_orchestrator_are_not_counted() -> None:
    demo = spec("demo", source={"repository": None, "builtin": "demo"})
    made = report(demo, spec("phi", port=25100))
    assert [r.spec.name for r in made.rows] == ["phi"]
    assert [r.spec.name for r in made.trials] == ["demo"]


def test_the_order_is_january_s_then_the_user_s() -> None:
    names = ("abc", "internvl2-2b", "dots-ocr", "zzz", "qwen2-vl-2b")
    made = report(*(spec(name, port=25000 + at) for at, name in enumerate(names)))
    assert [r.spec.name for r in made.rows] == ["dots-ocr", "qwen2-vl-2b", "internvl2-2b", "abc", "zzz"]


def test_the_test_plan_leaves_out_what_can_not_be() -> None:
    first = spec("a", vllm={"report": {**JANUARY, "test_priority": 1}}, transformers={"report": JANUARY})
    never = spec("b", port=25100, vllm={"possible": False, "problems": [FACT]})
    plan = report(first, never).plan
    assert {p: [(r.spec.name, r.engine) for r in rows] for p, rows in plan.items()} == {
        1: [("a", "vllm")],
        2: [],
        3: [],
        None: [("a", "transformers")],
    }


def test_a_claim_is_there_only_where_a_gpu_may_be_used() -> None:
    cpu, gpu = row({"devices": ["cpu"], "shm_mib": 512}), row({})
    assert (cpu.claim, cpu.smallest, cpu.profile) == (None, None, None)
    assert gpu.claim is not None
    assert gpu.smallest is not None
    assert gpu.smallest < gpu.claim, "without CUDA graphs it is less"


def test_the_most_that_was_held_when_ready() -> None:
    mark = Fingerprint("phi", "vllm", "", "", "", "", "")
    seen = [Measurement(mark, 5, 0.0), Measurement(replace(mark, driver="2"), 7, 0.0)]
    seen.append(Measurement(replace(mark, engine="transformers"), 9, 0.0))
    made = compatibility([Pair(spec(vllm={}), "vllm", ())], seen)
    assert made.rows[0].ready == 7
    assert made.seen_here


def test_problems_that_several_pairs_have_are_told_once() -> None:
    one = spec("a", vllm={"problems": [FACT, {**FACT, "corrects": "a word"}]}, transformers={"problems": [FACT]})
    two = spec("b", port=25100, vllm={"problems": [FACT], "possible": False})
    problems = report(one, two).problems
    assert [(fact.text, [(r.spec.name, r.engine) for r in rows]) for fact, rows in problems.items()] == [
        ("so it is", [("a", "vllm"), ("a", "transformers")])
    ]


def test_what_the_engine_was_asked() -> None:
    heard = Listing("vllm", "0.33.0", "vllm", "sha256:1", 0.0, {"PhiForCausalLM": ""})
    entry = spec(vllm={})
    made = compatibility([Pair(entry, "vllm", (), heard)])
    assert made.asked == made.rows
    assert made.seen_here
    assert not report(entry).seen_here


# recommendations


def test_what_january_recommends_is_tried_on_each_card() -> None:
    large = spec("qwen2-vl-2b", gib=9.0, transformers={"report": JANUARY}, vllm={"report": JANUARY})
    small, medium, much = report(large).advised
    assert [r.engine for r in small.january] == ["transformers"]
    assert [r.engine for r in medium.january] == ["vllm", "transformers"]
    assert [r.engine for r in much.january] == ["vllm"]
    (on_4,) = small.cards[0].choices
    assert on_4.january == (("transformers", False),)
    assert on_4.advice.missing
    twelve, twenty_four = (card.choices[0] for card in much.cards)
    assert (twelve.january, twelve.row.engine) == ((("vllm", True),), "vllm")
    assert [card.gib for card in much.cards] == [12, 24]
    assert twenty_four.advice.chosen


def test_what_fits_nowhere_is_shown_on_an_engine_that_the_plan_may_choose() -> None:
    asked_for = {"report": {"allowed": False}, "storages": ["fp8"]}
    huge = spec("huge", gib=90.0, vllm=asked_for, transformers={})
    (choice,) = report(huge).advised[0].cards[0].choices
    assert choice.row.engine == "transformers"
    assert choice.january == ()


@pytest.mark.parametrize(
    ("kind", "name"),
    [("A card/25769803776", "A card"), ("A/1, B/2", "A, B"), ("CPU", "CPU"), ("", "")],
)
def test_a_card_is_named_without_its_bytes(kind: str, name: str) -> None:
    assert report(spec(vllm={}), verified=replace(answered(), gpu=kind)).rows[0].card == name
