"""Completion, by click's own machinery in a fake world, and by the shells themselves where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from orchestrator.cli import _VERBS, cli
from orchestrator.cli.completion import VARIABLE
from orchestrator.errors import EnvironmentProblem
from tests.builders import container
from tests.fakes import FakeWorld
from tests.functional.cli import Command, world
from tests.unit.registry_texts import entry

Complete = Callable[..., list[str]]


@pytest.fixture
def here() -> FakeWorld:
    found = world()
    found.docker.add(container("phi"), container("phi", "vllm", port=25050), container("got", port=25001))
    found.docker.add(container("far", project="other", port=25002))
    return found


@pytest.fixture
def complete(here: FakeWorld) -> Complete:
    def complete(*words: str) -> list[str]:
        """What is offered for the last word, after the others."""
        asked = BashComplete(cli, {"obj": here}, "orchestrator", VARIABLE)
        return [item.value for item in asked.get_completions(list(words[:-1]), words[-1])]

    return complete


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["sta"], ["status", "start"]),
        (["models", "s"], ["show"]),
        (["status", "--w"], ["--watch"]),
        (["up", "--mode", ""], ["auto", "vllm", "transformers"]),
        (["up", "qwen"], ["qwen2-vl-2b", "qwen2-vl-7b"]),
        (["up", "qwen2-vl-2b", "qwen"], ["qwen2-vl-7b"]),
        (["models", "show", "got"], ["got-ocr2"]),
        (["status", ""], ["got", "phi", "phi-transformers", "phi-vllm"]),
        (["down", "phi", "p"], ["phi-transformers", "phi-vllm"]),
        (["logs", "g"], ["got"]),
        (["--project", "other", "stop", ""], ["far"]),
        (["image", "build", "tf5-cu"], ["tf5-cuda"]),
        (["export", "li"], ["litellm"]),
        (["export", "openai", "g"], ["got"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
)
def test_what_is_offered(complete: Complete, words: list[str], offered: list[str]) -> None:
    assert sorted(complete(*words)) == sorted(offered)


def test_every_verb_is_offered(complete: Complete) -> None:
    assert complete("") == list(_VERBS)


def test_your_own_entries_are_offered_also_where_they_are_wrong(complete: Complete, tmp_path: Path) -> None:
    (tmp_path / "phi.yaml").write_text(entry(), encoding="utf-8")
    (tmp_path / "phi-broken.yaml").write_text("name: [", encoding="utf-8")
    assert complete("--registry", str(tmp_path), "plan", "phi-b") == ["phi-broken"]
    assert complete("--registry", "/nowhere", "plan", "dots") == ["dots-ocr"]


def test_without_docker_nothing_is_offered_and_nothing_said(
    here: FakeWorld, complete: Complete, capsys: pytest.CaptureFixture[str]
) -> None:
    here.docker.broken = EnvironmentProblem("no Docker Engine answers", hint="start it")
    assert complete("status", "") == []
    assert capsys.readouterr() == ("", "")


def test_a_docker_that_hangs_is_not_waited_for(here: FakeWorld, complete: Complete) -> None:
    def hang() -> None:
        time.sleep(60)

    here.docker._look = hang  # type: ignore[method-assign]
    begun = time.monotonic()
    assert complete("status", "") == []
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed(do: Command, shell: str) -> None:
    said = do("completion", shell)
    assert (said.code, said.err) == (0, "")
    assert f"{VARIABLE}={shell}_complete" in said.out


def test_another_shell_is_refused(do: Command) -> None:
    do("completion", "tcsh").refused(2, "'tcsh' is not one of 'bash', 'zsh', 'fish'")


#: what a shell offers for "orchestrator sta" and "orchestrator up qwen" after it has read its script
ASK = {
    "bash": """
eval "$(orchestrator completion bash)"
function=$(complete -p orchestrator | sed -E 's/.*-F ([^ ]+).*/\\1/')
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); $function orchestrator; echo "${COMPREPLY[*]}"; }
ask orchestrator sta
ask orchestrator up qwen
""",
    # zle has no meaning without a terminal: what the function hands to zsh is printed instead
    "zsh": """
autoload -U compinit && compinit -u -D
eval "$(orchestrator completion zsh)"
_describe() { print -r -- ${(j: :)${(P)3}%%:*}; }
compadd() { print -r -- ${(P)@[-1]}; }
ask() { words=("$@"); CURRENT=$#; $_comps[orchestrator]; }
ask orchestrator sta
ask orchestrator up qwen
""",
    "fish": """
orchestrator completion fish | source
string join ' ' (complete -C 'orchestrator sta' | string split -f1 \\t)
string join ' ' (complete -C 'orchestrator up qwen' | string split -f1 \\t)
""",
}


@pytest.mark.parametrize("shell", list(ASK))
def test_the_shell_itself_completes(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        assert shell != "bash", "bash is wherever this is developed"
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "orchestrator").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m orchestrator "$@"\n', encoding="utf-8"
    )
    (tmp_path / "orchestrator").chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "DOCKER_HOST": "unix:///nowhere/docker.sock",
        "LC_ALL": "C.UTF-8",
    }
    argv = [program, *(["-f"] if shell == "zsh" else []), "-c", ASK[shell]]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert [sorted(line.split()) for line in done.stdout.splitlines()] == [
        ["start", "status"],
        ["qwen2-vl-2b", "qwen2-vl-7b"],
    ]
