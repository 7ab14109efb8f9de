"""Terminals and pipes: colours, widths, a locale without letters, and the watch that draws over itself."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from orchestrator.cli.terminal import Board, colours
from orchestrator.observation import Gate
from tests.builders import container
from tests.fakes import FakeWorld
from tests.functional.cli import Command
from tests.functional.screen import Terminal
from tests.functional.test_cli_environment import engine


@pytest.mark.parametrize(
    ("variables", "terminal", "pipe"),
    [
        ({}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"CLICOLOR": "0"}, False, False),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_who_gets_colours(variables: dict[str, str], terminal: bool, pipe: bool) -> None:
    assert colours(Terminal(), variables) == terminal
    assert colours(io.StringIO(), variables) == pipe


# --- the real program, on a terminal of its own

NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock", "HOME": "/nowhere", "PATH": "/usr/bin:/bin", "TERM": "xterm"}


def on_a_terminal(*arguments: str, columns: int = 80, **variables: str) -> str:
    """What it writes to a terminal of that width; no Docker answers there."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, columns))
    argv = [sys.executable, "-m", "orchestrator", *arguments]
    with subprocess.Popen(argv, stdin=its, stdout=its, stderr=its, env=NOWHERE | variables) as process:
        os.close(its)
        said = b""
        while chunk := _read(ours):
            said += chunk
        process.wait(60)
    os.close(ours)
    return said.decode().replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux's word for the end of a terminal
        return b""


def test_a_terminal_gets_colours_and_its_width() -> None:
    said = on_a_terminal("doctor", columns=60)
    assert "\x1b[31mPROBLEM\x1b[0m  Docker Engine" in said
    table = said.partition("PROBLEM")[2].splitlines()[:3]
    assert all(len(re.sub(r"\x1b\[\d+m", "", line)) <= 60 for line in table)
    assert "\x1b" not in on_a_terminal("doctor", NO_COLOR="1")
    assert "\x1b" not in on_a_terminal("doctor", TERM="dumb")


def test_a_pipe_gets_colours_where_they_are_wanted_and_lines_of_any_length() -> None:
    argv = [sys.executable, "-m", "orchestrator", "doctor"]
    plain, painted = (
        subprocess.run(argv, env=NOWHERE | more, capture_output=True, text=True, timeout=60, check=False).stdout
        for more in ({}, {"FORCE_COLOR": "1", "COLUMNS": "40"})
    )
    assert "\x1b[31mPROBLEM\x1b[0m" in painted
    assert re.sub(r"\x1b\[\d+m", "", painted) == plain


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_the_models_are_readable_on_narrow_terminals(columns: int) -> None:
    lines = on_a_terminal("models", "list", columns=columns).splitlines()
    assert max(map(len, lines)) <= columns
    assert {"dots-ocr", "got-ocr2", "phi-3-5-vision"} <= {line.split()[0] for line in lines}


@pytest.mark.parametrize("encoding", ["ascii"])
def test_a_locale_without_our_letters_is_no_crash(encoding: str) -> None:
    environment = NOWHERE | {"PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    for arguments in (
        ["models", "show", "got-ocr2"],
        ["models", "show", "\u043d\u0435\u0442"],
        ["models", "list", "--json"],
    ):
        argv = [sys.executable, "-m", "orchestrator", *arguments]
        done = subprocess.run(argv, env=environment, capture_output=True, timeout=60, check=False)
        assert b"internal error" not in done.stderr
        assert b"Traceback" not in done.stderr
        if "--json" in arguments:
            assert json.loads(done.stdout.decode(encoding))


def test_a_name_that_is_no_text_is_an_error_like_any_other() -> None:
    argv: list[str | bytes] = [sys.executable, "-m", "orchestrator", "models", "show", b"\xff"]
    done = subprocess.run(argv, env=NOWHERE | {"LC_ALL": "C.UTF-8"}, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: there is no model")


# --- the watch


def test_the_watch_draws_over_itself_and_never_clears() -> None:
    screen = Terminal()
    screen.write("what was there before\n")
    board = Board(screen, lambda: (80, 24))
    board.show("MODEL  STATE\na      starting\nnote: b\n", 1)
    board.show("MODEL  STATE\na      ready\n", 2)
    assert screen.shows() == ["what was there before", "MODEL  STATE", "a      ready"]
    written = screen.getvalue()
    assert "\x1b[2J" not in written
    assert "\x1b[H" not in written
    assert "\x1b[?1049h" not in written, "the last lines stay where they are"


def test_the_watch_fits_a_small_terminal_and_follows_its_size() -> None:
    screen, sizes = Terminal(), [(80, 5), (80, 5), (40, 24)]
    board = Board(screen, lambda: sizes[0])
    text = "".join(f"line {number}\n" for number in range(9))
    board.show(text, 1)
    assert screen.shows() == ["line 0", "line 1", "line 2", "... 6 more lines"]
    del sizes[:2]
    board.show(text, 1)
    assert screen.shows() == text.splitlines()


def test_the_watch_on_a_terminal_ends_with_ctrl_c_and_leaves_its_last_lines(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    variables = NOWHERE | {"DOCKER_HOST": f"unix://{tmp_path}/docker.sock", "HOME": str(tmp_path)}
    another = {"Id": "c1", "Names": ["/web"], "Labels": {}, "Ports": []}
    argv = [sys.executable, "-m", "orchestrator", "status", "--watch"]
    with (
        engine(tmp_path / "docker.sock", {"/containers/json?all=1": [another]}),
        subprocess.Popen(argv, stdin=its, stdout=its, stderr=its, env=variables) as process,
    ):
        os.close(its)
        said = b""
        while b"nothing runs" not in said:
            said += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        while chunk := _read(ours):
            said += chunk
        assert process.wait(60) == 130
    os.close(ours)
    screen = Terminal()
    screen.write(said.decode().replace("\r\n", "\n"))
    assert screen.shows() == ["nothing runs in project orchestrator"]


def watched(here: FakeWorld, do: Command, *more: str) -> str:
    """Half a minute of it, with a start that becomes ready after 11 s."""

    def end() -> None:
        raise KeyboardInterrupt

    here.docker.add(container("a", gate=Gate("starting"), health="starting"))
    here.clock.at(11, lambda: here.docker.change("a-transformers", gate=Gate("ready"), health="healthy"))
    here.clock.at(30, end)
    said = do("status", "--watch", *more)
    assert (said.code, said.err) == (130, "")
    return said.out


def test_in_a_pipe_the_watch_shows_changes_alone(here: FakeWorld, do: Command) -> None:
    here.pulse.dead.add("a")
    here.clock.at(11, lambda: here.pulse.dead.discard("a"))
    blocks = watched(here, do).split("\n\n")
    assert [re.split(" +", block.splitlines()[1])[2] for block in blocks] == ["starting", "ready"]
    assert "\x1b" not in "".join(blocks)


def test_for_a_program_the_watch_prints_a_line_per_change(here: FakeWorld, do: Command) -> None:
    here.pulse.dead.add("a")
    here.clock.at(11, lambda: here.pulse.dead.discard("a"))
    found = [json.loads(line) for line in watched(here, do, "--json").splitlines()]
    assert [seen["models"][0]["state"] for seen in found] == ["starting", "ready"]
