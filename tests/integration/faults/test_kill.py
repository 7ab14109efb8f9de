"""kill -9 of ``up`` and ``down`` between any two changes that they make, then the next command: it sees the truth, and
comes to the same good end.

What the changes are is found out by a run that nobody stops. Here a few of them, the long campaign stops at each.
"""

from __future__ import annotations

import json
import signal

import pytest

from tests.integration.cli import Cli
from tests.integration.faults.cases import CASES, OURS, Case, Create, Down, Purge, Replace, Return
from tests.integration.faults.stopper import Stopper, spread
from tests.integration.faults.wire import CUTS, wire


def truth(cli: Cli) -> None:
    """``status`` shows the containers that there are."""
    done = cli.run("status", "--json", code=None)
    assert done.code in {0, 1}, done
    shown = {entry["container"] for entry in json.loads(done.out)["models"]}
    assert shown == {name for name in cli.ids() if name.endswith("-transformers")}


def converges(case: Case, way: int, words: str) -> None:
    """What was cut off there comes to its good end."""
    try:
        truth(case.cli)
        case.ways[way]()
    except AssertionError as error:
        error.add_note(f"{' '.join(case.arguments)} was killed {words}; way {way}")
        raise


@pytest.mark.parametrize("kind", CASES)
def test_killed_at_the_boundaries_of_its_steps(cli: Cli, kind: type[Case]) -> None:
    case, stopper = kind(cli), Stopper(cli)
    case.before()
    boundaries = stopper.boundaries(*case.arguments, code=case.code)
    case.ways[0]()
    for at, words in spread(boundaries, 5):
        case.before()
        stopper.stop(*case.arguments, at=at)
        converges(case, at % len(case.ways), words)


@pytest.mark.parametrize("kind", [Create, Replace, Purge])
def test_killed_between_two_requests_to_docker(cli: Cli, kind: type[Case]) -> None:
    case = kind(cli)
    with wire(cli) as docker:
        case.before()
        changes = docker.watch(cli, *case.arguments, code=case.code)
        print(changes)
        case.ways[0]()
        for at, words in spread(changes, 3):
            case.before()
            cut = CUTS[at % len(CUTS)]
            docker.cut(cli, *case.arguments, at=at, cut=cut)
            converges(case, at % len(case.ways), f"at {words}, {cut}")
