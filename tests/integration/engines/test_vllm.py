"""Every model that vLLM serves, in its real container, brought up by ``orchestrator up`` with the flags of its entry.

The weights are the tiny ones that our own server is tested with. vLLM has its own classes for all of them; where it
takes the configuration or the image processor from the repository, a stand-in of ours lies there (models/stand_ins).
Phi-3-vision has a vision tower of the published size, because vLLM has no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli import Cli, write_yaml
from tests.integration.engine import Engine
from tests.integration.engines.families import FAMILIES, Family
from tests.integration.engines.test_families import answer, asked, picture
from tests.integration.test_api import connected

PICTURES = 4
SECONDS = 1200
_BY_NAME = {family.name: family for family in FAMILIES}
_PHI: Mapping[str, Any] = {
    "maker": "phi3_vision_large",
    "pictures": {"tiles": {"most": 1, "extra": 1, "argument": "num_crops"}, "tokens": 313, "patches": 1152},
    "images": 1,
}
_TILES = {"tiles": {"most": 4, "extra": 1, "argument": "max_dynamic_patch"}, "tokens": 80, "patches": 320}
#: By the name of the registry's entry. vLLM's port is our server's and 50 more.
MODELS = {
    family.entry: family
    for family in (
        _BY_NAME["qwen2-vl"],
        replace(_BY_NAME["qwen2-vl"], entry="qwen2-vl-7b", port=24511),
        _BY_NAME["dots-ocr"],
        replace(_BY_NAME["phi3-vision"], **_PHI),
        replace(_BY_NAME["phi3-vision"], **_PHI, entry="phi-3-vision", port=24514),
        replace(_BY_NAME["internvl2"], images=1, pictures=_TILES),
    )
}
#: What vLLM puts between image and text, and our server does not. InternVL2's prompt differs in more: vLLM takes the
#: tokenizer's template, our server that of the repository's own ``chat``, which has no line break behind a message.
BEFORE = {"dots-ocr": "\n"}
#: what starts together: as many as a machine of 24 GB holds
GROUPS = (("qwen2-vl-2b",), ("qwen2-vl-7b", "dots-ocr", "phi-3-5-vision"), ("internvl2-2b", "phi-3-vision"))


@dataclass(frozen=True)
class Served:
    """Models that came up together on vLLM, what they said then, and the plan that ``up`` showed."""

    cli: Cli
    families: tuple[Family, ...]
    answers: Mapping[str, tuple[tuple[str | None, str | None], ...]]
    plan: str


def _mark(group: tuple[str, ...]) -> tuple[pytest.MarkDecorator, ...]:
    return () if group == GROUPS[0] else (pytest.mark.every_family,)


@pytest.fixture(
    scope="module", params=[pytest.param(group, id=" ".join(group), marks=_mark(group)) for group in GROUPS]
)
def served(
    request: pytest.FixtureRequest,
    engine: Engine,
    image_of: Callable[[str], str],
    vllm_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    families = tuple(MODELS[name] for name in request.param)
    cli = Cli(engine, tmp_path_factory.mktemp("vllm"))
    for family in families:
        folder: Path = tmp_path_factory.mktemp(family.maker)
        weights = family.make(engine, image_of(f"{family.image}-cpu"), folder)
        write_yaml(cli.registry / f"{family.model}.yaml", family.on_both(str(weights / "tiny"), family.port + 50))
    names = [family.model for family in families]
    shown = cli.run("up", *names, "--mode", "vllm", "--timeout", str(SECONDS), timeout=SECONDS + 60)
    yield Served(cli, families, {family.model: _answers(family, family.port + 50) for family in families}, shown.out)
    cli.run("down", *names, "--yes")
    assert cli.status() == {}


def _answers(family: Family, port: int, before: str = "") -> tuple[tuple[str | None, str | None], ...]:
    """Greedy answers about some pictures. ``before``: what is put before the text."""
    with connected(port, key="none") as client:
        return tuple(
            answer(client, asked(family, messages=_messages(family, number, before), max_tokens=12))
            for number in range(PICTURES)
        )


def _messages(family: Family, number: int, before: str) -> list[dict[str, Any]]:
    """Sizes that Qwen's image processor leaves as they are: the engines' libraries don't scale alike to the last bit.

    A system prompt, because our server gives InternVL the one of the repository's own code where there is none.
    """
    content = [picture(number, (84 + 28 * number, 112)), {"type": "text", "text": before + family.text}]
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]


def test_vllm_answers_and_the_image_matters(served: Served) -> None:
    status = served.cli.status()
    for family in served.families:
        found = status[family.model]
        assert (found["engine"], found["ready"]) == ("vllm", True)
        answers = served.answers[family.model]
        assert all(text for text, _ in answers), answers
        assert len(set(answers)) > 1
        assert served.cli.run("ask", family.model, "What is this?", "--max-tokens", "4").out.strip()


def test_its_command_line_is_that_of_the_entry(served: Served) -> None:
    for family in served.families:
        engine = served.cli.status(family.model)[family.model]
        command = served.cli.inspect(engine["container_id"])["Config"]["Cmd"]
        entry = family.on_both("/", 1)
        assert ("--trust-remote-code" in command) == entry["source"]["remote_code"]
        for flag, value in entry["engines"]["vllm"].get("flags", {}).items():
            assert f"--{flag}" in command
            if flag != "mm-processor-kwargs":  # with the limit on pixels in it
                assert command[command.index(f"--{flag}") + 1] == str(value)


def test_what_the_report_does_not_allow_is_warned_of(served: Served) -> None:
    for family in served.families:
        warned = f"{family.model}: the founding report does not allow vllm, the facts do"
        assert (warned in served.plan) == (family.entry in {"internvl2-2b", "phi-3-vision"})


def test_our_server_gives_the_same_answers(served: Served) -> None:
    """The last test of a group: our server comes up beside vLLM."""
    names = [family.model for family in served.families]
    served.cli.run("up", *names, "--mode", "transformers", "--yes", "--timeout", "300", timeout=600)
    for family in served.families:
        if family.name != "internvl2":
            before = BEFORE.get(family.name, "")
            assert _answers(family, family.port, before) == served.answers[family.model], family.model
