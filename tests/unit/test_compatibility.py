"""What an engine's own list means for a model: agreement, contradictions and traps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.compatibility import Pair, compare, heard, parse
from orchestrator.errors import OrchestratorError
from orchestrator.evidence import Listing
from orchestrator.registry.spec import EngineName, ModelSpec
from tests.builders import spec

OWN = {"PhiForCausalLM": "PhiForCausalLM"}
REFUSED = {"allowed": False, "status": "Not compatible with vLLM"}
ALLOWED = {"allowed": True, "status": "tested"}
CODE = {"repository": "owner/phi", "licence": "MIT", "remote_code": True}


def listing(
    architectures: Mapping[str, str],
    engine: str = "vllm",
    families: tuple[str, ...] | None = None,
    image: str = "image:1",
) -> Listing:
    return Listing(engine, "0.32.0", image, "sha256:1", 0.0, architectures, families)


def on_vllm(**engine: Any) -> ModelSpec:
    return spec(vllm=engine)


@pytest.mark.parametrize(
    ("engine", "architectures", "says", "verdict", "evidence"),
    [
        ({}, OWN, "listed", "agrees", True),
        ({}, {"PhiForCausalLM": ""}, "listed", "agrees", True),
        ({}, {"PhiForCausalLM": "OtherForCausalLM"}, "listed as OtherForCausalLM", "agrees", True),
        ({}, {}, "not listed", "contradicts the registry", False),
        ({"report": ALLOWED}, OWN, "listed", "agrees", True),
        ({"report": REFUSED}, OWN, "listed", "contradicts the report", True),
        ({"report": {"allowed": False}}, OWN, "listed", "agrees", True),
        ({"possible": False}, {}, "not listed", "agrees", False),
        ({"possible": False, "report": REFUSED}, {}, "not listed", "agrees", False),
        ({"possible": False}, OWN, "listed", "contradicts the registry", False),
        ({"possible": False}, {"PhiForCausalLM": "Phi9"}, "listed as Phi9", "trap", False),
        (
            {"possible": False, "report": ALLOWED},
            {},
            "not listed",
            "contradicts the report",
            False,
        ),
    ],
)
def test_vllm(engine: Any, architectures: Mapping[str, str], says: str, verdict: str, evidence: bool) -> None:
    found = compare(on_vllm(**engine), "vllm", listing(architectures))
    assert (found.says, found.verdict, found.evidence) == (says, verdict, evidence)


def test_a_known_trap_is_one_even_where_the_engine_names_no_class() -> None:
    model = spec(architecture={"name": "HfMoondream"}, vllm={"possible": False})
    for served_by in ("", "HfMoondream", "Moondream3ForCausalLM"):
        assert compare(model, "vllm", listing({"HfMoondream": served_by})).verdict == "trap"


def test_the_way_round_by_transformers_is_no_listing() -> None:
    found = compare(on_vllm(possible=False), "vllm", listing({"TransformersMultiModalForCausalLM": ""}))
    assert (found.listed, found.verdict) == (False, "agrees")
    assert "it would try its Transformers backend" in found.why


@pytest.mark.parametrize(
    ("remote_code", "native", "families", "says", "verdict", "evidence"),
    [
        (False, True, ("phi3-vision",), "native", "agrees", True),
        (False, True, None, "native", "agrees", True),
        (False, False, ("phi3-vision",), "not native", "contradicts the registry", False),
        (True, False, ("phi3-vision",), "remote code", "agrees", False),
        (True, True, ("phi3-vision",), "native", "agrees", True),
        (False, True, ("qwen2-vl",), "not served", "contradicts the registry", False),
        (True, False, (), "not served", "contradicts the registry", False),
    ],
)
def test_transformers(
    remote_code: bool, native: bool, families: tuple[str, ...] | None, says: str, verdict: str, evidence: bool
) -> None:
    model = spec(source=CODE | {"remote_code": remote_code})
    found = compare(model, "transformers", listing(OWN if native else {}, "transformers", families))
    assert (found.says, found.verdict, found.evidence) == (says, verdict, evidence)


@pytest.mark.parametrize(
    ("known", "architectures", "level"),
    [
        ("none", OWN, "listed"),
        ("reported", OWN, "listed"),
        ("served-tiny", OWN, "served-tiny"),
        ("answered", OWN, "answered"),
        ("none", {}, "none"),
        ("reported", None, "reported"),
    ],
)
def test_a_listing_is_evidence_and_never_more(known: str, architectures: Mapping[str, str] | None, level: str) -> None:
    model = on_vllm(evidence={"level": known})
    said = None if architectures is None else listing(architectures)
    assert Pair(model, "vllm", ("image:1",), said).level == level


def test_a_trap_is_no_evidence() -> None:
    assert Pair(on_vllm(possible=False), "vllm", ("image:1",), listing({"PhiForCausalLM": "Phi9"})).level == "none"


def test_the_first_image_that_was_asked_is_heard() -> None:
    own, ours = listing(OWN, image="own:1"), listing({}, image="ours:1")
    assert heard([ours, own], "vllm", ["own:1", "ours:1"]) is own
    assert heard([ours], "vllm", ["own:1", "ours:1"]) is ours
    assert heard([ours, own], "vllm", ["another:1"]) is None
    assert heard([ours, own], "transformers", ["own:1"]) is None


def parsed(said: str, engine: EngineName = "vllm") -> Listing:
    return parse(said, engine=engine, image="image:1", image_id="sha256:1", when=5.0)


def test_an_answer_is_read() -> None:
    found = parsed(json.dumps({"version": "0.32.0", "architectures": OWN}))
    assert found == Listing("vllm", "0.32.0", "image:1", "sha256:1", 5.0, OWN)
    found = parsed(json.dumps({"version": "5", "architectures": {}, "families": ["a", "b"]}), "transformers")
    assert found.families == ("a", "b")


@pytest.mark.parametrize("said", ["", "hello", "[]", "{}", '{"version": "1"}', '{"version": "1", "architectures": []}'])
def test_another_answer_is_refused(said: str) -> None:
    with pytest.raises(OrchestratorError, match="image:1 said something else than a list"):
        parsed(said)
