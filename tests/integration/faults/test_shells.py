"""Three shells at once: one starts models, one takes them down, one looks. However it comes, nothing is half done."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.cli import Cli
from tests.integration.faults.results import record
from tests.integration.faults.standing import nothing_more, standing

NAMES = ("a", "b", "c")
#: what each shell does, and the exit codes that may come of it: what was started may be taken down meanwhile (1)
SHELLS: dict[str, tuple[tuple[tuple[str, ...], ...], frozenset[int]]] = {
    "up": ((("up", "a", "b"), ("up", "b", "c"), ("up", "c", "--no-wait"), ("up", "a", "--json")), frozenset({0, 1})),
    "down": ((("down", "a"), ("down", "b", "c"), ("down", "--all", "--yes")), frozenset({0})),
    "status": (
        (("status",), ("status", "--json"), ("status", "a"), ("status", "b", "--json"), ("status", "--probe")),
        frozenset({0, 1}),
    ),
}
#: the words of what may come of it with exit code 1
EXPECTED = re.compile(r"not ready: |there is no container of |Error response from daemon: No such container")


def shell(cli: Cli, kind: str, until: float, wrong: list[str]) -> Counter[str]:
    """Run commands until then; what must not be is added to ``wrong``. Returns how often there was which exit code."""
    commands, allowed = SHELLS[kind]
    choice = random.Random(kind)  # noqa: S311 (no secret)
    codes: Counter[str] = Counter()
    while time.monotonic() < until and not wrong:
        words = choice.choice(commands)
        done = cli.run(*words, code=None)
        codes[f"{kind} {done.code}"] += 1
        strange = done.code not in allowed or "internal error" in done.err
        if strange or (done.code == 1 and done.err and not EXPECTED.search(done.err)):
            wrong.append(f"orchestrator {' '.join(words)}: {done}")
    return codes


@pytest.mark.parametrize("seconds", [20, pytest.param(120, marks=pytest.mark.long)])
def test_three_shells_at_once(cli: Cli, seconds: int) -> None:
    for port, name in enumerate(NAMES, 24920):
        cli.entry(name, port=port)
    cli.run("up", *NAMES)
    cli.run("down", "--all", "--yes")
    before = standing(cli)
    wrong: list[str] = []
    until = time.monotonic() + seconds
    with ThreadPoolExecutor() as pool:
        counts = pool.map(lambda kind: shell(cli.beside(kind), kind, until, wrong), SHELLS)
        codes = sum(counts, Counter[str]())
    print(codes)
    try:
        assert not wrong, wrong
        cli.run("up", *NAMES)
        assert {name: shown["ready"] for name, shown in cli.status().items()} == dict.fromkeys(NAMES, True)
        cli.run("down", "--all", "--yes")
        nothing_more(cli, before)
    except AssertionError as error:
        wrong.append(str(error))
        raise
    finally:
        said = ", ".join(f"{count} x {what}" for what, count in sorted(codes.items()))
        record(
            "three-shells",
            "crashes",
            what=f"three shells at once, {seconds} s of `up`, `down`, `status` of three models; then `up` and `down`",
            result=f"{codes.total()} commands (with their exit codes: {said}); no traceback, nothing left",
            limit="no traceback, nothing left",
            holds=not wrong,
        )
