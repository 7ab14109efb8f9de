"""Runs where vLLM is: reads command lines as JSON and says what vLLM's own parser makes of each.

Given: ``{"a name": ["vllm", "serve", ...]}``. The last line printed: vLLM's version, and by name either what was
``parsed`` (each value as text) or why the command line was ``refused``. No model is loaded. Also works with releases as
old as the table in ``orchestrator/traits.py``.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any


def parser() -> tuple[Callable[[Sequence[str]], Namespace], Callable[[Namespace], None]]:
    """What ``vllm serve`` parses its command line with, as its main program puts it together, and its own checks."""
    from vllm.entrypoints.cli import serve  # noqa: PLC0415 (seconds, and noise)

    try:
        from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: PLC0415
    except ImportError:
        from vllm.utils import FlexibleArgumentParser  # noqa: PLC0415 (before 0.11.1)
    whole = FlexibleArgumentParser()
    (command,) = serve.cmd_init()
    command.subparser_init(whole.add_subparsers(dest="subparser"))
    return whole.parse_args, command.validate


def main() -> None:
    """Print it."""
    given: Mapping[str, Sequence[str]] = json.load(sys.stdin)
    parse, check = parser()
    parsed: dict[str, dict[str, str]] = {}
    refused: dict[str, str] = {}
    for name, (program, *arguments) in given.items():
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                found: Any = parse(arguments)
                check(found)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever it raises is its refusal)
            refused[name] = f"{program}: {error}: {said.getvalue()[-600:]}"
        else:
            parsed[name] = {key: str(value) for key, value in vars(found).items()}
    print(json.dumps({"version": version("vllm"), "parsed": parsed, "refused": refused}))


if __name__ == "__main__":
    main()
