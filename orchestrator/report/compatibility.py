"""The content of the compatibility report, in no language: what is known of every pair, and what follows. Pure.

Memory is bytes; the founding report's figures are GB of 10^9 bytes. ``templates/reports`` makes Markdown of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator import __version__
from orchestrator.compatibility import Pair
from orchestrator.evidence import Measurement, Verification
from orchestrator.inventory import GIB, Gpu, Host
from orchestrator.memory import bare_weights, claim, context_size
from orchestrator.plan.advice import Advice, recommend
from orchestrator.profile import Profile, ladder
from orchestrator.registry.spec import Engine, EngineName, Fact, ModelSpec, Storage
from orchestrator.report.january import ORDER, STEPS, Step

#: GiB of the card that claims are computed for; larger ones than 49 GiB count with a larger CUDA context
REFERENCE = 24
#: what the founding report calls large
_LARGE = 12 * 10**9
#: what a GPU's kind says behind its name
_BYTES = re.compile(r"/\d+(?=, |$)")


@dataclass(frozen=True, slots=True)
class Figure:
    """The founding report's memory figure held against the arithmetic.

    ``weights``: the bare weights as that report has them, 8 bit on Transformers and 16 bit on vLLM, in bytes.
    ``fits``: the best profile of the entry whose whole claim the figure holds; None for none.
    """

    gb: float
    storage: Storage
    weights: int
    fits: Profile | None

    @property
    def below_weights(self) -> bool:
        """Whether not even the weights alone fit into it."""
        return self.gb * 10**9 < self.weights


@dataclass(frozen=True, slots=True)
class Row:
    """One pair. ``profile`` is what its entry asks for, ``claim`` what that claims on the reference card.

    ``smallest``: the least that any profile of the entry claims. All three are None where there is no such claim: the
    pair is impossible, or runs on no GPU. ``ready``: the most that it held of a GPU here when it was ready; None where
    that was not measured.
    """

    pair: Pair
    profile: Profile | None
    claim: int | None
    smallest: int | None
    figure: Figure | None
    ready: int | None

    @property
    def spec(self) -> ModelSpec:
        """The model."""
        return self.pair.spec

    @property
    def verification(self) -> Verification | None:
        """What was verified here."""
        return self.pair.verified

    @property
    def card(self) -> str:
        """The names of the GPUs that it was verified on here, or "CPU"; "" where nothing was started."""
        return _BYTES.sub("", self.verification.gpu) if self.verification else ""

    @property
    def engine(self) -> EngineName:
        """The engine's name."""
        return self.pair.engine

    @property
    def known(self) -> Engine:
        """The registry's entry for the engine."""
        return self.pair.known

    @property
    def label(self) -> str:
        """As the founding report calls it: the repository, where there is one."""
        return self.spec.source.repository or self.spec.name

    @property
    def on_request(self) -> bool:
        """Whether it runs only where it is asked for by ``--mode``."""
        return self.known.possible and not self.known.report.allowed

    @property
    def in_january(self) -> bool:
        """Whether the founding report knows the model."""
        return self.known.report.status is not None

    @property
    def tested(self) -> bool:
        """Whether it has answered with its real weights: by the registry, or here where it was verified here."""
        if self.verification is not None:
            return self.verification.outcome == "answered" and self.verification.level == "answered"
        return self.known.evidence.level == "answered"

    @property
    def problems(self) -> tuple[Fact, ...]:
        """What is to be known of it, without what corrects the founding report."""
        return tuple(fact for fact in self.known.problems if fact.corrects is None)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the planner would do with one model alone on a card: the best that fits, or the least that does not.

    ``january``: the engines that the founding report recommends there, each with whether that fits the card.
    """

    row: Row
    advice: Advice
    january: tuple[tuple[EngineName, bool], ...]


@dataclass(frozen=True, slots=True)
class Card:
    """Every model alone on a card of so many GiB."""

    gib: int
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Advised:
    """One of the founding report's spans of GPU memory, and cards within it.

    ``january``: the rows that it recommends there.
    """

    step: Step
    january: tuple[Row, ...]
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The whole report. ``rows``: every pair in the founding report's order, then the user's own.

    ``trials``: the pairs of models that come with orchestrator, which are no part of the counts. ``remarks``: on
    records that can't be read.
    """

    version: str
    rows: tuple[Row, ...]
    trials: tuple[Row, ...]
    advised: tuple[Advised, ...]
    remarks: tuple[str, ...] = ()

    def on(self, engine: EngineName, *, possible: bool) -> tuple[Row, ...]:
        """The pairs of an engine that can be, or can't be."""
        return tuple(row for row in self.rows if row.engine == engine and row.known.possible == possible)

    @property
    def possible(self) -> tuple[Row, ...]:
        """All pairs that can be."""
        return tuple(row for row in self.rows if row.known.possible)

    @property
    def only_transformers(self) -> tuple[Row, ...]:
        """The pairs on Transformers of models that vLLM can't serve."""
        vllm = {row.spec.name for row in self.on("vllm", possible=True)}
        return tuple(row for row in self.on("transformers", possible=True) if row.spec.name not in vllm)

    @property
    def tiny(self) -> tuple[Row, ...]:
        """Possible pairs that have answered with tiny weights in the project's tests."""
        return tuple(row for row in self.possible if row.known.evidence.level == "served-tiny")

    @property
    def verified(self) -> tuple[Row, ...]:
        """The pairs that were verified on this host, the trials included."""
        return tuple(row for row in (*self.rows, *self.trials) if row.verification is not None)

    @property
    def seen_here(self) -> bool:
        """Whether it speaks of more than the registry."""
        return bool(self.verified or self.asked or any(row.ready for row in self.rows))

    @property
    def asked(self) -> tuple[Row, ...]:
        """The pairs whose engine was asked on this host what it serves."""
        return tuple(row for row in self.rows if row.pair.listing is not None)

    @property
    def problems(self) -> Mapping[Fact, tuple[Row, ...]]:
        """What is to be known of possible pairs, each with all pairs that it is known of."""
        found: dict[Fact, tuple[Row, ...]] = {}
        for row in self.possible:
            for fact in row.problems:
                found[fact] = (*found.get(fact, ()), row)
        return found

    @property
    def large(self) -> tuple[Row, ...]:
        """Pairs that claim more than the founding report's 12 GB with all that their entries ask for."""
        return tuple(row for row in self.possible if row.claim is not None and row.claim > _LARGE)

    @property
    def plan(self) -> Mapping[int | None, tuple[Row, ...]]:
        """The possible pairs by the priority of the founding report's test plan; None for its "further models"."""
        first_vllm = sorted(self.possible, key=lambda row: row.engine != "vllm")
        return {
            priority: tuple(row for row in first_vllm if row.known.report.test_priority == priority)
            for priority in (1, 2, 3, None)
        }


def compatibility(
    pairs: Sequence[Pair],
    measurements: Sequence[Measurement] = (),
    remarks: tuple[str, ...] = (),
    version: str = __version__,
) -> Report:
    """The report on these pairs, with what was measured here."""
    ready: dict[tuple[str, str], int] = {}
    for measurement in measurements:
        mark = (measurement.fingerprint.model, measurement.fingerprint.engine)
        ready[mark] = max(measurement.static, ready.get(mark, 0))
    rows = [_row(pair, ready.get((pair.spec.name, pair.engine))) for pair in sorted(pairs, key=_order)]
    own = tuple(row for row in rows if not row.spec.source.builtin)
    trials = tuple(row for row in rows if row.spec.source.builtin)
    return Report(version, own, trials, tuple(_advised(step, own) for step in STEPS), remarks)


def _order(pair: Pair) -> tuple[int, str]:
    name = pair.spec.name
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _row(pair: Pair, ready: int | None) -> Row:
    if not pair.known.possible or "gpu" not in pair.known.devices:
        return Row(pair, None, None, None, None, ready)
    claims = list(_claims(pair))
    profile, asked = claims[0]
    return Row(pair, profile, asked, min(size for _, size in claims), _figure(pair, claims), ready)


def _claims(pair: Pair) -> Iterator[tuple[Profile, int]]:
    """Every profile of the pair on one reference card, best first, and what it claims."""
    context = context_size([_card(REFERENCE)])
    for rung in ladder(pair.spec, pair.known):
        yield rung.profile, claim(pair.spec, pair.engine, rung.profile, context).total


def _figure(pair: Pair, claims: Sequence[tuple[Profile, int]]) -> Figure | None:
    gb = pair.known.report.memory_gb
    if gb is None:
        return None
    storage: Storage = "int8" if pair.engine == "transformers" else "16bit"
    # the least that the weights can take: the entry may keep some of them in 16 bit
    weights = bare_weights(pair.spec, pair.known.model_copy(update={"keep_16bit": ()}), storage)
    fits = next((profile for profile, size in claims if size <= gb * 10**9), None)
    return Figure(gb, storage, weights, fits)


def _card(gib: int) -> Gpu:
    return Gpu("0", f"GPU of {gib} GiB", gib * GIB, gib * GIB)


def _advised(step: Step, rows: Sequence[Row]) -> Advised:
    return Advised(
        step,
        tuple(row for row in rows if _recommends(step, row)),
        tuple(Card(gib, tuple(_choices(step, gib, rows))) for gib in step.cards),
    )


def _recommends(step: Step, row: Row) -> bool:
    return any(
        engine == row.engine
        and row.in_january
        and (row.known.report.allowed if names is None else row.spec.name in names)
        for engine, names in step.models
    )


def _choices(step: Step, gib: int, rows: Sequence[Row]) -> Iterator[Choice]:
    specs = {row.spec.name: row.spec for row in rows}
    found: dict[str, list[Advice]] = {}
    for advice in recommend(tuple(specs.values()), Host("a card", (_card(gib),))):
        found.setdefault(advice.model, []).append(advice)
    for name, ways in found.items():
        mine = {row.engine: row for row in rows if row.spec.name == name}
        fits = {way.engine: way.missing == 0 for way in ways}
        by_itself = [way for way in ways if not mine[way.engine].on_request] or ways
        best = next((way for way in ways if way.chosen), None) or min(by_itself, key=lambda way: way.missing or 0)
        january = tuple((row.engine, fits.get(row.engine, False)) for row in mine.values() if _recommends(step, row))
        yield Choice(mine[best.engine], best, january)
