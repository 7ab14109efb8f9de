"""YAML text to values with lines: what is refused, and what YAML 1.1 readers would have changed silently."""

from __future__ import annotations

import pytest

from orchestrator.registry.tree import MAX_CHARACTERS, read


def problems(text: str) -> list[str]:
    return [str(problem) for problem in read("f.yaml", text).problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 12", 12),
        ("a: -3", -3),
        ("a: 0x10", 16),
        ("a: 1.5", 1.5),
        ("a: 1e3", 1000.0),
        ("a: true", True),
        ("a: null", None),
        ("a:", None),
        ("a: yes", "yes"),
        ("a: off", "off"),
        ("a: 2026-01-24", "2026-01-24"),
        ("a: 12:30:45", "12:30:45"),
        ("a: 1_000", "1_000"),
        ("a: '12'", "12"),
        ("a: |\n  12\n", "12\n"),
        ("a: >-\n  one\n  two\n", "one two"),
        ('"a": "\\n"', "\n"),
        ("\ufeffa: 1\r\n", 1),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    tree = read("f.yaml", text)
    assert tree.problems == ()
    assert tree.get("a") == value
    assert type(tree.get("a")) is type(value)


def test_lines_are_those_of_the_keys() -> None:
    tree = read("f.yaml", "# comment\na:\n  - x: 1\n    y: >-\n      folded\n      text\n  - {z: 2}\nb:\n\n  3\n")
    assert dict(tree.lines) == {
        (): 2,
        ("a",): 2,
        ("a", 0): 3,
        ("a", 0, "x"): 3,
        ("a", 0, "y"): 4,
        ("a", 1): 7,
        ("a", 1, "z"): 7,
        ("b",): 8,
    }
    assert tree.line(("a", 0, "missing")) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["f.yaml: is empty"]),
        ("# only a comment\n", ["f.yaml: is empty"]),
        ("a: 1\n---\nb: 2\n", ["f.yaml:2: a second document begins here, and a file may hold only one"]),
        ("a:\n\tb: 1\n", ["f.yaml:2: is not YAML: a tab can't indent; use spaces"]),
        (
            "a: b: c\n",
            [
                "f.yaml:1: is not YAML: text with ': ' in it needs quotes, and keys of one level the same indent",
            ],
        ),
        ('a: "\\UFFFFFFFF"', ["f.yaml: is not YAML: Python int too large to convert to C int"]),
        ("a: 1\nb: \x07", ["f.yaml:2: holds the control character U+0007"]),
        ('a: "\\0"', ["f.yaml:1 a: holds the control character U+0000"]),
        ('a: "\\uD800"', ["f.yaml:1 a: holds the control character U+D800"]),
        ("a: \ud800", ["f.yaml:1: holds the control character U+D800"]),
        ("x" * (MAX_CHARACTERS + 1), [f"f.yaml: has more than {MAX_CHARACTERS} characters"]),
        (
            "a: 007",
            ["f.yaml:1 a: 007 begins with a zero, which some readers take as octal; drop it, or quote it as text"],
        ),
        ("a: .nan", ["f.yaml:1 a: must be a finite number, got .nan"]),
        ("a: -.inf", ["f.yaml:1 a: must be a finite number, got -.inf"]),
        ("a: 1e999", ["f.yaml:1 a: the number 1e999 is too large; put it in quotes if it is text"]),
        (
            f"a: {'9' * 5000}",
            [f"f.yaml:1 a: the number {'9' * 39}… is too large; put it in quotes if it is text"],
        ),
        ("a: !!python/name:os.system x", ["f.yaml:1 a: tags (!name) are not supported"]),
        ("a: !x {b: 1}", ["f.yaml:1 a: tags (!name) are not supported"]),
        ("a: &x 1\nb: *x\n", ["f.yaml:2 b: aliases (*name) are not supported; write the value out"]),
        ("a: 1\nb: 2\na: 3\na: 4\n", [f"f.yaml:{line} a: is given twice; the first is in line 1" for line in (3, 4)]),
        (
            "1: x\ntrue: y\n",
            ["f.yaml:1 1: a key must be text; put it in quotes", "f.yaml:2 true: a key must be text; put it in quotes"],
        ),
        ("? [a, {b: *c}]\n: x\nd: 1\n", ["f.yaml:1: a key must be text"]),
    ],
)
def test_what_is_refused(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def test_what_stands_under_a_refused_key_is_not_reported_as_well() -> None:
    tree = read("f.yaml", "a: 1\na: {b: *x, c: 007}\nd: 2\n")
    assert [problem.line for problem in tree.problems] == [2]
    assert tree.data == {"a": 1, "d": 2}


def test_a_value_with_a_problem_is_marked_as_unread() -> None:
    tree = read("f.yaml", "a: [1, 007]\n")
    assert tree.data == {"a": [1, None]}
    assert tree.unread == {("a", 1)}


@pytest.mark.parametrize("text", ["[" * 40_000, "a: " + "{a: " * 40_000, "- " * 40_000])
def test_deep_nesting_is_refused_without_recursion(text: str) -> None:
    tree = read("f.yaml", text)
    assert tree.broken
    assert tree.problems[0].message == "is nested more than 10 levels deep"


def test_an_alias_bomb_stays_small() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    tree = read("f.yaml", "\n".join(lines))
    assert len(tree.problems) == 72
    assert len(str(tree.data)) < 1000
