"""The reference tasks: what is in each picture, and how an answer is judged. ``.ci/reference-images`` draws them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from orchestrator.evidence import Check
from orchestrator.reference.comparison import formula_fault, table_fault, text_fault, words_fault
from orchestrator.registry.spec import ModelSpec, TaskName

#: characters of an answer that are kept in a record
_KEPT = 2000


@dataclass(frozen=True, slots=True)
class Task:
    """One picture. ``expected`` is for people; ``fault`` says what is wrong with an answer, "" for nothing."""

    name: TaskName
    expected: str
    fault: Callable[[str], str]
    max_tokens: int

    @property
    def image(self) -> str:
        """Name of the picture's file."""
        return f"{self.name}.png"

    def judge(self, answer: str) -> Check:
        """The answer as it is recorded."""
        why = self.fault(answer)
        return Check(self.name, not why, self.expected, answer[:_KEPT], why)


PRINTED = "K7R42"
TEXT = "The harbour opens at 7:30.\nBoats leave every 20 minutes,\nexcept on public holidays."
ROWS = (("Item", "Count", "Price"), ("Bolt", "120", "0.35"), ("Washer", "400", "0.08"), ("Hinge", "16", "2.90"))
FORMULA = r"x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}"
SCENE = (
    ("red",),
    ("circle", "ball", "disc", "disk", "dot"),
    ("blue",),
    ("square", "rectangle", "box", "cube"),
    ("green",),
    ("triangle", "pyramid"),
)

_TABLE = "\n".join(" | ".join(row) for row in ROWS)
_SCENE = ", ".join(group[0] for group in SCENE)
TASKS: Mapping[TaskName, Task] = MappingProxyType(
    {
        "printed": Task("printed", PRINTED, partial(text_fault, PRINTED, limit=0), 16),
        "text": Task("text", TEXT, partial(text_fault, TEXT, limit=0.05), 256),
        "table": Task("table", _TABLE, partial(table_fault, _TABLE, limit=0.1), 512),
        "formula": Task("formula", FORMULA, partial(formula_fault, FORMULA, limit=0.15), 256),
        "scene": Task("scene", _SCENE, partial(words_fault, SCENE), 256),
    }
)


def asked_of(spec: ModelSpec) -> tuple[tuple[Task, str], ...]:
    """What a model is asked, with its entry's question. An entry that names no task is asked to read text."""
    questions: Mapping[TaskName, str] = spec.tasks or {"text": spec.probe.prompt}
    return tuple((task, questions[name]) for name, task in TASKS.items() if name in questions)
