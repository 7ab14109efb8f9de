"""How answers are compared: tolerant of how models write, not of what they read."""

from __future__ import annotations

import pytest

from orchestrator.reference.comparison import cells, distance, symbols
from orchestrator.reference.tasks import FORMULA, PRINTED, TASKS, TEXT, asked_of
from orchestrator.registry.spec import TaskName
from tests.builders import spec

ROWS = "Item Count Price\nBolt 120 0.35\nWasher 400 0.08\nHinge 16 2.90"
MARKDOWN = """Here is the table:
| **Item** | Count | Price |
|:--|--:|--:|
| Bolt | 120 | 0.35 |
| Washer | 400 | 0.08 |
| Hinge | 16 | 2.90 |
"""
HTML = (
    "<table><tr><td>Item</td><td>Count</td><td>Price</td></tr><tr><td>Bolt</td><td>120</td><td>0.35</td></tr>"
    "<tr><td>Washer</td><td>400</td><td>0.08</td></tr><tr><td>Hinge</td><td>16</td><td>2.90</td></tr></table>"
)
LATEX = r"""\begin{tabular}{|l|l|l|} \hline Item & Count & Price \\ Bolt & 120 & 0.35 \\ \hline
\textbf{Washer} & 400 & 0.08 \\ Hinge & 16 & 2.90 \\ \end{tabular}"""


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("printed", PRINTED),
        ("printed", f" {PRINTED.lower()}\n"),
        ("text", TEXT),
        ("text", TEXT.replace("\n", " ")),
        ("text", f'The text in the image reads: "**{TEXT}**"'),
        ("text", TEXT.replace("7:30", "7:3O").replace("Boats", "Boat5")),
        ("table", ROWS),
        ("table", MARKDOWN),
        ("table", HTML),
        ("table", LATEX),
        ("table", MARKDOWN.replace("0.08", "0.03")),
        ("formula", FORMULA),
        ("formula", r"\[ x=\dfrac{-b\pm\sqrt{b^{2}-4 a c}}{2 a} \]"),
        ("formula", r"The formula is $x = {-b \pm \sqrt{b^2 - 4ac} \over 2a}$."),
        ("formula", "x = (−b ± √(b² − 4ac)) / (2a)"),  # noqa: RUF001
        ("formula", "x = (-b +/- sqrt(b^2 - 4ac)) / 2a"),
        ("scene", "A red circle, a blue square and a green triangle on white."),
        ("scene", "There are three shapes: one red disc, one blue BOX, one green pyramid."),
        ("scene", "Red circles, blue squares, green triangles"),
    ],
)
def test_right_answers(task: TaskName, answer: str) -> None:
    check = TASKS[task].judge(answer)
    assert (check.passed, check.why) == (True, "")
    assert check.answered == answer


@pytest.mark.parametrize(
    ("task", "answer", "why"),
    [
        ("printed", "", "5 of 5 characters are wrong"),
        ("printed", "K7R41", "1 of 5 characters are wrong"),
        ("text", "", "83 of 83 characters are wrong"),
        ("text", TEXT[:60], "23 of 83 characters are wrong"),
        ("table", ROWS.replace("0.08", "0.03").replace("Bolt", "Belt"), "2 of 12 cells are wrong"),
        ("table", "Item Bolt Washer Hinge Count 120 400 16 Price 0.35 0.08 2.90", "cells are wrong"),
        ("formula", r"x = \frac{-b}{2a}", "symbols are wrong"),
        ("formula", "E = mc^2", "symbols are wrong"),
        ("formula", "", "15 of 15 symbols are wrong"),
        ("scene", "A red circle and a blue square.", "does not say green, triangle"),
        ("scene", "tired circular blues", "does not say red, circle, square, green, triangle"),
    ],
)
def test_wrong_answers(task: TaskName, answer: str, why: str) -> None:
    check = TASKS[task].judge(answer)
    assert not check.passed
    assert why in check.why


def test_the_nearest_part_counts() -> None:
    assert distance("abc", "xxabcxx") == 0
    assert distance("abc", "xxabxx") == 1
    assert distance("abc", "") == 3
    assert distance("", "abc") == 0


def test_what_is_for_layout_alone_is_no_symbol() -> None:
    assert symbols(r"\left( \frac{a}{b} \right)^2 \, \times \sqrt{c}") == ["a", "b", "^", "2", r"\times", r"\sqrt", "c"]
    assert cells(r"<td colspan=2>One</td> & \textbf{two}: 3,50") == ["one", "two", "3,50"]


def test_a_long_answer_is_cut_in_the_record_alone() -> None:
    check = TASKS["printed"].judge("x" * 5000 + PRINTED)
    assert check.passed
    assert len(check.answered) == 2000


def test_an_entry_says_what_it_is_asked() -> None:
    asked = asked_of(spec(tasks={"scene": "Look.", "text": "Read."}))
    assert [(task.name, question) for task, question in asked] == [("text", "Read."), ("scene", "Look.")]
    assert [(task.name, question) for task, question in asked_of(spec())] == [("text", "Read it.")]
