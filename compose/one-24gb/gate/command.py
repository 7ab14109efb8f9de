"""``gate run``: from the command line to a supervisor."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .core import Policy
from .health import DEFAULT_STATE
from .supervisor import Options, Supervisor
from .wake import Wake

DEFAULT_LOCKS = "/locks"


class UsageError(Exception):
    """The command line is wrong; the text says how."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def parse(argv: Sequence[str], host: str) -> Options:
    """Options of ``run``, without the word itself. Raises UsageError."""
    # Split here, since argparse treats `--` and what follows it differently from version to version.
    at = _engine_at(argv)
    found = _parser().parse_args(argv[:at])
    engine = tuple(argv[at + 1 :])
    if not engine:
        raise UsageError("no engine after --")
    return Options(
        argv=engine,
        port=found.port,
        state=Path(found.state),
        locks=Path(found.locks),
        name=found.name or host,
        host=host,
        gpus=tuple(found.gpu),
        claim_mib=found.claim_mib,
        secrets=tuple(found.secret),
        sleep_mode=found.sleep_mode,
        policy=Policy(found.restarts, found.pause, found.forget_after),
        grace_s=found.grace,
        poll_s=found.poll,
    )


def main(argv: list[str]) -> int:
    """Run a verb other than ``health``; returns the exit code of the process."""
    if argv[:1] != ["run"] or {"-h", "--help"} & set(argv[: _engine_at(argv)]):
        print(_parser().format_help(), file=sys.stderr)
        return 0 if {"-h", "--help"} & set(argv) else 2
    wake = Wake()
    host = os.uname().nodename
    try:
        options = parse(argv[1:], host)
    except UsageError as error:
        state = Path(_state_of(argv))
        return Supervisor(_bare(state, host), wake).refuse(f"The gate's command line is wrong: {error}.")
    return Supervisor(options, wake).run()


def _engine_at(argv: Sequence[str]) -> int:
    return argv.index("--") if "--" in argv else len(argv)


def _state_of(argv: Sequence[str]) -> str:
    """The --state of a command line that could not be read, so that its health check tells why."""
    words = argv[: _engine_at(argv)]
    at = words.index("--state") + 1 if "--state" in words else len(words)
    return words[at] if at < len(words) else DEFAULT_STATE


def _bare(state: Path, host: str) -> Options:
    return Options(argv=(), port=0, state=state, locks=Path(DEFAULT_LOCKS), name=host, host=host)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="gate run",
        usage="gate run --port PORT [options] -- ENGINE ARGV...",
        description="Start an engine when its turn on the GPU has come, and look after it.",
        epilog="The other verb is `gate health [--state FILE]`, the container's health check.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--port", type=_port, required=True, help="port of the engine, for GET /health on 127.0.0.1")
    add(
        "--gpu",
        action="append",
        default=[],
        metavar="ID",
        help="UUID of a GPU of this container (repeatable)",
    )
    add(
        "--claim-mib",
        type=_count,
        default=0,
        metavar="N",
        help="memory to wait for, per GPU (0: do not look)",
    )
    add(
        "--secret",
        action="append",
        type=_secret,
        default=[],
        metavar="ENV=FILE",
        help="secret file (repeatable)",
    )
    add("--sleep-mode", action="store_true", help="the engine can sleep: health asks it for GET /is_sleeping too")
    add("--name", default="", help="name of the container (default: its host name)")
    add("--locks", default=DEFAULT_LOCKS, metavar="DIR", help="folder of the locks (default: %(default)s)")
    add("--state", default=DEFAULT_STATE, metavar="FILE", help="where health reads (default: %(default)s)")
    add(
        "--restarts",
        type=_count,
        default=3,
        metavar="N",
        help="most restarts in a row (default: %(default)s)",
    )
    add(
        "--pause",
        type=_pauses,
        default=(5.0, 20.0, 60.0),
        metavar="S,S,...",
        help="before each (default: 5,20,60)",
    )
    add(
        "--forget-after",
        type=_seconds,
        default=600.0,
        metavar="S",
        help="ready so long: count anew (default: 600)",
    )
    add("--grace", type=_seconds, default=25.0, metavar="S", help="from a stop to a kill (default: 25)")
    add(
        "--poll",
        type=_seconds,
        default=0.25,
        metavar="S",
        help="between looks at lock and health (default: 0.25)",
    )
    return parser


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, got {text!r}")
    return int(text)


def _port(text: str) -> int:
    if not 1 <= _count(text) <= 65535:
        raise argparse.ArgumentTypeError(f"must be a port from 1 to 65535, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or float(text) <= 0:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, got {text!r}")
    return float(text)


def _pauses(text: str) -> tuple[float, ...]:
    return tuple(_seconds(part) for part in text.split(","))


def _secret(text: str) -> tuple[str, Path]:
    name, _, file = text.partition("=")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or not file:
        raise argparse.ArgumentTypeError(f"must be NAME=FILE, got {text!r}")
    return name, Path(file)
