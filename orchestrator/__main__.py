"""``python -m orchestrator``, and the command ``orchestrator``."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import cast

#: what ``--help`` prints, as click words it in 80 columns; a test compares the two. The import of click alone takes
#: twice as long as a bare Python, and nobody should wait for a text that is always the same
HELP = """\
Usage: orchestrator [OPTIONS] COMMAND [ARGS]...

  Run vision-language and OCR models in containers on your own GPUs.

Options:
  --project TEXT  Compose project.  [default: the fleet's, else orchestrator]
  --registry DIR  A folder of your own entries; may be given several times.
                  They add to the built-in ones and override them.
  --fleet FILE    The fleet file.  [default: orchestrator.yaml, if it is
                  there]
  --no-fleet      Leave the fleet file aside.
  --verbose       Show the output of builds and pulls, and tracebacks.
  --version       Show the version and exit.
  -h, --help      Show this message and exit.

Commands:
  models      List, show, validate and check registry entries.
  inventory   Show this host's GPUs, Docker and Compose.
  recommend   Show which models a GPU can run, and with what limits.
  init        Write a first fleet file for this host.
  plan        Show what 'up' would do, with causes.
  render      Write docker-compose files for a host.
  lock        Pin weights by commit and images by digest, in a file.
  pull        Fetch models' images and weights ahead of time.
  up          Start models and follow them until they have answered.
  status      Show what runs.
  logs        Show what a model's container printed.
  ask         Send a prompt, and an image, to a running model.
  restart     Restart models.
  stop        Stop models; their containers stay.
  start       Start stopped models.
  sleep       Free the GPU of vLLM models for a while.
  wake        Wake models that sleep.
  down        Remove models' containers; weights stay.
  doctor      Check this machine, and say what to do.
  verify      Ask models on each engine what is known, and record the
              evidence.
  report      Write the compatibility report, in English or Russian.
  image       List and build our images.
  export      Print connection settings for clients.
  completion  Print the script for completion in a shell.
"""


def main() -> None:
    """Run the command line and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        # a locale without these letters, or a name that is no text, is no reason to fail
        cast("TextIOWrapper", stream).reconfigure(errors="backslashreplace")
    if sys.argv[1:] in (["--help"], ["-h"]):
        print(HELP, end="")  # noqa: T201 (the command line prints, and this stands in for it)
        return
    from orchestrator.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
