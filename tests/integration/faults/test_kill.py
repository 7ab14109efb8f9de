"""kill -9 of ``up`` and ``down`` between any two changes that they make, then the next command: it sees the truth, and
comes to the same good end.

What the changes are is found out by a run that nobody stops. Here a few of them; the long campaign stops at each.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pytest

from tests.integration.cli import Cli
from tests.integration.engine import wait_for
from tests.integration.faults.cases import Build, Case, Create, Down, DownAll, Purge, Replace, Return
from tests.integration.faults.results import record
from tests.integration.faults.stopper import Stopper, spread
from tests.integration.faults.wire import CUTS, wire
from tests.integration.images import NEWEST

#: at so many of the boundaries each command is killed by ``make test``, which has little time
PORTS = {Create: 3, Replace: 0, Return: 1, Down: 0, DownAll: 0, Purge: 1}
REQUESTS = {Create: 1, Replace: 1, Purge: 0}


def short_and_long(counts: Mapping[type[Case], int]) -> list[object]:
    """Parameters: each case with how often it is killed, and with None for at every boundary."""
    return [
        *(pytest.param(kind, count, id=kind.__name__) for kind, count in counts.items() if count),
        *(pytest.param(kind, None, id=f"{kind.__name__}-all", marks=pytest.mark.long) for kind in counts),
    ]


@pytest.mark.parametrize(("kind", "count"), short_and_long(PORTS))
def test_killed_between_two_steps(cli: Cli, kind: type[Case], count: int | None) -> None:
    case, stopper = kind(cli), Stopper(cli)
    case.before()
    boundaries = stopper.boundaries(*case.arguments, code=case.code)
    case.ways[0]()
    places = [(words, partial(stopper.stop, *case.arguments, at=at)) for at, words in spread(boundaries, count)]
    campaign(case, "step boundaries", f"at {len(places)} of its {len(boundaries)} step boundaries", places)


@pytest.mark.parametrize(("kind", "count"), short_and_long(REQUESTS))
def test_killed_between_two_requests_to_docker(cli: Cli, kind: type[Case], count: int | None) -> None:
    case = kind(cli)
    with wire(cli) as docker:
        case.before()
        changes = docker.watch(cli, *case.arguments, code=case.code)
        case.ways[0]()
        places = [
            (f"at {words}, {cut}", partial(docker.cut, cli, *case.arguments, at=at, cut=cut))
            for at, words in spread(changes, count)
            for cut in (CUTS if count is None else [CUTS[at % len(CUTS)]])
        ]
        ways = f"in {len(CUTS)} ways at each" if count is None else f"at {len(places)}"
        campaign(case, "requests to Docker", f"{ways} of its {len(changes)} requests to Docker", places)


@pytest.mark.parametrize("count", [1, pytest.param(None, marks=pytest.mark.long)])
def test_killed_while_an_image_is_built(cli: Cli, cpu_image: str, count: int | None) -> None:
    """How many lines a build prints is not always the same, so it is stopped in its first half, and at both ends."""
    case, stopper = Build(cli, image=cpu_image), Stopper(cli)
    case.before()
    boundaries = stopper.boundaries(*case.arguments)
    case.ways[0]()
    first, last = (boundaries.index(f"{when} builder.build") + 1 for when in ("before", "after"))
    chosen: list[str | int] = [(first + last) // 3] if count else [first, *range(first + 1, (first + last) // 2, 6)]
    chosen += [] if count else ["after builder.build"]
    places = [
        (f"at {at} of a build from {first} to {last}", partial(stopper.stop, *case.arguments, at=at)) for at in chosen
    ]
    try:
        campaign(case, "boundaries of a build", f"at {len(places)} of {last - first + 1} boundaries of a build", places)
    except BaseException:
        cli.run("image", "build", f"{NEWEST}-cpu", timeout=300)  # others need it
        raise


@pytest.mark.parametrize(
    ("at", "number"),
    [
        ("before workspace.write gate", signal.SIGTERM),
        ("after compose.up", signal.SIGINT),
    ],
)
def test_up_interrupted(cli: Cli, at: str, number: int) -> None:
    """What goes on, how to follow it, and how to end it."""
    cli.entry("tiny", port=Create.port)
    done = Stopper(cli).stop("up", "tiny", at=at, number=number)
    assert done.code == 130, done
    assert "error: interrupted; what was begun for tiny goes on starting" in done.err
    assert "'orchestrator up tiny' follows it again, 'orchestrator down tiny' takes it down" in done.err
    begun = cli.ids()
    assert bool(begun) == ("workspace" not in at)
    cli.run("up", "tiny")
    assert set(begun.values()) <= set(cli.ids().values()), "what was begun is kept"


def test_down_interrupted(cli: Cli) -> None:
    """Also where all is gone, and only its proof is missing."""
    case, at = Down(cli), "before workspace.forget"
    case.before()
    done = Stopper(cli).stop(*case.arguments, at=at, number=signal.SIGTERM)
    assert done.code == 130, done
    assert "interrupted; removed: tiny-transformers; whether all that they held came back was not seen" in done.err
    converges(case, 0, at)


def campaign(case: Case, kind: str, where: str, places: Sequence[tuple[str, Callable[[], object]]]) -> None:
    """Kill at each place, then give the next commands in turn: as things are after a step they are before the next."""
    todo = [(words, kill, number % len(case.ways)) for number, (words, kill) in enumerate(places)]
    converged = 0
    try:
        for words, kill, way in todo:
            case.before()
            kill()
            converges(case, way, words)
            converged += 1
    finally:
        record(
            f"kill-{type(case).__name__}-{kind}".lower().replace(" ", "-"),
            "crashes",
            what=f"kill -9 of {case.title} {where}, then {' or '.join(case.next)}",
            result=f"{converged} of {len(todo)} came to the same good end",
            limit="all",
            holds=converged == len(todo),
        )


def converges(case: Case, way: int, words: str) -> None:
    """What was cut off there comes to its good end."""
    try:
        truth(case.cli)
        case.ways[way]()
    except (AssertionError, TimeoutError) as error:
        error.add_note(f"{case.title} was cut off {words}, next command {way}")
        raise


def truth(cli: Cli) -> None:
    """``status`` shows the containers that there are. A Compose that outlived ``up`` may change them meanwhile."""

    def shown() -> bool:
        done = cli.run("status", "--json", code=None)
        assert done.code in {0, 1}, done
        names = {entry["container"] for entry in json.loads(done.out)["models"]}
        return names == {name for name in cli.ids() if "orchestrator-" in name}

    wait_for(shown, "status to show what Docker has", seconds=20, every=0.2)
