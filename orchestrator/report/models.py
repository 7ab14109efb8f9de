"""Registry entries as tables, text and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.compatibility import Pair
from orchestrator.evidence import to_record
from orchestrator.registry.spec import ENGINES, Engine, Fact, ModelSpec, Vllm
from orchestrator.report.checking import heard_json, heard_text
from orchestrator.report.look import PLAIN, Look
from orchestrator.report.table import table
from orchestrator.report.verifying import verified_words

#: positions of PARAMETERS, TRANSFORMERS and VLLM, which a narrow place does without, in this order
_DROP = (1, 3, 2)


def models_table(specs: Sequence[ModelSpec], pairs: Sequence[Pair], look: Look = PLAIN) -> str:
    """One line per entry: what it is, and how each engine is known to work."""
    header = ("NAME", "PARAMETERS", "VLLM", "TRANSFORMERS", "SUMMARY")
    known = {(pair.spec.name, pair.engine): _known(pair) for pair in pairs}
    rows = [
        (s.name, _count(s.parameters.total), *(known.get((s.name, engine), "-") for engine in ENGINES), s.summary)
        for s in specs
    ]
    return table(rows, header, look, drop=_DROP, prose=True)


def models_json(specs: Sequence[ModelSpec], pairs: Sequence[Pair]) -> list[dict[str, object]]:
    """Each entry as it is written, and by engine what it said of it (``asked``) and what was ``verified`` here."""
    return [
        {
            **spec.model_dump(mode="json"),
            "asked": {
                pair.engine: {"listed": pair.finding.evidence, **heard_json(pair.listing)}
                for pair in pairs
                if pair.spec.name == spec.name and pair.finding and pair.listing
            },
            "verified": {
                pair.engine: to_record(pair.verified) for pair in pairs if pair.spec.name == spec.name and pair.verified
            },
        }
        for spec in specs
    ]


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} B" if parameters >= 10**8 else f"{parameters / 1e6:.2f} M"


def _known(pair: Pair) -> str:
    if not pair.known.possible:
        return "impossible"
    return _level(pair) if pair.known.report.allowed else f"on request ({_level(pair)})"


def _level(pair: Pair) -> str:
    """A stand-in for a repository's code proves the way there, not the code."""
    known = pair.known.evidence
    return pair.level + (" by stand-in" if known.stand_in and pair.level == known.level else "")


def model_text(spec: ModelSpec, pairs: Sequence[Pair], look: Look = PLAIN) -> str:
    """Everything known of one entry."""
    shape = spec.architecture
    rows = [
        ("source", _source(spec)),
        ("licence", spec.source.licence),
        (
            "architecture",
            shape.name + (f" (the report says {shape.reported})" if shape.reported not in {None, shape.name} else ""),
        ),
        (
            "shape",
            f"{shape.layers} layers, {shape.kv_heads} KV heads of {shape.head_size}, context {shape.context:,} tokens",
        ),
        (
            "parameters",
            f"{spec.parameters.total:,}, of these vision {spec.parameters.vision:,} ({spec.parameters.source})",
        ),
        ("images", f"{spec.images.max_per_prompt} per prompt, at most {spec.images.tokens:,} tokens each"),
        ("stop", ", ".join(map(repr, spec.prompt.stop))),
    ]
    text = f"{spec.name}: {spec.title}. {spec.summary}\n" + table(
        [row for row in rows if row[1]], look=look, prose=True
    )
    text += "".join(_engine(pair) for pair in pairs if pair.spec.name == spec.name)
    return text + "".join(_facts("known", spec.known))


def _source(spec: ModelSpec) -> str:
    source = spec.source
    if source.builtin:
        return f"{source.builtin}, which comes with orchestrator"
    if source.path:
        return f"folder {source.path}"
    code = ", runs its own code" if source.remote_code else ""
    return f"{source.repository} at revision {source.revision or 'unknown'}{code}"


def _engine(pair: Pair) -> str:
    engine, report = pair.known, pair.known.report
    said = f"{'allowed' if report.allowed else 'not allowed'}"
    said += f", {report.memory_gb} GB" if report.memory_gb else ""
    said += f", {report.status}" if report.status else ""
    said += f", {report.notes}" if report.notes else ""
    said += f", test plan: priority {report.test_priority}" if report.test_priority else ""
    note = f": {engine.evidence.note}" if engine.evidence.note else ""
    text = f"\non {pair.engine}\n"
    text += f"  report of 24 January 2026: {said}\n" if report.status else ""
    text += f"  evidence: {_level(pair)}{note}\n"
    text += f"  asked: {said}\n" if (said := heard_text(pair)) else ""
    text += f"  verified here: {verified_words(pair.verified)}\n" if pair.verified else ""
    possible = "possible" if engine.possible else "not possible"
    text += f"  {possible}; port {engine.port}, context {engine.max_model_len:,} tokens, {engine.dtype}\n"
    text += f"  weights {', '.join(engine.stored)}, the preferred first; {_smallest(engine)}\n"
    return text + "".join("  " + line for line in (*_facts("known", engine.known), *_facts("problem", engine.problems)))


def _smallest(engine: Engine) -> str:
    """How far a plan may go down, and over how many GPUs."""
    least = engine.smallest
    words = [
        f"context {least.max_model_len:,} tokens" if least.max_model_len else "",
        f"{least.max_pixels / 1e6:.1f} megapixels" if least.max_pixels else "",
        f"{least.max_tiles} tiles" if least.max_tiles else "",
        f"{least.max_num_seqs} full-length sequences" if engine.max_num_seqs > 1 else "",
    ]
    text = f"at the smallest {', '.join(filter(None, words))}" if any(words) else "it can't be made smaller"
    groups = engine.tensor_parallel if isinstance(engine, Vllm) else (1,)
    return text + (f"; tensor_parallel {', '.join(map(str, groups))} GPUs" if groups != (1,) else "; on one GPU")


def _facts(label: str, facts: Sequence[Fact]) -> Iterator[str]:
    for fact in facts:
        yield f"{label}: {fact.text} [{fact.source}]\n"
